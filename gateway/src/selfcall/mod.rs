//! A private call of this machine to itself: two engines, the servers around them and two built-in phones in one process. The demo
//! and the doctor stand on it; what they print is theirs.

pub mod call;
mod error;
mod options;
pub mod phone;
pub mod report;
mod servers;
pub mod stack;
pub mod tone;

pub use error::StackFault;
use options::ANY_PORT;
pub use options::{Outside, StackOptions};
