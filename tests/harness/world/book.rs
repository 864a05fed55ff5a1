//! The phone book of the simulated world: the real book over its store in memory, asked directly instead of by HTTP, and
//! a count of the questions.

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use ringfence_engine::{directory::Directory, identity::Identity};
use ringfence_phonebook::{
    ActivationCode, Binding, Book, BookKey, MemoryStore, Number, NumberPlan, Store as _, Tile,
    activation::Activation, admin::AdminToken, book::LISTING_VALID_UNTIL, store::Charter,
};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The first number of the plan, and how many tiles of 256 it has.
const PLAN: (u32, u16) = (20_000, 1);

/// The book and who asked it.
#[derive(Debug)]
pub struct PhoneBook {
    book: Book<MemoryStore>,
    signing: SigningKey,
    requests: usize,
}

impl PhoneBook {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let plan = NumberPlan::new(PLAN.0, PLAN.1).expect("the plan is a small one");
        let (charter, signing) = charter(seed);
        let mut store = MemoryStore::new();
        store.charter(&charter).expect("memory does not fail");
        let (book, _) = Book::open(store, plan, seed).expect("memory does not fail");
        assert_eq!(book.key(), BookKey::from(&signing), "it is derived alike");
        Self {
            book,
            signing,
            requests: 0,
        }
    }

    /// The secret key of the book: for what only a dishonest book does.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// How often anybody asked the book anything.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// The key that signs bindings.
    pub fn key(&self) -> BookKey {
        self.book.key()
    }

    /// A number of the plan that nobody has.
    pub fn unassigned(&self, taken: &[Number]) -> Number {
        let plan = self.book.published().plan();
        plan.numbers()
            .find(|number| !taken.contains(number))
            .expect("the plan is larger than the world")
    }

    /// The operator issues a number with a code, and the owner of the identity activates it.
    pub(crate) fn activate(&mut self, identity: &Identity, unix: u64) -> (Number, Binding) {
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
        let binding = self
            .book
            .activate(&form, unix)
            .expect("the code is fresh and the keys are ours");
        assert_eq!(binding.number(), issue.number);
        (issue.number, binding)
    }

    /// The numbers.
    pub fn plan(&self) -> NumberPlan {
        self.book.published().plan()
    }

    /// The tiles as they are, without asking for them.
    pub(crate) fn tiles(&self) -> Vec<Tile> {
        let published = self.book.published();
        let tiles = (0..published.plan().tiles()).filter_map(|index| published.tile(index));
        tiles.map(|tile| tile.tile().clone()).collect()
    }

    /// The whole book, as an engine downloads it ahead of its calls.
    pub(crate) fn download(&mut self) -> Directory {
        let published = self.book.published();
        let mut directory = Directory::new(published.plan());
        for index in 0..published.plan().tiles() {
            self.requests += 1;
            let tile = published
                .tile(index)
                .expect("every tile of the plan is published");
            directory.insert(index, tile.tile().clone());
        }
        directory
    }
}

/// A charter that the world has drawn, and the signing key that a book derives from it.
fn charter(seed: [u8; 32]) -> (Charter, SigningKey) {
    let mut rng = ChaCha20Rng::from_seed(seed);
    let admin = AdminToken::draw(&mut rng).digest();
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, &seed)
        .expand(b"ringfence/1 book signing\0", &mut key)
        .expect("HKDF-SHA256 gives up to 8 160 bytes");
    let seed = Zeroizing::new(seed);
    (Charter { seed, admin }, SigningKey::from_bytes(&key))
}

/// A new line's keys, as the shell draws them for this book.
pub(crate) fn new_identity(rng: &mut impl rand_core::CryptoRng) -> Identity {
    Identity::generate(LISTING_VALID_UNTIL, rng)
}
