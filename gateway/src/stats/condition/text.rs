//! What each condition says: what is wrong and what to do, for the user of this machine and, without names, for logs and monitors.

use std::time::Duration;

use ringfence_book::Number;
use ringfence_engine::EndReason;
use ringfence_engine::trust::callers::TRUSTED_FOR;
use ringfence_engine::trust::contacts::ShownBy;

use super::{BookLasts, Condition, USELESS_CLOCK};
use crate::calendar::span;
use crate::net::book::ClockOffset;
use crate::net::relay::{RelayFault, RelayTrouble, RelayWords};

/// Names of what a condition concerns.
#[derive(Clone, Copy)]
pub struct ConditionNames<'a> {
    /// A line of this engine, as it is shown to its user.
    pub line: &'a dyn Fn(Number) -> String,
    /// A contact, as it is shown to the user.
    pub contact: &'a dyn Fn(Number) -> String,
}

impl std::fmt::Debug for ConditionNames<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConditionNames(..)")
    }
}

impl Condition {
    /// What is wrong, for the user of this machine.
    #[must_use]
    pub fn text(&self, names: ConditionNames<'_>) -> String {
        self.says(Some(names))
    }

    /// What is wrong, without names, numbers and servers: for logs and monitors.
    #[must_use]
    pub fn unnamed(&self) -> String {
        self.says(None)
    }

    /// What is wrong, as a line of the log.
    pub(crate) fn log_line(&self) -> String {
        uncapitalized(self.unnamed())
    }

    /// What is wrong and what to do, as a line of the log.
    pub(crate) fn log_advice(&self) -> String {
        let remedy = uncapitalized(self.remedy());
        format!("{} To do: {remedy}", self.log_line())
    }

    fn says(&self, names: Option<ConditionNames<'_>>) -> String {
        let line =
            |number| names.map_or_else(|| "a line".to_owned(), |names| line_name(names, number));
        let contact =
            |number| names.map_or_else(|| "a contact".to_owned(), |names| (names.contact)(number));
        match self {
            Self::NoRelay => {
                "No Nostr relay can be reached: you can neither be called nor call.".to_owned()
            }
            Self::NoSubscription(trouble) => format!(
                "No Nostr relay delivers rings: you can neither be called nor call. {}",
                relay(trouble, None, names.is_some())
            ),
            Self::NoPublication(trouble) => format!(
                "No Nostr relay takes envelopes: no call can be made. {}",
                relay(trouble, None, names.is_some())
            ),
            Self::NoTurn(error) => {
                format!("Calls are refused: {error}.")
            }
            Self::Clock(offset) => clock(offset),
            Self::NoBook => {
                "The phone book has not been downloaded: no number can be dialled.".to_owned()
            }
            Self::NoPhone => "No phone is registered: no call can be made or received.".to_owned(),
            Self::NoAudio { calls, reason } => no_audio(*calls, *reason),
            Self::OtherMachine(number) => format!(
                "Another machine has {}: the phone book lists a ring key that the line's own identity key signed and this machine never had. Calls to the line reach the other machine.",
                line(*number)
            ),
            Self::KeyChanged(number, shown_by) => {
                let shown = match shown_by {
                    ShownBy::Book => "the phone book lists another key",
                    ShownBy::Ring => "a call came with another key",
                };
                format!(
                    "The key of {} has changed: {shown}. Calls with it are refused.",
                    contact(*number)
                )
            }
            Self::Evidence(_) => "There is evidence against the phone book.".to_owned(),
            Self::NotSaved(error) => format!(
                "What is new of contacts, calls, texts and evidence cannot be saved, and is lost if the engine ends now: {}.",
                error.unnamed()
            ),
            Self::FileDamaged(file) => file.what.to_owned(),
            Self::BookRefused(why, _) => format!("The phone book is not used any more: {why}."),
            Self::BookAway {
                age, why, lasts, ..
            } => format!(
                "The copy of the phone book is {} old: {why}. {}",
                span(age.as_secs()),
                lasting(lasts)
            ),
            Self::BookOld(age) => format!(
                "The newest epoch of the phone book is {} old. {}",
                span(age.as_secs()),
                if *age > TRUSTED_FOR {
                    ALONE
                } else {
                    "Calls still work; new numbers are missing."
                }
            ),
            Self::SecondTurn(choice) => format!(
                "TURN server 1 of {} cannot be reached: {}. Calls use server {}.",
                choice.all,
                choice
                    .passed_over
                    .as_deref()
                    .unwrap_or("no reason is known"),
                choice.position
            ),
            Self::Relay(trouble, all) => {
                format!(
                    "{} Calls use the others.",
                    relay(trouble, Some(*all), names.is_some())
                )
            }
            Self::LineWithoutPhone(number) => {
                format!("No phone is registered to {}.", line(*number))
            }
            Self::TextsRefused {
                line: number,
                status,
                waiting,
            } => format!(
                "The phones of {} refuse texts (status {status}), and {waiting} wait.",
                line(*number)
            ),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoRelay => {
                "Check this machine's network, then the setting `relays`.".to_owned()
            }
            Self::NoSubscription(trouble) | Self::NoPublication(trouble) => {
                relay_remedy(trouble).to_owned()
            }
            Self::NoTurn(error) => sentence(&error.remedy()),
            Self::Clock(_) => "Set the clock, for example with timedatectl set-ntp true; if it is right, tell the phone book's operator.".to_owned(),
            Self::NoBook => "Check this machine's network; the engine tries again automatically.".to_owned(),
            Self::NoPhone | Self::LineWithoutPhone(_) => "Set one up: the line's page (`ringfence status --page`) has a link for it and the settings to type, and so has `ringfence lines --qr`. If one was set up, look whether it is switched on.".to_owned(),
            Self::NoAudio { .. } => "Run ringfence doctor: it tries each TURN server and calls itself. If it finds nothing, the fault is at the other side.".to_owned(),
            Self::OtherMachine(_) => "Stop the engine on the other machine (a copied state folder, a backup that was restored there). To stay on this one: ringfence backup, then ringfence restore --replace, which draws new ring keys. If you run no other, another person has a copy of the line's keys: give the number back (ringfence deactivate) and ask for a new one.".to_owned(),
            Self::KeyChanged(..) => "Ask the person in another way whether they have a new key. If so, accept it on the contact's page, or: ringfence contacts accept NUMBER.".to_owned(),
            Self::NotSaved(error) => sentence(&error.remedy()),
            Self::FileDamaged(file) => file.remedy.clone(),
            Self::Evidence(_) => "Read it (ringfence evidence), show it to the phone book's operator, and trust no number that you have not verified.".to_owned(),
            Self::BookRefused(_, remedy) | Self::BookAway { remedy, .. } => sentence(remedy),
            Self::BookOld(_) => "If it persists, tell the phone book's operator.".to_owned(),
            Self::SecondTurn(_) => "Calls work. If this network lets only web traffic pass, nothing else is to be done; if it persists elsewhere too, ask the server's operator.".to_owned(),
            Self::Relay(..) => "If it persists, remove the relay from the setting `relays`.".to_owned(),
            Self::TextsRefused { .. } => "Read them on the status page, or register a phone that accepts texts.".to_owned(),
        }
    }
}

/// A sentence that begins in lower case, unless with an abbreviation.
fn uncapitalized(text: String) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text,
    }
}

fn line_name(names: ConditionNames<'_>, number: Number) -> String {
    format!("line {}", (names.line)(number))
}

/// What a relay does not do; among `all`, if the condition is about one of several.
fn relay(trouble: &RelayTrouble, all: Option<usize>, is_named: bool) -> String {
    let mut who = match all {
        Some(all) => format!("Nostr relay {} of {all}", trouble.position),
        None => format!("Relay {}", trouble.position),
    };
    if is_named {
        who.push_str(&format!(" ({})", trouble.url));
    }
    let does = match trouble.fault {
        RelayFault::Unreachable => "cannot be reached",
        RelayFault::NotListening => "is connected, but does not confirm the subscription to rings",
        RelayFault::WantsLogin => "demands a login (NIP-42)",
        RelayFault::Refuses => "refused the last envelope",
        RelayFault::NoAnswer => "did not answer the last envelope",
        RelayFault::Floods => "sent too much, or junk, and is left alone for a while",
    };
    let said = |words: &RelayWords| {
        let words = if is_named {
            words.text().to_owned()
        } else {
            words.unnamed()
        };
        format!("; it says: {}", words.trim_end_matches('.'))
    };
    let said = trouble.words.as_ref().map_or_else(String::new, said);
    format!("{who} {does}{said}.")
}

/// The network of this machine is in order where a relay has answered.
fn relay_remedy(trouble: &RelayTrouble) -> &'static str {
    let begins = |prefix| {
        let words = trouble.words.as_ref();
        words.is_some_and(|words| words.begins_with(prefix))
    };
    match trouble.fault {
        RelayFault::Unreachable => "Check this machine's network, then the setting `relays`.",
        RelayFault::WantsLogin => {
            "Set `relays` to relays that demand no login: it would give this engine a lasting identity there, so Ringfence makes none."
        }
        RelayFault::NoAnswer => {
            "Check this machine's network; if it is well, set `relays` to others."
        }
        RelayFault::Floods => "If it persists, set `relays` to others.",
        _ if begins("pow") => "Set `work_bits` to what the relay demands, or `relays` to others.",
        _ if begins("rate-limited") => {
            "Wait some minutes; if it persists, ask the relay's operator, or set `relays` to others."
        }
        _ if begins("invalid") => {
            "Check this machine's clock; if it is right, ask the relay's operator, or set `relays` to others."
        }
        _ => {
            "Ask the relay's operator, or set `relays` to others. This machine's network is in order."
        }
    }
}

fn clock(offset: &ClockOffset) -> String {
    let side = if offset.is_behind {
        "behind"
    } else {
        "ahead of"
    };
    let seconds = offset.apart.as_secs();
    let apart = if seconds < 120 {
        format!("{seconds} seconds")
    } else {
        // To the nearest: the book's date has no fraction of a second.
        format!("about {} minutes", (seconds + 30) / 60)
    };
    let effect = if offset.apart > USELESS_CLOCK {
        "no call can be made or received"
    } else {
        "phones ring for less time or not at all, and calls fail when it is a minute"
    };
    format!("This machine's clock is {apart} {side} the phone book's: {effect}.")
}

fn no_audio(calls: u32, reason: EndReason) -> String {
    let which = match calls {
        1 => "The last call".to_owned(),
        _ => format!("The last {calls} calls"),
    };
    let why = match reason {
        EndReason::NotConfirmed => "the other side did not connect",
        _ => "no media path",
    };
    format!("{which} ended for want of an audio path ({why}).")
}

/// What a copy means that is older than [`TRUSTED_FOR`].
const ALONE: &str = "Contacts alone ring: the copy is too old to say who others are.";

fn lasting(lasts: &BookLasts) -> String {
    match lasts.logins {
        Some(stock) if stock.left == 0 => {
            "No TURN login is left, so no call can be made until it is back.".to_owned()
        }
        Some(stock) if Duration::from_secs(stock.seconds) < lasts.callers => format!(
            "Calls go on for at most {}, until the last of the {} TURN logins ends.",
            span(stock.seconds),
            stock.left
        ),
        _ if lasts.callers.is_zero() => ALONE.to_owned(),
        _ => format!(
            "Calls go on. In {} contacts alone will ring, because the copy will be too old to say who others are.",
            span(lasts.callers.as_secs())
        ),
    }
}

/// A remedy as a sentence: with a capital and a full stop.
fn sentence(remedy: &str) -> String {
    let mut chars = remedy.chars();
    let first = chars.next().map(|first| first.to_uppercase());
    let mut text: String = first.into_iter().flatten().chain(chars).collect();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{CALLS_WITHOUT_AUDIO, ConditionKind};
    use super::*;
    use crate::state::keystore::{DamagedFile, KeystoreError};
    use crate::turn::credentials::LoginStock;
    use crate::turn::probe::TurnProbeError;
    use crate::turn::servers::ServerChoice;

    const NUMBER: Number = Number::new(20_001);

    fn trouble(fault: RelayFault, words: &str) -> RelayTrouble {
        RelayTrouble {
            position: 2,
            url: "wss://relay.example".to_owned(),
            fault,
            words: RelayWords::new(words),
        }
    }

    fn clock_off(seconds: u64) -> Condition {
        Condition::Clock(ClockOffset {
            apart: Duration::from_secs(seconds),
            is_behind: true,
        })
    }

    fn file_damaged(is_grave: bool) -> Condition {
        Condition::FileDamaged(DamagedFile {
            path: "/state/contacts.json.1.damaged".into(),
            is_grave,
            what: "The file of the contacts (contacts.json) was damaged.",
            remedy: "Restore a backup.".to_owned(),
        })
    }

    /// A condition of each kind, and whether no call can be made, or none received, while it holds.
    fn every_kind() -> Vec<(Condition, bool)> {
        let refuses = trouble(RelayFault::Refuses, "pow: 24 bits, 203.0.113.7");
        let no_audio = |calls| Condition::NoAudio {
            calls,
            reason: EndReason::NoMedia,
        };
        vec![
            (Condition::NoRelay, true),
            (
                Condition::NoSubscription(trouble(RelayFault::WantsLogin, "")),
                true,
            ),
            (Condition::NoPublication(refuses.clone()), true),
            (Condition::NoTurn(TurnProbeError::NoLogin), true),
            (clock_off(61), true),
            (clock_off(50), false),
            (Condition::NoBook, true),
            (Condition::NoPhone, true),
            (no_audio(CALLS_WITHOUT_AUDIO), true),
            (no_audio(1), false),
            (Condition::OtherMachine(NUMBER), true),
            (Condition::KeyChanged(NUMBER, ShownBy::Book), false),
            (Condition::Evidence(1), false),
            (
                Condition::NotSaved(KeystoreError::Disk {
                    act: "write",
                    path: "/state/lines/20001.json".into(),
                    kind: std::io::ErrorKind::StorageFull,
                }),
                false,
            ),
            (file_damaged(true), false),
            (file_damaged(false), false),
            (
                Condition::BookRefused("another key".to_owned(), "ask".to_owned()),
                false,
            ),
            (
                Condition::BookAway {
                    age: Duration::from_secs(3_600),
                    why: "no answer".to_owned(),
                    remedy: "check the network".to_owned(),
                    lasts: BookLasts {
                        callers: Duration::from_secs(86_400 * 20),
                        logins: Some(LoginStock::default()),
                    },
                },
                false,
            ),
            (Condition::BookOld(Duration::from_secs(3_600)), false),
            (
                Condition::SecondTurn(ServerChoice {
                    position: 2,
                    all: 2,
                    passed_over: None,
                }),
                false,
            ),
            (Condition::Relay(refuses, 3), false),
            (Condition::LineWithoutPhone(NUMBER), false),
            (
                Condition::TextsRefused {
                    line: NUMBER,
                    status: 488,
                    waiting: 2,
                },
                false,
            ),
        ]
    }

    #[test]
    fn health_is_never_ok_while_no_call_can_be_made() {
        let table = every_kind();
        for (condition, stops_calls) in &table {
            assert!(condition.is_grave() || !stops_calls, "{condition:?}");
        }
        for kind in ConditionKind::ALL {
            let found = table.iter().any(|(condition, _)| condition.kind() == kind);
            assert!(found, "{kind:?} is not in the table");
        }
    }

    #[test]
    fn every_condition_has_a_remedy_and_the_log_contains_no_name() {
        let names = ConditionNames {
            line: &|number| format!("Desk ({number})"),
            contact: &|number| format!("Alice ({number})"),
        };
        for (condition, _) in every_kind() {
            let (text, unnamed, remedy) = (
                condition.text(names),
                condition.unnamed(),
                condition.remedy(),
            );
            for sentence in [&text, &unnamed, &remedy] {
                assert!(
                    sentence.ends_with('.') && !sentence.contains(".."),
                    "{sentence}"
                );
            }
            for name in ["20001", "Desk", "Alice", "relay.example", "203.0"] {
                let told = format!("{unnamed} {remedy}");
                assert!(!told.contains(name), "{name} in {told}");
            }
        }
        let text = |condition: Condition| condition.text(names);
        assert!(text(Condition::OtherMachine(NUMBER)).contains("line Desk (20001)"));
        assert!(text(Condition::KeyChanged(NUMBER, ShownBy::Ring)).contains("Alice (20001)"));
        let relay = text(Condition::NoPublication(trouble(
            RelayFault::Refuses,
            "pow: 24 bits",
        )));
        assert!(
            relay.contains("wss://relay.example") && relay.contains("pow: 24 bits"),
            "{relay}"
        );
    }

    #[test]
    fn the_clock_is_accused_with_the_direction_and_the_size() {
        let text = |seconds| clock_off(seconds).unnamed();
        assert!(
            text(3_600).contains("about 60 minutes behind"),
            "{}",
            text(3_600)
        );
        assert!(text(70).contains("70 seconds behind"), "{}", text(70));
        assert!(
            text(50).contains("calls fail when it is a minute"),
            "{}",
            text(50)
        );
    }

    #[test]
    fn a_relay_gets_the_remedy_that_fits_its_words() {
        let remedy = |fault, words| relay_remedy(&trouble(fault, words));
        for (fault, words, expected) in [
            (RelayFault::Refuses, "pow: 24 bits needed", "work_bits"),
            (RelayFault::Refuses, "rate-limited: slow down", "Wait"),
            (RelayFault::Refuses, "invalid: created_at", "clock"),
            (RelayFault::Refuses, "powder", "network is in order"),
            (RelayFault::NotListening, "", "network is in order"),
            (RelayFault::WantsLogin, "", "login"),
            (RelayFault::NoAnswer, "", "network"),
        ] {
            let told = remedy(fault, words);
            assert!(told.contains(expected), "{words}: {told}");
        }
    }
}
