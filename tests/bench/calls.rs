//! What a call costs: the same calls through two engines (with coturn between them) and through two rtpengines, in turns.
//!
//! A call-second is one second of one call: 50 packets of G.711 in each direction. Figures of Ringfence are the mean of both
//! engines, those of rtpengine the mean of both rtpengines. coturn is shown separately, because it serves both. Ratios are those of
//! neighbouring rounds, so that what slows the machine down for a while slows both sides of a ratio.

use ringfence_tests::{deployment::Deployment, program::installed};

use crate::{
    Plan,
    flow::End,
    load::{self, Outcome},
    measured,
    phone_bank::{self, PhoneBank},
    process::Process,
    rtpengine::{RelayedCall, Rtpengines},
    table::{Rounds, Table, row},
    turn_hop::TurnHops,
};

/// Lines of each engine. Calls are spread over them, as they are in use.
const LINES: usize = 4;

/// Calls of each gateway that are up at the same time. An engine sends a call's frames whether or not its phone speaks, and two cores have
/// no room for more of both gateways.
const MOST_AT_ONCE: usize = 100;

struct Ours {
    deployment: Deployment,
    phones: [PhoneBank; 2],
}

/// Measurements of one kind of gateway with one number of calls.
#[derive(Debug, Default)]
struct Figures {
    cpu: Rounds,
    sleeps: Rounds,
    beside: Rounds,
    p50: Rounds,
    p99: Rounds,
    sent: u64,
    lost: u64,
    reordered: u64,
    /// Rounds in which the load generator did not get enough processor time.
    starved: usize,
    kilobytes: f64,
}

/// Measures, and prints each result when it is known.
pub(crate) fn measure(plan: &Plan) {
    let Some(deployment) = measured::start_for_calls([LINES; 2], plan.is_brief()) else {
        return;
    };
    let phones = [0, 1].map(|engine| PhoneBank::open(&deployment.lines_of(engine)));
    let mut ours = Ours { deployment, phones };
    let mut theirs =
        (!plan.alone && installed(&["rtpengine"])).then(|| Rtpengines::start(TurnHops::start()));
    let mut table = Table::begin(
        "calls: one gateway process, median (least-most)",
        row![
            "calls",
            "gateway",
            "CPU ms/call-s",
            "sleeps/call-s",
            "coturn",
            "p50 us",
            "p99 us",
            "lost",
            "of",
            "reordered",
            "kB/call",
            "starved"
        ],
    );
    for count in &plan.calls {
        let (ours, theirs) = compare(&mut ours, theirs.as_mut(), *count, plan);
        table.row(&ours.row(*count, "ringfence"));
        if let Some(theirs) = theirs {
            table.row(&theirs.row(*count, "rtpengine"));
            table.row(&ours.over(&theirs, *count));
        }
    }
}

impl Figures {
    fn add(&mut self, outcome: &Outcome) {
        let mean = |figures: &[f64]| match figures {
            [first, second, ..] => f64::midpoint(*first, *second),
            _ => f64::NAN,
        };
        self.cpu.push(mean(&outcome.cpu));
        self.sleeps.push(mean(&outcome.sleeps));
        self.beside
            .push(outcome.cpu.get(2).copied().unwrap_or(f64::NAN));
        self.p50.push(outcome.latency.quantile(0.5));
        self.p99.push(outcome.latency.quantile(0.99));
        self.sent += outcome.sent;
        self.lost += outcome.lost;
        self.reordered += outcome.reordered;
        self.starved += usize::from(outcome.offered < 0.98);
    }

    fn row(&self, calls: usize, gateway: &str) -> Vec<String> {
        let beside = self.beside.median();
        row![
            calls,
            gateway,
            self.cpu.shown(),
            self.sleeps.shown(),
            if beside.is_nan() {
                "-".to_owned()
            } else {
                format!("{beside:.2}")
            },
            self.p50.shown(),
            self.p99.shown(),
            self.lost,
            self.sent,
            self.reordered,
            format!("{:.0}", self.kilobytes),
            self.starved,
        ]
    }

    /// The ratios of these figures to others.
    fn over(&self, other: &Self, calls: usize) -> Vec<String> {
        row![
            calls,
            "ratio",
            self.cpu.over(&other.cpu),
            self.sleeps.over(&other.sleeps),
            "",
            self.p50.over(&other.p50),
            self.p99.over(&other.p99),
            "",
            "",
            "",
            format!("{:.2}", self.kilobytes / other.kilobytes),
            "",
        ]
    }
}

/// Calls through rtpengines, and what was measured of them.
struct Relayed<'a> {
    rtpengines: &'a mut Rtpengines,
    /// Memory before the calls.
    before: u64,
    ends: Vec<End>,
    calls: Vec<RelayedCall>,
    figures: Figures,
}

impl<'a> Relayed<'a> {
    fn set_up(rtpengines: &'a mut Rtpengines, count: usize) -> Self {
        let before = heap(&rtpengines.processes());
        let ends = open(count);
        let calls = ends
            .chunks_exact(2)
            .map(|call| rtpengines.call([call[0].socket(), call[1].socket()]))
            .collect();
        Self {
            rtpengines,
            before,
            ends,
            calls,
            figures: Figures::default(),
        }
    }

    fn round(&mut self, plan: &Plan) {
        let [first, second] = self.rtpengines.processes();
        let watched = [first, second, Process(self.rtpengines.coturn())];
        let outcome = load::run(&mut self.ends, plan.window(), &watched);
        self.figures.add(&outcome);
    }

    /// Hangs up.
    fn finish(mut self) -> Figures {
        let processes = self.rtpengines.processes();
        self.figures.kilobytes = per_call(&processes, self.before, self.calls.len());
        for call in &self.calls {
            self.rtpengines.hang_up(call);
        }
        self.figures
    }
}

/// Sets up `count` calls through both gateways, measures in turns, hangs up. More than [`MOST_AT_ONCE`] are measured one gateway after the
/// other.
fn compare(
    ours: &mut Ours,
    theirs: Option<&mut Rtpengines>,
    count: usize,
    plan: &Plan,
) -> (Figures, Option<Figures>) {
    if count > MOST_AT_ONCE && theirs.is_some() {
        let (here, _) = compare(ours, None, count, plan);
        let there = theirs.map(|rtpengines| {
            let mut peer = Relayed::set_up(rtpengines, count);
            (0..plan.rounds).for_each(|_| peer.round(plan));
            peer.finish()
        });
        return (here, there);
    }
    let mut here = Figures::default();
    let engines = ours.deployment.engines().map(Process);
    let before = heap(&engines);
    let mut ends = open(count);
    let calls: Vec<_> = ends
        .chunks_exact(2)
        .map(|call| ours.call([&call[0], &call[1]]))
        .collect();
    let watched = [
        engines[0],
        engines[1],
        Process(ours.deployment.coturn().id()),
    ];
    let mut peer = theirs.map(|rtpengines| Relayed::set_up(rtpengines, count));
    for _ in 0..plan.rounds {
        here.add(&load::run(&mut ends, plan.window(), &watched));
        if let Some(peer) = &mut peer {
            peer.round(plan);
        }
    }
    here.kilobytes = per_call(&engines, before, count);
    ours.hang_up(&calls);
    (here, peer.map(Relayed::finish))
}

impl Ours {
    fn call(&mut self, ends: [&End; 2]) -> phone_bank::Call {
        let [from, to] = &mut self.phones;
        phone_bank::call(from, to, ends.map(End::socket))
    }

    fn hang_up(&mut self, calls: &[phone_bank::Call]) {
        let [from, to] = &mut self.phones;
        phone_bank::hang_up_all(from, to, calls);
    }
}

fn open(calls: usize) -> Vec<End> {
    (0..2 * calls).map(|_| End::open()).collect()
}

/// Memory of both processes in kB.
fn heap(pair: &[Process; 2]) -> u64 {
    pair.iter().map(|process| process.anonymous()).sum()
}

/// Memory that a call added to one process, in kB. With few calls this is mostly the granularity of the allocator.
fn per_call(pair: &[Process; 2], before: u64, calls: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let (more, processes) = (heap(pair).saturating_sub(before) as f64, 2.0 * calls as f64);
    more / processes
}
