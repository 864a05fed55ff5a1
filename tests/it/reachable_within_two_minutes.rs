//! Every engine can ring a newly activated number within two minutes: the book ends its epochs when they are due, and engines
//! download at times that they draw themselves. The time is simulated; every download is verified.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_book::listing::LISTING_BYTES;
use ringfence_book::timetable::next_look;
use ringfence_book::{Number, VerifiedBook};
use ringfence_engine::line::identity::Identity;
use ringfence_tests::world::book::SimulatedBook;

const BEGINNING: u64 = 1_795_348_800;
const SIX_HOURS: u64 = 6 * 60 * 60;

/// How late the server may be to end an epoch, in seconds.
const SERVER_LOOKS: u64 = 1;

/// The part of an engine that downloads the book.
struct Engine {
    book: Option<VerifiedBook>,
    looks_at: u64,
    /// The error of its clock in seconds. At most a sixth of a period.
    wrong: i64,
}

/// A number that was activated, and when.
struct Newcomer {
    number: Number,
    record: [u8; LISTING_BYTES],
    at: u64,
    known_at: Option<u64>,
}

impl Engine {
    fn look(&mut self, book: &mut SimulatedBook, now: u64, die: f64) {
        if let Some(fetched) = book.download(self.book.clone()) {
            self.book = Some(fetched.copy);
        }
        let root = self.book.as_ref().expect("it was downloaded").root();
        let pause = next_look(root, now.saturating_add_signed(self.wrong), die);
        self.looks_at = now + pause.as_secs() + 1;
    }

    fn knows(&self, newcomer: &Newcomer) -> bool {
        let record = self
            .book
            .as_ref()
            .and_then(|book| book.record(newcomer.number));
        record == Some(&newcomer.record)
    }
}

fn die(rng: &mut ChaCha20Rng) -> f64 {
    f64::from(rng.next_u32()) / f64::from(u32::MAX)
}

#[test]
fn every_engine_can_ring_a_new_number_within_two_minutes_for_a_megabyte_a_day() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut book = SimulatedBook::new([1; 32], BEGINNING);
    let mut engines: Vec<Engine> = [-10, -4, 0, 0, 0, 0, 4, 10]
        .into_iter()
        .map(|wrong| Engine {
            book: None,
            looks_at: BEGINNING + u64::from(rng.next_u32() % 60),
            wrong,
        })
        .collect();
    let mut newcomers: Vec<Newcomer> = Vec::new();
    let mut first_downloads = 0;
    for now in BEGINNING..BEGINNING + SIX_HOURS {
        if now.is_multiple_of(SERVER_LOOKS) {
            book.tick(now);
        }
        if rng.next_u32().is_multiple_of(300) && newcomers.len() < 100 {
            let identity = Identity::generate(&mut rng);
            let number = book.activate(&identity, now);
            newcomers.push(Newcomer {
                number,
                record: identity.listing().encode(),
                at: now,
                known_at: None,
            });
        }
        for engine in engines.iter_mut().filter(|engine| engine.looks_at == now) {
            engine.look(&mut book, now, die(&mut rng));
        }
        if now == BEGINNING + 300 {
            first_downloads = book.bytes();
        }
        for newcomer in newcomers.iter_mut().filter(|new| new.known_at.is_none()) {
            if engines.iter().all(|engine| engine.knows(newcomer)) {
                newcomer.known_at = Some(now);
            }
        }
    }
    let settled = newcomers
        .iter()
        .filter(|new| new.at + 120 < BEGINNING + SIX_HOURS);
    let waits: Vec<u64> = settled
        .map(|new| new.known_at.map_or(u64::MAX, |known| known - new.at))
        .collect();
    assert!(waits.len() > 40);
    let longest = waits.iter().max().unwrap();
    assert!(*longest <= 120, "{longest} s");
    // The result does not depend on short epochs: some engines wait for more than one period.
    assert!(*longest > 60);

    let a_day =
        (book.bytes() - first_downloads) / engines.len() * 24 * 3_600 / (SIX_HOURS as usize - 300);
    assert!((900_000..1_200_000).contains(&a_day), "{a_day} bytes a day");
}
