//! The user agent against scripted phones, in simulated time: no socket, no sleep.

#![expect(
    clippy::unwrap_used,
    reason = "the steps of a script fail loudly, as the tests that use them do"
)]

mod bad_input;
mod built_in_phone;
mod called;
mod calling;
mod capacity;
mod in_call;
mod liveness;
mod loss;
mod odd_phones;
mod offering;
mod offers;
mod provisional;
mod public_reports;
mod registration;
mod restart;
mod session;
mod texts;
mod torture;
mod transfer;
mod watches;
mod world;
