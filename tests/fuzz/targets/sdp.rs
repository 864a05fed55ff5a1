//! Any SDP: reading never panics, and an answer to what was read can be written and read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::sdp::{read_answer, read_offer, write_answer};

fuzz_target!(|bytes: &[u8]| {
    let _ = read_answer(bytes);
    if let Ok(offer) = read_offer(bytes) {
        let chosen = offer.formats();
        let answer = write_answer(([127, 0, 0, 1], 4_000).into(), &offer, &chosen, 1, 1);
        assert!(read_answer(&answer).is_ok(), "what we write must be readable");
    }
});
