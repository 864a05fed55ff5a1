//! One simulated engine, and what its shell does for it: it delivers input, executes output, proves work and saves state, as the real
//! shell does (`gateway/src/run/`), with addresses instead of sockets. The media of its calls are in `media.rs`.

mod media;
mod race;
mod uplink;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use ringfence_book::{Number, VerifiedBook};
use ringfence_engine::{
    CallLabel, CallStep, Engine, FalseRecord, Output, ReceivedEvent, SealedEvent,
    line::identity::Identity,
    line::saved_state::SavedState,
    restart::RestartState,
    sealed::envelope::EventKey,
    sealed::proof_of_work::{ProofOfWork, ProofSearch},
    time::UnixTime,
    trust::contacts::Contacts,
    trust::roots::SplitView,
};
use ringfence_media::{Description, MediaStats};
use ringfence_sip::{Flow, Password, Transport};
use zeroize::Zeroizing;

pub(crate) use self::uplink::Uplink;
use self::{
    media::{CallMedia, OpenFar},
    race::{CallRace, Losses, RaceLeg},
};
use super::{faults::ClockError, links::lan_address};

/// Leading zero bits of a proof of work in this world: enough that it is checked, but found at once.
pub const WORK_BITS: u8 = 4;

/// Where engines listen for phones (RFC 3261 section 19.1.2).
const SIP_PORT: u16 = 5060;

/// One line of an engine with its secrets.
#[derive(Debug)]
pub struct LineSecrets {
    /// The line's number.
    pub number: Number,
    /// SIP user name.
    pub user: String,
    /// SIP password.
    pub password: Password,
    /// The line's keys as the key store writes them.
    pub identity: Zeroizing<Vec<u8>>,
}

impl LineSecrets {
    /// A copy of the line's keys, for tests that open envelopes sealed to them.
    pub fn identity(&self) -> Identity {
        Identity::from_bytes(&self.identity).expect("it was written by an identity")
    }
}

/// What a host sends, or reports to the world.
#[derive(Debug)]
pub(crate) enum HostOutput {
    Sip {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Rtp {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    ToTurn {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Post(SealedEvent),
    Step(CallLabel, CallStep),
    Over(CallLabel, Box<MediaStats>),
}

/// A machine that runs an engine.
#[derive(Debug)]
pub struct EngineHost {
    /// The engine's core.
    pub engine: Engine,
    /// Its lines.
    pub lines: Vec<LineSecrets>,
    /// Credentials for the TURN server, fetched before calls. Without any, a call fails.
    pub(crate) credentials: VecDeque<(String, String)>,
    /// This machine's copy of the phone book.
    pub(crate) book: VerifiedBook,
    /// The contacts that this machine has saved.
    pub contacts: Contacts,
    /// The state that this machine has saved, and how often it was saved.
    pub saved_state: (SavedState, usize),
    /// What the engine has saved for the process after it, and how often it did.
    pub restart: (RestartState, usize),
    /// The machine is off: it receives nothing.
    pub(crate) is_off: bool,
    /// How long this machine has slept: its monotonic clock is behind by that, its wall clock is not.
    slept: Duration,
    /// How wrong its wall clock is.
    pub(crate) clock_error: ClockError,
    /// How often the engine asked to check connections.
    pub checked_connections: usize,
    /// Split views of the phone book that the engine reported.
    pub split_views: Vec<SplitView>,
    /// False records of its own lines that the engine reported.
    pub false_records: Vec<FalseRecord>,
    /// Up to which change the engine's contacts are saved.
    saved: u64,
    lan: IpAddr,
    /// The way into the internet.
    pub(crate) uplink: Uplink,
    /// The TURN servers of its settings, the first one first.
    pub(crate) turn_servers: Vec<SocketAddr>,
    losses: Losses,
    media: BTreeMap<CallLabel, CallMedia>,
    /// Calls for which the TURN servers are asked.
    racing: BTreeMap<CallLabel, CallRace>,
    /// Ended calls that are still releasing their allocations.
    closing: Vec<CallMedia>,
    /// Allocations that lost a race, and are being released.
    releasing: Vec<RaceLeg>,
    heard_of: Vec<Description>,
    calls: u16,
    rng: ChaCha20Rng,
}

impl EngineHost {
    pub(crate) fn new(
        engine: Engine,
        book: VerifiedBook,
        (lines, index): (Vec<LineSecrets>, usize),
        rng: ChaCha20Rng,
    ) -> Self {
        let provider = u8::try_from(index).expect("a world has few engines");
        Self {
            engine,
            lines,
            credentials: VecDeque::new(),
            book,
            contacts: Contacts::default(),
            saved_state: (SavedState::default(), 0),
            restart: (RestartState::default(), 0),
            is_off: false,
            slept: Duration::ZERO,
            clock_error: ClockError::Ahead(Duration::ZERO),
            checked_connections: 0,
            split_views: Vec::new(),
            false_records: Vec::new(),
            saved: 0,
            lan: lan_address(index, 1),
            uplink: Uplink::new(Ipv4Addr::new(12, 34, 56, 100 + provider)),
            turn_servers: Vec::new(),
            losses: Losses::default(),
            media: BTreeMap::new(),
            racing: BTreeMap::new(),
            closing: Vec::new(),
            releasing: Vec::new(),
            heard_of: Vec::new(),
            calls: 0,
            rng,
        }
    }

    /// The SIP server at which its phones register.
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.lan, SIP_PORT)
    }

    /// The addresses that other parties must not learn: in the LAN, and all that it has had at providers.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = vec![self.lan];
        addresses.extend(self.uplink.addresses());
        addresses
    }

    /// The descriptions in rings and answers of other engines that were opened here.
    pub fn heard_of(&self) -> &[Description] {
        &self.heard_of
    }

    /// Whether its machine is off, or its process gone.
    pub const fn is_off(&self) -> bool {
        self.is_off
    }

    /// Edits the contacts, as a command line beside the engine does.
    pub fn edit_contacts(&mut self, now: Instant, edit: impl FnOnce(&mut Contacts)) {
        edit(&mut self.contacts);
        self.engine
            .handle_contacts(self.contacts.clone(), self.saved, now);
    }

    /// The figures of a running call.
    pub fn figures(&self, call: CallLabel) -> Option<MediaStats> {
        Some(self.media.get(&call)?.far.as_ref()?.talk.stats())
    }

    /// How many calls have media, or ask for an allocation.
    pub fn media(&self) -> usize {
        self.media.len() + self.racing.len()
    }

    /// Its process is gone, and with it whatever was not saved.
    pub(crate) fn kill(&mut self) {
        self.is_off = true;
        self.media.clear();
        self.racing.clear();
        self.closing.clear();
        self.releasing.clear();
    }

    /// A new process takes its place.
    pub(crate) fn start(&mut self, engine: Engine) {
        self.engine = engine;
        self.is_off = false;
        self.slept = Duration::ZERO;
    }

    /// It has slept for this long: no timer ran, and nothing arrived.
    pub(crate) fn wake(&mut self, span: Duration) {
        self.is_off = false;
        self.slept += span;
    }

    /// This machine's monotonic clock. Its engine is told the time of day as well, as before each event.
    pub(crate) fn read_clocks(&mut self, wall: UnixTime, now: Instant) -> Instant {
        let now = now - self.slept;
        self.engine.handle_wall(self.shown(wall), now);
        now
    }

    /// What this machine's clock shows at this time.
    fn shown(&self, wall: UnixTime) -> UnixTime {
        match self.clock_error {
            ClockError::Ahead(error) => wall.after(error),
            ClockError::Behind(error) => wall.before(error),
        }
    }

    pub(crate) fn handle_sip(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let flow = Flow {
            transport: Transport::Udp,
            local: self.sip(),
            peer: from,
            connection: 0,
        };
        self.engine.handle_phone(flow, bytes, now);
    }

    pub(crate) fn handle_envelope(&mut self, sealed: &ReceivedEvent, now: Instant) {
        self.engine.handle_envelope(sealed, now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_off {
            return;
        }
        let timeout = self.engine.next_timeout();
        if timeout.is_some_and(|(at, _)| at <= now) {
            self.engine.handle_timeout(now);
        }
        for media in self.all_media() {
            if let Some(OpenFar { talk, .. }) = &mut media.far
                && talk.next_timeout().is_some_and(|(at, _)| at <= now)
            {
                talk.handle_timeout(now);
            }
        }
        self.handle_race_timeout(now);
    }

    pub(crate) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        if self.is_off {
            return None;
        }
        let media = self.media.values().chain(&self.closing);
        let talks = media.filter_map(|media| media.far.as_ref());
        let engine = self.engine.next_timeout();
        talks
            .filter_map(|far| far.talk.next_timeout())
            .map(|(at, _)| (at, "media"))
            .chain(self.race_timeouts().map(|at| (at, "a race")))
            .chain(engine.map(|(at, timer)| (at, timer.reason())))
            .min_by_key(|(at, _)| *at)
            .map(|(at, reason)| (at + self.slept, reason))
    }

    /// Handles all pending output of the engine and of all media.
    pub(crate) fn drain(&mut self, wall: UnixTime, now: Instant) -> Vec<HostOutput> {
        let mut out = Vec::new();
        loop {
            self.drain_races(now, &mut out);
            self.drain_media(now, &mut out);
            if self.follow_searches(now) {
                continue;
            }
            let Some(output) = self.engine.poll() else {
                order_requests(&mut out);
                return out;
            };
            match output {
                Output::Phone { flow, bytes } => out.push(HostOutput::Sip {
                    to: flow.peer,
                    bytes,
                }),
                Output::CloseFlow(_) => {}
                Output::Post(post) => out.push(HostOutput::Post(post)),
                Output::WantProofs(count) => {
                    for _ in 0..count {
                        let proof = self.prove_work(self.shown(wall));
                        self.engine.handle_proof_of_work(proof, now);
                    }
                }
                Output::WantProofFor(key) => {
                    let proof = prove_work(key.public, self.shown(wall));
                    self.engine.handle_proof_of_work(proof, now);
                }
                Output::Media { call, order } => self.handle_order(call, order, now, &mut out),
                Output::ContactUpdate { count, learnt } => {
                    self.contacts.learn(&learnt);
                    self.saved = count;
                }
                Output::SavedState => {
                    self.saved_state = (self.engine.saved_state().clone(), self.saved_state.1 + 1);
                }
                Output::RestartState => {
                    self.restart = (self.engine.restart_state(now), self.restart.1 + 1);
                }
                Output::CheckConnections => self.checked_connections += 1,
                Output::SplitView(split) => self.split_views.push(*split),
                Output::FalseRecord(record) => self.false_records.push(record),
                Output::Step { call, step, .. } => out.push(HostOutput::Step(call, step)),
            }
        }
    }

    fn prove_work(&mut self, wall: UnixTime) -> ProofOfWork {
        prove_work(EventKey(self.seed()), wall)
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }
}

/// A proof of work for an event key. Simulated events are not signed, so any 32 bytes are a key.
pub(crate) fn prove_work(event_key: EventKey, wall: UnixTime) -> ProofOfWork {
    ProofSearch::new(event_key, Zeroizing::new([0; 32]), WORK_BITS, wall)
        .search(u32::MAX)
        .expect("four bits of work are soon found")
}

/// Requests to TURN servers that leave at one moment, in an order that is the same in each course of one seed: the TURN client sends them
/// again in the order of their transaction ids, which are random.
fn order_requests(out: &mut [HostOutput]) {
    let is_request = |output: &HostOutput| matches!(output, HostOutput::ToTurn { bytes, .. } if bytes.len() >= 20 && bytes[0] == 0);
    let places: Vec<usize> = (0..out.len()).filter(|at| is_request(&out[*at])).collect();
    // Insertion keeps the others where they are.
    for (nth, _) in places.iter().enumerate() {
        for one in (1..=nth).rev() {
            let (here, before) = (places[one], places[one - 1]);
            if request_key(&out[here]) < request_key(&out[before]) {
                out.swap(here, before);
            }
        }
    }
}

/// What a request says, without its transaction id (RFC 8489 section 5).
fn request_key(output: &HostOutput) -> Option<(SocketAddr, SocketAddr, &[u8], &[u8])> {
    match output {
        HostOutput::ToTurn { from, to, bytes } => Some((*from, *to, &bytes[..4], &bytes[20..])),
        _ => None,
    }
}
