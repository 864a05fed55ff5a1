//! The whole system in one process: `ringfence demo`.

pub mod tone;
pub mod ua;
