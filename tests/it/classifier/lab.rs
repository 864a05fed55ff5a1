//! Where calls are recorded: two engines, coturn, a tap between each engine and coturn, and the list of calls.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_tests::{
    coturn::CoturnServer,
    deployment::{Deployment, DeploymentConfig},
    nostr_relay::NostrRelay,
    program::real_time,
    turn_tap::TurnTap,
};
use serde_json::json;

/// How long a call's sound may take to reach both taps.
const SOUND: Duration = Duration::from_secs(10);
/// More calls than are made at once, so that no limit ends one.
const LIMITS: &str = "max_calls = 4000\nmax_calls_per_line = 4000\n";
/// Rings cost no proof of work to speak of.
const BOOK: &str = "epoch_seconds = 1\nwork_bits = 4\n";

/// What the list says of a call. Sides are engines, 0 or 1.
#[derive(Debug)]
pub(super) struct RecordedCall {
    pub(super) kind: String,
    /// The side that dialled, and the one that hung up.
    pub(super) caller: usize,
    pub(super) ender: usize,
    /// Its flow at each tap.
    pub(super) flows: [u16; 2],
    pub(super) dialled: Instant,
    /// The first cycle, and the hang-up.
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

/// The engines, the taps and the list.
pub(super) struct Lab {
    pub(super) deployment: Deployment,
    begin: Instant,
    taps: [TurnTap; 2],
    /// Flows that belong to a call, at each tap.
    known: [usize; 2],
    list: File,
}

impl Lab {
    /// Starts everything, with so many lines of each engine. The taps write `leg0` and `leg1` into the folder, and the list is `calls`.
    pub(super) fn start(lines: usize, folder: &Path) -> Self {
        let alone = real_time();
        let coturn = CoturnServer::start();
        let begin = Instant::now();
        let taps = [0, 1].map(|leg| {
            let file = folder.join(format!("leg{leg}"));
            TurnTap::to(coturn.address(), &file, begin)
        });
        let layout = DeploymentConfig {
            lines: [lines; 2],
            settings: "max_calls = 4000\n",
            sip: LIMITS,
            book: BOOK,
            turn: taps.each_ref().map(|tap| Some(tap.address())),
        };
        Self {
            deployment: Deployment::start_with(alone, NostrRelay::start(), coturn, &layout),
            begin,
            taps,
            known: [0; 2],
            list: File::create(folder.join("calls")).expect("the folder is ours"),
        }
    }

    /// The flow at each tap that has begun to carry sound since the last call: calls are set up one after the other.
    pub(super) fn next_flows(&mut self) -> [u16; 2] {
        let give_up = Instant::now() + SOUND;
        [0, 1].map(|leg| {
            loop {
                let talking = self.taps[leg].talking();
                if let Some(flow) = talking.get(self.known[leg]) {
                    self.known[leg] += 1;
                    return *flow;
                }
                assert!(Instant::now() < give_up, "a call's sound is not there");
                sleep(Duration::from_millis(1));
            }
        })
    }

    /// Adds a call with so many cycles to the list; times in nanoseconds since the taps began.
    pub(super) fn write(&mut self, call: &RecordedCall, cycles: u32) {
        let since = |at: Instant| u64::try_from((at - self.begin).as_nanos()).unwrap_or(0);
        let line = json!({
            "kind": call.kind,
            "caller": call.caller,
            "ender": call.ender,
            "flows": call.flows,
            "dialled": since(call.dialled),
            "begin": since(call.begin),
            "cycles": cycles,
            "end": since(call.end),
        });
        writeln!(self.list, "{line}").expect("the disk has room");
    }

    /// Writes what the taps hold back.
    pub(super) fn finish(self) {
        for tap in &self.taps {
            tap.flush();
        }
    }
}

/// What is drawn.
pub(super) struct Lot(ChaCha20Rng);

impl Lot {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// A number below a bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.next_u32()).unwrap_or(0) % bound
    }

    /// A time between two numbers of milliseconds.
    pub(super) fn between(&mut self, least: u64, most: u64) -> Duration {
        let drawn = self.0.next_u64() % (1_000 * (most - least));
        Duration::from_millis(least) + Duration::from_micros(drawn)
    }

    /// Every item as often as any other, `count` in all, in an order that is drawn.
    pub(super) fn shuffled<T: Copy>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut drawn: Vec<T> = items.iter().copied().cycle().take(count).collect();
        for place in (1..drawn.len()).rev() {
            drawn.swap(place, self.below(place + 1));
        }
        drawn
    }
}
