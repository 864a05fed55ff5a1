//! One suite, two TURN servers: coturn as a child and the embedded one let the same clients in, refuse the same ones with the same
//! codes, and carry the same packets, over UDP and over TCP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[cfg(test)]
mod caller;
#[cfg(all(test, unix))]
mod child;
#[cfg(test)]
mod suite;
