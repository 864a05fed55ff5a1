//! What the user should know and do: each warning says what is wrong and the way out.

use ringfence_engine::trust::contacts::ShownBy;

use crate::provisioning::registrar::Board;
pub(super) use crate::calendar::span;
use crate::state::keystore::EvidenceFile;
use crate::stats::snapshot::Snapshot;

/// A phone book that missed so many epochs is old.
const LATE_EPOCHS: u64 = 3;

/// Something is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// Calls do not work, or somebody may stand in between.
    pub(super) is_grave: bool,
    /// What it is.
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: String,
}

fn grave(what: String, remedy: &str) -> Warning {
    Warning {
        is_grave: true,
        what,
        remedy: remedy.to_owned(),
    }
}

fn mild(what: String, remedy: &str) -> Warning {
    Warning {
        is_grave: false,
        ..grave(what, remedy)
    }
}

/// Everything that is wrong, the worst first.
pub(super) fn warnings(
    picture: &Snapshot,
    board: &Board,
    evidence: &[EvidenceFile],
) -> Vec<Warning> {
    let mut warnings = trust(picture, evidence);
    warnings.extend(ways_out(picture));
    warnings.extend(phones(picture, board));
    warnings.sort_by_key(|warning| !warning.is_grave);
    warnings
}

fn trust(picture: &Snapshot, evidence: &[EvidenceFile]) -> Vec<Warning> {
    let changed = picture
        .contacts
        .iter()
        .filter_map(|contact| Some((contact, contact.other?)));
    let keys = changed.map(|(contact, other)| {
        let shown = match other.shown_by {
            ShownBy::Book => "the phone book lists it with another key",
            ShownBy::Ring => "somebody rang from it with another key",
        };
        grave(
            format!("The key of {} has changed: {shown}. Calls with it are refused.", contact.number),
            "Ask the person by another way whether they have a new key. If so, accept it on the page of the contact.",
        )
    });
    let mut warnings: Vec<_> = keys.collect();
    if !evidence.is_empty() {
        warnings.push(grave(
            "There is evidence against the phone book.".to_owned(),
            "Read it below the contacts, show it to the book's operator, and trust no number that you have not verified.",
        ));
    }
    warnings
}

fn ways_out(picture: &Snapshot) -> Vec<Warning> {
    let (relays, mut warnings) = (picture.status.relays, Vec::new());
    if relays.listening == 0 {
        warnings.push(grave(
            "No Nostr relay brings rings: nobody can call you, and you can call nobody.".to_owned(),
            "Check this machine's network, then the setting `relays`.",
        ));
    } else if relays.listening < relays.configured {
        let down = relays.configured - relays.listening;
        warnings.push(mild(
            format!(
                "{down} of {} Nostr relays do not answer.",
                relays.configured
            ),
            "Calls go through the others. If it lasts, take the relay out of the setting `relays`.",
        ));
    }
    match picture.book {
        None => warnings.push(grave(
            "The phone book has not been downloaded: no number can be dialled.".to_owned(),
            "Check this machine's network; the engine tries again by itself.",
        )),
        Some(book) => {
            let age = picture.at.seconds().saturating_sub(book.closed.seconds());
            if age > LATE_EPOCHS * u64::from(book.period) + 60 {
                warnings.push(mild(
                    format!("The copy of the phone book is {} old.", span(age)),
                    "Calls go on with it; new numbers are missing. If it lasts, check the network, the clock, and ask the book's operator.",
                ));
            }
        }
    }
    warnings
}

fn phones(picture: &Snapshot, board: &Board) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for line in &picture.lines {
        let name = board
            .line(line.number)
            .and_then(|line| line.name.as_deref());
        let who = name.map_or_else(
            || line.number.to_string(),
            |name| format!("{} ({name})", line.number),
        );
        if line.phones.is_empty() {
            warnings.push(mild(
                format!("No phone is registered to line {who}."),
                "Set one up: the line's page has a code to scan and the settings to type.",
            ));
        }
        let waiting = picture.ledger.news(line.number).texts;
        if let Some(status) = line.takes_no_texts.filter(|_| waiting > 0) {
            warnings.push(mild(
                format!("The phones of line {who} take no texts (they say {status}), and {waiting} wait."),
                "Read them here, or register a phone that takes texts.",
            ));
        }
    }
    warnings
}
