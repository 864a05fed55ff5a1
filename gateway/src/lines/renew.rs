//! Renewing the phone book's word for a line (its binding) before it ends, and the line's ring key (`rotate`).
//!
//! The engine proves by a challenge that it still holds the identity key. This happens at the start and after downloads of the
//! book, which come at random moments: never because of a call.

use std::time::{Duration, Instant};

use ringfence_book::wire::{Hex, Verify};
use ringfence_book::{Binding, BookKey, Challenge, Day, NetworkSettings, Number};
use ringfence_engine::line::identity::Identity;

use super::LineError;
use super::rotate::rotate;
use crate::clock;
use crate::net::book::{BookClient, BookError};
use crate::state::keystore::{EvidenceFolder, Keystore, LineFile};
use crate::state::secret::Secret;
use crate::state::writer::StateWriter;

/// Bindings are renewed when fewer days are left: half of the 30 for which the book gives them.
const DAYS_LEFT: u32 = 15;

/// After a refusal the book is left in peace for so long: the old binding is good for days, and downloads come every few minutes.
const REST: Duration = Duration::from_secs(60 * 60);

/// The lines of an engine, whose bindings are kept fresh while it runs.
#[derive(Debug)]
pub struct Renewals {
    store: Keystore,
    client: BookClient,
    key: BookKey,
    lines: Vec<LineFile>,
    rest: Option<Instant>,
}

/// What came of a renewal.
#[derive(Debug, Default)]
pub struct RenewalOutcome {
    /// The fresh bindings.
    pub bindings: Vec<Binding>,
    /// Lines whose ring keys are others now.
    pub identities: Vec<(Number, Identity)>,
    /// The first thing that went wrong.
    pub fault: Option<LineError>,
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
            rest: None,
        }
    }

    /// The lines, with their present bindings.
    #[must_use]
    pub fn lines(&self) -> &[LineFile] {
        &self.lines
    }

    /// The diary beside these lines.
    #[must_use]
    pub fn diary(&self) -> StateWriter {
        let evidence = EvidenceFolder::of(self.store.folder());
        StateWriter::new(
            (self.store.contacts(), self.store.ledger()),
            evidence,
            self.key,
        )
    }

    /// The key store, when the lines are no longer renewed.
    #[must_use]
    pub fn into_store(self) -> Keystore {
        self.store
    }

    /// The way to the book.
    #[must_use]
    pub fn client(&self) -> &BookClient {
        &self.client
    }

    /// The members' token as it last came.
    pub(crate) fn members(&self) -> Option<Secret> {
        self.lines.iter().find_map(|line| line.members.clone())
    }

    /// Asks for the members' token, which comes with a fresh binding.
    pub(crate) async fn new_members(&mut self, today: Day) -> Result<Secret, LineError> {
        let line = self.lines.first_mut().ok_or(BookError::WrongBinding)?;
        renew(&self.client, &self.key, line, today).await?;
        self.store.save(line)?;
        let token = line.members.clone();
        Ok(token.ok_or(BookError::WrongBinding)?)
    }

    /// Renews what is due. A book that refused is not asked again for an hour; one that could not be reached may be.
    pub async fn look(&mut self, network: &NetworkSettings, now: Instant) -> RenewalOutcome {
        if self.rest.is_some_and(|until| now < until) {
            return RenewalOutcome::default();
        }
        let (store, client) = (&mut self.store, &self.client);
        let mut renewed = renew_bindings(store, client, &self.key, &mut self.lines).await;
        let now_unix = clock::unix_seconds();
        let is_restored = store.is_restored();
        if is_restored {
            // What a backup holds may be older than what the book lists: nobody else has the key that callers use.
            for line in &mut self.lines {
                line.ring_key_due = Some(0);
            }
        }
        let rotated = rotate(store, client, network, &mut self.lines, now_unix).await;
        renewed.identities = rotated.identities;
        let mut fault = rotated.fault;
        if is_restored && fault.is_none() {
            fault = store.settle_restored().err().map(Into::into);
        }
        renewed.fault = renewed.fault.or(fault);
        self.rest = match &renewed.fault {
            None | Some(LineError::Book(BookError::Unreachable { .. })) => None,
            Some(_) => Some(now + REST),
        };
        renewed
    }
}

/// Renews the bindings that end soon and saves their lines. A line that the book refuses does not keep others from theirs;
/// any other fault ends the attempt.
pub async fn renew_bindings(
    store: &mut Keystore,
    client: &BookClient,
    key: &BookKey,
    lines: &mut [LineFile],
) -> RenewalOutcome {
    let today = Day::of_unix(clock::unix_seconds());
    let mut renewed = RenewalOutcome::default();
    for line in lines.iter_mut().filter(|line| ends_soon(line, today)) {
        let fault: LineError = match renew(client, key, line, today).await {
            Ok(binding) => {
                renewed.bindings.push(binding);
                match store.save(line) {
                    Ok(()) => continue,
                    Err(fault) => fault.into(),
                }
            }
            Err(fault) => fault.into(),
        };
        let go_on = concerns_one_line(&fault);
        renewed.fault.get_or_insert(fault);
        if !go_on {
            break;
        }
    }
    renewed
}

/// Whether the next line may fare better: the book has looked at the request and does not like it.
fn concerns_one_line(fault: &LineError) -> bool {
    matches!(
        fault,
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
    // The text is made here from the book's key and nonce: nothing else is ever signed.
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
