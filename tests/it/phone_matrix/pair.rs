//! Two registered phones at two engines, and what they have recorded.

use std::{fmt, thread, time::Duration};

use ringfence_tests::{
    deployment::InstalledLine,
    real_phone::{PhoneAccount, PhoneModel, RealPhone},
    tone::{self, HIGH, LOW, ToneMeasurement},
};

/// Long enough for a ring over a relay that stores every event first.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// How long a call lasts.
pub(super) const TALK: Duration = Duration::from_secs(3);
/// Shorter gaps are caused by the phones themselves on a busy machine.
const TOLERATED_GAP: Duration = Duration::from_millis(300);
/// The tone of the third phone.
pub(super) const THIRD: f64 = 700.0;

/// Transport and media settings of both phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) transport: &'static str,
    pub(super) srtp: &'static str,
    /// Of both, or `caller's/callee's`.
    pub(super) codec: &'static str,
    pub(super) digits: &'static str,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let srtp = match self.srtp {
            "off" => "",
            _ => "+srtp",
        };
        write!(f, "{}{srtp} {}", self.transport, self.codec)
    }
}

/// The lines of one lane.
#[derive(Clone, Copy)]
pub(super) struct Seats<'a> {
    pub(super) caller: &'a InstalledLine,
    pub(super) callee: &'a InstalledLine,
    pub(super) third: &'a InstalledLine,
}

/// Both phones.
pub(super) struct Pair<'a> {
    pub(super) caller: RealPhone,
    pub(super) callee: RealPhone,
    pub(super) models: (PhoneModel, PhoneModel),
    pub(super) seats: Seats<'a>,
}

impl<'a> Pair<'a> {
    pub(super) fn start(
        seats: Seats<'a>,
        caller: PhoneModel,
        callee: PhoneModel,
        way: Way,
    ) -> Self {
        let phone = |model, codecs, line: &InstalledLine, contact: &InstalledLine, microphone| {
            let account = account(line, way, model);
            let account = PhoneAccount {
                contact: &contact.number,
                microphone,
                codecs,
                ..account
            };
            RealPhone::start(model, &account)
        };
        let (callers, callees) = way.codec.split_once('/').unwrap_or((way.codec, way.codec));
        let mut pair = Self {
            caller: phone(caller, callers, seats.caller, seats.callee, LOW),
            callee: phone(callee, callees, seats.callee, seats.caller, HIGH),
            models: (caller, callee),
            seats,
        };
        pair.caller.wait_registered();
        pair.callee.wait_registered();
        pair
    }

    /// The caller dials; waits until the callee's phone rings.
    pub(super) fn ring(&mut self) {
        self.caller
            .command(&format!("call {}", self.seats.callee.number));
        self.callee.wait_call("incoming", SOON);
        self.caller.wait_call("ringing", SOON);
    }

    /// Calls and answers.
    pub(super) fn connect(&mut self) {
        self.ring();
        answer(&mut self.callee, &mut self.caller);
    }

    /// One of them hangs up. Returns what caller and callee heard of each other.
    pub(super) fn end(&mut self, by_callee: bool) -> (ToneMeasurement, ToneMeasurement) {
        let (ending, other) = match by_callee {
            false => (&mut self.caller, &mut self.callee),
            true => (&mut self.callee, &mut self.caller),
        };
        hang_up(ending, other);
        let at_caller = tone::measure(&self.caller.recording(), HIGH);
        let at_callee = tone::measure(&self.callee.recording(), LOW);
        (at_caller, at_callee)
    }
}

/// A third phone at a line of its own, for transfers.
pub(super) fn third_phone(line: &InstalledLine) -> RealPhone {
    let account = PhoneAccount {
        microphone: THIRD,
        ..PhoneAccount::plain(&line.user, &line.password, line.udp)
    };
    let mut phone = RealPhone::start(PhoneModel::Pjsua, &account);
    phone.wait_registered();
    phone
}

pub(super) fn answer(callee: &mut RealPhone, caller: &mut RealPhone) {
    callee.command("answer");
    callee.wait_call("talking", SOON);
    caller.wait_call("talking", SOON);
}

pub(super) fn hang_up(ending: &mut RealPhone, other: &mut RealPhone) {
    ending.command("hang-up");
    ending.wait_call("ended", SOON);
    other.wait_call("ended", SOON);
}

/// What a phone heard in the last part of its call.
pub(super) fn heard_at_last(phone: &mut RealPhone, hz: f64, last: Duration) -> ToneMeasurement {
    let mut sound = phone.recording();
    let samples = (last.as_secs_f64() * f64::from(sound.rate)) as usize;
    let begin = sound.samples.len().saturating_sub(samples);
    sound.samples.drain(..begin);
    tone::measure(&sound, hz)
}

/// Asserts that the tone lasted most of this time, without a long gap.
pub(super) fn assert_carried(who: &str, heard: &ToneMeasurement, time: Duration) {
    assert!(
        heard.tone > time.mul_f64(0.85) && heard.longest_gap < TOLERATED_GAP,
        "{who} heard {heard:?} of {time:?}"
    );
}

pub(super) fn pause(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
}

fn account<'a>(line: &'a InstalledLine, way: Way, model: PhoneModel) -> PhoneAccount<'a> {
    let server = match way.transport {
        "udp" => line.udp,
        "tcp" => line.tcp,
        _ => line.tls,
    };
    PhoneAccount {
        transport: way.transport,
        ca: Some(&line.ca),
        srtp: way.srtp,
        digits: match model {
            PhoneModel::Baresip => "rtp",
            _ => way.digits,
        },
        ..PhoneAccount::plain(&line.user, &line.password, server)
    }
}
