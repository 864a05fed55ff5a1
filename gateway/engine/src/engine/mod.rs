//! The engine's facade: brings every input to the call it concerns, and collects what is to
//! be done. No call is handled here; the states are in `call/`.

mod drain;
mod envelopes;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_phonebook::BookKey;
use ringfence_sip as sip;

use crate::call::context::Desk;
use crate::call::{Call, Happening, News};
use crate::clock::Clock;
use crate::config::Config;
use crate::counters::Counters;
use crate::input::MediaEvent;
use crate::line::Line;
use crate::line::messages::Courier;
use crate::line::saved_state::Ledger;
use crate::line::subscriptions::Lamps;
use crate::output::{CallLabel, Output, PostId};
use crate::presence::Presences;
use crate::sealed::proof_of_work::Stamp;
use crate::sealed::proof_stock::Stock;
use crate::sealed::replay::Seen;
use crate::sealed::routing_tag::Hint;
use crate::time::{Arrival, UnixTime};
use crate::trust::contacts::AddressBook;
use crate::trust::directory::Directory;
use crate::trust::own_record::RecordWatch;
use crate::trust::roots::Roots;

/// All lines, phones and calls of one machine.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) agent: sip::Agent,
    pub(crate) lines: Vec<Line>,
    pub(crate) book_key: BookKey,
    pub(crate) directory: Directory,
    pub(crate) seen: Seen,
    pub(crate) calls: BTreeMap<CallLabel, Call>,
    pub(crate) legs: BTreeMap<sip::LegId, CallLabel>,
    pub(crate) counters: Counters,
    pub(crate) address_book: AddressBook,
    pub(crate) ledger: Ledger,
    /// Since it was last told.
    pub(crate) ledger_changed: bool,
    pub(crate) courier: Courier,
    pub(crate) lamps: Lamps,
    pub(crate) presence: Presences,
    pub(crate) roots: Roots,
    pub(crate) records: Vec<RecordWatch>,
    hints: BTreeMap<Hint, CallLabel>,
    pub(crate) stock: Stock,
    pub(crate) clock: Clock,
    pub(crate) posts: u64,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) out: VecDeque<Output>,
    /// What joined calls have to tell each other. A call says a handful of things in its life.
    pub(crate) news: VecDeque<(CallLabel, News)>,
    pub(crate) closing: bool,
}

impl Engine {
    /// An engine with its lines, all of the phone book that signs with `book_key`. `seed` must
    /// come from the system's random source; everything random follows from it. `wall` is
    /// the wall time at `now`.
    #[must_use]
    pub fn new(
        config: Config,
        lines: Vec<Line>,
        book_key: BookKey,
        directory: Directory,
        seed: [u8; 32],
        (wall, now): (UnixTime, Instant),
    ) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut agent_seed = [0; 32];
        rng.fill_bytes(&mut agent_seed);
        let records = lines.iter().map(|_| RecordWatch::default()).collect();
        let accounts = lines.iter().map(|line| line.account.clone()).collect();
        let agent = sip::Agent::new(
            sip::Config {
                realm: config.realm.clone(),
                accounts,
                algorithms: config.digest,
            },
            agent_seed,
        );
        let mut stock = Stock::default();
        stock.ask_for(config.work_bits);
        let mut engine = Self {
            config,
            agent,
            lines,
            book_key,
            directory,
            seen: Seen::new(Arrival { wall, now }),
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            hints: BTreeMap::new(),
            counters: Counters::default(),
            address_book: AddressBook::default(),
            ledger: Ledger::default(),
            ledger_changed: false,
            courier: Courier::default(),
            lamps: Lamps::default(),
            presence: Presences::default(),
            roots: Roots::default(),
            records,
            stock,
            clock: Clock::new(wall, now),
            posts: 0,
            rng,
            out: VecDeque::new(),
            news: VecDeque::new(),
            closing: false,
        };
        engine.take_roots();
        engine.order_stamps(now);
        engine
    }

    /// Takes bytes from a phone: a datagram, or one message cut from a stream by
    /// [`sip::Framer`].
    pub fn handle_phone(&mut self, flow: sip::Flow, bytes: &[u8], now: Instant) {
        self.agent.handle_packet(flow, bytes, now);
        self.settle(now);
    }

    /// A phone's connection is gone.
    pub fn handle_flow_closed(&mut self, flow: sip::Flow, now: Instant) {
        self.agent.handle_flow_closed(flow, now);
        self.settle(now);
    }

    /// Takes news of a call's sound.
    pub fn handle_media(&mut self, call: CallLabel, event: MediaEvent, now: Instant) {
        self.tell(call, Happening::Media(event), now);
        self.settle(now);
    }

    /// Takes a newly minted stamp in stock.
    pub fn handle_stamp(&mut self, stamp: Stamp, now: Instant) {
        self.stock.add(stamp);
        for label in self.labels() {
            self.tell(label, Happening::Stamps, now);
        }
        self.send_texts(now);
        self.settle(now);
    }

    /// How many relays took a post.
    pub fn handle_posted(&mut self, post: PostId, relays: usize, now: Instant) {
        for label in self.labels() {
            self.tell(label, Happening::Posted(post, relays), now);
        }
        self.handle_piece_posted(post, relays, now);
        self.settle(now);
    }

    /// The wall clock was read again: `wall` is the wall time at `now`.
    pub fn handle_wall(&mut self, wall: UnixTime, now: Instant) {
        self.clock = Clock::new(wall, now);
        // Stamps go stale with time alone: replaced now, they are ready when somebody dials.
        self.order_stamps(now);
    }

    /// Other rules hold from now on: the work that envelopes need, in leading zero bits, and how long a ring waits for an answer.
    /// Rings that are out wait as long as they were told.
    pub fn handle_rules(&mut self, work_bits: u8, no_answer: Duration, now: Instant) {
        self.config.work_bits = work_bits;
        self.config.no_answer = no_answer;
        self.stock.ask_for(work_bits);
        self.order_stamps(now);
    }

    /// A newer book was downloaded. Calls that ring keep the keys they rang.
    pub fn handle_directory(&mut self, directory: Directory) {
        self.directory = directory;
        self.take_roots();
    }

    /// What was saved of [`Self::ledger`]. To be called at the start.
    pub fn handle_ledger(&mut self, ledger: Ledger) {
        self.ledger = ledger;
    }

    /// Time has passed; to be called at [`Self::next_alarm`], or earlier.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.seen.handle_timeout(now);
        self.handle_courier_timeout(now);
        self.handle_presence_timeout(now);
        for label in self.labels() {
            let due = self.calls.get(&label).and_then(|call| call.common.alarm);
            if due.is_some_and(|(at, _)| at <= now) {
                self.tell(label, Happening::Alarm, now);
            }
        }
        self.settle(now);
    }

    /// Ends every call and begins none. The engine is done when [`Self::is_idle`].
    pub fn shut_down(&mut self, now: Instant) {
        self.closing = true;
        self.plan_round(now);
        for label in self.labels() {
            self.tell(label, Happening::ShutDown, now);
        }
        self.settle(now);
    }

    /// No call in any state, and no text that waits for a relay.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.courier.is_idle()
    }

    /// The next thing to do, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called, and why.
    #[must_use]
    pub fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let calls = self.calls.values().filter_map(|call| call.common.alarm);
        calls
            .chain(self.agent.next_alarm())
            .chain(self.seen.next_alarm())
            .chain(self.courier.next_alarm())
            .chain(self.presence.next_alarm())
            .min_by_key(|(at, _)| *at)
    }

    /// The lines of this engine, in the order in which they were given.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many phones are registered to a line.
    #[must_use]
    pub fn phones(&self, line: &Line) -> usize {
        self.agent.phones(&line.account.user)
    }

    /// The ways to the phones that are registered to a line, for its user's eyes only: they hold addresses.
    #[must_use]
    pub fn flows(&self, line: &Line) -> Vec<sip::Flow> {
        self.agent.flows(&line.account.user).collect()
    }

    /// Whether a phone is registered over a flow.
    #[must_use]
    pub fn is_registered(&self, flow: sip::Flow) -> bool {
        self.agent.is_registered(flow)
    }

    /// The status by which a line's phones said that they take no texts, if they did; texts for it then wait for another phone.
    #[must_use]
    pub fn takes_no_texts(&self, line: &Line) -> Option<u16> {
        self.courier.deaf(line.number)
    }

    /// What must outlive this process, to be saved at [`Output::Ledger`].
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What was dropped in silence.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            stale_stamps: self.stock.stale(),
            ..self.counters
        }
    }

    pub(crate) fn wall(&self, now: Instant) -> UnixTime {
        self.clock.wall(now)
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn expected(&self, hint: &Hint) -> Option<CallLabel> {
        self.hints.get(hint).copied()
    }

    /// A label that no call has. Random, so that it says nothing about the order of calls.
    pub(crate) fn new_label(&mut self) -> CallLabel {
        loop {
            let label = CallLabel(self.rng.next_u32());
            if !self.calls.contains_key(&label) {
                return label;
            }
        }
    }

    /// Lets one call handle one event, and forgets the call if that was its last.
    pub(crate) fn tell(&mut self, label: CallLabel, happening: Happening<'_>, now: Instant) {
        let Some(mut call) = self.calls.remove(&label) else {
            return;
        };
        let over = self.with_desk(&mut call, now, |call, desk| call.on(happening, desk));
        if over.unwrap_or(true) {
            self.write_down(&call, now);
            self.forget(call);
        } else {
            self.keep(call);
        }
    }

    /// Runs `act` on a call that is not in the table, with everything it may touch.
    pub(crate) fn with_desk<T>(
        &mut self,
        call: &mut Call,
        now: Instant,
        act: impl FnOnce(&mut Call, &mut Desk<'_>) -> T,
    ) -> Option<T> {
        let wall = self.clock.wall(now);
        let line = self.lines.get(call.common.line)?;
        let mut desk = Desk {
            agent: &mut self.agent,
            config: &self.config,
            line,
            stock: &mut self.stock,
            hints: &mut self.hints,
            out: &mut self.out,
            rng: &mut self.rng,
            posts: &mut self.posts,
            address_book: &mut self.address_book,
            roots: &mut self.roots,
            book_key: &self.book_key,
            news: &mut self.news,
            wall,
            now,
        };
        Some(act(call, &mut desk))
    }

    /// Puts a call into the table.
    pub(crate) fn keep(&mut self, call: Call) {
        if let Some(leg) = call.common.leg {
            self.legs.insert(leg, call.common.label);
        }
        self.calls.insert(call.common.label, call);
    }

    pub(crate) fn forget(&mut self, mut call: Call) {
        let label = call.common.label;
        self.stock
            .put_back(call.common.stamps.take().unwrap_or_default());
        self.legs.retain(|_, of| *of != label);
        self.hints.retain(|_, of| *of != label);
    }

    fn labels(&self) -> Vec<CallLabel> {
        self.calls.keys().copied().collect()
    }
}
