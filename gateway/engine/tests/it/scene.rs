//! Two engines and a phone book, as far as sealing needs them, and a hand-moved clock.

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::root::{RootHash, Statement, TilesHash};
use ringfence_book::{Binding, BookKey, Day, Number, NumberPlan, Root};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::envelope::{Envelope, EventContext, EventKey};
use ringfence_engine::sealed::first_message::OpeningKeys;
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::rejected::EnvelopeError;
use ringfence_engine::sealed::replay::ReplayMemory;
use ringfence_engine::sealed::ring::incoming::{OpenedMessage, VerifiedRing, open};
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::time::{Moment, UnixTime};
use ringfence_engine::trust::directory::CalleeKeys;

pub(crate) const CALLER_MEDIA: &[u8] = b"what the caller's engine says about its media";
pub(crate) const CALLEE_MEDIA: &[u8] = b"what the callee's engine says about its media";

pub(crate) struct Scene {
    pub(crate) book: SigningKey,
    pub(crate) caller: Identity,
    pub(crate) binding: Binding,
    pub(crate) callee: Identity,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) at: Moment,
    pub(crate) seen: ReplayMemory,
}

impl Scene {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from nothing"
    )]
    pub(crate) fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([42; 32]);
        let at = Moment {
            wall: UnixTime::from_seconds(1_795_000_000),
            now: Instant::now(),
        };
        let book = SigningKey::from_bytes(&[1; 32]);
        let good_until = at.wall.day().plus(20);
        let caller = Identity::generate(good_until, &mut rng);
        let callee = Identity::generate(good_until, &mut rng);
        let binding = Binding::sign(&book, Number::new(20_001), caller.key(), good_until);
        let seen = ReplayMemory::new(at);
        Self {
            book,
            caller,
            binding,
            callee,
            rng,
            at,
            seen,
        }
    }

    pub(crate) fn today(&self) -> Day {
        self.at.wall.day()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.at = Moment {
            wall: self.at.wall.after(time),
            now: self.at.now + time,
        };
    }

    pub(crate) fn callee_keys(&self) -> CalleeKeys {
        keys_of(&self.callee)
    }

    /// A fresh event in bucket 3.
    pub(crate) fn event(&mut self) -> EventContext {
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        EventContext {
            bucket: 3,
            event_key: EventKey(key),
        }
    }

    pub(crate) fn ring(&mut self) -> (OutgoingRing, Envelope, EventContext) {
        let binding = self.binding;
        self.ring_bound_by(&binding)
    }

    pub(crate) fn ring_bound_by(
        &mut self,
        binding: &Binding,
    ) -> (OutgoingRing, Envelope, EventContext) {
        let (event, callee) = (self.event(), self.callee_keys());
        let book = view(&self.book, 9);
        let caller = SealingKeys {
            identity: &self.caller,
            binding,
            book,
        };
        let wall = self.at.wall;
        let (ring, envelope) = OutgoingRing::seal(
            caller,
            &callee,
            (CALLER_MEDIA, Duration::ZERO),
            &event,
            wall,
            &mut self.rng,
        )
        .unwrap();
        (ring, envelope, event)
    }

    pub(crate) fn open(
        &mut self,
        envelope: &Envelope,
        event: &EventContext,
    ) -> Result<OpenedMessage, EnvelopeError> {
        let book_key = BookKey::from(&self.book);
        let listener = OpeningKeys {
            identity: &self.callee,
            book_key: &book_key,
        };
        open(&[listener], envelope, event, &mut self.seen, self.at)
    }

    pub(crate) fn open_ring(&mut self, envelope: &Envelope, event: &EventContext) -> VerifiedRing {
        match self.open(envelope, event) {
            Ok(OpenedMessage::Ring { ring, .. }) => *ring,
            other => panic!("not a ring: {other:?}"),
        }
    }

    pub(crate) fn why_not(&mut self, envelope: &Envelope, event: &EventContext) -> EnvelopeError {
        self.open(envelope, event).expect_err("must be refused")
    }
}

/// What an engine shows that is at this epoch of the book.
pub(crate) fn view(book: &SigningKey, epoch: u32) -> BookView {
    BookView::of(Some(&root(book, epoch)))
}

pub(crate) fn root(book: &SigningKey, epoch: u32) -> Root {
    let states = Statement {
        epoch,
        closed: 1_795_000_000,
        period: 300,
        plan: NumberPlan::DEFAULT,
        changes: 16,
        previous: RootHash([2; 32]),
        tiles: TilesHash([3; 32]),
        delta: [4; 32],
        network: [5; 32],
    };
    Root::sign(book, states)
}

pub(crate) fn keys_of(identity: &Identity) -> CalleeKeys {
    let listing = identity.listing();
    CalleeKeys {
        number: Number::new(20_002),
        identity: *listing.identity(),
        ring_key: *listing.ring_key(),
    }
}

/// The envelope with one bit turned; `None` when the result is no envelope at all.
pub(crate) fn flipped(envelope: &Envelope, bit: usize) -> Result<Envelope, EnvelopeError> {
    let mut bytes = *envelope.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Envelope::from_bytes(&bytes)
}
