//! Any text from a relay: it is a message or none, names stay short, and words can be shown on a terminal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence::net::relay::message::{MAX_MESSAGE_BYTES, RelayMessage};

fuzz_target!(|text: &str| {
    let Some(message) = RelayMessage::parse(text) else {
        return;
    };
    assert!(text.len() <= MAX_MESSAGE_BYTES);
    let (name, words) = match message {
        RelayMessage::Event(name, event) => {
            // The costly look must take any event that was read.
            drop(event.verify());
            (Some(name), None)
        }
        RelayMessage::EndOfStored(name) => (Some(name), None),
        RelayMessage::Closed(name, words) => (Some(name), words),
        RelayMessage::Outcome(_, _, words) | RelayMessage::Notice(words) => (None, words),
        RelayMessage::LoginOffer => (None, None),
    };
    assert!(name.is_none_or(|name| name.len() <= 64));
    for line in words.iter().flat_map(|words| [words.text().to_owned(), words.unnamed()]) {
        assert!(line.chars().count() <= 120 && !line.contains(char::is_control));
    }
});
