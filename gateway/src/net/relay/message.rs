//! What relays say (NIP-01: EVENT, EOSE, OK, CLOSED, NOTICE; NIP-42: AUTH): a text in, a message out. No socket is here.
//!
//! Ids and signatures of events are checked in `event`, because most events need no such look. The words of a relay are cleaned before
//! anything keeps them.

use nostr::{Event, EventId};
use serde_json::Value;

use super::trouble::RelayWords;

/// The longest message that is read. An event with an envelope has 2 kB.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1_024;

/// The longest name of a subscription (NIP-01).
const MAX_NAME_CHARS: usize = 64;

/// A message from a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayMessage {
    /// An event of the subscription with this name; its id and its signature are not checked yet.
    Event(String, Box<Event>),
    /// All stored events of the subscription with this name have come.
    EndOfStored(String),
    /// What the relay did with an event.
    Outcome(EventId, PostVerdict, Option<RelayWords>),
    /// The relay ended, or never began, the subscription with this name.
    Closed(String, Option<RelayWords>),
    /// Words for a person.
    Notice(Option<RelayWords>),
    /// The relay offers a login. It is never made: it would give this engine a lasting identity.
    LoginOffer,
}

/// What a relay does with an event that it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostVerdict {
    /// It has the event, or (`mute:`) passed it on to no subscriber: whether a subscriber exists must not show at the caller's phone.
    Taken,
    /// It may take the event in a moment.
    TryLater,
    /// It takes none without a login.
    WantsLogin,
    /// It does not take this event.
    Refused,
}

impl RelayMessage {
    /// Reads a message; `None` for anything that a client of this kind does not expect.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_MESSAGE_BYTES {
            return None;
        }
        let mut message = serde_json::from_str(text).ok()?;
        complete(&mut message);
        Some(match nostr::RelayMessage::from_value(message).ok()? {
            nostr::RelayMessage::Event {
                subscription_id,
                event,
            } => Self::Event(name(&subscription_id)?, Box::new(event.into_owned())),
            nostr::RelayMessage::EndOfStoredEvents(id) => Self::EndOfStored(name(&id)?),
            nostr::RelayMessage::Ok {
                event_id,
                status,
                message,
            } => {
                let words = RelayWords::new(&message);
                let verdict = PostVerdict::of(status, words.as_ref());
                Self::Outcome(event_id, verdict, words)
            }
            nostr::RelayMessage::Closed {
                subscription_id,
                message,
            } => Self::Closed(name(&subscription_id)?, RelayWords::new(&message)),
            nostr::RelayMessage::Notice(words) => Self::Notice(RelayWords::new(&words)),
            nostr::RelayMessage::Auth { .. } => Self::LoginOffer,
            _ => return None,
        })
    }
}

impl PostVerdict {
    /// The verdict of an OK with these words, by their machine-readable prefix (NIP-01).
    fn of(is_taken: bool, words: Option<&RelayWords>) -> Self {
        let any = |prefixes: &[&str]| {
            let begins = |words: &RelayWords| prefixes.iter().any(|p| words.begins_with(p));
            words.is_some_and(begins)
        };
        match is_taken {
            true => Self::Taken,
            false if any(&["duplicate", "mute"]) => Self::Taken,
            false if any(&["rate-limited", "pow", "error"]) => Self::TryLater,
            false if any(&["auth-required"]) => Self::WantsLogin,
            false => Self::Refused,
        }
    }
}

/// Adds the words of OK and CLOSED where a relay sends none: a refusal without a reason is a refusal.
fn complete(message: &mut Value) {
    let Some(parts) = message.as_array_mut() else {
        return;
    };
    let words = match parts.first().and_then(Value::as_str) {
        Some("OK") => 3,
        Some("CLOSED") => 2,
        _ => return,
    };
    if parts.len() >= words && !parts.get(words).is_some_and(Value::is_string) {
        parts.truncate(words);
        parts.push(Value::from(""));
    }
}

fn name(id: &nostr::SubscriptionId) -> Option<String> {
    let name = id.as_str();
    (name.len() <= MAX_NAME_CHARS).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

    fn verdict(is_taken: bool, words: &str) -> PostVerdict {
        let text = serde_json::json!(["OK", ID, is_taken, words]).to_string();
        match RelayMessage::parse(&text) {
            Some(RelayMessage::Outcome(id, verdict, _)) if id.to_hex() == ID => verdict,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_outcome_is_judged_by_its_prefix() {
        use PostVerdict::{Refused, Taken, TryLater, WantsLogin};
        for (is_taken, words, expected) in [
            (true, "", Taken),
            (true, "pow: difficulty 25>=24", Taken),
            (false, "duplicate: already have this event", Taken),
            (false, "mute: no one was listening", Taken),
            (false, "rate-limited: slow down", TryLater),
            (false, "pow: 26 bits needed", TryLater),
            (false, "error: could not connect to the database", TryLater),
            (false, "auth-required: members only", WantsLogin),
            (false, "restricted: not you", Refused),
            (false, "blocked: not here", Refused),
            (false, "invalid: created_at", Refused),
            (false, "powder", Refused),
            (false, "", Refused),
        ] {
            assert_eq!(verdict(is_taken, words), expected, "{is_taken} {words}");
        }
    }

    #[test]
    fn an_outcome_without_words_is_one() {
        for (rest, expected) in [
            ("true", PostVerdict::Taken),
            ("false", PostVerdict::Refused),
            ("false,null", PostVerdict::Refused),
            ("false,7", PostVerdict::Refused),
        ] {
            let message = RelayMessage::parse(&format!(r#"["OK","{ID}",{rest}]"#));
            assert!(
                matches!(message, Some(RelayMessage::Outcome(_, verdict, None)) if verdict == expected),
                "{rest}: {message:?}"
            );
        }
    }

    #[test]
    fn each_message_is_read_and_its_words_are_cleaned() {
        let words = |text| RelayWords::new(text);
        let name = || "a1".to_owned();
        for (text, expected) in [
            (r#"["EOSE","a1"]"#, RelayMessage::EndOfStored(name())),
            (
                r#"["CLOSED","a1","blocked:\u001b[2J no"]"#,
                RelayMessage::Closed(name(), words("blocked: [2J no")),
            ),
            (r#"["CLOSED","a1"]"#, RelayMessage::Closed(name(), None)),
            (
                r#"["CLOSED","a1",null]"#,
                RelayMessage::Closed(name(), None),
            ),
            (r#"["NOTICE",""]"#, RelayMessage::Notice(None)),
            (r#"["AUTH","challenge"]"#, RelayMessage::LoginOffer),
        ] {
            assert_eq!(RelayMessage::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_no_client_expects_is_no_message() {
        let long_name = format!(r#"["EOSE","{}"]"#, "a".repeat(MAX_NAME_CHARS + 1));
        let long = format!(r#"["NOTICE","{}"]"#, "a".repeat(MAX_MESSAGE_BYTES));
        let deep = "[".repeat(10_000);
        for text in [
            "",
            "{}",
            "[]",
            r#"["EOSE"]"#,
            r#"["EOSE",7]"#,
            r#"["OK","zz",true,""]"#,
            r#"["OK"]"#,
            r#"["CLOSED"]"#,
            r#"["EVENT","a1",{"id":"zz"}]"#,
            r#"["COUNT","a1",{"count":7}]"#,
            r#"["HELLO","a1"]"#,
            &long_name,
            &long,
            &deep,
        ] {
            assert_eq!(RelayMessage::parse(text), None, "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_message_or_none(text in any::<String>(), kind in 0..7usize) {
            let kind = ["EVENT", "EOSE", "OK", "CLOSED", "NOTICE", "AUTH", "?"][kind];
            let json = serde_json::json!([kind, text, text, text]).to_string();
            for text in [text, json] {
                drop(RelayMessage::parse(&text));
            }
        }
    }
}
