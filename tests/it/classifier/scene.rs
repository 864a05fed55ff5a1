//! Calls of the lab's phones, whose pace is exact. A call has cycles of ten seconds. In each cycle the phone of one side does one kind of
//! thing, at times of its own; then one side hangs up. Kind, sides and times are drawn anew for every call, and calls of all kinds go on
//! at once, so that nothing else tells them apart.

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use ringfence_tests::handset_bank::{HandsetBank, HandsetVoice};

use super::lab::{Lab, Lot, RecordedCall};

pub(super) const CYCLE: Duration = Duration::from_secs(10);
/// From the last set-up of a batch to its first cycle: what belongs to the set-up is over.
pub(super) const SETTLE: Duration = Duration::from_secs(3);
/// From the last hang-up of a batch to the end of its recording.
const FAREWELL: Duration = Duration::from_secs(8);

/// What a phone does in a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It talks.
    Speech,
    /// It suppresses silence for three to eight seconds.
    Silence,
    /// Two to eight keys are pressed.
    Digits,
    /// It holds the call for three to eight seconds.
    Hold,
    /// It sends nothing for three to eight seconds.
    Mute,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Speech, "speech"),
    (Kind::Silence, "silence"),
    (Kind::Digits, "digits"),
    (Kind::Hold, "hold"),
    (Kind::Mute, "mute"),
];

/// How many calls there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) batches: usize,
    /// Calls of a batch, all at once.
    pub(super) calls: usize,
    /// Cycles of a call.
    pub(super) cycles: u32,
    pub(super) seed: u64,
}

/// What happens to a call at a moment.
#[derive(Clone, Copy, Debug)]
enum Action {
    Switch(HandsetVoice),
    Hold(bool),
    Press(u8),
    HangUp,
}

/// An answered call.
struct Call {
    record: RecordedCall,
    kind: Kind,
    /// The engine whose phone does what the kind says.
    actor: usize,
    /// The call in each engine's bank.
    phones: [u32; 2],
}

struct Stage {
    lab: Lab,
    /// The phones of each engine: of the line for calls that the first engine's phones dial, and of that for the second's. A line does not
    /// ring for a number that it calls itself.
    banks: [[HandsetBank; 2]; 2],
    lot: Lot,
}

/// Makes the calls of a plan, and writes them into a folder ([`Lab::start`]).
pub(super) fn record(plan: &Plan, folder: &Path) {
    let lab = Lab::start(2, folder);
    let bank = |engine, line| HandsetBank::register(lab.deployment.line(engine, line));
    let mut stage = Stage {
        banks: [0, 1].map(|engine| [0, 1].map(|line| bank(engine, line))),
        lab,
        lot: Lot::new(plan.seed),
    };
    for _ in 0..plan.batches {
        stage.batch(plan);
    }
    stage.lab.finish();
}

impl Stage {
    fn batch(&mut self, plan: &Plan) {
        let kinds = self.lot.shuffled(&KINDS, plan.calls);
        let mut calls: Vec<_> = kinds.into_iter().map(|kind| self.set_up(kind)).collect();
        let first = Instant::now() + SETTLE;
        let mut actions = Vec::new();
        for (index, call) in calls.iter_mut().enumerate() {
            let begin = first + self.lot.between(0, 1_000);
            for cycle in 0..plan.cycles {
                let done = self.actions(call.kind).into_iter();
                actions.extend(done.map(|(at, act)| (begin + CYCLE * cycle + at, index, act)));
            }
            let end = begin + CYCLE * plan.cycles + self.lot.between(500, 4_500);
            actions.push((end, index, Action::HangUp));
            (call.record.begin, call.record.end) = (begin, end);
        }
        actions.sort_by_key(|(at, ..)| *at);
        for (at, index, action) in actions {
            sleep(at.saturating_duration_since(Instant::now()));
            self.act(&calls[index], action);
        }
        sleep(FAREWELL);
        for call in &calls {
            for (banks, phone) in self.banks.iter().zip(call.phones) {
                banks[call.record.caller].wait_over(phone);
            }
            self.lab.write(&call.record, plan.cycles);
        }
    }

    /// Dials, answers, and finds the flows.
    fn set_up(&mut self, (kind, name): (Kind, &str)) -> Call {
        let [caller, actor, ender] = [(); 3].map(|()| self.lot.below(2));
        let dialled = Instant::now();
        let [from, to] = [caller, 1 - caller].map(|engine| &self.banks[engine][caller]);
        let dialling = from.dial(&self.lab.deployment.line(1 - caller, caller).number);
        let answering = to.answer();
        from.wait_answered(dialling);
        let mut phones = [dialling, answering];
        if caller == 1 {
            phones.reverse();
        }
        let record = RecordedCall {
            kind: name.to_owned(),
            caller,
            ender,
            flows: self.lab.next_flows(),
            dialled,
            begin: dialled,
            end: dialled,
        };
        Call {
            record,
            kind,
            actor,
            phones,
        }
    }

    /// What a phone does in a cycle, and when.
    fn actions(&mut self, kind: Kind) -> Vec<(Duration, Action)> {
        let from = self.lot.between(500, 1_500);
        let until = from + self.lot.between(3_000, 8_000);
        let switched = |microphone| {
            let back = Action::Switch(HandsetVoice::Speech);
            vec![(from, Action::Switch(microphone)), (until, back)]
        };
        match kind {
            Kind::Speech => Vec::new(),
            Kind::Silence => switched(HandsetVoice::Suppressed),
            Kind::Mute => switched(HandsetVoice::Muted),
            Kind::Hold => vec![(from, Action::Hold(true)), (until, Action::Hold(false))],
            Kind::Digits => {
                let keys = 2 + self.lot.below(7);
                let mut press = || {
                    let key = u8::try_from(self.lot.below(12)).unwrap_or(0);
                    (self.lot.between(200, 9_500), Action::Press(key))
                };
                (0..keys).map(|_| press()).collect()
            }
        }
    }

    fn act(&self, call: &Call, action: Action) {
        let RecordedCall { caller, ender, .. } = call.record;
        let (bank, phone) = (&self.banks[call.actor][caller], call.phones[call.actor]);
        match action {
            Action::Switch(microphone) => bank.switch(phone, microphone),
            Action::Hold(is_held) => bank.hold(phone, is_held),
            Action::Press(key) => bank.press(phone, key),
            Action::HangUp => self.banks[ender][caller].hang_up(call.phones[ender]),
        }
    }
}
