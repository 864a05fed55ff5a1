//! The world in a box: engines, phones, a phone book, a Nostr relay and a TURN server on simulated wires under one clock
//! that only the world moves. No socket, no thread, no sleep: a call of a minute takes some milliseconds.
//!
//! Everything random follows from the seed, but what DTLS draws from the system by itself (see
//! [`Passage::replayable`]); so a world run twice from one seed has the same trace.

mod actions;
mod attacker;
pub mod audio;
pub mod book;
mod delivery;
mod dishonest_book;
pub mod engine_host;
pub mod handset;
pub mod links;
pub mod relay;
mod retransmissions;
pub mod turn;
pub mod turn_packets;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_engine::{CallLabel, Step, date::UnixTime};
use ringfence_media::Figures;
use ringfence_phonebook::Number;

pub use self::actions::Pair;
use self::{
    book::PhoneBook,
    delivery::Arrival,
    engine_host::Seat,
    handset::Handset,
    links::{Kind, Passage, Place, Weather, Wires},
    relay::Relay,
    turn::TurnHouse,
};

/// 22 November 2026, noon: when every world begins.
const BEGINNING: u64 = 1_795_348_800;

/// Alarms that may go off at one instant before the world is taken to stand still.
const STANDSTILL: usize = 10_000;

/// Decides about a packet before it enters its wire: `true` lets it pass.
pub type Meddler = Box<dyn FnMut(&Passage) -> bool>;

/// Everything there is.
pub struct World {
    /// How the wires behave; may be changed at any time.
    pub wires: Wires,
    /// Whether engines that are opened from now on let moving pictures pass.
    pub video: bool,
    /// The Nostr relay.
    pub relay: Relay,
    /// The TURN server.
    pub turn: TurnHouse,
    /// The phone book.
    pub phone_book: PhoneBook,
    began: Instant,
    now: Instant,
    rng: ChaCha20Rng,
    seats: Vec<Seat>,
    handsets: Vec<(Handset, usize)>,
    weather: Weather,
    calendar: BTreeMap<(Instant, u64), Arrival>,
    sent: u64,
    trace: Vec<Passage>,
    steps: Vec<Taken>,
    figures: Vec<(usize, CallLabel, Figures)>,
    meddler: Option<Meddler>,
    alarms_at_once: usize,
}

/// A step of a call, as an engine announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Since the world began.
    pub at: Duration,
    /// Which engine.
    pub engine: usize,
    /// Which of its calls.
    pub call: CallLabel,
    /// What happened.
    pub step: Step,
}

impl World {
    /// An empty world: a phone book, a relay, a TURN server, and nobody.
    pub fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut book_seed = [0; 32];
        rng.fill_bytes(&mut book_seed);
        Self {
            wires: Wires::default(),
            video: true,
            relay: Relay::default(),
            turn: TurnHouse::new(now, BEGINNING),
            phone_book: PhoneBook::new(book_seed, BEGINNING),
            began: now,
            now,
            rng,
            seats: Vec::new(),
            handsets: Vec::new(),
            weather: Weather::new(seed),
            calendar: BTreeMap::new(),
            sent: 0,
            trace: Vec::new(),
            steps: Vec::new(),
            figures: Vec::new(),
            meddler: None,
            alarms_at_once: 0,
        }
    }

    /// Lets somebody decide about every packet before it enters its wire.
    pub fn meddle(&mut self, meddler: impl FnMut(&Passage) -> bool + 'static) {
        self.meddler = Some(Box::new(meddler));
    }

    /// Nobody meddles any more.
    pub fn leave_alone(&mut self) {
        self.meddler = None;
    }

    /// Lets the next thing happen; false if nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        let arrival = self.calendar.first_key_value().map(|((at, _), _)| *at);
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
        self.drain();
        true
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

    /// Runs for this long, whatever happens.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.next_event().is_some_and(|next| next <= end) {
            self.step();
        }
        self.advance(end);
    }

    /// Whether `wanted` never holds for this long.
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

    /// An engine on its machine.
    pub fn seat(&self, engine: usize) -> &Seat {
        &self.seats[engine]
    }

    /// The number of an engine's line.
    pub fn number(&self, engine: usize, line: usize) -> Number {
        self.seats[engine].lines[line].number
    }

    /// A number of the plan that nobody has.
    pub fn unassigned(&self) -> Number {
        let lines = self.seats.iter().flat_map(|seat| &seat.lines);
        let taken: Vec<_> = lines.map(|line| line.number).collect();
        self.phone_book.unassigned(&taken)
    }

    /// Everything that went over any wire, in order.
    pub fn trace(&self) -> &[Passage] {
        &self.trace
    }

    /// Every step of every call, in order.
    pub fn steps(&self) -> &[Taken] {
        &self.steps
    }

    /// The first lines of all SIP messages from one place to another.
    pub fn sip(&self, from: Place, to: Place) -> Vec<String> {
        let messages = self
            .trace
            .iter()
            .filter(|passage| (passage.from, passage.to, passage.kind) == (from, to, Kind::Sip));
        messages.map(Passage::first_line).collect()
    }

    /// The steps of one engine's calls, in order.
    pub fn steps_of(&self, engine: usize) -> Vec<Step> {
        let steps = self.steps.iter().filter(|taken| taken.engine == engine);
        steps.map(|taken| taken.step).collect()
    }

    /// Whether an engine has announced this step.
    pub fn has_taken(&self, engine: usize, step: Step) -> bool {
        self.steps
            .iter()
            .any(|taken| taken.engine == engine && taken.step == step)
    }

    /// The figures of calls that are over.
    pub fn figures(&self) -> &[(usize, CallLabel, Figures)] {
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

    /// Whether nothing is on any wire.
    pub fn is_silent(&self) -> bool {
        self.calendar.is_empty()
    }

    /// The wall clock, right for everybody.
    pub fn wall(&self) -> UnixTime {
        UnixTime::from_seconds(BEGINNING).after(self.clock())
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.calendar.first_key_value().map(|((at, _), _)| *at);
        let alarm = self.next_alarm().map(|(at, _)| at);
        [arrival, alarm].into_iter().flatten().min()
    }

    fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let seats = self.seats.iter().filter_map(Seat::next_alarm);
        let handsets = self
            .handsets
            .iter()
            .filter_map(|(handset, _)| handset.next_alarm());
        seats
            .chain(self.turn.next_alarm())
            .chain(handsets.map(|at| (at, "a phone's repetition or microphone")))
            .min_by_key(|(at, _)| *at)
    }

    fn advance(&mut self, to: Instant) {
        if to > self.now {
            self.now = to;
            self.alarms_at_once = 0;
        }
    }

    fn ring_alarms(&mut self) {
        let now = self.now;
        for seat in &mut self.seats {
            seat.handle_timeout(now);
        }
        for (handset, _) in &mut self.handsets {
            handset.handle_timeout(now);
        }
        self.turn.handle_timeout(now);
    }
}

impl fmt::Debug for World {
    /// What a failing test shows: the steps, what the phones noticed, and the end of the trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the world after {:?}", self.clock())?;
        for Taken {
            at,
            engine,
            call,
            step,
        } in &self.steps
        {
            writeln!(f, "  {at:>12.3?} engine {engine} {call} {step}")?;
        }
        for (index, (handset, _)) in self.handsets.iter().enumerate() {
            writeln!(f, "  phone {index} {:?}", handset.notices())?;
        }
        for (index, seat) in self.seats.iter().enumerate() {
            writeln!(f, "  engine {index} {:?}", seat.engine.counters())?;
        }
        for passage in self.trace.iter().rev().take(40).rev() {
            writeln!(f, "  {passage:?}")?;
        }
        Ok(())
    }
}
