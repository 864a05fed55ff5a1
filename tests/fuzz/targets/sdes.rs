//! Any `a=crypto` lines in an offer: parsing never panics, a parsed key can be written and parsed again, and our answer has the
//! same suite.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::sdp::{OwnMedia, read_offer, write_answer};
use ringfence_media::srtp::{SrtpKey, Srtp};

/// The values of the attributes, one a line.
fn offer(values: &[u8]) -> Vec<u8> {
    let mut offer = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 7078 RTP/SAVP 0\r\n".to_vec();
    for value in values.split(|byte| *byte == b'\n') {
        offer.extend_from_slice(b"a=crypto:");
        offer.extend_from_slice(value);
        offer.extend_from_slice(b"\r\n");
    }
    offer
}

fuzz_target!(|values: &[u8]| {
    let bytes = offer(values);
    assert!(read_offer(&bytes, Srtp::Off).is_err(), "nothing but SRTP is offered");
    for srtp in [Srtp::Optional, Srtp::Required] {
        let Ok(read) = read_offer(&bytes, srtp) else {
            continue;
        };
        let suite = read.suite().expect("RTP/SAVP has a key");
        let mut own = OwnMedia::plain(([127, 0, 0, 1], 4_000).into(), 1);
        // A key of zeros; one of these lengths fits the suite.
        own.keys = (28..=62).find_map(|length| SrtpKey::from_base64(suite, &"A".repeat(length))).into_iter().collect();
        let keys = read.negotiated(&own, &read.formats()).keys.expect("we have a key of that suite");
        assert_eq!(SrtpKey::from_base64(suite, &keys.theirs.to_base64()), Some(keys.theirs));
        let answer = write_answer(&own, &read, &read.formats());
        let again = read_offer(&answer, srtp).expect("what we write must be readable");
        assert_eq!(again.suite(), Some(suite));
    }
});
