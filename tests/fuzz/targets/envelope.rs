//! Any envelope, with valid proof of work and without: an engine never panics, publishes nothing and rings no phone.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use ringfence_book::{BookKey, NumberPlan};
use ringfence_engine::sealed::envelope::EventKey;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::directory::Directory;
use ringfence_engine::{Config, Engine, Output, ReceivedEvent};

/// The Ed25519 base point: a valid key that signs nothing here.
const BOOK: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

fuzz_target!(|input: (u16, [u8; 32], u64, &[u8], bool)| {
    let (bucket, key, nonce, bytes, is_note) = input;
    let now = Instant::now();
    let wall = UnixTime::from_seconds(1_800_000_000);
    let config = Config {
        work_bits: 0,
        ..Config::default()
    };
    let Ok(book) = BookKey::from_bytes(&BOOK) else {
        return;
    };
    let directory = Directory::new(NumberPlan::DEFAULT);
    let mut engine = Engine::new(config, Vec::new(), book, directory, [1; 32], (wall, now));
    let sealed = ReceivedEvent {
        bucket,
        event_key: EventKey(key),
        nonce,
        bytes: bytes.to_vec(),
        note_made: is_note.then_some(wall),
    };
    engine.handle_envelope(&sealed, now);
    while let Some(output) = engine.poll() {
        assert!(matches!(output, Output::WantProofs(_)));
    }
});
