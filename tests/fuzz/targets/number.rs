//! Any dialled text: a number has one text form, and other dialled text is kept unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::{Number, NumberPlan};
use ringfence_phonebook::book::published::DialledNumber;

fuzz_target!(|text: &str| {
    if let Ok(number) = text.parse::<Number>() {
        assert_eq!(number.to_string(), text);
        assert!(DialledNumber::read(text).is_some());
    }
    if let Some(dialled) = DialledNumber::read(text) {
        assert_eq!(dialled.text(), text);
    }
    if let Ok(number) = NumberPlan::DEFAULT.read(text) {
        assert!(NumberPlan::DEFAULT.place(number).is_some());
    }
});
