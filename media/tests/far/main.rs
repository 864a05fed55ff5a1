//! Two far legs through TURN machines in simulated time: setup, sound, control, failures, and what leaves them.

mod call;
mod faults;
mod leaks;
mod turn_rules;
mod world;
