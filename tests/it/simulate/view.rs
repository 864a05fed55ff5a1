//! What can be seen of a course while it runs: the steps that engines announce, what phones do, and the packets at the border of each
//! machine.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    rc::Rc,
    time::Duration,
};

use ringfence_engine::{CallLabel, CallStep, EndReason};
use ringfence_tests::world::{
    World,
    handset::HandsetEvent,
    links::{Endpoint, PacketKind, TracedPacket},
    turn_packets::carried,
};

/// What is new since the course was looked at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A phone rings.
    Rings(usize),
    /// A phone is in an answered call.
    Talks(usize),
    /// A call of this engine took this step.
    Step(usize, CallStep),
}

/// A call of one engine.
#[derive(Debug, Default)]
pub(super) struct CallView {
    pub(super) began: Duration,
    pub(super) is_dialled: bool,
    pub(super) is_picked_up: bool,
    /// When the caller opened the answer, or the callee the confirmation.
    pub(super) proved: Option<Duration>,
    pub(super) answer_sent: Option<Duration>,
    /// Since when it has no path.
    pub(super) lost: Option<Duration>,
    pub(super) has_sounded: bool,
    /// None as the reason: its engine was killed.
    pub(super) ended: Option<(Duration, Option<EndReason>)>,
}

/// A phone.
#[derive(Debug, Default)]
pub(super) struct PhoneView {
    pub(super) engine: usize,
    /// Its line's number.
    pub(super) number: String,
    /// The number of the other side of its newest call.
    pub(super) peer: String,
    /// Until when it was in an answered call.
    pub(super) talked: Option<Duration>,
    /// It is on hold, or holds.
    pub(super) is_held: bool,
    /// The person gave up before an answer.
    pub(super) has_given_up: bool,
    events: usize,
}

/// What was sent since the course was looked at last, and what was sealed since it began.
#[derive(Debug, Default)]
pub(super) struct Border {
    /// Engines that sent frames, of sound or fill, to a TURN server.
    pub(super) sound: BTreeSet<usize>,
    /// Engines that sent anything to a TURN server.
    pub(super) to_turn: BTreeSet<usize>,
    /// Engines that posted.
    pub(super) posted: BTreeSet<usize>,
    /// Phones that got sound.
    pub(super) sound_to: BTreeSet<usize>,
    /// The hint of every envelope, which names the key and the counter.
    sealed: BTreeMap<[u8; 16], Sealed>,
    /// A hint under which more was sealed than is allowed.
    pub(super) sealed_twice: Option<[u8; 16]>,
    /// How often each engine was killed.
    killed: BTreeMap<usize, usize>,
    digest: DefaultHasher,
}

/// What an engine sent under one hint.
#[derive(Debug)]
struct Sealed {
    engine: usize,
    /// Of all that follows the hint, of each that was different.
    hashes: BTreeSet<u64>,
}

impl Border {
    fn note(&mut self, packet: &TracedPacket) {
        packet.replayable().hash(&mut self.digest);
        match (packet.from, packet.to, packet.kind) {
            (Endpoint::Engine(engine), Endpoint::Relay, PacketKind::Envelope) => {
                self.posted.insert(engine);
                self.note_sealed(engine, &packet.bytes);
            }
            (Endpoint::Engine(engine), Endpoint::Turn(_), kind) => {
                self.to_turn.insert(engine);
                match kind {
                    PacketKind::Srtp => {
                        self.sound.insert(engine);
                    }
                    PacketKind::Datagram => {
                        let inner = carried(&packet.bytes).unwrap_or_default();
                        self.note_sealed(engine, inner);
                    }
                    _ => {}
                }
            }
            (Endpoint::Engine(_), Endpoint::Phone(phone), PacketKind::Rtp) => {
                self.sound_to.insert(phone);
            }
            _ => {}
        }
    }

    fn note_sealed(&mut self, engine: usize, envelope: &[u8]) {
        let Some((head, rest)) = envelope.split_at_checked(17) else {
            return;
        };
        let (mut hint, mut hasher) = ([0; 16], DefaultHasher::new());
        hint.copy_from_slice(&head[1..]);
        rest.hash(&mut hasher);
        let sealed = self.sealed.entry(hint).or_insert_with(|| Sealed {
            engine,
            hashes: BTreeSet::new(),
        });
        sealed.hashes.insert(hasher.finish());
        // A ring that was answered by an engine that was killed then is answered once more by the next process. Hints are of the ring, the keys
        // of the answer: each process has a session of its own, and posts what the one before has left for its end.
        let killed = self.killed.get(&engine).copied().unwrap_or_default();
        if sealed.engine != engine || sealed.hashes.len() > 1 + killed {
            self.sealed_twice = Some(hint);
        }
    }

    fn forget(&mut self) {
        self.sound.clear();
        self.to_turn.clear();
        self.posted.clear();
        self.sound_to.clear();
    }
}

/// All that was seen.
#[derive(Debug)]
pub(super) struct View {
    pub(super) calls: BTreeMap<(usize, CallLabel), CallView>,
    pub(super) phones: Vec<PhoneView>,
    /// When each engine was killed last, and when it was started again.
    pub(super) killed: BTreeMap<usize, Duration>,
    pub(super) started: BTreeMap<usize, Duration>,
    pub(super) border: Rc<RefCell<Border>>,
    steps: usize,
}

impl View {
    /// Looks at a world from now on.
    pub(super) fn new(world: &mut World, phones: Vec<PhoneView>) -> Self {
        let border = Rc::new(RefCell::new(Border::default()));
        let noted = Rc::clone(&border);
        world.filter_packets(move |packet| {
            noted.borrow_mut().note(packet);
            true
        });
        let mut view = Self {
            calls: BTreeMap::new(),
            phones,
            killed: BTreeMap::new(),
            started: BTreeMap::new(),
            border,
            steps: 0,
        };
        view.look(world);
        view
    }

    /// What is new.
    pub(super) fn look(&mut self, world: &World) -> Vec<News> {
        let mut news = Vec::new();
        for taken in &world.steps()[self.steps..] {
            let call = self.calls.entry((taken.engine, taken.call));
            call.or_default().take(taken.step, taken.at);
            news.push(News::Step(taken.engine, taken.step));
        }
        self.steps = world.steps().len();
        for (phone, seen) in self.phones.iter_mut().enumerate() {
            let handset = world.handset(phone);
            for event in handset.events_after(seen.events) {
                seen.events += 1;
                match event {
                    HandsetEvent::Ringing { caller } => {
                        seen.peer.clone_from(caller);
                        (seen.is_held, seen.has_given_up) = (false, false);
                        news.push(News::Rings(phone));
                    }
                    HandsetEvent::Answered => news.push(News::Talks(phone)),
                    _ => {}
                }
            }
            if handset.is_talking() {
                seen.talked = Some(world.clock());
            }
        }
        news
    }

    /// Forgets the packets that were looked at.
    pub(super) fn forget_packets(&self) {
        self.border.borrow_mut().forget();
    }

    /// An engine was killed, and with it all of its calls.
    pub(super) fn note_killed(&mut self, engine: usize, now: Duration) {
        self.killed.insert(engine, now);
        *self.border.borrow_mut().killed.entry(engine).or_default() += 1;
        for ((its, _), call) in &mut self.calls {
            if *its == engine {
                call.ended.get_or_insert((now, None));
            }
        }
    }

    /// The calls of an engine.
    pub(super) fn calls_of(&self, engine: usize) -> impl Iterator<Item = &CallView> {
        let its = self
            .calls
            .iter()
            .filter(move |((its, _), _)| *its == engine);
        its.map(|(_, call)| call)
    }

    /// The phone at the other side of a phone's call: it talks with this one, or is dialling it.
    pub(super) fn partner(&self, phone: usize, world: &World) -> Option<usize> {
        let here = &self.phones[phone];
        let fits = |there: &(usize, &PhoneView)| {
            there.0 != phone
                && here.peer == there.1.number
                && there.1.peer == here.number
                && !world.handset(there.0).is_free()
                && !world.handset(there.0).is_ringing()
        };
        self.phones
            .iter()
            .enumerate()
            .find(fits)
            .map(|(there, _)| there)
    }

    /// A hash of all packets so far, but for what no seed determines.
    pub(super) fn digest(&self) -> u64 {
        self.border.borrow().digest.finish()
    }
}

impl CallView {
    fn take(&mut self, step: CallStep, at: Duration) {
        match step {
            CallStep::Dialled => (self.is_dialled, self.began) = (true, at),
            CallStep::RingOpened => self.began = at,
            CallStep::PickedUp => self.is_picked_up = true,
            CallStep::AnswerSent => self.answer_sent = Some(at),
            CallStep::AnswerOpened | CallStep::Confirmed => self.proved = Some(at),
            CallStep::FirstAudio => self.has_sounded = true,
            CallStep::Reconnecting => self.lost = Some(at),
            CallStep::Reconnected => self.lost = None,
            CallStep::Ended(reason) => self.ended = Some((at, Some(reason))),
            _ => {}
        }
    }

    /// Whether it was answered, and something was heard of the other side.
    pub(super) const fn is_talking(&self) -> bool {
        self.has_sounded && self.proved.is_some()
    }

    /// Whether it runs, or ended at most so long ago.
    pub(super) fn lives(&self, now: Duration, since: Duration) -> bool {
        self.ended.is_none_or(|(at, _)| at + since >= now)
    }
}

impl PhoneView {
    pub(super) fn new(engine: usize, number: String) -> Self {
        Self {
            engine,
            number,
            ..Self::default()
        }
    }
}
