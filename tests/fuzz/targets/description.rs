//! Any media description: what parses is canonical.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::Description;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(description) = Description::decode(bytes) {
        assert_eq!(description.encode(), bytes, "there is one encoding only");
    }
});
