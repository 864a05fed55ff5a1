//! Any text that a person took for an activation code: what is read is written in one way, which reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::ActivationCode;

fuzz_target!(|text: &str| {
    if let Ok(code) = text.parse::<ActivationCode>() {
        let again = code.text().parse::<ActivationCode>();
        assert_eq!(again, Ok(code));
    }
});
