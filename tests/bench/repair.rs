//! What the sound of a call costs beside its passage: redundancy of each depth, concealment, and transcoding. Each kind of call has two
//! engines of its own, with a wire to coturn for each, and all kinds talk and are measured at once, so that what slows the machine
//! down slows them alike.
//!
//! The setting `sound_rate` bounds the depth, and a fifth of all frames is lost, so that each depth is the one that is used. What it is
//! compared with is depth 0 over the same wire: packets that are lost are no work. Of calls that are transcoded the callee's engine does
//! that, and the caller's is shown for comparison.

use std::{thread, time::Duration};

use ringfence_media::Codec::{self, G722, Opus, Pcmu};
use ringfence_tests::{
    deployment::Deployment,
    faulty_wire::{FaultyWire, WireFaults},
    program::real_time,
};
use serde_json::Value;

use crate::{
    Plan,
    flow::End,
    load, measured,
    phone_bank::{self, PhoneBank},
    process::Process,
    table::{Rounds, Table, row},
};

/// Lines of each engine.
const LINES: usize = 4;
/// How long it takes until a depth is reached that a wire asks for, and until the list of past calls is written.
const SETTLED: Duration = Duration::from_secs(15);
const WRITTEN: Duration = Duration::from_secs(6);

/// One kind of call.
struct Kind {
    name: &'static str,
    /// The kind that its cost is compared with.
    base: usize,
    settings: &'static str,
    codecs: [Codec; 2],
    /// The share of frames that each of the two wires loses, and how many in a row.
    loss: (f64, f64),
}

const DEPTHS: [&str; 4] = [
    "max_calls = 4000\nsound_rate = 1\n",
    "max_calls = 4000\nsound_rate = 2\n",
    "max_calls = 4000\nsound_rate = 3\n",
    "max_calls = 4000\nsound_rate = 4\n",
];

/// Two wires that lose this lose a fifth of all frames, or a tenth of them in bursts.
const FIFTH: (f64, f64) = (0.106, 0.0);
const BURSTS: (f64, f64) = (0.051, 6.0);

const fn kind(
    name: &'static str,
    base: usize,
    depth: usize,
    codecs: [Codec; 2],
    loss: (f64, f64),
) -> Kind {
    Kind {
        name,
        base,
        settings: DEPTHS[depth],
        codecs,
        loss,
    }
}

const KINDS: [Kind; 9] = [
    kind("nothing lost", 0, 0, [Pcmu; 2], (0.0, 0.0)),
    kind("20 % lost, depth 0", 0, 0, [Pcmu; 2], FIFTH),
    kind("20 % lost, depth 1", 1, 1, [Pcmu; 2], FIFTH),
    kind("20 % lost, depth 2", 1, 2, [Pcmu; 2], FIFTH),
    kind("20 % lost, depth 3", 1, 3, [Pcmu; 2], FIFTH),
    kind("10 % in bursts, depth 0", 0, 0, [Pcmu; 2], BURSTS),
    kind("10 % in bursts, concealed", 5, 3, [Pcmu; 2], BURSTS),
    kind("G.711 / Opus", 0, 0, [Pcmu, Opus], (0.0, 0.0)),
    kind("G.722 / Opus", 0, 0, [G722, Opus], (0.0, 0.0)),
];

/// Calls of one kind.
struct Calls {
    kind: &'static Kind,
    pair: Deployment,
    wires: [FaultyWire; 2],
    phones: [PhoneBank; 2],
    calls: Vec<phone_bank::Call>,
    /// Milliseconds for a call-second: the caller's engine, and the callee's.
    cpu: [Rounds; 2],
}

/// Measures all kinds.
pub(crate) fn measure(plan: &Plan) {
    let _alone = real_time();
    let all: Option<Vec<_>> = KINDS.iter().map(Calls::begin).collect();
    let Some(mut all) = all else { return };
    let mut ends = talk(&mut all, plan.talks);
    if !plan.is_brief() {
        load::run(&mut ends, SETTLED, &[]);
    }
    let engines = all.iter().flat_map(|calls| calls.pair.engines());
    let engines: Vec<_> = engines.map(Process).collect();
    let mut starved = 0;
    for _ in 0..plan.rounds {
        let outcome = load::run(&mut ends, plan.window(), &engines);
        starved += usize::from(outcome.offered < 0.98);
        let costs = outcome.cpu.chunks_exact(2);
        for (calls, costs) in all.iter_mut().zip(costs) {
            for (rounds, cost) in calls.cpu.iter_mut().zip(costs) {
                // A call-second of all kinds is one of each.
                rounds.push(cost * KINDS.len() as f64);
            }
        }
    }
    all.iter_mut().for_each(Calls::hang_up);
    thread::sleep(WRITTEN);
    let title = format!(
        "repair: {} calls of each kind, median (least-most); starved rounds: {starved}",
        plan.talks
    );
    print(&title, &all);
}

/// Sets up calls of all kinds, and then lets the wires lose what each kind is about.
fn talk(all: &mut [Calls], count: usize) -> Vec<End> {
    let mut ends = Vec::new();
    for at in 0..all.len() {
        for _ in 0..count {
            ends.extend(all[at].call());
            // Engines ask whether a phone that is silent is still there.
            let banks = all.iter_mut().flat_map(|calls| &mut calls.phones);
            banks.for_each(PhoneBank::attend);
        }
    }
    for Calls { kind, wires, .. } in all {
        let (loss, burst) = kind.loss;
        for wire in wires {
            wire.set(WireFaults {
                loss,
                burst,
                ..WireFaults::default()
            });
        }
    }
    ends
}

fn print(title: &str, all: &[Calls]) {
    let mut table = Table::begin(
        title,
        row![
            "kind",
            "caller's CPU ms/call-s",
            "callee's",
            "caller's ratio",
            "callee's ratio",
            "lost",
            "repaired",
            "concealed",
            "codecs"
        ],
    );
    for calls in all {
        table.row(&calls.row(&all[calls.kind.base].cpu));
    }
}

impl Calls {
    fn begin(kind: &'static Kind) -> Option<Self> {
        let (pair, wires) =
            measured::start_over_wires_with(LINES, kind.settings, measured::beside())?;
        let mut phones = [0, 1].map(|engine| PhoneBank::open(&pair.lines_of(engine)));
        for (bank, codec) in phones.iter_mut().zip(kind.codecs) {
            bank.speak(codec);
        }
        Some(Self {
            kind,
            pair,
            wires,
            phones,
            calls: Vec::new(),
            cpu: Default::default(),
        })
    }

    fn call(&mut self) -> [End; 2] {
        let ends = self.kind.codecs.map(End::speaking);
        let [from, to] = &mut self.phones;
        let call = phone_bank::call(from, to, ends.each_ref().map(End::socket));
        self.calls.push(call);
        ends
    }

    fn hang_up(&mut self) {
        let wires = self.wires.iter();
        wires.for_each(|wire| wire.set(WireFaults::default()));
        let [from, to] = &mut self.phones;
        phone_bank::hang_up_all(from, to, &self.calls);
    }

    /// Its figures, and ratios to those of another kind.
    fn row(&self, base: &[Rounds; 2]) -> Vec<String> {
        let [lost, repaired, concealed, codecs] = self.sound();
        row![
            format!("{:<25}", self.kind.name),
            self.cpu[0].shown(),
            self.cpu[1].shown(),
            self.cpu[0].over(&base[0]),
            self.cpu[1].over(&base[1]),
            lost,
            repaired,
            concealed,
            codecs
        ]
    }

    /// What the callee's engine says of the calls: the shares that were lost, repaired and concealed, and the codecs.
    fn sound(&self) -> [String; 4] {
        let command = ["calls", "--json", "--config", "ringfence.toml"];
        let said: Value = serde_json::from_str(&self.pair.ask(1, &command)).expect("JSON");
        let calls = said["calls"].as_array().expect("a list of calls");
        let median = |name: &str| {
            let mut rounds = Rounds::default();
            let shares = calls.iter().filter_map(|call| call["sound"][name].as_f64());
            shares.for_each(|share| rounds.push(share));
            format!("{:.1} %", 100.0 * rounds.median())
        };
        let sound = calls.first().map(|call| &call["sound"]);
        let name = |codec| sound.and_then(|sound| sound[codec].as_str());
        let names = [name("phone_codec"), name("codec")].map(Option::unwrap_or_default);
        [
            median("lost_on_way"),
            median("repaired"),
            median("concealed"),
            names.join(" / "),
        ]
    }
}
