//! Two phones at two engines, ready to call, and what they have heard.

use std::{fmt, thread, time::Duration};

use ringfence_tests::{
    deployment::Line,
    real_phone::{Account, Model, Phone},
    tone::{self, HIGH, Heard, LOW},
};

/// Enough for a ring over a relay that stores every event first.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// How long sound is listened to.
pub(super) const TALK: Duration = Duration::from_secs(3);
/// Holes below this are the phones' own, on a busy machine.
const TOLERATED_GAP: Duration = Duration::from_millis(300);
/// What the microphone of the third phone picks up.
pub(super) const THIRD: f64 = 700.0;

/// How both phones reach their engines, and what their sound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) transport: &'static str,
    pub(super) srtp: &'static str,
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
    pub(super) caller: &'a Line,
    pub(super) callee: &'a Line,
    pub(super) third: &'a Line,
}

/// Both phones, registered.
pub(super) struct Pair<'a> {
    pub(super) caller: Phone,
    pub(super) callee: Phone,
    pub(super) models: (Model, Model),
    pub(super) seats: Seats<'a>,
}

impl<'a> Pair<'a> {
    pub(super) fn start(seats: Seats<'a>, caller: Model, callee: Model, way: Way) -> Self {
        let phone = |model, line: &Line, contact: &Line, microphone| {
            let account = account(line, way, model);
            let account = Account {
                contact: &contact.number,
                microphone,
                ..account
            };
            Phone::start(model, &account)
        };
        let mut pair = Self {
            caller: phone(caller, seats.caller, seats.callee, LOW),
            callee: phone(callee, seats.callee, seats.caller, HIGH),
            models: (caller, callee),
            seats,
        };
        pair.caller.wait_registered();
        pair.callee.wait_registered();
        pair
    }

    /// The caller dials, and the callee's phone rings.
    pub(super) fn ring(&mut self) {
        self.caller
            .order(&format!("call {}", self.seats.callee.number));
        self.callee.wait_call("incoming", SOON);
        self.caller.wait_call("ringing", SOON);
    }

    /// Both talk.
    pub(super) fn connect(&mut self) {
        self.ring();
        answer(&mut self.callee, &mut self.caller);
    }

    /// One of them hangs up, the call is over for both, and each heard the other.
    pub(super) fn end(&mut self, by_callee: bool) -> (Heard, Heard) {
        let (ending, other) = match by_callee {
            false => (&mut self.caller, &mut self.callee),
            true => (&mut self.callee, &mut self.caller),
        };
        hang_up(ending, other);
        let at_caller = tone::listen(&self.caller.recording(), HIGH);
        let at_callee = tone::listen(&self.callee.recording(), LOW);
        (at_caller, at_callee)
    }
}

/// A third phone at a line of its own, for a call that is handed over.
pub(super) fn third_phone(line: &Line) -> Phone {
    let account = Account {
        microphone: THIRD,
        ..Account::plain(&line.user, &line.password, line.udp)
    };
    let mut phone = Phone::start(Model::Pjsua, &account);
    phone.wait_registered();
    phone
}

pub(super) fn answer(callee: &mut Phone, caller: &mut Phone) {
    callee.order("answer");
    callee.wait_call("talking", SOON);
    caller.wait_call("talking", SOON);
}

pub(super) fn hang_up(ending: &mut Phone, other: &mut Phone) {
    ending.order("hang-up");
    ending.wait_call("ended", SOON);
    other.wait_call("ended", SOON);
}

/// What a phone heard in the last seconds of its call.
pub(super) fn heard_at_last(phone: &mut Phone, hz: f64, last: Duration) -> Heard {
    let mut sound = phone.recording();
    let samples = (last.as_secs_f64() * f64::from(sound.rate)) as usize;
    let begin = sound.samples.len().saturating_sub(samples);
    sound.samples.drain(..begin);
    tone::listen(&sound, hz)
}

/// Most of this time was the tone, without a long hole.
pub(super) fn assert_carried(who: &str, heard: &Heard, time: Duration) {
    assert!(
        heard.tone > time.mul_f64(0.85) && heard.longest_gap < TOLERATED_GAP,
        "{who} heard {heard:?} of {time:?}"
    );
}

pub(super) fn pause(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
}

fn account<'a>(line: &'a Line, way: Way, model: Model) -> Account<'a> {
    let server = match way.transport {
        "udp" => line.udp,
        "tcp" => line.tcp,
        _ => line.tls,
    };
    Account {
        transport: way.transport,
        ca: Some(&line.ca),
        srtp: way.srtp,
        codecs: way.codec,
        digits: match model {
            Model::Baresip => "rtp",
            _ => way.digits,
        },
        ..Account::plain(&line.user, &line.password, server)
    }
}
