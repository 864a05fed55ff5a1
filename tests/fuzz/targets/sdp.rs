//! Any SDP: parsing never panics, and an answer to a parsed offer can be written and parsed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::sdp::{OwnMedia, OwnVideo, read_answer, read_offer, write_answer};
use ringfence_media::srtp::{SrtpKey, Srtp};

fuzz_target!(|bytes: &[u8]| {
    let mut own = OwnMedia::plain(([127, 0, 0, 1], 4_000).into(), 1);
    let _ = read_answer(bytes, &own);
    for srtp in [Srtp::Off, Srtp::Optional, Srtp::Required] {
        if let Ok(offer) = read_offer(bytes, srtp) {
            // A key of zeros; one of these lengths fits the suite.
            let key = |suite| (28..=62).find_map(|length| SrtpKey::from_base64(suite, &"A".repeat(length)));
            own.keys = offer.suite().and_then(key).into_iter().collect();
            own.video = offer.video.as_ref().map(|video| OwnVideo {
                port: 4_002,
                keys: video.suite().and_then(key).into_iter().collect(),
                formats: offer.video_formats(),
            });
            let answer = write_answer(&own, &offer, &offer.formats());
            let read = read_offer(&answer, srtp).expect("what we write must be readable");
            assert_eq!(read.suite(), offer.suite());
            assert_eq!(read.video_formats(), offer.video_formats());
            let _ = offer.negotiated(&own, &offer.formats());
        }
    }
});
