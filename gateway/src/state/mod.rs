//! What lasts on the disk: the key store, the task that writes while the engine runs, backups. The copy of the phone book is not
//! here but in [`crate::net::book`], because it holds no secret.

pub mod backup;
pub mod keystore;
pub mod secret;
pub mod writer;
