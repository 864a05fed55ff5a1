//! The neighbours: one file each, and each is the only file that knows its library.

pub mod book;
pub mod relay;
pub mod tls;
pub mod turn;
