//! Any TCP stream, in pieces of any size: the framer never panics and always comes to an end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_sip::Framer;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let mut framer = Framer::new();
    for piece in bytes.chunks(usize::from(size).max(1)) {
        framer.push(piece);
        while let Some(frame) = framer.next_frame() {
            if frame.is_err() {
                return;
            }
        }
    }
});
