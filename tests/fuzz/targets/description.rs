//! Any media description, and any relayed address alone: what parses is canonical.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::Description;
use ringfence_media::description::{decode_address, encode_address};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(description) = Description::decode(bytes) {
        assert_eq!(description.encode(), bytes, "there is one encoding only");
    }
    if let Ok(address) = decode_address(bytes) {
        assert_eq!(encode_address(&address), bytes, "there is one encoding only");
    }
});
