//! Commands of everyday use, as a person runs them in a shell beside real servers: setup, status, contacts, backup, doctor.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod backup;
mod doctor;
mod everyday;
mod ip_versions;
mod page;
mod setup;
mod shell;
mod terminal;
