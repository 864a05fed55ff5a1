//! Phone book, Nostr relay and TURN server in one process, as a small community needs them. The settings say which of them run; engines
//! are told of those by the phone book.

use std::path::PathBuf;

use ringfence_book::bounds::{self, BoundsError};
use ringfence_book::turn_credentials::turn_host;
use ringfence_box::{BoxError, BoxPlan, CommunityBox, EmbeddedRelay, TurnServer};
use thiserror::Error;

use crate::PhoneBook;
use crate::config::{Config, Database};
use crate::service::StartError;

/// Why one of the servers does not start: what failed, why, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AllInOneError {
    /// Engines would refuse what the phone book publishes.
    #[error(
        "engines would refuse this phone book: {0}. Name fewer in the settings, or shorter ones"
    )]
    Bounds(#[from] BoundsError),
    /// The phone book does not start.
    #[error(transparent)]
    Book(#[from] StartError),
    /// Relay or TURN server do not start.
    #[error(transparent)]
    Box(#[from] BoxError),
}

/// The servers of this process. Dropping it stops them at once.
#[derive(Debug)]
pub struct AllInOne {
    book: PhoneBook,
    community_box: CommunityBox,
}

impl AllInOne {
    /// Starts what the configuration wants: first what engines are told of, then the book that tells them.
    ///
    /// # Errors
    /// [`AllInOneError`]; then nothing is left running.
    pub async fn start(mut config: Config) -> Result<Self, AllInOneError> {
        let community_box = CommunityBox::start(BoxPlan {
            relay: config.relay.clone(),
            work_bits: config.work_bits,
            turn_server: config.turn_server.clone(),
            turn_secret: config.turn_secret.clone(),
            secret_file: secret_file(&config.database),
            public_name: config.public_name.clone(),
        })
        .await?;
        if let Some(url) = community_box.relay_url() {
            config.relays.insert(0, url.to_owned());
        }
        config
            .turn
            .splice(0..0, community_box.turn_urls().iter().cloned());
        let own_host = community_box.turn_urls().first();
        if let (Some(host), Some(secret)) = (
            own_host.and_then(|uri| turn_host(uri)),
            community_box.turn_secret(),
        ) {
            config.turn_secret = None;
            config.turn_secrets.insert(host, secret.clone());
        }
        match Self::start_book(config).await {
            Ok(book) => Ok(Self {
                book,
                community_box,
            }),
            Err(error) => {
                community_box.stop().await;
                Err(error)
            }
        }
    }

    async fn start_book(config: Config) -> Result<PhoneBook, AllInOneError> {
        bounds::check(
            config.work_bits,
            config.bucket_bits,
            &config.relays,
            &config.turn,
        )?;
        Ok(PhoneBook::start(config).await?)
    }

    /// The phone book.
    #[must_use]
    pub fn book(&self) -> &PhoneBook {
        &self.book
    }

    /// The relay, if there is one.
    #[must_use]
    pub fn relay(&self) -> Option<&EmbeddedRelay> {
        self.community_box.relay()
    }

    /// The TURN server, if there is one.
    #[must_use]
    pub fn turn(&self) -> Option<&TurnServer> {
        self.community_box.turn()
    }

    /// What runs, a line each, for the operator.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("phone book at {}", self.book.url())];
        lines.extend(self.community_box.lines());
        lines
    }

    /// Stops all three, within three seconds.
    pub async fn stop(self) {
        let ((), ()) = tokio::join!(self.book.stop(), self.community_box.stop());
    }
}

/// The file that keeps a drawn TURN secret, beside the database; a database that is no file has none.
fn secret_file(database: &Database) -> Option<PathBuf> {
    match database {
        #[cfg(feature = "sql")]
        Database::File(path) => {
            let mut name = path.as_os_str().to_owned();
            name.push(".turn-secret");
            Some(name.into())
        }
        _ => None,
    }
}

#[cfg(all(test, feature = "sql"))]
mod tests {
    use super::*;

    #[test]
    fn the_turn_secret_is_kept_beside_the_database() {
        let file = secret_file(&Database::File("folder/phonebook.sqlite".into())).unwrap();
        assert!(file.ends_with("phonebook.sqlite.turn-secret"));
        assert_eq!(secret_file(&Database::Memory), None);
    }
}
