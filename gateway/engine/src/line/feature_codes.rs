//! Feature codes (vertical service codes): what a person can set with a phone's keypad.
//!
//! A code that was carried out is answered with two beeps: a refused call would sound like an error. One that was not is refused, with a
//! reason phrase that desk phones and softphones show. And a short text goes to all phones of the line, which says what was done: the
//! setting is the line's.

use std::time::Instant;

use ringfence_book::Number;
use ringfence_sip as sip;

use super::saved_state::CallWay;
use super::state_keeper::StateKeeper;
use crate::environment::Environment;
use crate::time::UnixTime;

/// One feature code, as a help text shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureCode {
    /// What is dialled.
    pub digits: &'static str,
    /// What it does.
    pub does: &'static str,
    act: FeatureAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FeatureAction {
    CallBack,
    DoNotDisturb(bool),
    ContactsOnly(bool),
    Block(bool),
    ListMissed,
}

/// All feature codes.
pub const FEATURE_CODES: [FeatureCode; 8] = [
    FeatureCode {
        digits: "*69",
        does: "call the last caller back",
        act: FeatureAction::CallBack,
    },
    FeatureCode {
        digits: "*78",
        does: "turn do not disturb on: no phone of the line rings; calls count as missed",
        act: FeatureAction::DoNotDisturb(true),
    },
    FeatureCode {
        digits: "*79",
        does: "turn do not disturb off: phones ring again",
        act: FeatureAction::DoNotDisturb(false),
    },
    FeatureCode {
        digits: "*77",
        does: "ring for contacts only: calls of others are listed, and no phone says so",
        act: FeatureAction::ContactsOnly(true),
    },
    FeatureCode {
        digits: "*87",
        does: "ring for everyone again",
        act: FeatureAction::ContactsOnly(false),
    },
    FeatureCode {
        digits: "*60",
        does: "block the last caller: neither calls nor texts",
        act: FeatureAction::Block(true),
    },
    FeatureCode {
        digits: "*80",
        does: "unblock the number that was blocked last",
        act: FeatureAction::Block(false),
    },
    FeatureCode {
        digits: "*97",
        does: "send the missed calls as a text and put the lamp out",
        act: FeatureAction::ListMissed,
    },
];

/// Not a code of ours. Said instead of "not found", which phones show for wrong numbers.
const UNKNOWN: sip::Refusal = sip::Refusal {
    status: 404,
    text: "No such star code",
};
const NOBODY: sip::Refusal = sip::Refusal {
    status: 404,
    text: "Nobody has called",
};
/// 603 (RFC 3261 section 21.6.2) makes no phone try again.
const TOO_MANY: sip::Refusal = sip::Refusal {
    status: 603,
    text: "Too many blocked numbers",
};
const NONE_BLOCKED: sip::Refusal = sip::Refusal {
    status: 603,
    text: "No number is blocked",
};

/// Missed calls in one text.
const MOST_TOLD: usize = 10;

/// What follows from what a phone dialled.
pub(crate) enum Dialled {
    /// This number is to be called.
    Number(String),
    /// The code was all there was to do; the phone is to hear so.
    Done,
    /// The phone has its answer.
    Refused,
}

/// Reads what was dialled, and does what a feature code asks for.
pub(crate) fn dial(
    (line, leg): (usize, sip::LegId),
    dialled: String,
    env: &mut Environment,
    now: Instant,
) -> Dialled {
    if !dialled.starts_with('*') {
        return Dialled::Number(dialled);
    }
    let Some(number) = env.lines.number(line) else {
        return Dialled::Refused;
    };
    let code = FEATURE_CODES.iter().find(|code| code.digits == dialled);
    let caller = env.saved.state().last_caller(number);
    let said = match (code.map(|code| code.act), caller) {
        (None, _) => Err(UNKNOWN),
        (Some(FeatureAction::CallBack), Some(caller)) => {
            return Dialled::Number(caller.to_string());
        }
        (Some(FeatureAction::CallBack | FeatureAction::Block(true)), None) => Err(NOBODY),
        (Some(FeatureAction::DoNotDisturb(on)), _) => {
            Ok(set_do_not_disturb(number, on, &mut env.saved))
        }
        (Some(FeatureAction::ContactsOnly(on)), _) => {
            Ok(set_contacts_only(number, on, &mut env.saved))
        }
        (Some(FeatureAction::Block(true)), Some(caller)) => block(number, caller, &mut env.saved),
        (Some(FeatureAction::Block(false)), _) => unblock_last(number, &mut env.saved),
        (Some(FeatureAction::ListMissed), _) => {
            let wall = env.wall(now);
            Ok(list_missed(number, &mut env.saved, wall))
        }
    };
    match said {
        Ok(text) => {
            announce(line, &dialled, text, env, now);
            Dialled::Done
        }
        Err(refusal) => {
            env.agent.refuse_with(leg, refusal, now);
            Dialled::Refused
        }
    }
}

fn set_do_not_disturb(line: Number, do_not_disturb: bool, saved: &mut StateKeeper) -> String {
    saved.settings(line).do_not_disturb = do_not_disturb;
    let state = if do_not_disturb { "on" } else { "off" };
    format!("Do not disturb is {state}.")
}

fn set_contacts_only(line: Number, contacts_only: bool, saved: &mut StateKeeper) -> String {
    saved.settings(line).contacts_only = contacts_only;
    let text = if contacts_only {
        "Only contacts ring."
    } else {
        "Everyone rings."
    };
    text.to_owned()
}

fn block(line: Number, caller: Number, saved: &mut StateKeeper) -> Result<String, sip::Refusal> {
    if !saved.block(line, caller) {
        return Err(TOO_MANY);
    }
    Ok(format!("{caller} is blocked. *80 takes that back."))
}

fn unblock_last(line: Number, saved: &mut StateKeeper) -> Result<String, sip::Refusal> {
    let number = saved.settings(line).blocked.pop();
    let number = number.ok_or(NONE_BLOCKED)?;
    Ok(format!("{number} is no longer blocked."))
}

fn list_missed(line: Number, saved: &mut StateKeeper, wall: UnixTime) -> String {
    let calls = saved.state().calls.iter().rev();
    let missed: Vec<String> = calls
        .filter(|call| call.line == line && call.way == CallWay::In && call.is_new)
        .map(|call| {
            let minutes = wall.seconds().saturating_sub(call.began.seconds()) / 60;
            format!("{} {}", call.number, ago(minutes))
        })
        .collect();
    saved.mark_missed_seen(line, None);
    if missed.is_empty() {
        return "No missed calls.".to_owned();
    }
    let rest = missed.len().saturating_sub(MOST_TOLD);
    let mut text = format!(
        "Missed calls:\n{}",
        missed[..missed.len() - rest].join("\n")
    );
    if rest > 0 {
        text.push_str(&format!("\nand {rest} more"));
    }
    text
}

/// Sends a text to all phones of the line that take texts.
pub(crate) fn announce(line: usize, code: &str, text: String, env: &mut Environment, now: Instant) {
    let Some(line) = env.lines.get(line) else {
        return;
    };
    let caller = sip::CallerId {
        number: code.to_owned(),
        name: Some("Ringfence".to_owned()),
    };
    let written = sip::Body {
        content_type: "text/plain;charset=UTF-8".to_owned(),
        bytes: text.into_bytes(),
    };
    env.agent
        .send_text(&line.account.user, &caller, (&written, None), now)
        .ok();
}

fn ago(minutes: u64) -> String {
    match minutes {
        0 => "just now".to_owned(),
        1..120 => format!("{minutes} min ago"),
        120..2_880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_stands_for_two_things_and_all_can_be_dialled() {
        for (index, code) in FEATURE_CODES.iter().enumerate() {
            let digits = code.digits.strip_prefix('*').expect("a star in front");
            assert!(digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit()));
            let rest = &FEATURE_CODES[index + 1..];
            assert!(rest.iter().all(|other| other.digits != code.digits));
        }
    }

    #[test]
    fn the_guide_lists_the_codes_as_they_are() {
        let guide = include_str!("../../../../examples/USING.md");
        for FeatureCode { digits, does, .. } in FEATURE_CODES {
            assert!(
                guide.contains(&format!("| `{digits}` | {does} |")),
                "{digits}"
            );
        }
    }

    #[test]
    fn past_times_are_written_in_words() {
        assert_eq!(ago(0), "just now");
        assert_eq!(ago(119), "119 min ago");
        assert_eq!(ago(120), "2 h ago");
        assert_eq!(ago(2_880), "2 days ago");
    }
}
