//! The simulated network ("world"): engines, phones, a phone book, a Nostr relay and TURN servers on simulated links under one
//! simulated clock. There is no socket, no thread and no sleep, so a call of a minute takes some milliseconds.
//!
//! Everything random follows from the seed, except what DTLS takes from the system (see [`TracedPacket::replayable`]), so two
//! runs from one seed have the same trace.

mod actions;
mod attacker;
pub mod audio;
pub mod book;
mod delivery;
pub mod dishonest_book;
pub mod engine_host;
mod faults;
pub mod handset;
pub mod links;
mod print;
pub mod relay;
mod relay_connections;
mod retransmissions;
mod sending;
mod setup;
pub mod turn;
pub mod turn_packets;
mod turn_server;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_book::Number;
use ringfence_engine::{CallLabel, CallStep, EMERGENCY_NUMBERS, time::UnixTime};
use ringfence_media::MediaStats;

use self::{
    book::SimulatedBook,
    delivery::Delivery,
    engine_host::EngineHost,
    handset::Handset,
    links::{Endpoint, Impairments, Links, PacketKind, TracedPacket},
    relay::Relay,
    relay_connections::SimulatedConnection,
    turn::SimulatedTurn,
};
pub use self::{faults::ClockError, setup::CallPair};

/// Every world begins at noon on 22 November 2026.
const BEGINNING: u64 = 1_795_348_800;

/// How far simulated time is ahead of the system's. SCTP begins its first timer by the system's clock (sctp-proto's `Endpoint::connect`), which
/// would repeat an INIT sooner or later as a machine is quick or slow. Like this the first repetition comes at once, always.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Timeouts that may be handled at one instant. More mean that a component asks for a timeout without making progress.
const STANDSTILL: usize = 10_000;

/// Decides about a packet before it enters its link: `true` lets it pass.
pub type PacketFilter = Box<dyn FnMut(&TracedPacket) -> bool>;

/// The simulated network.
pub struct World {
    /// Delay, jitter and loss of the links; may be changed at any time.
    pub links: Links,
    /// Whether engines that are opened from now on allow video.
    pub video: bool,
    /// The emergency numbers of engines that are opened from now on.
    pub emergency_numbers: Vec<String>,
    /// How many calls engines that are opened from now on have at once, and their phones; `None`: as many as by default.
    pub most_calls: Option<usize>,
    /// The Nostr relay.
    pub relay: Relay,
    /// The TURN servers: one at first.
    pub turn: SimulatedTurn,
    /// The phone book.
    pub phone_book: SimulatedBook,
    began: Instant,
    now: Instant,
    rng: ChaCha20Rng,
    hosts: Vec<EngineHost>,
    handsets: Vec<(Handset, usize)>,
    impairments: Impairments,
    deliveries: BTreeMap<(Instant, u64), Delivery>,
    sent: u64,
    trace: Vec<TracedPacket>,
    most_traced: Option<usize>,
    /// Engines that were given something since they were drained last.
    touched: BTreeSet<usize>,
    /// When each of the others has something to do next.
    alarms: BTreeMap<usize, (Instant, &'static str)>,
    steps: Vec<StepRecord>,
    figures: Vec<(usize, CallLabel, MediaStats)>,
    filter: Option<PacketFilter>,
    /// Pairs between which nothing passes, each way.
    cuts: BTreeSet<(Endpoint, Endpoint)>,
    relay_connections: BTreeMap<usize, SimulatedConnection>,
    alarms_at_once: usize,
}

/// A step of a call, as an engine announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Since the world began.
    pub at: Duration,
    /// Which engine.
    pub engine: usize,
    /// Which of its calls.
    pub call: CallLabel,
    /// What happened.
    pub step: CallStep,
}

impl World {
    /// A world with a phone book, a relay and a TURN server, without engines and phones.
    pub fn new(seed: u64) -> Self {
        let now = Instant::now() + AHEAD;
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut book_seed = [0; 32];
        rng.fill_bytes(&mut book_seed);
        Self {
            links: Links::default(),
            video: true,
            emergency_numbers: EMERGENCY_NUMBERS.map(str::to_owned).to_vec(),
            most_calls: None,
            relay: Relay::default(),
            turn: SimulatedTurn::new((now, BEGINNING)),
            phone_book: SimulatedBook::of_quick_owners(book_seed, BEGINNING),
            began: now,
            now,
            rng,
            hosts: Vec::new(),
            handsets: Vec::new(),
            impairments: Impairments::new(seed),
            deliveries: BTreeMap::new(),
            sent: 0,
            trace: Vec::new(),
            most_traced: None,
            touched: BTreeSet::new(),
            alarms: BTreeMap::new(),
            steps: Vec::new(),
            figures: Vec::new(),
            filter: None,
            cuts: BTreeSet::new(),
            relay_connections: BTreeMap::new(),
            alarms_at_once: 0,
        }
    }

    /// Lets a filter decide about every packet before it enters its link.
    pub fn filter_packets(&mut self, filter: impl FnMut(&TracedPacket) -> bool + 'static) {
        self.filter = Some(Box::new(filter));
    }

    /// Removes the filter.
    pub fn remove_filter(&mut self) {
        self.filter = None;
    }

    /// The trace has the newest packets alone from now on: so many, or up to twice as many.
    pub fn bound_trace(&mut self, most: usize) {
        self.most_traced = Some(most);
    }

    /// Handles the next arrival or timeout; false if there is none.
    pub fn step(&mut self) -> bool {
        let arrival = self.deliveries.first_key_value().map(|((at, _), _)| *at);
        let alarm = self.next_alarm();
        match (arrival, alarm) {
            (Some(at), alarm) if alarm.is_none_or(|(alarm, _)| at <= alarm) => {
                self.advance(at);
                self.deliver_first();
            }
            (_, Some((at, reason))) => {
                self.advance(at);
                self.alarms_at_once += 1;
                assert!(
                    self.alarms_at_once < STANDSTILL,
                    "time stands still: {reason}"
                );
                self.ring_alarms();
            }
            (_, None) => return false,
        }
        self.drain_touched();
        true
    }

    /// Handles the next arrival or timeout up to this moment; false if there is none, and it is that moment now.
    pub fn step_until(&mut self, end: Duration) -> bool {
        let end = self.began + end;
        if self.next_event().is_some_and(|next| next <= end) {
            return self.step();
        }
        self.advance(end);
        false
    }

    /// Runs until `wanted` holds.
    ///
    /// # Panics
    /// When `limit` of simulated time passes before.
    pub fn run_until(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !wanted(self) {
            let next = self.next_event();
            assert!(
                next.is_some_and(|next| next <= end),
                "not within {limit:?}: {what}\n{self:?}"
            );
            self.step();
        }
    }

    /// Runs for this long.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.next_event().is_some_and(|next| next <= end) {
            self.step();
        }
        self.advance(end);
    }

    /// Runs for this long; whether `unwanted` never held.
    pub fn never(&mut self, span: Duration, unwanted: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + span;
        while self.next_event().is_some_and(|next| next <= end) {
            if unwanted(self) {
                return false;
            }
            self.step();
        }
        self.advance(end);
        !unwanted(self)
    }

    /// A phone.
    pub fn handset(&self, phone: usize) -> &Handset {
        &self.handsets[phone].0
    }

    /// Tells an engine whether a relay listens for it.
    pub fn set_listening(&mut self, engine: usize, is_listening: bool) {
        self.host_mut(engine).engine.handle_listening(is_listening);
    }

    /// Tells an engine whether a TURN server gives it allocations.
    pub fn set_turn_reached(&mut self, engine: usize, reaches_turn: bool) {
        self.host_mut(engine)
            .engine
            .handle_turn_reached(reaches_turn);
    }

    /// A machine, to give its engine something: it is drained with the next step.
    fn host_mut(&mut self, engine: usize) -> &mut EngineHost {
        self.touched.insert(engine);
        &mut self.hosts[engine]
    }

    /// A machine that runs an engine.
    pub fn host(&self, engine: usize) -> &EngineHost {
        &self.hosts[engine]
    }

    /// The number of an engine's line.
    pub fn number(&self, engine: usize, line: usize) -> Number {
        self.hosts[engine].lines[line].number
    }

    /// A number of the plan that is not assigned.
    pub fn unassigned(&self) -> Number {
        let lines = self.hosts.iter().flat_map(|host| &host.lines);
        let taken: Vec<_> = lines.map(|line| line.number).collect();
        self.phone_book.unassigned(&taken)
    }

    /// Every packet on every link, in order, unless the trace is bounded.
    pub fn trace(&self) -> &[TracedPacket] {
        &self.trace
    }

    /// Every step of every call, in order.
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// The first lines of all SIP messages from one endpoint to another.
    pub fn sip(&self, from: Endpoint, to: Endpoint) -> Vec<String> {
        let messages = self
            .trace
            .iter()
            .filter(|packet| (packet.from, packet.to, packet.kind) == (from, to, PacketKind::Sip));
        messages.map(TracedPacket::first_line).collect()
    }

    /// The steps of one engine's calls, in order.
    pub fn steps_of(&self, engine: usize) -> Vec<CallStep> {
        let steps = self.steps.iter().filter(|taken| taken.engine == engine);
        steps.map(|taken| taken.step).collect()
    }

    /// Whether an engine has announced this step.
    pub fn has_reached(&self, engine: usize, step: CallStep) -> bool {
        self.steps
            .iter()
            .any(|taken| taken.engine == engine && taken.step == step)
    }

    /// The figures of calls that are over.
    pub fn figures(&self) -> &[(usize, CallLabel, MediaStats)] {
        &self.figures
    }

    /// Since the world began.
    pub fn clock(&self) -> Duration {
        self.now.saturating_duration_since(self.began)
    }

    /// An instant as time since the world began.
    pub fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }

    /// Whether no packet is on any link.
    pub fn is_silent(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// The wall clock, which is correct on all machines but those of [`Self::set_clock`].
    pub fn wall(&self) -> UnixTime {
        UnixTime::from_seconds(BEGINNING).after(self.clock())
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.deliveries.first_key_value().map(|((at, _), _)| *at);
        let alarm = self.next_alarm().map(|(at, _)| at);
        [arrival, alarm].into_iter().flatten().min()
    }

    fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let hosts = (0..self.hosts.len()).filter_map(|engine| self.alarm_of(engine));
        let handsets = self
            .handsets
            .iter()
            .filter_map(|(handset, _)| handset.next_alarm());
        hosts
            .chain(self.turn.next_alarm())
            .chain(handsets.map(|at| (at, "a phone's repetition or microphone")))
            .min_by_key(|(at, _)| *at)
    }

    fn alarm_of(&self, engine: usize) -> Option<(Instant, &'static str)> {
        match self.touched.contains(&engine) {
            true => self.hosts[engine].next_alarm(),
            false => self.alarms.get(&engine).copied(),
        }
    }

    fn advance(&mut self, to: Instant) {
        if to > self.now {
            self.now = to;
            self.alarms_at_once = 0;
        }
    }

    fn ring_alarms(&mut self) {
        let now = self.now;
        for engine in 0..self.hosts.len() {
            if self.alarm_of(engine).is_some_and(|(at, _)| at <= now)
                && let Some(now) = self.clock_of(engine)
            {
                self.hosts[engine].handle_timeout(now);
            }
        }
        for (handset, _) in &mut self.handsets {
            handset.handle_timeout(now);
        }
        self.turn.handle_timeout(now);
    }
}
