//! Two engines and a phone book, as far as sealing needs them, and a hand-moved clock.

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::root::{RootHash, Statement, TilesHash};
use ringfence_book::{Day, Listing, Number, NumberPlan, Root, Tile};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::envelope::{Envelope, EventContext, EventKey};
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::rejected::EnvelopeError;
use ringfence_engine::sealed::replay::ReplayMemory;
use ringfence_engine::sealed::ring::incoming::{OpenedMessage, VerifiedRing, open};
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::time::{Moment, UnixTime};
use ringfence_engine::trust::callers::Callers;
use ringfence_engine::trust::contacts::Contacts;
use ringfence_engine::trust::directory::{CalleeKeys, Directory};

pub(crate) const CALLER_MEDIA: &[u8] = b"what the caller's engine says about its media";
pub(crate) const CALLEE_MEDIA: &[u8] = b"what the callee's engine says about its media";

pub(crate) struct Scene {
    pub(crate) book: SigningKey,
    pub(crate) caller: Identity,
    /// The number that the caller says is its own.
    pub(crate) number: Number,
    /// The callee's copy of the book: the caller has 20001.
    pub(crate) directory: Directory,
    pub(crate) contacts: Contacts,
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
        let caller = Identity::generate(&mut rng);
        let callee = Identity::generate(&mut rng);
        let directory = directory(&book, at.wall, &[(CALLER, caller.listing())]);
        let seen = ReplayMemory::new(at);
        Self {
            book,
            caller,
            number: CALLER,
            directory,
            contacts: Contacts::default(),
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
        let (event, callee) = (self.event(), self.callee_keys());
        let book = view(&self.book, 9);
        let caller = SealingKeys {
            identity: &self.caller,
            number: self.number,
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
        let callers = Callers::new(&self.directory, &self.contacts);
        let seen = &mut self.seen;
        open(&[&self.callee], callers, envelope, event, seen, self.at)
    }

    /// The callee has downloaded the book: these numbers have these listings.
    pub(crate) fn download(&mut self, listings: &[(Number, Listing)]) {
        self.directory = directory(&self.book, self.at.wall, listings);
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

/// The number that the callee's copy of the book lists for the caller at first.
pub(crate) const CALLER: Number = Number::new(20_001);

/// A copy of a book of 256 numbers. Those that are not named have keys of a stranger.
pub(crate) fn directory(
    book: &SigningKey,
    closed: UnixTime,
    listings: &[(Number, Listing)],
) -> Directory {
    let plan = NumberPlan::new(20_000, 1).unwrap();
    let stranger = Identity::generate(&mut ChaCha20Rng::from_seed([9; 32]));
    let mut tile = Tile::of(&[stranger.listing(); 256]);
    for (number, listing) in listings {
        tile.set(plan.place(*number).unwrap().1, &listing.encode());
    }
    let states = Statement {
        genesis: closed.seconds() - 7 * 60,
        closed: closed.seconds(),
        plan,
        ..*root(book, 8).states()
    };
    let mut directory = Directory::new(plan).with_roots(vec![Root::sign(book, states)]);
    directory.insert(0, tile);
    directory
}

/// What an engine shows that is at this epoch of the book.
pub(crate) fn view(book: &SigningKey, epoch: u32) -> BookView {
    BookView::of(Some(&root(book, epoch)))
}

pub(crate) fn root(book: &SigningKey, epoch: u32) -> Root {
    let states = Statement {
        epoch,
        genesis: 1_795_000_000 - 60 * u64::from(epoch - 1),
        closed: 1_795_000_000,
        period: 60,
        plan: NumberPlan::DEFAULT,
        changes: 16,
        previous: RootHash([2; 32]),
        boundary: RootHash([6; 32]),
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
