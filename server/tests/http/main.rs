//! The phone book over HTTP, with a client that writes and reads bytes: what comes back is compared whole, headers included.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod bad_input;
mod client;
mod description;
mod files;
mod limits;
mod owner;
mod routes;
mod same_answer;
mod schemathesis;
mod statistics;
mod timing;
mod tls;
