//! Any text as an activation code: a parsed code has one text form, which parses to the same code.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::ActivationCode;

fuzz_target!(|text: &str| {
    if let Ok(code) = text.parse::<ActivationCode>() {
        let again = code.text().parse::<ActivationCode>();
        assert_eq!(again, Ok(code));
    }
});
