//! A private call within one process: two engines, the servers around them and two built-in phones. The demo and the doctor use
//! it. `outcome` judges the call, `report` holds the results and prints them.

pub mod call;
mod error;
mod options;
mod outcome;
pub mod phone;
pub mod report;
mod servers;
pub mod stack;
pub mod tone;

pub use error::StackError;
pub use options::{NetworkServers, StackOptions};
pub use outcome::TestCallError;
