//! Whole courses of calls from a seed, with every fault of [`faults`] in any state: whatever breaks, the promises of [`promises`] are
//! checked after every step.
//!
//! The ordinary tests play the seeds of `seeds/found.txt`, which broke a promise once, and new ones, which are printed.
//! `RINGFENCE_SIMULATE=N` plays N new ones, `RINGFENCE_SIMULATE_SEED=S` that one alone, with all of its steps; `tests/run --simulate N` sets the first.

mod course;
mod draw;
mod faults;
mod people;
mod promises;
mod view;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    panic::catch_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use course::{Report, play};
use ringfence_tests::program::real_time;

/// New courses among the ordinary tests.
const BRIEFLY: usize = 2_000;

/// Violations that are printed in full.
const PRINTED: usize = 5;

/// Seeds that broke a promise once, one a line, each with a word on what it was.
const FOUND: &str = include_str!("../seeds/found.txt");

#[test]
fn promises_hold_whatever_breaks() {
    let seed = number_in("RINGFENCE_SIMULATE_SEED");
    if let Some(seed) = seed {
        return play_alone(seed);
    }
    let found = FOUND
        .lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok());
    let count = number_in("RINGFENCE_SIMULATE").map_or(BRIEFLY, |count| count as usize);
    // Both cores are busy for minutes: no test that waits in real time is to run beside it.
    let _alone = real_time();
    let first = new_seed();
    let seeds: Vec<u64> = found.chain((first..).take(count)).collect();
    let mut total = Total::default();
    total.play_all(&seeds);
    let text = total.print(first);
    #[expect(clippy::print_stdout, reason = "tests/run --simulate shows it")]
    {
        println!("{text}");
    }
    assert!(total.broken.is_empty(), "{text}");
}

#[test]
fn a_seed_gives_the_same_course_again() {
    for seed in 0..5 {
        assert_eq!(play(seed).digest, play(seed).digest, "seed {seed}");
    }
}

fn play_alone(seed: u64) {
    let report = play(seed);
    #[expect(clippy::print_stdout, reason = "a person has asked for this course")]
    {
        println!("seed {seed}: {report:#?}");
    }
    assert_eq!(report.violation, None, "seed {seed}");
}

fn number_in(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a whole number"))
}

fn new_seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Seconds and thousandths: short enough to be typed.
    u64::try_from(now.as_millis()).unwrap_or_default()
}

/// What came of all courses.
#[derive(Debug, Default)]
struct Total {
    courses: usize,
    calls: usize,
    talks: usize,
    faults: BTreeMap<&'static str, usize>,
    simulated: Duration,
    broken: Vec<(u64, String)>,
    took: Duration,
}

impl Total {
    /// Plays all seeds on all processors.
    fn play_all(&mut self, seeds: &[u64]) {
        let began = Instant::now();
        let (next, total) = (AtomicUsize::new(0), Mutex::new(self));
        let workers = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let report = caught(*seed);
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        total.add(*seed, report);
                    }
                });
            }
        });
        let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        total.took = began.elapsed();
    }

    fn add(&mut self, seed: u64, report: Report) {
        self.courses += 1;
        self.calls += report.calls;
        self.talks += report.talks;
        self.simulated += report.took;
        for (fault, count) in report.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.broken
            .extend(report.violation.map(|text| (seed, text)));
    }

    fn print(&self, first: u64) -> String {
        let faults: usize = self.faults.values().sum();
        let mut text = format!(
            "{} courses (new seeds from {first}): {} calls, {} of them answered, {faults} faults, {} violations; {:.0?} of simulated time in {:.1?}\n",
            self.courses,
            self.calls,
            self.talks,
            self.broken.len(),
            self.simulated,
            self.took,
        );
        for (fault, count) in &self.faults {
            let _ = writeln!(text, "{count:>8} {fault}");
        }
        for (seed, violation) in &self.broken {
            let first = violation.lines().next().unwrap_or_default();
            let _ = writeln!(text, "RINGFENCE_SIMULATE_SEED={seed} # {first}");
        }
        for (seed, violation) in self.broken.iter().take(PRINTED) {
            let _ = writeln!(text, "seed {seed}: {violation}");
        }
        text
    }
}

/// A course that panics has broken a promise, too.
fn caught(seed: u64) -> Report {
    catch_unwind(|| play(seed)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Report {
            violation: Some(format!("panic: {}", text.unwrap_or_default())),
            ..Report::default()
        }
    })
}
