//! Two far legs through TURN machines in simulated time: setup, sound, control, failures, and what leaves them.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

mod call;
mod checks;
mod datagrams;
mod faults;
mod garbage;
mod leaks;
mod moving;
mod sealing;
mod turn_rules;
mod waiting;
mod world;
