//! What breaks in a course: drawn from its seed, at a time or in a state of a call, for a while or for good.

use std::time::Duration;

use ringfence_engine::CallStep;
use ringfence_tests::world::{ClockError, World, links::Endpoint};

use super::draw::Draw;

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// A TURN server dies. It starts again in the end, and knows nothing.
    TurnDies(usize),
    /// All TURN servers die at once.
    AllTurnDie,
    /// Relay and TURN servers are one machine, which starts again.
    BoxReboots,
    /// A TURN server refuses allocations with this code.
    TurnRefuses(usize, u16),
    /// The relay is away.
    RelayAway,
    /// The relay delivers late.
    RelayLate(Duration),
    /// An engine's connection to the relay breaks.
    RelayLost(usize),
    /// Nothing passes between an engine and one server.
    CutOff(usize, Endpoint),
    /// An engine's machine has no network.
    Unplugged(usize),
    /// An engine's machine gets another address.
    AddressChanges(usize),
    /// The translator before an engine forgets its mappings.
    NatForgets(usize),
    /// Ways through TURN servers lose, delay, repeat and reorder packets: the share that is lost, in hundredths.
    BadLinks(u32, Duration),
    /// SIP between phones and engines is lost: a busy wireless network.
    BadLan,
    /// A machine's clock is set wrong.
    ClockSet(usize, ClockError),
    /// An engine is killed. It starts again in the end.
    EngineKilled(usize),
    /// A phone loses its power, and starts again at once.
    PhoneReboots(usize),
    /// A thief of an engine's keys rings a number.
    StolenRing {
        keys: usize,
        callee: usize,
        age: Duration,
    },
    /// Junk on the relay.
    Junk,
    /// Everything that passed the relay comes once more.
    Replay,
}

/// When a fault begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trigger {
    /// So long after the beginning of the course.
    At(Duration),
    /// So long after a call of any engine took this step.
    After(CallStep, Duration),
}

/// A fault, when it begins, and how long it lasts; none: to the end of the course.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedFault {
    pub(super) fault: Fault,
    pub(super) trigger: Trigger,
    pub(super) lasts: Option<Duration>,
}

/// Steps after which something breaks: every state of a call.
const STEPS: [CallStep; 14] = [
    CallStep::Dialled,
    CallStep::Allocated,
    CallStep::RingPosted,
    CallStep::RingOpened,
    CallStep::PhoneRings,
    CallStep::PickedUp,
    CallStep::AnswerAllocated,
    CallStep::AnswerSent,
    CallStep::AnswerOpened,
    CallStep::Confirmed,
    CallStep::Connected,
    CallStep::ControlOpen,
    CallStep::FirstAudio,
    CallStep::Reconnecting,
];

/// Error codes of RFC 8656 and RFC 8489 that a server gives out.
const REFUSALS: [u16; 8] = [300, 403, 437, 440, 441, 442, 486, 508];

impl PlannedFault {
    /// One fault of a world with so many engines, TURN servers and phones.
    pub(super) fn draw(draw: &mut Draw, engines: usize, servers: usize, phones: usize) -> Self {
        let fault = Fault::draw(draw, engines, servers, phones);
        let trigger = if draw.chance(65) {
            let delay = *draw.one_of(&[0, 0, 5, 30, 120, 400, 1_500]);
            Trigger::After(*draw.one_of(&STEPS), Duration::from_millis(delay))
        } else {
            Trigger::At(draw.span(0, 60_000))
        };
        let lasts = match draw.below(10) {
            0..=2 => Some(draw.span(10, 700)),
            3..=5 => Some(draw.span(700, 6_000)),
            6..=7 => Some(draw.span(6_000, 30_000)),
            8 => Some(draw.span(50_000, 80_000)),
            _ => None,
        };
        Self {
            fault,
            trigger,
            lasts,
        }
    }
}

impl Fault {
    fn draw(draw: &mut Draw, engines: usize, servers: usize, phones: usize) -> Self {
        let engine = draw.below(engines);
        let server = draw.below(servers);
        match draw.below(24) {
            0..=1 => Self::TurnDies(server),
            2 => Self::AllTurnDie,
            3..=4 => Self::BoxReboots,
            5 => Self::TurnRefuses(server, *draw.one_of(&REFUSALS)),
            6..=7 => Self::RelayAway,
            8 => Self::RelayLate(draw.span(300, 40_000)),
            9 => Self::RelayLost(engine),
            10 => Self::CutOff(engine, Endpoint::Turn(server)),
            11 => Self::CutOff(engine, Endpoint::Relay),
            12 => Self::Unplugged(engine),
            13 => Self::AddressChanges(engine),
            14 => Self::NatForgets(engine),
            15..=16 => Self::BadLinks(1 + draw.number(30), draw.span(0, 300)),
            17 => Self::BadLan,
            18 => Self::ClockSet(engine, draw_clock(draw)),
            19..=20 => Self::EngineKilled(engine),
            21 => Self::PhoneReboots(draw.below(phones)),
            22 => Self::StolenRing {
                keys: engine,
                callee: draw.below(engines),
                age: draw.span(0, 70_000),
            },
            _ if draw.chance(50) => Self::Junk,
            _ => Self::Replay,
        }
    }

    /// Its kind, for the count.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::TurnDies(_) => "a TURN server dies",
            Self::AllTurnDie => "all TURN servers die",
            Self::BoxReboots => "relay and TURN servers start again",
            Self::TurnRefuses(..) => "a TURN server refuses",
            Self::RelayAway => "the relay is away",
            Self::RelayLate(_) => "the relay is late",
            Self::RelayLost(_) => "a connection to the relay breaks",
            Self::CutOff(_, Endpoint::Relay) => "an engine is cut off from the relay",
            Self::CutOff(..) => "an engine is cut off from a TURN server",
            Self::Unplugged(_) => "an engine has no network",
            Self::AddressChanges(_) => "an address changes",
            Self::NatForgets(_) => "a translator forgets",
            Self::BadLinks(..) => "links lose, delay, repeat, reorder",
            Self::BadLan => "SIP is lost",
            Self::ClockSet(..) => "a clock is wrong",
            Self::EngineKilled(_) => "an engine is killed",
            Self::PhoneReboots(_) => "a phone starts again",
            Self::StolenRing { .. } => "a thief rings",
            Self::Junk => "junk",
            Self::Replay => "replays",
        }
    }

    /// Whether it is over as soon as it has happened.
    pub(super) const fn is_instant(&self) -> bool {
        matches!(
            self,
            Self::RelayLost(_)
                | Self::AddressChanges(_)
                | Self::NatForgets(_)
                | Self::PhoneReboots(_)
                | Self::StolenRing { .. }
                | Self::Junk
                | Self::Replay
        )
    }
}

/// Mostly a little, sometimes so much that rings are hardly taken.
fn draw_clock(draw: &mut Draw) -> ClockError {
    let error = match draw.chance(70) {
        true => draw.span(0, 3_000),
        false => draw.span(3_000, 25_000),
    };
    match draw.chance(50) {
        true => ClockError::Ahead(error),
        false => ClockError::Behind(error),
    }
}

/// The links of a course, when nothing is wrong with them.
pub(super) fn draw_links(draw: &mut Draw, world: &mut World) {
    let links = &mut world.links;
    links.turn.delay = draw.span(3, 90);
    links.turn.jitter = draw.span(0, 20);
    links.relay.delay = draw.span(5, 200);
    if draw.chance(30) {
        links.turn.loss = 0.01 * f64::from(draw.number(4));
        links.turn.duplicates = 0.01;
    }
}
