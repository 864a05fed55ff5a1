//! One suite, two TURN servers: coturn as a child and the embedded one let the same clients in, refuse the same ones with the same
//! codes, and carry the same packets, over UDP and over TCP.

#[cfg(test)]
mod caller;
#[cfg(all(test, unix))]
mod child;
#[cfg(test)]
mod suite;
