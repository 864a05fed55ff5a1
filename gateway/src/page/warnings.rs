//! The warnings of the status: each says what is wrong and what to do.

use ringfence_engine::trust::contacts::ShownBy;

pub(super) use crate::calendar::span;
use crate::provisioning::registrar::RegistrarInfo;
use crate::state::keystore::EvidenceFile;
use crate::stats::snapshot::Snapshot;
use crate::stats::status::StatusWarning;

/// A copy of the phone book that lacks more epochs than this is old.
const LATE_EPOCHS: u64 = 3;

fn grave(what: String, remedy: &str) -> StatusWarning {
    StatusWarning {
        grave: true,
        what,
        remedy: remedy.to_owned(),
    }
}

fn mild(what: String, remedy: &str) -> StatusWarning {
    StatusWarning {
        grave: false,
        ..grave(what, remedy)
    }
}

/// Every warning, grave ones first.
pub(super) fn warnings(
    snapshot: &Snapshot,
    registrar: &RegistrarInfo,
    evidence: &[EvidenceFile],
) -> Vec<StatusWarning> {
    let mut warnings = trust(snapshot, evidence);
    warnings.extend(connections(snapshot));
    warnings.extend(phones(snapshot, registrar));
    warnings.sort_by_key(|warning| !warning.grave);
    warnings
}

fn trust(snapshot: &Snapshot, evidence: &[EvidenceFile]) -> Vec<StatusWarning> {
    let changed = snapshot
        .contacts
        .iter()
        .filter_map(|contact| Some((contact, contact.other?)));
    let keys = changed.map(|(contact, other)| {
        let shown = match other.shown_by {
            ShownBy::Book => "the phone book lists it with another key",
            ShownBy::Ring => "a call from it came with another key",
        };
        grave(
            format!("The key of {} has changed: {shown}. Calls with it are refused.", contact.number),
            "Ask the person in another way whether they have a new key. If so, accept it on the contact's page.",
        )
    });
    let mut warnings: Vec<_> = keys.collect();
    if !evidence.is_empty() {
        warnings.push(grave(
            "There is evidence against the phone book.".to_owned(),
            "Read it below the contacts, show it to the phone book's operator, and trust no number that you have not verified.",
        ));
    }
    warnings
}

fn connections(snapshot: &Snapshot) -> Vec<StatusWarning> {
    let (relays, mut warnings) = (snapshot.status.relays, Vec::new());
    if relays.listening == 0 {
        warnings.push(grave(
            "No Nostr relay delivers rings: you can neither be called nor call.".to_owned(),
            "Check this machine's network, then the setting `relays`.",
        ));
    } else if relays.listening < relays.configured {
        let down = relays.configured - relays.listening;
        warnings.push(mild(
            format!(
                "{down} of {} Nostr relays do not answer.",
                relays.configured
            ),
            "Calls use the others. If it persists, remove the relay from the setting `relays`.",
        ));
    }
    match snapshot.book {
        None => warnings.push(grave(
            "The phone book has not been downloaded: no number can be dialled.".to_owned(),
            "Check this machine's network; the engine tries again automatically.",
        )),
        Some(book) => {
            let age = snapshot.at.seconds().saturating_sub(book.closed.seconds());
            if age > LATE_EPOCHS * u64::from(book.period) + 60 {
                warnings.push(mild(
                    format!("The copy of the phone book is {} old.", span(age)),
                    "Calls still work; new numbers are missing. If it persists, check the network and the clock, and ask the phone book's operator.",
                ));
            }
        }
    }
    warnings
}

fn phones(snapshot: &Snapshot, registrar: &RegistrarInfo) -> Vec<StatusWarning> {
    let mut warnings = Vec::new();
    for line in &snapshot.lines {
        let name = registrar
            .line(line.number)
            .and_then(|line| line.name.as_deref());
        let who = name.map_or_else(
            || line.number.to_string(),
            |name| format!("{} ({name})", line.number),
        );
        if line.phones.is_empty() {
            warnings.push(mild(
                format!("No phone is registered to line {who}."),
                "Set one up: the line's page has a QR code and the settings to type.",
            ));
        }
        let waiting = snapshot.saved_state.news(line.number).texts;
        if let Some(status) = line.takes_no_texts.filter(|_| waiting > 0) {
            warnings.push(mild(
                format!(
                    "The phones of line {who} refuse texts (status {status}), and {waiting} wait."
                ),
                "Read them here, or register a phone that accepts texts.",
            ));
        }
    }
    warnings
}
