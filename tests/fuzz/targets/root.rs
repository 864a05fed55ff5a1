//! Any root of a phone book: what parses is canonical and signed. No signature with this key is known, so the fuzzer explores the
//! parser before it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringfence_book::BookKey;
use ringfence_book::root::{ROOT_BYTES, Root};

static KEY: LazyLock<BookKey> =
    LazyLock::new(|| BookKey::from_bytes(&POINT).expect("a point of the curve"));

/// The base point of Ed25519.
const POINT: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = Root::decode(bytes, &KEY) {
        assert_eq!(&root.encode()[..], bytes);
        assert_eq!(bytes.len(), ROOT_BYTES);
    }
});
