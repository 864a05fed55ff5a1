//! Renews the binding of a line before it ends, and the line's ring key (`rotate`).
//!
//! The engine proves by a challenge that it still holds the identity key. This happens at the start and after downloads of the
//! book, which come at random moments, and never because of a call.

use std::time::{Duration, Instant};

use ringfence_book::wire::{Hex, Verify};
use ringfence_book::{Binding, BookKey, Challenge, Day, NetworkSettings, Number};
use ringfence_engine::line::identity::Identity;

use super::LineError;
use super::rotate::rotate;
use crate::clock;
use crate::net::book::{BookClient, BookError};
use crate::state::keystore::{EvidenceFolder, Keystore, LineFile, TurnMemoryFile};
use crate::state::secret::Secret;
use crate::state::writer::StateWriter;

/// Bindings are renewed when fewer days are left: half of the 30 for which the book issues them.
const DAYS_LEFT: u32 = 15;

/// After a refusal the book is not asked for so long: the old binding is valid for days, and downloads come every few minutes.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// The lines of an engine, whose bindings and ring keys are renewed while it runs.
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
    /// The new bindings.
    pub bindings: Vec<Binding>,
    /// Lines whose ring keys have changed.
    pub identities: Vec<(Number, Identity)>,
    /// The first error.
    pub error: Option<LineError>,
}

impl Renewals {
    /// Lines of `store`, bound by the book with this key.
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

    /// The lines, with their present bindings.
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

    /// Requests the members' token, which comes with a renewed binding.
    pub(crate) async fn new_members(&mut self, today: Day) -> Result<Secret, LineError> {
        let line = self.lines.first_mut().ok_or(BookError::WrongBinding)?;
        renew(&self.client, &self.key, line, today).await?;
        self.store.save(line)?;
        let token = line.members.clone();
        Ok(token.ok_or(BookError::WrongBinding)?)
    }

    /// Renews what is due. A book that refused is not asked again for an hour; one that could not be reached is asked next time.
    pub async fn renew_due(&mut self, network: &NetworkSettings, now: Instant) -> RenewalOutcome {
        if self.paused_until.is_some_and(|until| now < until) {
            return RenewalOutcome::default();
        }
        let (store, client) = (&mut self.store, &self.client);
        let mut renewed = renew_bindings(store, client, &self.key, &mut self.lines).await;
        let now_unix = clock::unix_seconds();
        let is_restored = store.is_restored();
        if is_restored {
            // The ring key of a backup may be older than the one that the book lists, whose private half is lost.
            for line in &mut self.lines {
                line.ring_key_due = Some(0);
            }
        }
        let rotated = rotate(store, client, network, &mut self.lines, now_unix).await;
        renewed.identities = rotated.identities;
        let mut error = rotated.error;
        if is_restored && error.is_none() {
            error = store.settle_restored().err().map(Into::into);
        }
        renewed.error = renewed.error.or(error);
        self.paused_until = match &renewed.error {
            None | Some(LineError::Book(BookError::Unreachable { .. })) => None,
            Some(_) => Some(now + PAUSE),
        };
        renewed
    }
}

/// Renews the bindings that end soon and saves their lines. A refusal of one line does not stop the renewal of
/// others; any other error does.
pub async fn renew_bindings(
    store: &mut Keystore,
    client: &BookClient,
    key: &BookKey,
    lines: &mut [LineFile],
) -> RenewalOutcome {
    let today = Day::of_unix(clock::unix_seconds());
    let mut renewed = RenewalOutcome::default();
    for line in lines.iter_mut().filter(|line| ends_soon(line, today)) {
        let error: LineError = match renew(client, key, line, today).await {
            Ok(binding) => {
                renewed.bindings.push(binding);
                match store.save(line) {
                    Ok(()) => continue,
                    Err(error) => error.into(),
                }
            }
            Err(error) => error.into(),
        };
        let go_on = concerns_one_line(&error);
        renewed.error.get_or_insert(error);
        if !go_on {
            break;
        }
    }
    renewed
}

/// Whether the next line may succeed: the book has answered this request with a refusal.
fn concerns_one_line(error: &LineError) -> bool {
    matches!(
        error,
        LineError::Book(BookError::Status(400 | 401 | 403 | 404) | BookError::WrongBinding)
    )
}

fn ends_soon(line: &LineFile, today: Day) -> bool {
    Binding::decode(&line.binding).is_ok_and(|binding| binding.expires() < today.plus(DAYS_LEFT))
}

async fn renew(
    client: &BookClient,
    key: &BookKey,
    line: &mut LineFile,
    today: Day,
) -> Result<Binding, BookError> {
    let identity = Identity::from_bytes(&line.identity).map_err(|_| BookError::WrongBinding)?;
    let asked = client.challenge().await?;
    // The signed text is built here from the book's key and nonce, so that the book cannot choose it.
    let challenge = Challenge::new(*key, asked.nonce.0);
    let number = line.number.to_string();
    let signature = Hex(identity.answer_challenge(&challenge));
    let answer = client
        .renew(&Verify {
            challenge_id: asked.challenge_id,
            number,
            signature,
        })
        .await?;
    let binding = Binding::decode(&answer.binding.0).map_err(|_| BookError::WrongBinding)?;
    let fits = binding.number().value() == line.number && *binding.identity() == identity.key();
    match binding.verify(key, today) {
        Ok(()) if fits => {
            line.binding = binding.encode().to_vec();
            line.members = Some(Secret::new(answer.members));
            Ok(binding)
        }
        _ => Err(BookError::WrongBinding),
    }
}
