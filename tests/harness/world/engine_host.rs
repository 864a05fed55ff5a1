//! One engine of the simulated world and what its shell would do for it: ports, TURN sockets, stamps. The sibling of the
//! real shell (`gateway/src/run.rs`, `gateway/src/io/talk.rs`), with addresses instead of sockets.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use ringfence_engine::{
    CallLabel, Engine, FalseRecord, MediaEvent, MediaFault, MediaOrder, NearPort, Output, Post,
    Sealed, Step,
    contacts::Contacts,
    date::UnixTime,
    envelope::EventKey,
    identity::Identity,
    ledger::Ledger,
    roots::SplitView,
    work::{Mint, Stamp},
};
use ringfence_media::{
    Description, Figures, Talk, TalkOutput,
    far::{FarConfig, FarLeg, Secret, TurnServer, TurnTransport},
};
use ringfence_phonebook::{Binding, Number, VerifiedBook};
use ringfence_sip::{Flow, Password, Transport};
use zeroize::Zeroizing;

use super::{links::in_house, turn::TURN_ADDRESS};

/// Leading zero bits of a stamp in this world: some work, so that it is checked, but no waiting.
pub const WORK_BITS: u8 = 4;

/// Where engines listen for phones (RFC 3261 section 19.1.2).
const SIP_PORT: u16 = 5060;

/// The first port for phones' sound, and the first for TURN sockets; both count up.
const FIRST_NEAR_PORT: u16 = 16_384;
const FIRST_VIDEO_PORT: u16 = 24_576;
const FIRST_TURN_PORT: u16 = 40_000;

/// One line of an engine, as its owner knows it.
#[derive(Debug)]
pub struct LineCard {
    /// The number in the book.
    pub number: Number,
    /// The book's word for it.
    pub binding: Binding,
    /// SIP user name.
    pub user: String,
    /// SIP password.
    pub password: Password,
    /// The line's keys as the keystore writes them.
    pub identity: Zeroizing<Vec<u8>>,
}

impl LineCard {
    /// The line's keys, once more: for a test that opens what was sealed to them.
    pub fn identity(&self) -> Identity {
        Identity::from_bytes(&self.identity).expect("it was written by an identity")
    }
}

/// What a seat wants to leave the machine, or be known.
#[derive(Debug)]
pub(crate) enum SeatOutput {
    Sip { to: SocketAddr, bytes: Vec<u8> },
    Sound { to: SocketAddr, bytes: Vec<u8> },
    ToTurn { from: SocketAddr, bytes: Vec<u8> },
    Post(Post),
    Step(CallLabel, Step),
    Over(CallLabel, Box<Figures>),
}

/// An engine on its machine.
#[derive(Debug)]
pub struct Seat {
    /// The machine.
    pub engine: Engine,
    /// Its lines.
    pub lines: Vec<LineCard>,
    /// Credentials for the TURN server, fetched ahead of calls. Without any there is no call.
    pub(crate) credentials: VecDeque<(String, String)>,
    /// The copy of the phone book on this machine.
    pub(crate) book: VerifiedBook,
    /// The contacts as this machine has saved them.
    pub contacts: Contacts,
    /// The ledger as this machine has saved it, and how often.
    pub ledger: (Ledger, usize),
    /// Its machine is off: it hears no relay.
    pub(crate) is_off: bool,
    /// Split views of the phone book that the engine found.
    pub split_views: Vec<SplitView>,
    /// False records of its own lines that the engine found.
    pub false_records: Vec<FalseRecord>,
    /// How much of what the engine learnt is saved.
    saved: u64,
    lan: IpAddr,
    wan: Ipv4Addr,
    sounds: BTreeMap<CallLabel, Sound>,
    /// Sounds that are giving their relayed addresses back.
    closing: Vec<Sound>,
    heard_of: Vec<Description>,
    calls: u16,
    rng: ChaCha20Rng,
}

#[derive(Debug, Default)]
struct Sound {
    near: Option<SocketAddr>,
    video: Option<SocketAddr>,
    far: Option<(SocketAddr, Talk)>,
}

impl Seat {
    pub(crate) fn new(
        engine: Engine,
        book: VerifiedBook,
        (lines, index): (Vec<LineCard>, usize),
        rng: ChaCha20Rng,
    ) -> Self {
        let provider = u8::try_from(index).expect("a world has few engines");
        Self {
            engine,
            lines,
            credentials: VecDeque::new(),
            book,
            contacts: Contacts::default(),
            ledger: (Ledger::default(), 0),
            is_off: false,
            split_views: Vec::new(),
            false_records: Vec::new(),
            saved: 0,
            lan: in_house(index, 1),
            wan: Ipv4Addr::new(12, 34, 56, 100 + provider),
            sounds: BTreeMap::new(),
            closing: Vec::new(),
            heard_of: Vec::new(),
            calls: 0,
            rng,
        }
    }

    /// Where its phones register.
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.lan, SIP_PORT)
    }

    /// The addresses that nobody outside may learn: inside the house, and at its provider.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.lan, self.wan.into()]
    }

    /// What other engines said of themselves in rings and answers that were opened here.
    pub fn heard_of(&self) -> &[Description] {
        &self.heard_of
    }

    /// The person at this machine edits the contacts, with a command beside the engine.
    pub fn edit_contacts(&mut self, now: Instant, edit: impl FnOnce(&mut Contacts)) {
        edit(&mut self.contacts);
        self.engine
            .handle_contacts(self.contacts.clone(), self.saved, now);
    }

    /// The figures of a call that is not over.
    pub fn figures(&self, call: CallLabel) -> Option<Figures> {
        let (_, talk) = self.sounds.get(&call)?.far.as_ref()?;
        Some(talk.figures())
    }

    /// Calls whose sound is set up.
    pub fn sounds(&self) -> usize {
        self.sounds.len()
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

    pub(crate) fn handle_sound(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
        now: Instant,
    ) {
        let sound = self
            .sounds
            .values_mut()
            .find(|sound| sound.near == Some(to) || sound.video == Some(to));
        let Some(Sound {
            video,
            far: Some((_, talk)),
            ..
        }) = sound
        else {
            return;
        };
        if *video == Some(to) {
            talk.handle_video(from, bytes, now);
        } else {
            talk.handle_rtp(from, bytes, now);
        }
    }

    pub(crate) fn handle_turn(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        let talks = self.all_sounds().filter_map(|sound| sound.far.as_mut());
        for (local, talk) in talks {
            if *local == to {
                talk.handle_turn(bytes, now);
            }
        }
    }

    pub(crate) fn handle_envelope(&mut self, sealed: &Sealed, now: Instant) {
        self.engine.handle_envelope(sealed, now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_off {
            return;
        }
        let is_due = |alarm: Option<(Instant, _)>| alarm.is_some_and(|(at, _)| at <= now);
        if is_due(self.engine.next_alarm()) {
            self.engine.handle_timeout(now);
        }
        for sound in self.all_sounds() {
            if let Some((_, talk)) = &mut sound.far
                && is_due(talk.next_alarm())
            {
                talk.handle_timeout(now);
            }
        }
    }

    pub(crate) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        if self.is_off {
            return None;
        }
        let sounds = self.sounds.values().chain(&self.closing);
        let talks = sounds.filter_map(|sound| sound.far.as_ref());
        talks
            .filter_map(|(_, talk)| talk.next_alarm())
            .chain(self.engine.next_alarm())
            .min_by_key(|(at, _)| *at)
    }

    fn all_sounds(&mut self) -> impl Iterator<Item = &mut Sound> {
        self.sounds.values_mut().chain(&mut self.closing)
    }

    /// Lets engine and sounds work until all have nothing more to say.
    pub(crate) fn drain(&mut self, wall: UnixTime, now: Instant) -> Vec<SeatOutput> {
        let mut out = Vec::new();
        loop {
            self.drain_sounds(now, &mut out);
            let Some(output) = self.engine.poll() else {
                return out;
            };
            match output {
                Output::Phone { flow, bytes } => out.push(SeatOutput::Sip {
                    to: flow.peer,
                    bytes,
                }),
                Output::HangUpFlow(_) => {}
                Output::Post(post) => out.push(SeatOutput::Post(post)),
                Output::WantStamps(count) => {
                    for _ in 0..count {
                        let stamp = self.mint(wall);
                        self.engine.handle_stamp(stamp, now);
                    }
                }
                Output::Media { call, order } => self.obey(call, order, now, &mut out),
                Output::Learnt { count, learnt } => {
                    self.contacts.learn(&learnt);
                    self.saved = count;
                }
                Output::Ledger => {
                    self.ledger = (self.engine.ledger().clone(), self.ledger.1 + 1);
                }
                Output::SplitView(split) => self.split_views.push(*split),
                Output::FalseRecord(record) => self.false_records.push(record),
                Output::Step { call, step } => out.push(SeatOutput::Step(call, step)),
            }
        }
    }

    fn drain_sounds(&mut self, now: Instant, out: &mut Vec<SeatOutput>) {
        let mut events = Vec::new();
        let ports: Vec<_> = self
            .sounds
            .values()
            .filter_map(|sound| sound.near)
            .collect();
        let mut inside = Vec::new();
        for (call, sound) in &mut self.sounds {
            let (from, before) = (sound.near, out.len());
            drain_sound(sound, out, |event| events.push((*call, event)));
            // From one call to another that it is joined with: it does not leave the machine.
            let said = out.split_off(before);
            for output in said {
                match (output, from) {
                    (SeatOutput::Sound { to, bytes }, Some(from)) if ports.contains(&to) => {
                        inside.push((from, to, bytes));
                    }
                    (output, _) => out.push(output),
                }
            }
        }
        for (from, to, bytes) in &inside {
            self.handle_sound((*from, *to), bytes, now);
        }
        if !inside.is_empty() {
            self.drain_sounds(now, out);
        }
        self.closing.retain_mut(|sound| {
            drain_sound(sound, out, |_| {});
            // A far leg that is closed waits for nothing any more.
            let far = sound.far.as_ref();
            far.is_some_and(|(_, talk)| talk.next_alarm().is_some())
        });
        for (call, event) in events {
            self.engine.handle_media(call, event, now);
        }
    }

    fn obey(
        &mut self,
        call: CallLabel,
        order: MediaOrder,
        now: Instant,
        out: &mut Vec<SeatOutput>,
    ) {
        match order {
            MediaOrder::OpenNear { at, video } => {
                self.calls += 1;
                let port = FIRST_NEAR_PORT + 2 * self.calls;
                let video = video.then_some(FIRST_VIDEO_PORT + 2 * self.calls);
                let near = at.iter().map(|ip| NearPort {
                    sound: SocketAddr::new(*ip, port),
                    video,
                });
                let near: Vec<_> = near.collect();
                let sound = self.sounds.entry(call).or_default();
                sound.near = near.first().map(|near| near.sound);
                sound.video = sound
                    .near
                    .zip(video)
                    .map(|(near, port)| SocketAddr::new(near.ip(), port));
                self.engine.handle_media(call, MediaEvent::Near(near), now);
            }
            MediaOrder::OpenFar => self.open_far(call, now),
            MediaOrder::Close => self.close(call, now, out),
            order => self.obey_talking(call, order, now),
        }
    }

    fn obey_talking(&mut self, call: CallLabel, order: MediaOrder, now: Instant) {
        if let MediaOrder::Connect { remote, .. } = &order {
            self.heard_of.push(remote.clone());
        }
        let sound = self.sounds.get_mut(&call);
        let Some((_, talk)) = sound.and_then(|sound| sound.far.as_mut()) else {
            return;
        };
        match order {
            MediaOrder::Attach(terms) => talk.attach_phone(terms, now),
            MediaOrder::Connect { remote, role } => {
                if talk.connect(&remote, role, now).is_err() {
                    let refused = MediaEvent::Refused(MediaFault::NoPath);
                    self.engine.handle_media(call, refused, now);
                }
            }
            MediaOrder::OpenMicrophone => talk.open_microphone(now),
            MediaOrder::Press { event, millis } => {
                talk.press(event, millis);
            }
            MediaOrder::Control(frame) => {
                talk.send_control(&frame, now);
            }
            MediaOrder::OpenNear { .. } | MediaOrder::OpenFar | MediaOrder::Close => {}
        }
    }

    fn open_far(&mut self, call: CallLabel, now: Instant) {
        let Some((username, password)) = self.credentials.pop_front() else {
            let refused = MediaEvent::Refused(MediaFault::NoTurn);
            return self.engine.handle_media(call, refused, now);
        };
        self.calls += 1;
        let local = SocketAddr::from((self.wan, FIRST_TURN_PORT + self.calls));
        let config = FarConfig {
            turn: TurnServer {
                addr: TURN_ADDRESS,
                transport: TurnTransport::Udp,
                username,
                password: Secret::new(password),
            },
            local,
            private_relays: false,
        };
        let far = FarLeg::new(config, self.seed(), now);
        let talk = Talk::new(far, self.seed());
        self.sounds.entry(call).or_default().far = Some((local, talk));
    }

    /// The call is over for the engine; its far leg lives on until its relayed address is given back.
    fn close(&mut self, call: CallLabel, now: Instant, out: &mut Vec<SeatOutput>) {
        let Some(mut sound) = self.sounds.remove(&call) else {
            return;
        };
        if let Some((_, talk)) = &mut sound.far {
            talk.close(now);
            out.push(SeatOutput::Over(call, Box::new(talk.figures())));
            self.closing.push(sound);
        }
    }

    fn mint(&mut self, wall: UnixTime) -> Stamp {
        mint(EventKey(self.seed()), wall)
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }
}

/// A stamp for an event key. Simulated events are not signed: any 32 bytes are a key.
pub(crate) fn mint(event_key: EventKey, wall: UnixTime) -> Stamp {
    Mint::new(event_key, Zeroizing::new([0; 32]), WORK_BITS, wall)
        .mint_some(u32::MAX)
        .expect("four bits of work are soon found")
}

fn drain_sound(sound: &mut Sound, out: &mut Vec<SeatOutput>, mut tell: impl FnMut(MediaEvent)) {
    let Some((local, talk)) = &mut sound.far else {
        return;
    };
    while let Some(output) = talk.poll() {
        match output {
            TalkOutput::ToServer(bytes) => out.push(SeatOutput::ToTurn {
                from: *local,
                bytes,
            }),
            TalkOutput::ToPhone { to, bytes } | TalkOutput::VideoToPhone { to, bytes } => {
                out.push(SeatOutput::Sound { to, bytes });
            }
            TalkOutput::Event(event) => tell(MediaEvent::Talk(event)),
        }
    }
}
