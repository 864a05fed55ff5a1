//! Any binding of a phone book: what parses is canonical.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::Binding;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(binding) = Binding::decode(bytes) {
        assert_eq!(&binding.encode()[..], bytes);
    }
});
