//! What lasts on the disk: the state folder with its passphrase, the key store, the task that writes while the engine runs, backups. The
//! copy of the phone book is in [`crate::net::book`].

pub mod backup;
pub mod folder;
pub mod keystore;
pub mod secret;
pub mod writer;
