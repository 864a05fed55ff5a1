//! Renews the ring keys of lines (`rotate`), and asks for the members' token.
//!
//! This happens at the start and after downloads of the book, which come at random moments, and never because of a call.

use std::time::{Duration, Instant};

use ringfence_book::wire::{Hex, Verify};
use ringfence_book::{BookKey, Challenge, Number};
use ringfence_engine::line::identity::Identity;

use super::LineError;
use super::rotate::rotate;
use crate::clock;
use crate::net::book::{BookClient, BookError, BookSnapshot};
use crate::state::keystore::{EvidenceFolder, Keystore, LineFile, TurnMemoryFile};
use crate::state::secret::Secret;
use crate::state::writer::StateWriter;

/// After a refusal the book is not asked for so long: a ring key may be late, and downloads come every minute.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// The lines of an engine, whose ring keys are renewed while it runs.
#[derive(Debug)]
pub struct Renewals {
    store: Keystore,
    client: BookClient,
    key: BookKey,
    lines: Vec<LineFile>,
    paused_until: Option<Instant>,
}

/// The outcome of a renewal.
#[derive(Debug, Default)]
pub struct RenewalOutcome {
    /// Lines whose ring keys have changed.
    pub identities: Vec<(Number, Identity)>,
    /// The first error.
    pub error: Option<LineError>,
}

impl Renewals {
    /// Lines of `store`, of the book with this key.
    #[must_use]
    pub fn new(store: Keystore, client: BookClient, key: BookKey, lines: Vec<LineFile>) -> Self {
        Self {
            store,
            client,
            key,
            lines,
            paused_until: None,
        }
    }

    /// The lines, with their present keys.
    #[must_use]
    pub fn lines(&self) -> &[LineFile] {
        &self.lines
    }

    /// The state writer for the folder of these lines.
    #[must_use]
    pub fn writer(&self) -> StateWriter {
        let evidence = EvidenceFolder::of(self.store.state().clone());
        StateWriter::new(
            (
                self.store.contacts(),
                self.store.saved_state(),
                self.store.restart(),
            ),
            evidence,
            self.key,
        )
    }

    /// The file of what is remembered of TURN servers.
    #[must_use]
    pub fn turn_memory(&self) -> TurnMemoryFile {
        self.store.turn_memory()
    }

    /// Ends the renewals and returns the key store.
    #[must_use]
    pub fn into_store(self) -> Keystore {
        self.store
    }

    /// The client of the phone book.
    #[must_use]
    pub fn client(&self) -> &BookClient {
        &self.client
    }

    /// The newest members' token.
    pub(crate) fn members(&self) -> Option<Secret> {
        self.lines.iter().find_map(|line| line.members.clone())
    }

    /// Requests the members' token.
    pub(crate) async fn new_members(&mut self) -> Result<Secret, LineError> {
        let line = self.lines.first_mut().ok_or(BookError::WrongLine)?;
        let token = members(&self.client, &self.key, line).await?;
        line.members = Some(token.clone());
        self.store.save_aside(line).await?;
        Ok(token)
    }

    /// Renews what is due. A book that refused is not asked again for an hour; one that could not be reached is asked next time.
    pub async fn renew_due(&mut self, book: &BookSnapshot, now: Instant) -> RenewalOutcome {
        if self.paused_until.is_some_and(|until| now < until) {
            return RenewalOutcome::default();
        }
        let (store, client) = (&mut self.store, &self.client);
        let now_unix = clock::unix_seconds();
        let is_restored = store.is_restored();
        if is_restored {
            // The ring key of a backup may be older than the one that the book lists, whose private half is lost.
            for line in &mut self.lines {
                line.ring_key_due = Some(0);
            }
        }
        let known = (&book.network, Some(&book.book));
        let mut renewed = rotate(store, client, known, &mut self.lines, now_unix).await;
        if is_restored && renewed.error.is_none() {
            renewed.error = store.settle_restored().err().map(Into::into);
        }
        self.paused_until = match &renewed.error {
            None | Some(LineError::Book(BookError::Unreachable { .. })) => None,
            Some(_) => Some(now + PAUSE),
        };
        renewed
    }
}

/// The members' token, for a proof that this engine holds the line's identity key.
async fn members(client: &BookClient, key: &BookKey, line: &LineFile) -> Result<Secret, BookError> {
    let identity = Identity::from_bytes(&line.identity).map_err(|_| BookError::WrongLine)?;
    let asked = client.challenge().await?;
    // The signed text is built here from the book's key and nonce, so that the book cannot choose it.
    let challenge = Challenge::new(*key, asked.nonce.0);
    let proof = Verify {
        challenge_id: asked.challenge_id,
        number: line.number.to_string(),
        signature: Hex(identity.answer_challenge(&challenge)),
    };
    Ok(Secret::new(client.members(&proof).await?.members))
}
