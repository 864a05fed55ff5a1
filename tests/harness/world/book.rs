//! The phone book of the simulated world: the real book over its store in memory, asked directly instead of by HTTP, and
//! a count of the questions.

use ringfence_engine::{directory::Directory, identity::Identity};
use ringfence_phonebook::{
    ActivationCode, Binding, Book, BookKey, MemoryStore, Number, NumberPlan, Terms,
    activation::Activation, book::LISTING_VALID_UNTIL,
};

/// The first number of the plan, and how many tiles of 256 it has.
const PLAN: (u32, u16) = (20_000, 1);

/// Nobody in this world asks for network settings.
const NETWORK: &[u8] = b"{}";

/// The book and who asked it.
#[derive(Debug)]
pub struct PhoneBook {
    book: Book,
    requests: usize,
}

impl PhoneBook {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let plan = NumberPlan::new(PLAN.0, PLAN.1).expect("the plan is a small one");
        let (book, _) = Book::open(Box::new(MemoryStore::new()), Terms::of(plan), seed)
            .expect("memory does not fail");
        let mut new = Self { book, requests: 0 };
        new.close_epoch(0);
        new
    }

    /// An epoch ends: what was activated is published.
    fn close_epoch(&mut self, unix: u64) {
        self.book
            .close_epoch(unix, NETWORK)
            .expect("memory does not fail");
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
        self.close_epoch(unix);
        (issue.number, binding)
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

/// A new line's keys, as the shell draws them for this book.
pub(crate) fn new_identity(rng: &mut impl rand_core::CryptoRng) -> Identity {
    Identity::generate(LISTING_VALID_UNTIL, rng)
}
