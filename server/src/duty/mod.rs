//! What a program owes whoever keeps it running: a log that a journal can take, word to the service manager, figures for a
//! monitor, a page that only this machine can open, manual pages and completions.
//!
//! Both programs, the phone book and the engine, do these alike, so they are done here once. What a figure means and when a
//! program is well, each of them says for itself.

pub mod figures;
pub mod log;
pub mod notice;
pub mod page;
pub mod papers;
mod secured;
