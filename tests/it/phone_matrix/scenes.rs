//! The features that are tried, one function each, and what each phone does not support.

use std::time::Duration;

use ringfence_media::frame::CONTROL_PACE;
use ringfence_tests::{
    real_phone::{PhoneModel, RealPhone},
    tone::{self, HIGH, LOW},
};

use super::{
    pair::{
        Pair, SOON, TALK, THIRD, Way, answer, assert_carried, hang_up, heard_at_last, pause,
        third_phone,
    },
    table::Outcome,
};

/// A feature of phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// The callee refuses; the caller gets the same response as from a callee that does not answer.
    Decline,
    /// A SIP MESSAGE from the caller.
    Message,
    /// The caller cancels while it rings.
    Cancel,
    /// A call with audio in both directions.
    CallerHangsUp,
    /// The same, ended by the callee.
    CalleeHangsUp,
    /// Each holds the call once and resumes it.
    Hold,
    /// Key presses in both directions.
    Digits,
    /// The caller transfers the callee to a number.
    Transfer,
    /// The caller transfers the callee to a party that it has called meanwhile.
    Attended,
}

const DIGITS: &str = "12#";
/// How long audio is recorded after a hold or transfer.
const AFTERWARDS: Duration = Duration::from_millis(2500);
/// How much of it has to be good: a bit less, because the phones' clocks and buffers differ.
const AT_LAST: Duration = Duration::from_millis(1200);

impl Feature {
    /// Its name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Decline => "decline",
            Self::Message => "message",
            Self::Cancel => "cancel",
            Self::CallerHangsUp => "call, caller ends",
            Self::CalleeHangsUp => "call, callee ends",
            Self::Hold => "hold",
            Self::Digits => "digits",
            Self::Transfer => "transfer",
            Self::Attended => "attended transfer",
        }
    }

    /// Why these phones do not support it; `None` if they do.
    pub(super) fn beyond(
        self,
        caller: PhoneModel,
        callee: PhoneModel,
        way: Way,
    ) -> Option<&'static str> {
        let is_info = way.digits == "info";
        match (self, caller, callee) {
            (Self::Message, PhoneModel::Baresip4, _) => {
                Some("baresip 4 (Python) has no call for texts")
            }
            (Self::Message, _, PhoneModel::Baresip4) => Some("baresip 4 refuses texts with 501"),
            (Self::Digits, PhoneModel::Baresip, _) if is_info => {
                Some("baresip 1.0 sends no key presses by INFO")
            }
            (Self::Attended, PhoneModel::Baresip, _) => {
                Some("baresip 1.0 hands over to numbers, not to calls")
            }
            _ => None,
        }
    }

    /// Tries it.
    ///
    /// # Panics
    /// When the phones fail.
    pub(super) fn play(self, pair: &mut Pair<'_>) -> Outcome {
        match self {
            Self::Decline => decline(pair),
            Self::Message => message(pair),
            Self::Cancel => cancel(pair),
            Self::CallerHangsUp => call(pair, false),
            Self::CalleeHangsUp => call(pair, true),
            Self::Hold => hold(pair),
            Self::Digits => digits(pair),
            Self::Transfer => transfer(pair),
            Self::Attended => attended(pair),
        }
    }
}

fn decline(pair: &mut Pair<'_>) -> Outcome {
    pair.ring();
    pair.callee.command("refuse");
    pair.callee.wait_call("ended", SOON);
    let told = pair.caller.wait_call("ended", SOON);
    let is_unavailable = told["status"] == 480
        || told["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("Unavailable"));
    assert!(is_unavailable, "the caller heard {told}");
    match pair.models.1 {
        PhoneModel::Baresip | PhoneModel::Baresip4 => Outcome::Fine("always with 486"),
        _ => Outcome::Fine(""),
    }
}

fn message(pair: &mut Pair<'_>) -> Outcome {
    let to = &pair.seats.callee.number;
    let words = format!("Grüße an {:?} von {:?}", pair.models.1, pair.models.0);
    pair.caller.command(&format!("text {to} {words}"));
    if pair.models.1 == PhoneModel::Baresip {
        if pair.models.0 != PhoneModel::Baresip {
            wait_taken(&mut pair.caller);
        }
        return Outcome::Fine("baresip 1.0 does not say what came");
    }
    pair.callee.wait("the text", SOON, |news| {
        news["event"] == "text"
            && news["words"] == words.as_str()
            && news["from"] == pair.seats.caller.number.as_str()
    });
    Outcome::Fine("")
}

fn wait_taken(phone: &mut RealPhone) {
    phone.wait("202", SOON, |news| {
        news["event"] == "text-sent" && news["taken"] == true
    });
}

fn cancel(pair: &mut Pair<'_>) -> Outcome {
    pair.ring();
    hang_up(&mut pair.caller, &mut pair.callee);
    Outcome::Fine("")
}

fn call(pair: &mut Pair<'_>, by_callee: bool) -> Outcome {
    pair.connect();
    pause(TALK.as_secs_f64());
    let (at_caller, at_callee) = pair.end(by_callee);
    assert_carried("the caller", &at_caller, TALK);
    assert_carried("the callee", &at_callee, TALK);
    Outcome::Measured(at_caller, at_callee)
}

/// The holding phone reports `held`, and after the last resume both hear each other to the end.
fn hold(pair: &mut Pair<'_>) -> Outcome {
    pair.connect();
    pause(0.3);
    for phone in [&mut pair.caller, &mut pair.callee] {
        phone.command("hold");
        phone.wait_call("held", SOON);
        pause(0.8);
        phone.command("resume");
        phone.wait_call("talking", SOON);
        pause(AFTERWARDS.as_secs_f64());
    }
    hang_up(&mut pair.callee, &mut pair.caller);
    let ears = [
        (&mut pair.caller, pair.models.0, "the caller", HIGH),
        (&mut pair.callee, pair.models.1, "the callee", LOW),
    ];
    for (phone, model, who, hz) in ears {
        if model != PhoneModel::Baresip {
            // Word of the hang-up takes a slot; until then there is nothing to be heard.
            let heard = heard_at_last(phone, hz, AT_LAST + CONTROL_PACE);
            assert_carried(who, &heard, AT_LAST);
        } else if who == "the callee" {
            // Its recording ends with its own hold, so this is what it heard after the other's.
            let heard = tone::measure(&phone.recording(), hz);
            assert!(heard.tone > AT_LAST, "{who} heard {heard:?}");
        }
    }
    match pair.models {
        (PhoneModel::Baresip, _) | (_, PhoneModel::Baresip) => {
            Outcome::Fine("baresip 1.0 records nothing after its own hold")
        }
        _ => Outcome::Fine(""),
    }
}

fn digits(pair: &mut Pair<'_>) -> Outcome {
    pair.connect();
    pause(0.5);
    let way_back = pair.models.1 != PhoneModel::Baresip || pair.models.0 != PhoneModel::Baresip;
    press(&mut pair.caller, &mut pair.callee);
    if way_back {
        press(&mut pair.callee, &mut pair.caller);
    }
    hang_up(&mut pair.caller, &mut pair.callee);
    Outcome::Fine("")
}

fn press(from: &mut RealPhone, to: &mut RealPhone) {
    from.command(&format!("digits {DIGITS}"));
    for wanted in DIGITS.chars() {
        let heard = to.wait("a digit", SOON, |news| news["event"] == "digit");
        assert_eq!(heard["digit"], wanted.to_string(), "of {DIGITS}");
    }
}

fn transfer(pair: &mut Pair<'_>) -> Outcome {
    let line = pair.seats.third;
    let mut third = third_phone(line);
    pair.connect();
    pause(0.5);
    pair.caller.command(&format!("transfer {}", line.number));
    third.wait_call("incoming", SOON);
    third.command("answer");
    third.wait_call("talking", SOON);
    leave(pair, third)
}

fn attended(pair: &mut Pair<'_>) -> Outcome {
    let line = pair.seats.third;
    let mut third = third_phone(line);
    pair.connect();
    pause(0.5);
    pair.caller.command("hold");
    pair.caller.wait_call("held", SOON);
    pair.caller.command(&format!("call {}", line.number));
    third.wait_call("incoming", SOON);
    answer(&mut third, &mut pair.caller);
    pause(0.5);
    pair.caller.command("transfer");
    leave(pair, third)
}

/// The caller has left the call; the two others hear each other until the third one hangs up.
fn leave(pair: &mut Pair<'_>, mut third: RealPhone) -> Outcome {
    pair.caller.wait_call("ended", SOON);
    pause(AFTERWARDS.as_secs_f64());
    hang_up(&mut third, &mut pair.callee);
    // Word of it takes a slot of each of the two calls that were joined; until then there is nothing to be heard.
    let at_callee = heard_at_last(&mut pair.callee, THIRD, AT_LAST + 2 * CONTROL_PACE);
    let at_third = heard_at_last(&mut third, HIGH, AT_LAST);
    assert_carried("the transferred party", &at_callee, AT_LAST);
    assert_carried("the third one", &at_third, AT_LAST);
    Outcome::Fine("")
}
