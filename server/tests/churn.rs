//! Whether an observer who downloads every delta can tell assigned numbers from unassigned ones. In simulated time: an epoch is a day,
//! and the owners renew their ring keys by the law that their engines use.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::listing::first_serial;
use ringfence_book::rotation::{self, LONGEST_LIFE, RING_KEY_LIFE};
use ringfence_book::{Challenge, Delta, Listing, Number, NumberPlan, Possession, RingKey, Step};
use ringfence_phonebook::book::activation::Activation;
use ringfence_phonebook::book::admin_token::AdminToken;
use ringfence_phonebook::book::owner_forms::Rotation;
use ringfence_phonebook::store::{BookSeed, NextKey, Row};
use ringfence_phonebook::{Book, MemoryStore, Schedule, Store};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 60 * 60;

/// Days for which the observer downloads.
const DAYS: u64 = 400;
const OWNERS: usize = 128;

/// The chance with which a test of the watcher's finds a difference where there is none.
const ALPHA: f64 = 0.001;

/// Days on which the observer notes how long each ring key has stood, further apart than any key lasts.
const AGES: [u64; 5] = [110, 180, 250, 320, 390];

/// How owners renew their ring keys.
#[derive(Clone, Copy, PartialEq)]
enum Law {
    /// As engines do.
    OfEngines,
    /// As they did: however long it takes.
    WithoutEnd,
    /// As they did before: on one day of the last week of 30.
    LastWeek,
}

impl Law {
    fn next(self, now: u64, rng: &mut ChaCha20Rng) -> u64 {
        now + match self {
            Self::OfEngines => rotation::ring_key_life(rng).as_secs(),
            Self::WithoutEnd => {
                let share = (f64::from(rng.next_u32()) + 0.5) / (f64::from(u32::MAX) + 1.0);
                RING_KEY_LIFE.mul_f64(-share.ln()).as_secs()
            }
            Self::LastWeek => (24 + rng.next_u64() % 7) * DAY,
        }
    }
}

/// The owner of a number.
struct Owner {
    number: Number,
    identity: SigningKey,
    serial: u32,
    due: u64,
}

fn draw(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

impl Owner {
    fn activate(book: &mut Book, law: Law, rng: &mut ChaCha20Rng) -> Self {
        let (identity, ring) = (
            SigningKey::from_bytes(&draw(rng)),
            StaticSecret::from(draw(rng)),
        );
        let issue = book.issue(NOW).unwrap();
        let (code, key, proof_key) = (issue.code.digest(), book.key(), book.proof_key());
        let serial = first_serial(rng);
        let listing = Listing::sign(&identity, RingKey::from(&ring), serial);
        let form = Activation {
            code,
            listing,
            proof: Possession::prove(&identity, &ring, &listing, &code, &key, &proof_key),
        };
        book.activate(&form, NOW).unwrap();
        Self {
            number: issue.number,
            identity,
            serial,
            due: law.next(NOW, rng),
        }
    }

    /// What the engine does when it looks at the book.
    fn look(&mut self, book: &mut Book, now: u64, law: Law, rng: &mut ChaCha20Rng) {
        if now < self.due {
            return;
        }
        let (number, ring) = (self.number, StaticSecret::from(draw(rng)));
        let challenge = Challenge::new(book.key(), draw(rng));
        self.serial += 1;
        let listing = Listing::sign(&self.identity, RingKey::from(&ring), self.serial);
        let proof = Possession::prove_rotation(
            &self.identity,
            &ring,
            number,
            &listing,
            &challenge,
            &book.proof_key(),
        );
        let form = Rotation {
            number,
            listing,
            challenge,
            proof,
        };
        book.rotate(&form).unwrap();
        self.due = law.next(now, rng);
    }
}

/// What a watcher notes of numbers of one kind.
#[derive(Default)]
struct Notes {
    /// Days between one ring key and the next under the same identity.
    intervals: Vec<u64>,
    /// Days for which ring keys have stood, on the days of [`AGES`].
    ages: Vec<u64>,
    renewals: usize,
    resets: usize,
    repeats: usize,
}

/// Opens a book of this store with changes for an epoch a day; it skips most numbers.
fn open(store: MemoryStore, tiles: u16, seed: u8) -> Book {
    let day = u32::try_from(DAY).unwrap();
    let terms = Schedule {
        period: 3_600,
        ..Schedule::every(day, NumberPlan::new(20_000, tiles).unwrap())
    };
    let mut book = Book::open(Box::new(store), terms, [seed; 32], NOW)
        .unwrap()
        .0;
    book.close_epoch(NOW, b"{}").unwrap();
    book
}

/// Ends an epoch at this time, or as soon as the next may be ended.
fn close(book: &mut Book, time: u64) {
    let time = time.max(book.next_due().unwrap());
    assert!(book.close_epoch(time, b"{}").unwrap().is_some());
}

fn delta(book: &Book) -> Delta {
    let newest = book.published().newest().unwrap();
    Step::decode(&newest, &book.key()).unwrap().delta.unwrap()
}

fn records(book: &Book) -> BTreeMap<Number, Listing> {
    let (published, plan) = (book.published(), book.plan());
    let listing = |number: Number| {
        let (tile, slot) = plan.place(number).unwrap();
        published.tile(tile).unwrap().tile().listing(slot).unwrap()
    };
    plan.numbers()
        .map(|number| (number, listing(number)))
        .collect()
}

/// Observes a book: what is noted of assigned numbers, and of unassigned ones.
fn watch(law: Law) -> [Notes; 2] {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let mut book = open(MemoryStore::new(), 2, 3);
    let mut owners: Vec<Owner> = (0..OWNERS)
        .map(|_| Owner::activate(&mut book, law, &mut rng))
        .collect();
    while book.number_counts(NOW).unwrap().queued > 0 {
        close(&mut book, NOW);
    }
    let owned: BTreeSet<Number> = owners.iter().map(|owner| owner.number).collect();
    let mut known = records(&book);
    let mut renewed: BTreeMap<Number, u64> = BTreeMap::new();
    let mut drawn: BTreeMap<Number, u64> = BTreeMap::new();
    let mut notes = [Notes::default(), Notes::default()];
    for day in 1..=DAYS {
        let now = NOW + day * DAY;
        for owner in &mut owners {
            owner.look(&mut book, now, law, &mut rng);
        }
        close(&mut book, now);
        for change in delta(&book).changes() {
            let kind = &mut notes[usize::from(!owned.contains(&change.number))];
            let listing = Listing::decode(&change.record).unwrap();
            let before = known.insert(change.number, listing).unwrap();
            if listing == before {
                kind.repeats += 1;
                continue;
            }
            drawn.insert(change.number, day);
            if listing.identity() == before.identity() {
                kind.renewals += 1;
                let last = renewed.insert(change.number, day);
                kind.intervals.extend(last.map(|last| day - last));
            } else {
                kind.resets += 1;
                renewed.remove(&change.number);
            }
        }
        if AGES.contains(&day) {
            for number in book.plan().numbers() {
                let kind = &mut notes[usize::from(!owned.contains(&number))];
                let since = drawn.get(&number).copied().unwrap_or(0);
                kind.ages.push(day - since);
            }
        }
    }
    notes
}

/// Whether the watcher finds that these do not come from one distribution: Kolmogorov and Smirnov's two-sample test. With values that
/// are often equal it finds differences where there are none yet more seldom than [`ALPHA`].
fn differ(some: &[u64], others: &[u64]) -> bool {
    let share = |all: &[u64], most: u64| {
        all.iter().filter(|one| **one <= most).count() as f64 / all.len() as f64
    };
    let distance = (0..=DAYS)
        .map(|most| (share(some, most) - share(others, most)).abs())
        .fold(0.0, f64::max);
    let (n, m) = (some.len() as f64, others.len() as f64);
    distance > ((ALPHA / 2.0).ln() / -2.0 * (n + m) / (n * m)).sqrt()
}

/// The chance that a first decoy has another ring key after so many days: what of an exponential distribution ends within 60 days, or its
/// number changed hands.
fn first_renewed(days: u64) -> f64 {
    let (ended, days) = (|days: f64| 1.0 - (-days / 28.0).exp(), days as f64);
    1.0 - (1.0 - ended(days) / ended(60.0)) * (-days / 365.0).exp()
}

/// Whether so many of so many are what comes of this chance, within 3.3 standard deviations (0.001).
fn fits(count: usize, of: f64, chance: f64) -> bool {
    let deviation = (of * chance * (1.0 - chance)).sqrt();
    (count as f64 - of * chance).abs() < 3.3 * deviation
}

#[test]
fn owners_and_decoys_renew_their_ring_keys_alike() {
    let [owners, decoys] = watch(Law::OfEngines);
    assert!(owners.intervals.len() > 1_000 && decoys.intervals.len() > 3_000);
    assert!(!differ(&owners.intervals, &decoys.intervals));
    assert_eq!((owners.ages.len(), decoys.ages.len()), (640, 1_920));
    assert!(!differ(&owners.ages, &decoys.ages));
    // A key is renewed in the epoch of the day on which its life is over, so it stands for a day more at most.
    let longest = LONGEST_LIFE.as_secs() / DAY + 1;
    let stood = owners.intervals.iter().chain(&decoys.intervals);
    assert!(
        stood
            .chain(&owners.ages)
            .chain(&decoys.ages)
            .all(|days| *days <= longest)
    );
    // How often in all, not only how far apart.
    let changes = (owners.renewals + decoys.renewals) as f64;
    let share = OWNERS as f64 / 512.0;
    assert!(
        fits(owners.renewals, changes, share),
        "{} of {changes}",
        owners.renewals
    );
    let repeats = (owners.repeats + decoys.repeats) as f64;
    assert!(
        fits(owners.repeats, repeats, share),
        "{} of {repeats}",
        owners.repeats
    );
    // Owners never change hands here; decoys seem to, once a year.
    assert_eq!(owners.resets, 0);
    let days = (512 - OWNERS) as f64 * DAYS as f64;
    assert!(fits(decoys.resets, days, 1.0 / 365.0), "{}", decoys.resets);
}

#[test]
fn the_watcher_would_find_owners_who_renew_in_the_last_week_of_a_month() {
    let [owners, decoys] = watch(Law::LastWeek);
    assert!(differ(&owners.intervals, &decoys.intervals));
}

#[test]
fn the_watcher_would_find_owners_whose_ring_keys_last_for_more_than_sixty_days() {
    let [owners, decoys] = watch(Law::WithoutEnd);
    assert!(differ(&owners.intervals, &decoys.intervals));
    assert!(differ(&owners.ages, &decoys.ages));
}

#[test]
fn the_decoys_of_a_new_book_are_renewed_as_those_of_an_old_one() {
    let mut book = open(MemoryStore::new(), 4, 1);
    let first = records(&book);
    let mut lasted: BTreeMap<Number, u64> = BTreeMap::new();
    for day in 1..=61 {
        book.close_epoch(NOW + day * DAY, b"{}").unwrap();
        for change in delta(&book).changes() {
            let listing = Listing::decode(&change.record).unwrap();
            if listing.ring_key() != first[&change.number].ring_key() {
                lasted.entry(change.number).or_insert(day);
            }
        }
    }
    assert_eq!(lasted.len(), 1_024, "each has its turn within 60 days");
    for days in [14, 28, 56] {
        let count = lasted.values().filter(|day| **day <= days).count();
        assert!(
            fits(count, 1_024.0, first_renewed(days)),
            "{count} by {days}"
        );
    }
}

/// A store with this charter.
fn chartered() -> MemoryStore {
    let mut store = MemoryStore::new();
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let charter = BookSeed {
        seed: Zeroizing::new([9; 32]),
        admin: AdminToken::draw(&mut rng).digest(),
    };
    store.seed_of_book(&charter).unwrap();
    store
}

#[test]
fn a_book_can_sign_as_its_decoys_again_but_never_open_what_was_sent_to_them() {
    let (some, others) = (open(chartered(), 1, 1), open(chartered(), 1, 2));
    let mut ring_keys = BTreeSet::new();
    for (number, one) in records(&some) {
        let other = records(&others)[&number];
        assert_eq!(one.identity(), other.identity());
        ring_keys.extend([*one.ring_key().as_bytes(), *other.ring_key().as_bytes()]);
    }
    assert_eq!(ring_keys.len(), 512, "they come from the charter");
}

#[test]
fn after_a_pause_all_that_was_due_has_its_turn() {
    let mut book = open(MemoryStore::new(), 1, 1);
    let before = records(&book);
    let later = NOW + 56 * DAY;
    for _ in 0..20 {
        close(&mut book, later);
    }
    let after = records(&book);
    let changed = |number: &&Number| before[*number].ring_key() != after[*number].ring_key();
    let changed = before.keys().filter(changed).count();
    assert!(fits(changed, 256.0, first_renewed(56)), "{changed}");
}

#[test]
fn decoys_that_an_earlier_version_drew_become_ones_that_keep_their_identity() {
    let mut store = chartered();
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let plan = NumberPlan::new(20_000, 1).unwrap();
    let foreign = plan.numbers().map(|number| {
        let identity = SigningKey::from_bytes(&draw(&mut rng));
        let ring_key = RingKey::from(&StaticSecret::from(draw(&mut rng)));
        let listing = Listing::sign(&identity, ring_key, 1);
        Row {
            number,
            record: listing.encode(),
            epoch: 0,
            listed: false,
            next: NextKey {
                generation: 0,
                due: NOW + u64::from(number.value() % 60) * DAY,
            },
        }
    });
    store.fill(&foreign.collect::<Vec<_>>()).unwrap();
    let mut book = open(store, 1, 1);
    let first = records(&book);
    let mut seen: BTreeSet<Number> = BTreeSet::new();
    let (mut kept, mut reset) = (0, 0);
    let mut known = first.clone();
    for day in 1..=100 {
        close(&mut book, NOW + day * DAY);
        for change in delta(&book).changes() {
            let listing = Listing::decode(&change.record).unwrap();
            let before = known.insert(change.number, listing).unwrap();
            if listing == before {
                continue;
            }
            let same = listing.identity() == before.identity();
            let is_first = seen.insert(change.number);
            assert!(!(is_first && same), "no key can sign as that one");
            if !is_first {
                *(if same { &mut kept } else { &mut reset }) += 1;
            }
        }
    }
    assert!(seen.len() > 200 && kept > 5 * reset, "{kept} {reset}");
}
