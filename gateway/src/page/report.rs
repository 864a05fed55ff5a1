//! The picture of the running engine as JSON, for programs: `GET /api/status`. Fields are added, never taken away or given another
//! meaning, within one `version`.

use ringfence_engine::line::saved_state::Way;
use ringfence_engine::{CallLabel, LiveState};
use serde_json::{Value, json};

use crate::provisioning::registrar::Board;
use super::warnings::warnings;
use crate::state::keystore::EvidenceFile;
use crate::stats::snapshot::{CallSnapshot, PhoneSnapshot, Quality, Snapshot};

/// Changes when a field is taken away or means something else.
const VERSION: u32 = 1;

/// Everything at one moment. Times are Unix seconds, jitter is in milliseconds, losses are shares from 0 to 1.
pub(super) fn report(
    picture: &Snapshot,
    board: &Board,
    evidence: &[EvidenceFile],
    uptime: u64,
) -> Value {
    let relays = picture.status.relays;
    let warnings = warnings(picture, board, evidence);
    json!({
        "version": VERSION,
        "program": env!("CARGO_PKG_VERSION"),
        "at": picture.at.seconds(),
        "uptime_seconds": uptime,
        "ok": !warnings.iter().any(|warning| warning.is_grave),
        "warnings": warnings.iter().map(|warning| json!({
            "grave": warning.is_grave,
            "what": warning.what,
            "remedy": warning.remedy,
        })).collect::<Vec<_>>(),
        "relays": {
            "configured": relays.configured,
            "connected": relays.connected,
            "listening": relays.listening,
        },
        "turn": { "ready": picture.status.turn_ready },
        "phone_book": picture.book.map(|book| json!({
            "epoch": book.epoch,
            "age_seconds": picture.at.seconds().saturating_sub(book.closed.seconds()),
            "period_seconds": book.period,
        })),
        "sip": {
            "udp": board.sip[0],
            "tcp": board.sip[1],
            "tls": board.sip[2],
        },
        "lines": lines(picture, board),
        "calls": picture.calls.iter().map(|call| live(call, picture)).collect::<Vec<_>>(),
        "contacts": picture.contacts.iter().count(),
        "changed_keys": picture.contacts.iter().filter(|contact| contact.other.is_some()).count(),
        "evidence": evidence.len(),
    })
}

fn lines(picture: &Snapshot, board: &Board) -> Vec<Value> {
    let ledger = &picture.ledger;
    let phone =
        |phone: &PhoneSnapshot| json!({ "transport": phone.transport, "address": phone.address });
    let line = |line: &crate::stats::snapshot::LineSnapshot| {
        let news = ledger.news(line.number);
        json!({
            "number": line.number.value(),
            "name": board.line(line.number).and_then(|line| line.name.as_deref()),
            "phones": line.phones.iter().map(phone).collect::<Vec<_>>(),
            "do_not_disturb": ledger.is_undisturbed(line.number),
            "blocked": ledger.habits.get(&line.number).map_or_else(Vec::new, |habits| {
                habits.blocked.iter().map(|number| number.value()).collect()
            }),
            "missed_calls": news.missed,
            "texts_waiting": news.texts,
        })
    };
    picture.lines.iter().map(line).collect()
}

fn live(CallSnapshot { call, curve }: &CallSnapshot, picture: &Snapshot) -> Value {
    let contact = picture.contacts.get(call.number);
    let last = curve.samples.back();
    json!({
        "call": label(call.label),
        "line": call.line.value(),
        "number": call.number.value(),
        "name": contact.and_then(|contact| contact.name.as_deref()),
        "verified": contact.is_some_and(|contact| contact.verified),
        "direction": match call.way { Way::Out => "out", Way::In => "in" },
        "state": state(call.state),
        "began": call.began.seconds(),
        "talking_since": call.answered.map(|at| at.seconds()),
        "from_phone": last.map(|sample| quality(&sample.from_phone)),
        "to_phone": last.map(|sample| quality(&sample.to_phone)),
    })
}

fn quality(quality: &Quality) -> Value {
    json!({
        "packets": quality.packets,
        "lost": quality.lost,
        "jitter_ms": quality.jitter.as_secs_f64() * 1_000.0,
        "mos": quality.mos,
    })
}

/// How far a call is, in one word.
pub(super) fn state(state: LiveState) -> &'static str {
    match state {
        LiveState::Calling => "calling",
        LiveState::Ringing => "ringing",
        LiveState::Connecting => "connecting",
        LiveState::Talking => "talking",
    }
}

fn label(label: CallLabel) -> String {
    label.to_string()
}
