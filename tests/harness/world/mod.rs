//! The world in a box: engines, phones, a phone book, a Nostr relay and a TURN server on simulated wires under one clock
//! that only the world moves. No socket, no thread, no sleep: a call of a minute takes some milliseconds.
//!
//! Everything random follows from the seed, but what DTLS draws from the system by itself (see
//! [`Passage::replayable`]); so a world run twice from one seed has the same trace.

pub mod book;
pub mod frames;
pub mod handset;
pub mod relay;
mod repeats;
pub mod seat;
pub mod talkie;
pub mod turn;
pub mod wires;

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_engine::{
    CallLabel, Config, Engine, Line, Post, PostId, Sealed, Step, bucket::bucket, date::UnixTime,
    directory::Directory,
};
use ringfence_media::Figures;
use ringfence_phonebook::Number;
use ringfence_sip::{Account, Password, User};

use self::{
    book::{PhoneBook, new_identity},
    frames::{kind_of, kind_of_inner},
    handset::{Card, Handset, HandsetOutput, Notice},
    relay::Relay,
    seat::{LineCard, Seat, SeatOutput, WORK_BITS},
    turn::{TurnHouse, TurnHouseOutput},
    wires::{Kind, Passage, Place, Weather, Wire, Wires},
};
use crate::tone;

/// 22 November 2026, noon: when every world begins.
const BEGINNING: u64 = 1_795_348_800;

/// Alarms that may go off at one instant before the world is taken to stand still.
const STANDSTILL: usize = 10_000;

/// TURN credentials that an engine fetches ahead: more than any test has calls.
const CREDENTIALS: usize = 64;

/// Decides about a packet before it enters its wire: `true` lets it pass.
pub type Meddler = Box<dyn FnMut(&Passage) -> bool>;

/// Everything there is.
pub struct World {
    /// How the wires behave; may be changed at any time.
    pub wires: Wires,
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

#[derive(Debug)]
enum Arrival {
    SipToEngine {
        engine: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    SipToPhone {
        phone: usize,
        bytes: Vec<u8>,
    },
    SoundToEngine {
        engine: usize,
        ends: (SocketAddr, SocketAddr),
        bytes: Vec<u8>,
    },
    SoundToPhone {
        phone: usize,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    ToTurn {
        client: SocketAddr,
        bytes: Vec<u8>,
    },
    FromTurn {
        client: SocketAddr,
        bytes: Vec<u8>,
    },
    Relayed {
        ends: (SocketAddr, SocketAddr),
        bytes: Vec<u8>,
    },
    ToRelay {
        poster: Option<(usize, PostId)>,
        sealed: Sealed,
    },
    FromRelay {
        engine: usize,
        sealed: Sealed,
    },
    Taken {
        engine: usize,
        post: PostId,
        relays: usize,
    },
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
            relay: Relay::default(),
            turn: TurnHouse::new(now, BEGINNING),
            phone_book: PhoneBook::new(book_seed),
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

    /// Opens an engine with some lines: keys are drawn, codes issued and activated, and every engine renews its copy of
    /// the book.
    pub fn open_engine(&mut self, lines: usize) -> usize {
        let index = self.seats.len();
        let mut rng = ChaCha20Rng::seed_from_u64(self.rng.next_u64());
        let (mut own, mut cards) = (Vec::new(), Vec::new());
        for line in 0..lines {
            let identity = new_identity(&mut rng);
            let (number, binding) = self.phone_book.activate(&identity, self.wall().seconds());
            let user = format!("nightingale-{index}-{line}");
            let password = Password::new(format!("hush-{index}-{line}"));
            self.relay.subscribe(index, bucket(&identity.key(), 0));
            cards.push(LineCard {
                number,
                user: user.clone(),
                password: password.clone(),
                identity: identity.to_bytes(),
            });
            own.push(Line {
                number,
                identity,
                binding,
                account: Account {
                    user: User::new(user),
                    password,
                },
            });
        }
        let config = Config {
            work_bits: WORK_BITS,
            ..Config::default()
        };
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let engine = Engine::new(
            config,
            own,
            self.phone_book.key(),
            self.phone_book.download(),
            seed,
            (self.wall(), self.now),
        );
        let mut seat = Seat::new(engine, cards, index, rng);
        for _ in 0..CREDENTIALS {
            let pair = self.turn.credentials(self.wall().seconds(), &mut self.rng);
            seat.credentials.push_back(pair);
        }
        self.seats.push(seat);
        self.renew_books();
        self.drain();
        index
    }

    /// Every engine downloads the book again.
    fn renew_books(&mut self) {
        for seat in &mut self.seats {
            let directory: Directory = self.phone_book.download();
            seat.engine.handle_directory(directory);
        }
    }

    /// Plugs a phone in at a line of an engine and waits until it is registered.
    ///
    /// # Panics
    /// When it is not registered within a minute.
    pub fn plug_in(&mut self, engine: usize, line: usize) -> usize {
        let index = self.handsets.len();
        let number = u8::try_from(100 + index).expect("a world has few phones");
        let address = Ipv4Addr::new(10, 77, u8::try_from(engine).expect("few engines"), number);
        let seat = &self.seats[engine];
        let card = Card {
            user: seat.lines[line].user.clone(),
            password: seat.lines[line].password.clone(),
            server: seat.sip(),
            address: (address, 5060).into(),
            rtp: (address, 7078).into(),
            hz: if index.is_multiple_of(2) {
                tone::LOW
            } else {
                tone::HIGH
            },
        };
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let mut handset = Handset::new(card, seed);
        handset.register(self.now);
        self.handsets.push((handset, engine));
        self.drain();
        self.run_until("a phone is registered", Duration::from_secs(60), |world| {
            world.handset(index).noticed(&Notice::Registered).is_some()
        });
        index
    }

    /// What the person at a phone does.
    pub fn dial(&mut self, phone: usize, number: Number) {
        self.dial_digits(phone, &number.to_string());
    }

    /// Dials whatever the person typed.
    pub fn dial_digits(&mut self, phone: usize, digits: &str) {
        self.with_handset(phone, |handset, now| handset.dial(digits, now));
    }

    /// Picks up.
    pub fn answer(&mut self, phone: usize) {
        self.with_handset(phone, Handset::answer);
    }

    /// Refuses with this status.
    pub fn decline(&mut self, phone: usize, status: u16) {
        self.with_handset(phone, |handset, now| handset.decline(status, now));
    }

    /// Puts the receiver down: gives up, refuses or hangs up, whatever fits.
    pub fn hang_up(&mut self, phone: usize) {
        self.with_handset(phone, Handset::hang_up);
    }

    /// Moves the phone's sound to another port in the running call.
    pub fn reinvite(&mut self, phone: usize, rtp: SocketAddr) {
        self.with_handset(phone, |handset, now| handset.reinvite(rtp, now));
    }

    fn with_handset(&mut self, phone: usize, act: impl FnOnce(&mut Handset, Instant)) {
        act(&mut self.handsets[phone].0, self.now);
        self.drain();
    }

    /// Ends an engine's calls as when its machine is told to stop.
    pub fn shut_down(&mut self, engine: usize) {
        let now = self.now;
        self.seats[engine].engine.shut_down(now);
        self.drain();
    }

    /// An engine no longer hears the relay.
    pub fn disconnect(&mut self, engine: usize) {
        self.relay.unsubscribe(engine);
    }

    /// Somebody who is nobody's engine posts this.
    pub fn post_as_stranger(&mut self, sealed: Sealed) {
        let ends = (Place::Stranger, Place::Relay, Kind::Envelope);
        let arrival = Arrival::ToRelay {
            poster: None,
            sealed: sealed.clone(),
        };
        self.send(ends, &sealed.bytes.clone(), arrival);
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

    fn deliver_first(&mut self) {
        let now = self.now;
        let Some((_, arrival)) = self.calendar.pop_first() else {
            return;
        };
        match arrival {
            Arrival::SipToEngine {
                engine,
                from,
                bytes,
            } => self.seats[engine].handle_sip(from, &bytes, now),
            Arrival::SipToPhone { phone, bytes } => self.handsets[phone].0.handle_sip(&bytes, now),
            Arrival::SoundToEngine {
                engine,
                ends,
                bytes,
            } => {
                self.seats[engine].handle_sound(ends, &bytes, now);
            }
            Arrival::SoundToPhone { phone, to, bytes } => {
                self.handsets[phone].0.handle_sound(to, &bytes, now);
            }
            Arrival::ToTurn { client, bytes } => self.turn.handle_client(client, &bytes, now),
            Arrival::FromTurn { client, bytes } => {
                if let Some(engine) = self.engine_at(client) {
                    self.seats[engine].handle_turn(client, &bytes, now);
                }
            }
            Arrival::Relayed { ends, bytes } => self.turn.handle_relayed(ends, &bytes, now),
            Arrival::ToRelay { poster, sealed } => self.deliver_to_relay(poster, &sealed),
            Arrival::FromRelay { engine, sealed } => {
                self.seats[engine].handle_envelope(&sealed, now)
            }
            Arrival::Taken {
                engine,
                post,
                relays,
            } => {
                self.seats[engine].engine.handle_posted(post, relays, now);
            }
        }
    }

    fn deliver_to_relay(&mut self, poster: Option<(usize, PostId)>, sealed: &Sealed) {
        let listeners = self.relay.take(sealed);
        if let Some((engine, post)) = poster {
            // The word that it was taken, or the refused connection.
            let relays = usize::from(!self.relay.is_down);
            let at = self.now + self.wires.relay.delay;
            self.schedule(
                at,
                Arrival::Taken {
                    engine,
                    post,
                    relays,
                },
            );
        }
        for engine in listeners {
            let ends = (Place::Relay, Place::Engine(engine), Kind::Envelope);
            let arrival = Arrival::FromRelay {
                engine,
                sealed: sealed.clone(),
            };
            self.send(ends, &sealed.bytes, arrival);
        }
    }

    /// Lets everybody act until all is quiet.
    fn drain(&mut self) {
        let (now, wall) = (self.now, self.wall());
        for engine in 0..self.seats.len() {
            for output in self.seats[engine].drain(wall, now) {
                self.carry_out(engine, output);
            }
        }
        for phone in 0..self.handsets.len() {
            while let Some(output) = self.handsets[phone].0.poll() {
                self.send_from_phone(phone, output);
            }
        }
        for output in self.turn.drain(now) {
            self.send_from_turn(output);
        }
    }

    fn carry_out(&mut self, engine: usize, output: SeatOutput) {
        let us = Place::Engine(engine);
        match output {
            SeatOutput::Sip { to, bytes } => {
                if let Some(phone) = self.phone_at(to) {
                    let arrival = Arrival::SipToPhone {
                        phone,
                        bytes: bytes.clone(),
                    };
                    self.send((us, Place::Phone(phone), Kind::Sip), &bytes, arrival);
                }
            }
            SeatOutput::Sound { to, bytes, .. } => {
                if let Some(phone) = self.phone_at(to) {
                    let arrival = Arrival::SoundToPhone {
                        phone,
                        to,
                        bytes: bytes.clone(),
                    };
                    self.send((us, Place::Phone(phone), Kind::Sound), &bytes, arrival);
                }
            }
            SeatOutput::ToTurn { from, bytes } => {
                let arrival = Arrival::ToTurn {
                    client: from,
                    bytes: bytes.clone(),
                };
                self.send((us, Place::Turn, kind_of(&bytes)), &bytes, arrival);
            }
            SeatOutput::Post(post) => self.post(engine, &post),
            SeatOutput::Step(call, step) => {
                let at = self.clock();
                self.steps.push(Taken {
                    at,
                    engine,
                    call,
                    step,
                });
            }
            SeatOutput::Over(call, figures) => self.figures.push((engine, call, *figures)),
        }
    }

    fn post(&mut self, engine: usize, post: &Post) {
        let sealed = Sealed {
            bucket: post.bucket,
            event_key: post.stamp.event_key,
            nonce: post.stamp.nonce,
            bytes: post.envelope.as_bytes().to_vec(),
        };
        let bytes = sealed.bytes.clone();
        let arrival = Arrival::ToRelay {
            poster: Some((engine, post.id)),
            sealed,
        };
        self.send(
            (Place::Engine(engine), Place::Relay, Kind::Envelope),
            &bytes,
            arrival,
        );
    }

    fn send_from_phone(&mut self, phone: usize, output: HandsetOutput) {
        let (handset, engine) = &self.handsets[phone];
        let (engine, us) = (*engine, Place::Phone(phone));
        match output {
            HandsetOutput::Sip(bytes) => {
                let arrival = Arrival::SipToEngine {
                    engine,
                    from: handset.card().address,
                    bytes: bytes.clone(),
                };
                self.send((us, Place::Engine(engine), Kind::Sip), &bytes, arrival);
            }
            HandsetOutput::Sound { to, bytes } => {
                let arrival = Arrival::SoundToEngine {
                    engine,
                    ends: (handset.card().rtp, to),
                    bytes: bytes.clone(),
                };
                self.send((us, Place::Engine(engine), Kind::Sound), &bytes, arrival);
            }
        }
    }

    fn send_from_turn(&mut self, output: TurnHouseOutput) {
        match output {
            TurnHouseOutput::ToClient { client, bytes } => {
                if let Some(engine) = self.engine_at(client) {
                    let arrival = Arrival::FromTurn {
                        client,
                        bytes: bytes.clone(),
                    };
                    let ends = (Place::Turn, Place::Engine(engine), kind_of(&bytes));
                    self.send(ends, &bytes, arrival);
                }
            }
            TurnHouseOutput::Relayed { from, to, bytes } => {
                let arrival = Arrival::Relayed {
                    ends: (from, to),
                    bytes: bytes.clone(),
                };
                let ends = (Place::Relayed, Place::Relayed, kind_of_inner(&bytes));
                self.send(ends, &bytes, arrival);
            }
        }
    }

    /// Puts a packet on its wire, and in the trace.
    fn send(&mut self, (from, to, kind): (Place, Place, Kind), bytes: &[u8], arrival: Arrival) {
        let mut passage = Passage {
            at: self.clock(),
            from,
            to,
            kind,
            size: bytes.len(),
            lost: false,
            bytes: bytes.to_vec(),
        };
        let wire = self.wire(from, to, kind);
        let at = self.weather.arrival((from, to, kind), &wire, self.now);
        let passes = self
            .meddler
            .as_mut()
            .is_none_or(|meddler| meddler(&passage));
        match at.filter(|_| passes) {
            Some(at) => self.schedule(at, arrival),
            None => passage.lost = true,
        }
        self.trace.push(passage);
    }

    fn schedule(&mut self, at: Instant, arrival: Arrival) {
        self.sent += 1;
        self.calendar.insert((at, self.sent), arrival);
    }

    fn wire(&self, from: Place, to: Place, kind: Kind) -> Wire {
        match (from, to, kind) {
            (_, _, Kind::Sip) => self.wires.sip,
            (_, _, Kind::Sound) => self.wires.sound,
            (_, _, Kind::Envelope) => self.wires.relay,
            (Place::Relayed, ..) => self.wires.relayed,
            _ => self.wires.turn,
        }
    }

    fn phone_at(&self, address: SocketAddr) -> Option<usize> {
        self.handsets
            .iter()
            .position(|(handset, _)| handset.card().address.ip() == address.ip())
    }

    fn engine_at(&self, address: SocketAddr) -> Option<usize> {
        self.seats
            .iter()
            .position(|seat| seat.addresses().contains(&address.ip()))
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
