//! One course: a world with some engines, phones and servers, people who call each other, and what breaks meanwhile, all drawn from a seed.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use ringfence_tests::world::{ClockError, World, links::Links};

use super::{
    draw::Draw,
    faults::{PlannedFault, Trigger, draw_links},
    promises::{self, Promises, Quiet},
    view::{News, PhoneView, View},
};

/// Packets that are kept for the print of a violation.
const TRACED: usize = 200;

/// When everybody has hung up and nothing is broken any more, until nothing is left on any machine: a request of SIP is repeated for 32 s, a
/// call waits for its path for 60 s.
const ENDED: Duration = Duration::from_secs(100);

/// Until no allocation is left: one that could not be released ends with the lifetime that its client asked for (RFC 8656 section 7.2).
const EXPIRED: Duration = Duration::from_secs(1_810);

/// More than a relay is late.
const LATEST: Duration = Duration::from_secs(45);

/// From dialling to sound at both ears at the end of a course, with the other one's answer.
const WORKS: Duration = Duration::from_secs(20);

/// Something that is done at its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// One phone dials the line of another one.
    Dial(usize, usize),
    /// A phone dials a number that nobody has.
    DialNobody(usize),
    /// A person answers.
    Answer(usize),
    /// A person declines.
    Decline(usize),
    /// A person hangs up, or gives up.
    HangUp(usize),
    /// A person holds the call, or resumes it.
    Hold(usize, bool),
    /// A fault begins.
    Break(usize),
    /// It ends.
    Mend(usize),
}

/// What came of a course.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Calls that people began.
    pub(super) calls: usize,
    /// Those in which both heard each other.
    pub(super) talks: usize,
    /// Faults that happened, by kind.
    pub(super) faults: BTreeMap<&'static str, usize>,
    /// Simulated time.
    pub(super) took: Duration,
    /// A hash of all packets.
    pub(super) digest: u64,
    /// A promise that was broken, with the last steps of the course.
    pub(super) violation: Option<String>,
}

/// A course that runs.
pub(super) struct Course {
    pub(super) world: World,
    pub(super) draw: Draw,
    pub(super) view: View,
    pub(super) promises: Promises,
    pub(super) faults: Vec<PlannedFault>,
    /// Faults that last, and wait for their end.
    pub(super) active: Vec<usize>,
    pub(super) changed: Option<Duration>,
    pub(super) clock_errors: BTreeMap<usize, ClockError>,
    pub(super) links: Links,
    pub(super) servers: usize,
    engines: usize,
    pub(super) report: Report,
    armed: Vec<usize>,
    /// Nobody does anything any more but hang up.
    is_closing: bool,
    agenda: BTreeMap<(Duration, usize), Deed>,
    planned: usize,
    log: Vec<(Duration, Deed)>,
}

/// Plays the course of a seed to its end, or to the first broken promise.
pub(super) fn play(seed: u64) -> Report {
    let mut course = Course::new(seed);
    let told = course.run();
    let mut report = std::mem::take(&mut course.report);
    report.took = course.world.clock();
    let calls = course.view.calls.values();
    report.talks = calls
        .filter(|call| call.is_dialled && call.has_sounded)
        .count();
    report.digest = course.view.digest();
    report.violation = told.err().map(|broken| course.describe(&broken));
    report
}

impl Course {
    fn new(seed: u64) -> Self {
        let (mut world, mut draw) = (World::new(seed), Draw::new(seed));
        world.video = false;
        world.bound_trace(TRACED);
        let servers = 1 + draw.below(2);
        for _ in 1..servers {
            world.add_turn_server();
        }
        let engines = *draw.one_of(&[2, 2, 2, 3, 4]);
        let mut phones = Vec::new();
        for engine in 0..engines {
            world.open_engine(1);
            if servers == 2 && draw.chance(50) {
                world.use_turn_servers(engine, &[1, 0]);
            }
            let number = world.number(engine, 0).to_string();
            for _ in 0..*draw.one_of(&[1, 1, 1, 2]) {
                let phone = world.add_phone(engine, 0);
                world.thin_sound(phone);
                phones.push(PhoneView::new(engine, number.clone()));
            }
        }
        draw_links(&mut draw, &mut world);
        let faults = (0..draw.below(6))
            .map(|_| PlannedFault::draw(&mut draw, engines, servers, phones.len()))
            .collect();
        let links = world.links;
        let view = View::new(&mut world, phones);
        let mut course = Self {
            world,
            draw,
            view,
            promises: Promises::default(),
            faults,
            active: Vec::new(),
            changed: None,
            clock_errors: BTreeMap::new(),
            links,
            servers,
            engines,
            report: Report::default(),
            armed: Vec::new(),
            is_closing: false,
            agenda: BTreeMap::new(),
            planned: 0,
            log: Vec::new(),
        };
        course.plan_faults();
        course.plan_calls();
        course
    }

    fn plan_faults(&mut self) {
        for index in 0..self.faults.len() {
            match self.faults[index].trigger {
                Trigger::At(at) => self.plan(at, Deed::Break(index)),
                Trigger::After(..) => self.armed.push(index),
            }
        }
    }

    /// Something is to be done so long from now on.
    pub(super) fn plan(&mut self, after: Duration, deed: Deed) {
        self.planned += 1;
        self.agenda
            .insert((self.world.clock() + after, self.planned), deed);
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(((at, _), _)) = self.agenda.first_key_value() {
            if !self.world.step_until(*at)
                && let Some((_, deed)) = self.agenda.pop_first()
            {
                self.log.push((self.world.clock(), deed));
                self.act(deed);
            }
            self.look()?;
        }
        self.finish()
    }

    /// Looks at what has become, lets people react to it, and checks what has to be true.
    fn look(&mut self) -> Result<(), String> {
        for news in self.view.look(&self.world) {
            if self.is_closing {
                self.note_rings(news);
                continue;
            }
            self.react(news);
            if let News::Step(_, step) = news {
                let faults = &self.faults;
                let is_due = |index: &mut usize| matches!(faults[*index].trigger, Trigger::After(after, _) if after == step);
                for index in self.armed.extract_if(.., is_due).collect::<Vec<_>>() {
                    if let Trigger::After(_, delay) = self.faults[index].trigger {
                        self.plan(delay, Deed::Break(index));
                    }
                }
            }
        }
        // A connection to the relay that broke is a fault until there is another.
        if (0..self.engines).any(|engine| !self.world.is_connected(engine)) {
            self.changed = Some(self.world.clock());
        }
        let quiet = self.quiet();
        let told = self.promises.check(&self.world, &self.view, &quiet);
        self.view.forget_packets();
        told
    }

    fn quiet(&self) -> Quiet {
        let errors = self.clock_errors.values().map(|error| match error {
            ClockError::Ahead(error) | ClockError::Behind(error) => *error,
        });
        let mut errors: Vec<_> = errors.collect();
        errors.sort();
        Quiet {
            active: self.active.len(),
            changed: self.changed,
            clock_error: errors.iter().rev().take(2).sum(),
        }
    }

    /// Everything is mended, one side of each call hangs up and then the other one, and nothing is left; then a call is possible.
    fn finish(&mut self) -> Result<(), String> {
        self.armed.clear();
        self.agenda.clear();
        self.is_closing = true;
        for index in self.active.clone() {
            self.act(Deed::Mend(index));
        }
        self.run_on(Duration::from_secs(2))?;
        for phone in 0..self.view.phones.len() {
            if self.draw.chance(50) {
                self.act(Deed::HangUp(phone));
            }
        }
        self.run_on(Duration::from_secs(1))?;
        // The promises bound how long that may last.
        while promises::is_one_alone(&self.world, &self.view) {
            self.run_on(Duration::from_secs(1))?;
        }
        self.end_all()?;
        let last = self.clock_errors.is_empty() && self.draw.chance(25);
        if last {
            // What the relay was slow to deliver comes first.
            self.run_on(LATEST)?;
            self.call_once_more()?;
            self.end_all()?;
        }
        match self.world.turn.misdirected() {
            [] => Ok(()),
            all => Err(format!("packets for {all:?}, which are no servers")),
        }
    }

    /// Everybody hangs up, and nothing is left.
    fn end_all(&mut self) -> Result<(), String> {
        for phone in 0..self.view.phones.len() {
            self.act(Deed::HangUp(phone));
        }
        let end = self.world.clock() + ENDED;
        loop {
            let left = promises::nothing_left(&self.world, &self.view);
            if left.is_ok() {
                break;
            }
            if self.world.clock() >= end {
                return left;
            }
            self.run_on(Duration::from_secs(1))?;
        }
        let end = self.world.clock() + EXPIRED;
        while self.world.turn.relays() > 0 {
            if self.world.clock() >= end {
                return Err("an allocation is left".to_owned());
            }
            self.run_on(Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// Whatever has broken, the next call is as any other.
    fn call_once_more(&mut self) -> Result<(), String> {
        let engine = self.view.phones[0].engine;
        let callee = self
            .view
            .phones
            .iter()
            .position(|phone| phone.engine != engine);
        let callee = callee.unwrap_or_default();
        self.act(Deed::Dial(0, callee));
        let end = self.world.clock() + WORKS;
        let heard = |world: &World, phone| world.handset(phone).received_audio().packets();
        while heard(&self.world, 0) < 2 || heard(&self.world, callee) < 2 {
            if self.world.clock() >= end {
                return Err(format!("a call is not possible within {WORKS:?}"));
            }
            self.act(Deed::Answer(callee));
            self.run_on(Duration::from_millis(200))?;
        }
        Ok(())
    }

    fn run_on(&mut self, span: Duration) -> Result<(), String> {
        let end = self.world.clock() + span;
        while self.world.step_until(end) {
            self.look()?;
        }
        self.look()
    }

    /// The print of a violation.
    fn describe(&self, broken: &str) -> String {
        let mut text = format!("{broken}, after {:?}\n", self.world.clock());
        for (at, deed) in &self.log {
            let fault = match deed {
                Deed::Break(index) | Deed::Mend(index) => Some(self.faults[*index]),
                _ => None,
            };
            let _ = match fault {
                Some(fault) => writeln!(text, "  {at:>12.3?} {deed:?} {fault:?}"),
                None => writeln!(text, "  {at:>12.3?} {deed:?}"),
            };
        }
        let _ = write!(text, "{:?}", self.world);
        text
    }
}
