//! Feature codes (vertical service codes): what a person can set with a phone's keypad.
//!
//! The engine plays no audio, so it answers in two other ways. The INVITE is refused with 603 and a reason phrase that says what was
//! done: desk phones and softphones show the phrase of a refused call, and 603 (RFC 3261 section 21.6.2) makes none of them try again.
//! And a short text goes to all phones of the line, since the setting is the line's and the phrase is gone after a few seconds.

use std::time::Instant;

use ringfence_book::Number;
use ringfence_sip as sip;

use super::saved_state::{CallWay, MOST_BLOCKED};
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

/// Missed calls in one text.
const MOST_TOLD: usize = 10;

/// What is to be dialled: the digits themselves, or the number that a feature code stands for. `None` if the code was all there
/// was to do; the phone has its answer.
pub(crate) fn dial(
    (line, leg): (usize, sip::LegId),
    dialled: String,
    env: &mut Environment,
    now: Instant,
) -> Option<String> {
    if !dialled.starts_with('*') {
        return Some(dialled);
    }
    let number = env.lines.number(line)?;
    let code = FEATURE_CODES.iter().find(|code| code.digits == dialled);
    let caller = env.saved.state().last_caller(number);
    let said = match (code.map(|code| code.act), caller) {
        (None, _) => Err(UNKNOWN),
        (Some(FeatureAction::CallBack), Some(caller)) => return Some(caller.to_string()),
        (Some(FeatureAction::CallBack | FeatureAction::Block(true)), None) => Err(NOBODY),
        (Some(FeatureAction::DoNotDisturb(on)), _) => {
            Ok(set_do_not_disturb(number, on, &mut env.saved))
        }
        (Some(FeatureAction::ContactsOnly(on)), _) => {
            Ok(set_contacts_only(number, on, &mut env.saved))
        }
        (Some(FeatureAction::Block(true)), Some(caller)) => {
            Ok(block(number, caller, &mut env.saved))
        }
        (Some(FeatureAction::Block(false)), _) => Ok(unblock_last(number, &mut env.saved)),
        (Some(FeatureAction::ListMissed), _) => {
            let wall = env.wall(now);
            Ok(list_missed(number, &mut env.saved, wall))
        }
    };
    let refusal = match said {
        Ok((phrase, text)) => {
            announce(line, &dialled, text, env, now);
            sip::Refusal {
                status: 603,
                text: phrase,
            }
        }
        Err(refusal) => refusal,
    };
    env.agent.refuse_with(leg, refusal, now);
    None
}

/// What a code has done: the phrase for the phone that dialled it, and the text for all phones of the line.
type Done = (&'static str, String);

fn set_do_not_disturb(line: Number, do_not_disturb: bool, saved: &mut StateKeeper) -> Done {
    saved.settings(line).do_not_disturb = do_not_disturb;
    let phrase = if do_not_disturb {
        "Do not disturb is on"
    } else {
        "Do not disturb is off"
    };
    (phrase, format!("{phrase}."))
}

fn set_contacts_only(line: Number, contacts_only: bool, saved: &mut StateKeeper) -> Done {
    saved.settings(line).contacts_only = contacts_only;
    let phrase = if contacts_only {
        "Only contacts ring"
    } else {
        "Everyone rings"
    };
    (phrase, format!("{phrase}."))
}

fn block(line: Number, caller: Number, saved: &mut StateKeeper) -> Done {
    if !saved.block(line, caller) {
        let text = format!("{MOST_BLOCKED} numbers are blocked, and no more can be.");
        return ("Too many blocked numbers", text);
    }
    (
        "Caller is blocked",
        format!("{caller} is blocked. *80 takes that back."),
    )
}

fn unblock_last(line: Number, saved: &mut StateKeeper) -> Done {
    match saved.settings(line).blocked.pop() {
        Some(number) => (
            "Caller is unblocked",
            format!("{number} is no longer blocked."),
        ),
        None => ("No number is blocked", "No number is blocked.".to_owned()),
    }
}

fn list_missed(line: Number, saved: &mut StateKeeper, wall: UnixTime) -> Done {
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
        return ("No missed calls", "No missed calls.".to_owned());
    }
    let rest = missed.len().saturating_sub(MOST_TOLD);
    let mut text = format!(
        "Missed calls:\n{}",
        missed[..missed.len() - rest].join("\n")
    );
    if rest > 0 {
        text.push_str(&format!("\nand {rest} more"));
    }
    ("See the text message", text)
}

/// Sends a text to all phones of the line. Phones that take no MESSAGE have shown the phrase.
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
