//! Everything that is sealed between two engines, as bytes: envelope, ring and answer, session messages, notes, the sender's
//! proof, routing tags and what contacts' tags come from, proof of work, and the memory that refuses replays. The bytes are PROTOCOL.md's.
//!
//! Not here: when something is sealed or posted, and what an opened message does to a call (`call/`, `line/`, `presence/`).

pub mod book_view;
pub mod bucket;
pub mod contact_secret;
pub mod envelope;
pub mod first_message;
pub mod note;
pub mod presence;
pub mod proof_of_work;
pub(crate) mod proof_stock;
pub mod rejected;
pub mod replay;
pub mod ring;
pub mod routing_tag;
pub(crate) mod sender_proof;
pub mod session;
