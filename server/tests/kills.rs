//! Several processes share one PostgreSQL and are killed at any moment, again and again, while they activate numbers and end epochs.
//! Whatever they had answered is true afterwards, no code was used twice, no number is lost, and the book is one unbroken chain.
//!
//! A process is this program started again: it does nothing but `a_writer`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "stores/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::root::TilesHash;
use ringfence_book::{
    ActivationCode, BookKey, Delta, Listing, Number, NumberPlan, Possession, RingKey, Root, Tile,
};
use ringfence_phonebook::book::ActivateError;
use ringfence_phonebook::book::activation::Activation;
use ringfence_phonebook::store::sql::SqlStore;
use ringfence_phonebook::{Book, Schedule};
use x25519_dalek::StaticSecret;

/// The time; it stands still.
const NOW: u64 = 1_800_000_000;

const WRITERS: u8 = 4;
const CODES: usize = 1_000;

/// Which codes a process was given which numbers for.
type Answers = Vec<(usize, Number)>;

/// Answers that a process gives at most before it is killed, and at least: one is the last one of the process before.
const ANSWERS: std::ops::Range<u64> = 2..50;

/// Then it lives on for so many microseconds at most: longer than an activation takes.
const LIFE: u64 = 10_000;

/// Tells a process of this test its database, its number, and the code with which it goes on.
const DATABASE: &str = "RINGFENCE_TEST_DATABASE";
const WRITER: &str = "RINGFENCE_TEST_WRITER";
const FROM: &str = "RINGFENCE_TEST_FROM";

fn terms() -> Schedule {
    Schedule {
        changes: 64,
        ..Schedule::of(NumberPlan::new(20_000, 4).unwrap())
    }
}

fn code(index: usize) -> ActivationCode {
    let seed = u64::try_from(index).unwrap();
    let book = BookKey::from(&SigningKey::from_bytes(&[1; 32]));
    ActivationCode::draw(&book, &mut ChaCha20Rng::seed_from_u64(seed))
}

/// The keys with which this writer tries this code.
fn identity(index: usize, writer: u8) -> SigningKey {
    let mut seed = [writer; 32];
    seed[..8].copy_from_slice(&index.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

fn open(url: &str, seed: u8) -> Book {
    let runtime = Box::leak(Box::new(
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap(),
    ));
    let store = SqlStore::postgres(url, runtime.handle().clone()).unwrap();
    Book::open(Box::new(store), terms(), [seed; 32], NOW)
        .unwrap()
        .0
}

fn form(book: &Book, index: usize, writer: u8) -> Activation {
    let identity = identity(index, writer);
    let ring = StaticSecret::from(identity.to_bytes());
    let listing = Listing::sign(&identity, RingKey::from(&ring), 1);
    let (code, key, proof_key) = (code(index).digest(), book.key(), book.proof_key());
    Activation {
        code,
        listing,
        proof: Possession::prove(&identity, &ring, &listing, &code, &key, &proof_key),
    }
}

/// A process: tries every code that is its own or its neighbour's, ends an epoch now and then, and says what it was answered.
#[test]
fn a_writer() {
    let (Ok(url), Ok(writer)) = (std::env::var(DATABASE), std::env::var(WRITER)) else {
        return;
    };
    let writer: u8 = writer.parse().unwrap();
    let from: usize = std::env::var(FROM).unwrap().parse().unwrap();
    let mut book = open(&url, writer);
    let mut out = std::io::stdout();
    for index in from..CODES {
        let whose = u8::try_from(index % usize::from(WRITERS)).unwrap();
        if whose != writer && whose != (writer + 1) % WRITERS {
            continue;
        }
        match book.activate(&form(&book, index, writer), NOW) {
            Ok(number) => writeln!(out, "\nhas {index} {number}").unwrap(),
            Err(ActivateError::Refused(_)) => {}
            Err(fault) => panic!("{fault}"),
        }
        if index % 29 == usize::from(writer) {
            close(&mut book);
        }
    }
    writeln!(out, "\ndone").unwrap();
}

/// Ends the next epoch, unless another process does.
fn close(book: &mut Book) {
    book.refresh().unwrap();
    let next = book.next_due().unwrap_or(NOW);
    book.close_epoch(next, b"{}").unwrap();
}

/// A process, and what it says.
struct Writer {
    child: Child,
    says: Receiver<String>,
}

impl Writer {
    fn start(url: &str, writer: u8, from: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_writer", "--nocapture"])
            .env(DATABASE, url)
            .env(WRITER, writer.to_string())
            .env(FROM, from.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, says) = channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        Self { child, says }
    }

    /// Kills it some time after it has given so many answers. Answers all that it said, and whether it had come to its end.
    fn live(mut self, answers: u64, life: Duration) -> (Answers, bool) {
        let mut said: Vec<String> = Vec::new();
        let mut left = answers;
        for line in self.says.iter() {
            left -= u64::from(line.starts_with("has"));
            let over = left == 0 || line == "done";
            said.push(line);
            if over {
                break;
            }
        }
        thread::sleep(life);
        // It may just have ended.
        let _ = self.child.kill();
        let ended = self.child.wait().unwrap();
        said.extend(self.says);
        let done = said.iter().any(|line| line == "done");
        assert!(done || ended.code().is_none(), "a writer failed: {ended}");
        (said.iter().filter_map(|line| answer(line)).collect(), done)
    }
}

fn answer(line: &str) -> Option<(usize, Number)> {
    let (index, number) = line.strip_prefix("has ")?.split_once(' ')?;
    Some((index.parse().unwrap(), number.parse().unwrap()))
}

/// Starts a writer and kills it, again and again, until it has come to its end. Answers what it was answered, and how often it was
/// killed before.
fn driven(url: &str, writer: u8) -> (Answers, u32) {
    let mut dice = ChaCha20Rng::seed_from_u64(writer.into());
    let mut has: Answers = Vec::new();
    for kills in 0.. {
        let from = has.last().map_or(0, |(index, _)| *index);
        let answers = ANSWERS.start + dice.next_u64() % (ANSWERS.end - ANSWERS.start);
        let life = Duration::from_micros(dice.next_u64() % LIFE);
        let (told, done) = Writer::start(url, writer, from).live(answers, life);
        has.extend(told);
        if done {
            return (has, kills);
        }
    }
    unreachable!("the process is killed before it counts to the end")
}

#[test]
fn processes_killed_in_the_middle_of_a_thousand_activations_leave_a_whole_book() {
    let Some(cluster) = cluster::running() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = cluster.new_database(&runtime);
    let mut book = open(&url, 99);
    close(&mut book);
    let first = tiles(&book);
    let waiting = issue_all(&url);
    let heard: Vec<_> = thread::scope(|scope| {
        let drive = |writer| {
            scope.spawn({
                let url = &url;
                move || driven(url, writer)
            })
        };
        let hands: Vec<_> = (0..WRITERS).map(drive).collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    });
    let kills: u32 = heard.iter().map(|(_, kills)| kills).sum();
    assert!(kills >= 20, "{kills} kills are few");
    book.refresh().unwrap();
    while book.number_counts(NOW).unwrap().queued > 0 {
        close(&mut book);
    }
    check_number_counts(&mut book);
    check_answers(&book, &waiting, &heard);
    check_chain(&mut book, first);
}

fn tiles(book: &Book) -> Vec<Tile> {
    let published = book.published();
    let tiles = (0..).map_while(|index| published.tile(index));
    tiles.map(|tile| tile.tile().clone()).collect()
}

/// Lets a number wait for each code.
fn issue_all(url: &str) -> BTreeMap<usize, Number> {
    use ringfence_phonebook::Store;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut store = SqlStore::postgres(url, runtime.handle().clone()).unwrap();
    let numbers = terms().plan.numbers().enumerate().take(CODES);
    numbers
        .map(|(index, number)| {
            let code = code(index).digest();
            assert!(store.issue(number, &code, NOW, NOW + 1).unwrap());
            (index, number)
        })
        .collect()
}

/// No number is lost: neither between waiting and active, nor out of the plan.
fn check_number_counts(book: &mut Book) {
    let counts = book.number_counts(NOW).unwrap();
    assert_eq!((counts.active, counts.waiting), (1_000, 0));
    assert_eq!((counts.free, counts.retired), (24, 0));
}

/// Every answer was the only one for its code, and is what is published; every code was used.
fn check_answers(book: &Book, waiting: &BTreeMap<usize, Number>, heard: &[(Answers, u32)]) {
    let mut winners: BTreeMap<usize, u8> = BTreeMap::new();
    for (writer, (has, _)) in (0_u8..).zip(heard) {
        for (index, number) in has {
            assert_eq!(waiting.get(index), Some(number));
            let winner = *winners.entry(*index).or_insert(writer);
            assert_eq!(winner, writer, "code {index} was used twice");
        }
    }
    assert_eq!(winners.len(), CODES);
    let tiles = tiles(book);
    for (index, writer) in winners {
        let (tile, slot) = terms().plan.place(waiting[&index]).unwrap();
        let listing = tiles[usize::from(tile)].listing(slot).unwrap();
        let expected = identity(index, writer).verifying_key();
        assert_eq!(listing.identity().as_bytes(), expected.as_bytes());
    }
}

/// From the first epoch on every root follows the one before, and its delta leads to the tiles that it names.
fn check_chain(book: &mut Book, mut tiles: Vec<Tile>) {
    let (key, plan) = (book.key(), terms().plan);
    let mut archive = book.archive().unwrap();
    let roots = archive.roots(1, u32::MAX).unwrap();
    let roots: Vec<Root> = roots
        .iter()
        .map(|root| Root::decode(root, &key).unwrap())
        .collect();
    assert!(roots.len() > CODES / 64);
    for pair in roots.windows(2) {
        let [before, root] = pair else { continue };
        assert!(root.follows(before));
        let epoch = root.states().epoch;
        let step = archive.steps(epoch, epoch).unwrap().remove(0);
        let delta = Delta::decode(&step.delta.unwrap()).unwrap();
        assert_eq!(
            (delta.hash(), delta.changes().len()),
            (root.states().delta, 64)
        );
        for change in delta.changes() {
            let (tile, slot) = plan.place(change.number).unwrap();
            tiles[usize::from(tile)].set(slot, &change.record);
        }
        assert_eq!(TilesHash::of_tiles(plan, &tiles), root.states().tiles);
    }
    assert_eq!(roots.last(), book.published().root());
}
