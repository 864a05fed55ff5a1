//! The open challenges: a client that claims a number must sign one. Any text of digits gets a challenge, one answer is looked
//! at, within a minute. What is open is bounded; when it is full, the oldest challenge is forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::challenge::Challenge;
use ringfence_book::keys::BookKey;
use ringfence_book::number::Number;

use crate::book::published::{DialledNumber, Published};

/// How long a challenge waits for its answer.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(60);

/// Open challenges at a time: 65 536 are about 10 MB, and a thousand a second.
pub const MAX_OPEN: usize = 65_536;

/// The name of an open challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChallengeId(pub [u8; 16]);

/// Open challenges of one book.
pub struct ChallengeStore {
    book: BookKey,
    open: BTreeMap<ChallengeId, (Challenge, Instant)>,
    /// In the order in which they expire.
    order: VecDeque<ChallengeId>,
    rng: ChaCha20Rng,
}

impl ChallengeStore {
    pub(crate) fn new(book: BookKey, seed: [u8; 32]) -> Self {
        let rng = ChaCha20Rng::from_seed(seed);
        Self {
            book,
            open: BTreeMap::new(),
            order: VecDeque::new(),
            rng,
        }
    }

    /// A new challenge, for whatever number.
    pub fn challenge(&mut self, now: Instant) -> (ChallengeId, Challenge) {
        self.forget_expired(now);
        if self.order.len() >= MAX_OPEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        let (mut id, mut nonce) = ([0; 16], [0; 32]);
        self.rng.fill_bytes(&mut id);
        self.rng.fill_bytes(&mut nonce);
        let (id, challenge) = (ChallengeId(id), Challenge::new(self.book, nonce));
        self.open.insert(id, (challenge, now + CHALLENGE_LIFE));
        self.order.push_back(id);
        (id, challenge)
    }

    /// Takes an open challenge out: whatever comes of its answer, it is used up.
    pub fn take(&mut self, id: ChallengeId, now: Instant) -> Option<Challenge> {
        self.forget_expired(now);
        let (challenge, _) = self.open.remove(&id)?;
        Some(challenge)
    }

    /// Looks at an answer; the challenge is used up whatever comes of it. The number, if it is proved.
    pub fn verify(
        &mut self,
        id: ChallengeId,
        dialled: &DialledNumber,
        signature: &[u8; 64],
        published: &Published,
        now: Instant,
    ) -> Option<Number> {
        let challenge = self.take(id, now)?;
        let identity = published.identity(dialled)?;
        let answered = challenge.answered_by(&identity, signature);
        published.number(dialled).filter(|_| answered)
    }

    fn forget_expired(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            match self.open.get(oldest) {
                Some((_, deadline)) if *deadline > now => break,
                Some(_) | None => {
                    self.open.remove(oldest);
                    self.order.pop_front();
                }
            }
        }
    }
}

impl fmt::Debug for ChallengeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeStore")
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}
