//! The conditions of the engine as the warnings of the status: with the names of lines and contacts.

use ringfence_book::Number;

pub(super) use crate::calendar::span;
use crate::provisioning::registrar::RegistrarInfo;
use crate::stats::condition::text::ConditionNames;
use crate::stats::snapshot::Snapshot;
use crate::stats::status::StatusWarning;

/// Every warning, grave ones first.
pub(super) fn warnings(snapshot: &Snapshot, registrar: &RegistrarInfo) -> Vec<StatusWarning> {
    let line = |number: Number| {
        let name = registrar.line(number).and_then(|line| line.name.as_deref());
        named(name, number)
    };
    let contact = |number: Number| {
        let contact = snapshot.contacts.get(number);
        named(contact.and_then(|contact| contact.name.as_deref()), number)
    };
    let names = ConditionNames {
        line: &line,
        contact: &contact,
    };
    let conditions = snapshot.status.conditions.iter();
    conditions
        .map(|active| StatusWarning {
            kind: active.condition.kind().word().to_owned(),
            since: active.since.seconds(),
            grave: active.condition.is_grave(),
            what: active.condition.text(names),
            remedy: active.condition.remedy(),
        })
        .collect()
}

fn named(name: Option<&str>, number: Number) -> String {
    name.map_or_else(|| number.to_string(), |name| format!("{name} ({number})"))
}
