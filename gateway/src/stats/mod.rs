//! What the engine shows of itself: a snapshot for pages and programs, sums over all calls, the quality of each call by the second.

pub mod condition;
pub mod quality_history;
pub mod snapshot;
pub mod status;
pub mod totals;
