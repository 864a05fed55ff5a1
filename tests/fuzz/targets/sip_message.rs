//! Any datagram: parsing never panics, and what parses prints to something that parses alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_sip::message::parse;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = parse(bytes) {
        let printed = message.to_bytes();
        assert!(parse(&printed).is_ok(), "what we print must be readable");
    }
});
