//! Any delta of a phone book: what parses is canonical, and its numbers ascend.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::Delta;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(delta) = Delta::decode(bytes) {
        assert_eq!(&delta.encode()[..], bytes);
        assert!(delta.changes().is_sorted_by(|a, b| a.number < b.number));
    }
});
