//! The phone book of the simulated network: the real book over its memory store, called directly instead of by HTTP, with a count
//! of the requests. Engines verify its answers as they do in production.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_book::{
    ActivationCode, BookKey, Challenge, Fetch, Fetched, Number, NumberPlan, Root, Tile,
    VerifiedBook, Want,
};
use ringfence_engine::{line::identity::Identity, trust::directory::Directory};
use ringfence_phonebook::book::activation::Activation;
use ringfence_phonebook::book::admin_token::AdminToken;
use ringfence_phonebook::book::owner_forms::Rotation;
use ringfence_phonebook::store::{BookSeed, NextKey, Row};
use ringfence_phonebook::{Book, MemoryStore, Schedule, Store as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The first number of the plan, and its tiles of 256 numbers.
const PLAN: (u32, u16) = (20_000, 1);

/// The network settings that this book publishes. Simulated engines do not read them.
const NETWORK: &[u8] = b"{}";

/// What the keys of all simulated books are made of.
const SEED: [u8; 32] = [0xb0; 32];

/// The numbers of a new book, whose decoys are drawn once for all worlds of a process: they take as long as some calls.
static BLANK: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let schedule = Schedule::of(SimulatedBook::small_plan());
    let book = open(MemoryStore::new(), schedule, SEED, 0);
    let published = book.published();
    let tile = published.tile(0).expect("the plan has a tile");
    let rows = (0..=u8::MAX).zip(published.plan().numbers());
    let rows = rows.map(|(slot, number)| Row {
        number,
        record: *tile.tile().record(slot).expect("each number has a record"),
        epoch: 0,
        listed: false,
        next: NextKey::default(),
    });
    rows.collect()
});

/// How long decoys keep their first keys, at most, in seconds.
const LIFE: u64 = 60 * 86_400;

/// The book, and how often it was asked.
#[derive(Debug)]
pub struct SimulatedBook {
    book: Book,
    signing: SigningKey,
    requests: usize,
    bytes: usize,
}

impl SimulatedBook {
    /// A book at the end of its first epoch, `unix` seconds after 1970.
    ///
    /// # Panics
    /// Never: memory does not fail.
    pub fn new(seed: [u8; 32], unix: u64) -> Self {
        Self::with(Schedule::of(Self::small_plan()), seed, unix)
    }

    /// The same with epochs that publish as many numbers as the largest test opens at once.
    pub fn of_quick_owners(seed: [u8; 32], unix: u64) -> Self {
        let schedule = Schedule {
            changes: 16,
            ..Schedule::of(Self::small_plan())
        };
        Self::with(schedule, seed, unix)
    }

    fn small_plan() -> NumberPlan {
        NumberPlan::new(PLAN.0, PLAN.1).expect("the plan is a small one")
    }

    fn with(schedule: Schedule, seed: [u8; 32], unix: u64) -> Self {
        let (mut store, mut rows) = (MemoryStore::new(), BLANK.clone());
        let mut rng = ChaCha20Rng::from_seed(seed);
        for row in &mut rows {
            row.next.due = unix + 1 + rng.next_u64() % LIFE;
        }
        store.fill(&rows).expect("memory does not fail");
        let book = open(store, schedule, seed, unix);
        let (_, signing) = book_seed();
        assert_eq!(book.key(), BookKey::from(&signing), "it is derived alike");
        let mut book = Self {
            book,
            signing,
            requests: 0,
            bytes: 0,
        };
        book.close_epoch(unix);
        book
    }

    /// Ends the epoch; if that is over later, the book's clock is ahead from then on.
    ///
    /// # Panics
    /// Never: memory does not fail.
    pub fn close_epoch(&mut self, unix: u64) {
        let unix = self.book.next_due().map_or(unix, |due| unix.max(due));
        let closed = self.book.close_epoch(unix, NETWORK);
        closed
            .expect("memory does not fail")
            .expect("there is no other process");
    }

    /// Ends the epoch if it is due.
    pub fn tick(&mut self, unix: u64) {
        if self.book.due(unix) {
            self.close_epoch(unix);
        }
    }

    /// The book's secret signing key, for tests in which the book is dishonest.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// How many requests the book has had.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// How many bytes engines have downloaded.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The key that signs roots.
    pub fn key(&self) -> BookKey {
        self.book.key()
    }

    /// The epoch that ended last.
    pub fn epoch(&self) -> u32 {
        let published = self.book.published();
        published.root().map_or(0, |root| root.states().epoch)
    }

    /// The root of that.
    ///
    /// # Panics
    /// Never: a simulated book has ended its first epoch.
    pub fn root(&self) -> Root {
        let published = self.book.published();
        *published.root().expect("it has ended its first epoch")
    }

    /// A number of the plan that is not assigned.
    pub fn unassigned(&self, taken: &[Number]) -> Number {
        self.plan()
            .numbers()
            .find(|number| !taken.contains(number))
            .expect("the plan is larger than the world")
    }

    /// The operator issues a number with a code, and the owner of the identity activates it. The book publishes it at the end of
    /// the epoch.
    ///
    /// # Panics
    /// When no number is left.
    pub fn activate(&mut self, identity: &Identity, unix: u64) -> Number {
        self.requests += 2;
        let issue = self
            .book
            .issue(unix)
            .expect("the plan is larger than the world");
        let typed: ActivationCode = issue
            .code
            .text()
            .parse()
            .expect("a code reads as it was written");
        let (code, listing) = (typed.digest(), identity.listing());
        let proof = identity.prove_possession(&code, &self.book.key(), &self.book.proof_key());
        let form = Activation {
            code,
            listing,
            proof,
        };
        let number = self.book.activate(&form, unix);
        let number = number.expect("the code is fresh and the keys are ours");
        assert_eq!(number, issue.number);
        number
    }

    /// The owner of a number gives it the next ring key of its identity. Published at the end of the epoch.
    ///
    /// # Panics
    /// When no next ring key waits, or the number is another's.
    pub fn rotate(&mut self, number: Number, owner: &Identity) {
        self.requests += 2;
        let challenge = Challenge::new(self.book.key(), [0; 32]);
        let proof_key = self.book.proof_key();
        let proved = owner.prove_rotation(number, &challenge, &proof_key);
        let (listing, proof) = proved.expect("a next ring key waits");
        let form = Rotation {
            number,
            listing,
            challenge,
            proof,
        };
        self.book.rotate(&form).expect("the number is its own");
    }

    /// The operator takes a number from its owner. Published at the end of the epoch.
    ///
    /// # Panics
    /// When it has no owner.
    pub fn revoke(&mut self, number: Number, unix: u64) {
        let done = self.book.revoke(number, unix);
        assert!(done.expect("memory does not fail"), "it has an owner");
    }

    /// The number plan.
    pub fn plan(&self) -> NumberPlan {
        self.book.published().plan()
    }

    /// The published tiles, without a request being counted.
    pub(crate) fn tiles(&self) -> Vec<Tile> {
        let published = self.book.published();
        let tiles = (0..published.plan().tiles()).filter_map(|index| published.tile(index));
        tiles.map(|tile| tile.tile().clone()).collect()
    }

    /// The published book, without a request being counted.
    pub(crate) fn directory(&self) -> Directory {
        let root = self.book.published().root().copied();
        let mut directory = Directory::new(self.plan()).with_roots(root);
        for (index, tile) in (0..).zip(self.tiles()) {
            directory.insert(index, tile);
        }
        directory
    }

    /// What an engine that has this copy downloads to have the newest book.
    ///
    /// # Panics
    /// When the book is not honest.
    pub fn download(&mut self, known: Option<VerifiedBook>) -> Option<Fetched> {
        let network = known.as_ref().map(|book| book.root().states().network);
        let now = self.root().states().closed;
        let mut fetch = Fetch::new(self.key(), known, network, now);
        while let Some(want) = fetch.wants() {
            self.requests += 1;
            let answer = self.answer(want);
            self.bytes += answer.len();
            fetch.handle_answer(&answer).expect("the book is honest");
        }
        fetch.finish().expect("the book is honest")
    }

    fn answer(&self, want: Want) -> Vec<u8> {
        let published = self.book.published();
        let answer = match want {
            Want::Newest => published.newest(),
            Want::Roots(block) => published.roots(block),
            Want::Steps(block) => published.steps(block),
            Want::Tile(index) => published
                .tile(index)
                .map(|tile| tile.tile().as_bytes().to_vec()),
            Want::Network => published.network().map(|network| network.to_vec()),
        };
        answer.expect("no simulated engine sleeps for hours")
    }
}

fn open(mut store: MemoryStore, schedule: Schedule, seed: [u8; 32], unix: u64) -> Book {
    let (of_keys, _) = book_seed();
    store.seed_of_book(&of_keys).expect("memory does not fail");
    let opened = Book::open(Box::new(store), schedule, seed, unix);
    opened.expect("memory does not fail").0
}

/// The book's seed and admin token, and the signing key that the book derives from the seed.
fn book_seed() -> (BookSeed, SigningKey) {
    let mut rng = ChaCha20Rng::from_seed(SEED);
    let admin = AdminToken::draw(&mut rng).digest();
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, &SEED)
        .expand(b"ringfence/1 book signing\0", &mut key)
        .expect("HKDF-SHA256 gives up to 8 160 bytes");
    let seed = Zeroizing::new(SEED);
    (BookSeed { seed, admin }, SigningKey::from_bytes(&key))
}
