//! The agent against scripted phones, in simulated time: no socket, no sleep.

mod bad_input;
mod called;
mod calling;
mod in_call;
mod loss;
mod registration;
mod world;
