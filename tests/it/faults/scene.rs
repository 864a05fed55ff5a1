//! What the tries share: two lines with a phone each, a call between them, and notes of what was seen.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use ringfence_sip::Transport;
use ringfence_tests::{
    deployment::InstalledLine,
    fault_lab::{FaultLab, LabEngine},
    lab_phone::{CallLog, LabPhone},
};

/// Long enough for a step of a call that works.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// A tone that comes later than this after the last one is a gap.
pub(super) const LIVE: Duration = Duration::from_millis(500);

/// What one try has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Seconds from the fault, by name; `None` is never.
    pub(super) figures: Vec<(&'static str, Option<f64>)>,
    /// What was not as expected.
    pub(super) wrong: Vec<String>,
}

impl Seen {
    pub(super) fn failed(why: String) -> Self {
        Self {
            wrong: vec![why],
            ..Self::default()
        }
    }

    /// Notes after how many seconds something happened.
    pub(super) fn note(
        &mut self,
        what: &'static str,
        from: Instant,
        at: Option<Instant>,
    ) -> Option<f64> {
        let seconds = at.map(|at| at.saturating_duration_since(from).as_secs_f64());
        self.figures.push((what, seconds));
        seconds
    }

    /// The same for what should take at most `limit` seconds.
    pub(super) fn within(
        &mut self,
        what: &'static str,
        from: Instant,
        at: Option<Instant>,
        limit: f64,
    ) {
        let seconds = self.note(what, from, at);
        if seconds.is_none_or(|seconds| seconds > limit) {
            let seconds = seconds.map_or("never".to_owned(), |seconds| format!("{seconds:.1} s"));
            self.wrong
                .push(format!("{what}: {seconds}, limit {limit} s"));
        }
    }

    /// Notes what should hold.
    pub(super) fn holds(&mut self, what: &str, holds: bool) {
        if !holds {
            self.wrong.push(format!("not so: {what}"));
        }
    }
}

/// A line of each engine, on which one call at a time is tried.
pub(super) struct Lane<'a> {
    pub(super) caller: &'a InstalledLine,
    pub(super) callee: &'a InstalledLine,
    pub(super) engines: [&'a LabEngine; 2],
}

impl<'a> Lane<'a> {
    pub(super) fn of(lab: &'a FaultLab, place: usize) -> Self {
        let [one, two] = &lab.engines;
        Self {
            caller: &one.lines[place],
            callee: &two.lines[place],
            engines: [one, two],
        }
    }

    /// A phone at each line; the callee's over `transport`.
    pub(super) fn phones(&self, transport: Transport) -> Phones {
        let phones = [
            self.engines[0].inside(|| LabPhone::boot(self.caller, Transport::Udp, 0, &device())),
            self.engines[1].inside(|| LabPhone::boot(self.callee, transport, 1, &device())),
        ];
        for phone in &phones {
            phone.wait_registered();
        }
        Phones(phones)
    }
}

/// When a call was over at a phone.
pub(super) const fn over(log: &CallLog) -> Option<Instant> {
    log.over
}

/// A name that no other device has (RFC 5626 section 4.1).
pub(super) fn device() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("urn:uuid:00000000-0000-4000-8000-{number:012}")
}

/// The caller's and the callee's phone. They end their registrations when they are dropped.
pub(super) struct Phones(pub(super) [LabPhone; 2]);

impl Phones {
    /// The caller dials until the callee rings.
    pub(super) fn ring(&self, number: &str) -> [String; 2] {
        let [caller, callee] = &self.0;
        let out = caller.dial(number);
        let Some(into) = callee.incoming(SOON) else {
            panic!("no ring: {}", shown(caller, &out))
        };
        assert!(
            caller.when(&out, SOON, |log| log.ringing).is_some(),
            "the caller hears no ringing: {}",
            shown(caller, &out)
        );
        [out, into]
    }

    /// Both talk and hear each other.
    pub(super) fn talk(&self, number: &str) -> [String; 2] {
        let [_, callee] = &self.0;
        let calls = self.ring(number);
        callee.answer(&calls[1]);
        for (phone, call) in self.0.iter().zip(&calls) {
            assert!(
                phone.when(call, SOON, |log| log.up).is_some(),
                "the answer does not connect: {}",
                shown(phone, call)
            );
        }
        self.hear(&calls, Instant::now());
        calls
    }

    /// Waits until each hears the other's tone after `since`.
    pub(super) fn hear(&self, calls: &[String; 2], since: Instant) {
        let [caller, callee] = &self.0;
        assert!(
            caller.hears(&calls[0], 1, since, SOON).is_some(),
            "the caller does not hear the callee: {}",
            shown(caller, &calls[0])
        );
        assert!(
            callee.hears(&calls[1], 0, since, SOON).is_some(),
            "the callee does not hear the caller: {}",
            shown(callee, &calls[1])
        );
    }

    /// Whether the call is up on both sides.
    pub(super) fn are_up(&self, calls: &[String; 2]) -> bool {
        let mut logs = self
            .0
            .iter()
            .zip(calls)
            .map(|(phone, call)| phone.log(call));
        logs.all(|log| log.up.is_some() && log.over.is_none())
    }

    /// The longest time without a tone at the caller's phone and at the callee's.
    pub(super) fn gaps(
        &self,
        calls: &[String; 2],
        from: Instant,
        to: Instant,
    ) -> [(&'static str, Duration); 2] {
        let [caller, callee] = &self.0;
        let here = caller.log(&calls[0]).longest_gap(from, to);
        let there = callee.log(&calls[1]).longest_gap(from, to);
        [
            ("caller's longest gap", here),
            ("callee's longest gap", there),
        ]
    }

    /// Both phones stop or resume sending.
    pub(super) fn mute(&self, calls: &[String; 2], are_muted: bool) {
        for (phone, call) in self.0.iter().zip(calls) {
            if phone.log(call).up.is_some() {
                phone.mute(call, are_muted);
            }
        }
    }

    /// Ends what is left of a call.
    pub(super) fn clear(&self, calls: &[String; 2]) {
        for (phone, call) in self.0.iter().zip(calls) {
            if phone.log(call).over.is_none() {
                phone.hang_up(call);
                phone.when(call, Duration::from_secs(3), over);
            }
        }
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        for phone in &self.0 {
            phone.unregister();
        }
    }
}

/// What a phone knows of a call, without times.
pub(super) fn shown(phone: &LabPhone, call: &str) -> String {
    let log = phone.log(call);
    let mut text = String::new();
    for (what, at) in [("rang", log.ringing), ("up", log.up), ("over", log.over)] {
        let _ = write!(text, "{what}: {}, ", at.is_some());
    }
    let _ = write!(text, "status {:?}, {} tones", log.status, log.heard.len());
    text
}
