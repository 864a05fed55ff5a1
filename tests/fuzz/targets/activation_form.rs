//! Any body of an activation: a parsed form has valid keys, and its serialisation parses to the same form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::wire::{Activate, object};
use ringfence_phonebook::book::activation::Activation;

fuzz_target!(|bytes: &[u8]| {
    let Ok(form) = object::<_, Activate>(&mut serde_json::Deserializer::from_slice(bytes)) else {
        return;
    };
    let written = serde_json::to_string(&form).expect("a form has nothing that JSON lacks");
    let again: Activate = serde_json::from_str(&written).expect("what was written is read");
    let (first, second) = (Activation::try_from(&form), Activation::try_from(&again));
    assert_eq!(first.is_ok(), second.is_ok());
    if let (Ok(first), Ok(second)) = (first, second) {
        assert_eq!(first.listing.encode(), second.listing.encode());
    }
});
