//! Any packet of RTCP that opened, from a phone or the other engine.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::rtcp;

fuzz_target!(|bytes: &[u8]| {
    if let Some(read) = rtcp::read(bytes) {
        // Whatever precedes it in a compound packet, a part says the same.
        let behind = [&[0x80, 201, 0, 1, 0, 0, 0, 1][..], bytes].concat();
        assert_eq!(rtcp::read(&behind), Some(read));
        assert!(bytes.len() >= 4 && bytes.len() % 4 == 0);
    }
});
