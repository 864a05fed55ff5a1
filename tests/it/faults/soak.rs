//! An hour of real calls while relay and TURN servers start again every few minutes: how much sound is lost in all, whether a short call fails,
//! and whether memory and file descriptors of the engines stay what they were.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{
    deployment::InstalledLine,
    fault_lab::FaultLab,
    lab_phone::LabPhone,
    lab_plan::LabPlan,
    program::{installed, real_time},
};

use super::scene::{Phones, device};

const HOUR: u64 = 3_600;
/// From one outage to the next, and how long the servers are away.
const PERIOD: Duration = Duration::from_secs(150);
const AWAY: Duration = Duration::from_secs(5);
/// Pairs of lines with short calls, and from one call of a pair to its next.
const PAIRS: usize = 3;
const PACE: Duration = Duration::from_secs(2);
/// What a process may grow from the middle third of the time to the last, in kB. Its allocator keeps half a megabyte more or less from one minute
/// to the next, and the book, which closes an epoch every two seconds here, brings 0.2 MB of roots in twenty minutes; the rest would be lost in
/// more than a thousand calls.
const GROWTH: usize = 1_024;
/// Packets of a phone in a second.
const PACKETS: f64 = 50.0;

#[test]
#[ignore = "takes an hour: tests/run --soak"]
#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn an_hour_of_calls_while_servers_start_again() {
    if !installed(&["turnserver", "cc"]) {
        return;
    }
    let seconds = env::var("RINGFENCE_SOAK_SECONDS").map_or(Ok(HOUR), |text| text.parse());
    let lasts = Duration::from_secs(seconds.expect("a number of seconds"));
    let mut lab = FaultLab::start(real_time(), 1 + PAIRS, &LabPlan::default());
    let lines = lab.engines.each_ref().map(|engine| engine.lines.clone());
    let pair = |place: usize| [lines[0][place].clone(), lines[1][place].clone()];
    let short = ShortCalls::default();
    thread::scope(|scope| {
        for place in 1..=PAIRS {
            let (short, lines) = (&short, pair(place));
            scope.spawn(move || short.run(&lines));
        }
        let long = phones(&pair(0));
        let calls = long.talk(&lines[1][0].number);
        let (begin, mut outages) = (Instant::now(), 0);
        let mut samples = vec![lab.engines.each_ref().map(|engine| sample(engine.id()))];
        while begin.elapsed() < lasts {
            sleep(PERIOD.min(lasts / 2));
            let used = lab.engines.each_ref().map(|engine| sample(engine.id()));
            println!(
                "{:5.0} s: {} short calls, {} failed; (kB, descriptors) {used:?}",
                begin.elapsed().as_secs_f64(),
                short.made.load(Ordering::Relaxed),
                short.failed.load(Ordering::Relaxed),
            );
            samples.push(used);
            short.pause();
            let fault = Instant::now();
            outage(&mut lab, outages);
            outages += 1;
            lab.wait_ready();
            sleep(Duration::from_secs(2));
            let gaps = long.gaps(&calls, fault, Instant::now());
            println!("    outage {outages}: {gaps:.2?}");
            short.is_paused.store(false, Ordering::Relaxed);
        }
        let expected = begin.elapsed().as_secs_f64() * PACKETS;
        for (phone, call) in long.0.iter().zip(&calls) {
            let heard = phone.log(call).heard.len() as f64;
            println!("lost: {:.2} s of sound", (expected - heard) / PACKETS);
        }
        assert!(long.are_up(&calls), "the long call is over");
        long.clear(&calls);
        short.is_over.store(true, Ordering::Relaxed);
        settled(&samples);
    });
    println!("{short:?}");
    assert_eq!(short.failed.load(Ordering::Relaxed), 0);
}

/// In turns the relay with the phone book, each TURN server, and all at once.
fn outage(lab: &mut FaultLab, number: usize) {
    let (book, servers) = [
        (true, [false; 2]),
        (false, [true, false]),
        (false, [false, true]),
        (true, [true; 2]),
    ][number % 4];
    if book {
        lab.kill_book();
    }
    let killed = || servers.iter().enumerate().filter(|(_, is)| **is);
    for (server, _) in killed() {
        lab.coturns[server].kill();
    }
    sleep(AWAY);
    for (server, _) in killed() {
        lab.coturns[server].restart();
    }
    if book {
        lab.restart_book();
    }
}

/// Calls of a second that are made while all servers are there.
#[derive(Debug, Default)]
struct ShortCalls {
    made: AtomicUsize,
    failed: AtomicUsize,
    running: AtomicUsize,
    is_paused: AtomicBool,
    is_over: AtomicBool,
}

impl ShortCalls {
    fn run(&self, lines: &[InstalledLine; 2]) {
        let phones = phones(lines);
        while !self.is_over.load(Ordering::Relaxed) {
            let begin = Instant::now();
            self.running.fetch_add(1, Ordering::SeqCst);
            if !self.is_paused.load(Ordering::SeqCst) {
                let call = || {
                    let calls = phones.talk(&lines[1].number);
                    sleep(Duration::from_secs(1));
                    phones.clear(&calls);
                };
                let failed = catch_unwind(AssertUnwindSafe(call)).is_err();
                self.made.fetch_add(1, Ordering::Relaxed);
                self.failed
                    .fetch_add(usize::from(failed), Ordering::Relaxed);
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            sleep(PACE.saturating_sub(begin.elapsed()));
        }
    }

    /// Begins no further call, and waits for those that run.
    fn pause(&self) {
        self.is_paused.store(true, Ordering::SeqCst);
        let give_up = Instant::now() + Duration::from_secs(60);
        while self.running.load(Ordering::SeqCst) > 0 && Instant::now() < give_up {
            sleep(Duration::from_millis(20));
        }
    }
}

fn phones(lines: &[InstalledLine; 2]) -> Phones {
    let phones = [0, 1].map(|side| LabPhone::boot(&lines[side], Transport::Udp, side, &device()));
    phones.iter().for_each(|phone| {
        phone.wait_registered();
    });
    Phones(phones)
}

/// Memory of a process in kB, without what it has of its program's file, and its file descriptors.
fn sample(process: u32) -> [usize; 2] {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let memory = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    [memory.expect("Linux says so"), descriptors.count()]
}

/// Neither grows from the middle third of the samples, when all has been used, to the last: what is the least in each.
fn settled(samples: &[[[usize; 2]; 2]]) {
    let third = samples.len() / 3;
    if third == 0 {
        return;
    }
    let (early, late) = (&samples[third..2 * third], &samples[2 * third..]);
    for engine in [0, 1] {
        let least = |samples: &[[[usize; 2]; 2]], figure: usize| {
            let figures = samples.iter().map(|sample| sample[engine][figure]);
            figures.min().unwrap_or_default()
        };
        let [memory, descriptors] = [0, 1].map(|figure| {
            let [before, after] = [early, late].map(|part| least(part, figure));
            after.saturating_sub(before)
        });
        assert!(memory < GROWTH, "memory grew by {memory} kB: {samples:?}");
        assert!(descriptors < 10, "descriptors leak: {samples:?}");
    }
}
