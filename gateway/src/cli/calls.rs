//! `ringfence calls`: past calls and waiting texts, as the engine saved them. Works while an engine runs.

use clap::Args;
use ringfence_engine::line::call_quality::CallQuality;
use ringfence_engine::line::saved_state::{CallWay, PastCall, SavedState};
use ringfence_engine::trust::contacts::Contacts;
use serde_json::{Value, json};

use super::{CommandError, PathArgs, passphrase, say};
use crate::calendar::{local_moment, moment};
use crate::state::keystore::{ContactsFile, SavedStateFile};

#[derive(Debug, Args)]
pub(super) struct CallsArgs {
    /// Only missed calls that you have not been told of
    #[arg(long)]
    missed: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) fn run(args: &CallsArgs) -> Result<(), CommandError> {
    let config = args.paths.config()?;
    let secret = passphrase(&config, false)?;
    let saved_state = SavedStateFile::open(&config.state, secret.clone()).read()?;
    if args.json {
        return say(&as_value(&saved_state, args.missed).to_string());
    }
    let contacts = ContactsFile::open(&config.state, secret).read()?;
    say(&table(&saved_state, &contacts, args.missed))
}

/// The latest call first.
fn chosen(saved_state: &SavedState, missed: bool) -> impl Iterator<Item = &PastCall> {
    let calls = saved_state.calls.iter().rev();
    calls.filter(move |call| call.is_new || !missed)
}

fn as_value(saved_state: &SavedState, missed: bool) -> Value {
    let call = |call: &PastCall| {
        json!({
            "line": call.line.value(),
            "number": call.number.value(),
            "direction": way(call.way),
            "began": moment(call.began),
            "answered": call.talked.is_some(),
            "seconds": call.talked.map_or(0, |span| span.as_secs()),
            "new": call.is_new,
            "stranger_not_rung": call.is_stranger,
            "sound": call.quality.map(sound),
        })
    };
    let calls: Vec<Value> = chosen(saved_state, missed).map(call).collect();
    json!({ "calls": calls, "texts_waiting": saved_state.texts.len() })
}

/// How a call sounded at the phone: shares of the frames that the other engine sent, from 0 to 1; and the codec of the phone here and of the
/// call, by the names that `status` gives them.
fn sound(quality: CallQuality) -> Value {
    let share = |thousandths: u16| f64::from(thousandths) / 1_000.0;
    json!({
        "lost_on_way": share(quality.lost),
        "repaired": share(quality.repaired),
        "concealed": share(quality.concealed),
        "missed": share(quality.missed()),
        "buffer_ms": quality.delay,
        "mos": f64::from(quality.mos) / 100.0,
        "phone_codec": quality.codecs.map(|(phone, _)| phone.name()),
        "codec": quality.codecs.map(|(_, carried)| carried.name()),
        "transcoded": quality.codecs.is_some_and(|(phone, carried)| phone != carried),
    })
}

fn table(saved_state: &SavedState, contacts: &Contacts, missed: bool) -> String {
    let calls = chosen(saved_state, missed);
    let mut lines: Vec<String> = calls.map(|call| line(call, contacts)).collect();
    if lines.is_empty() {
        lines.push("There are no calls to show.".to_owned());
    }
    let texts = saved_state.texts.len();
    match texts {
        0 => {}
        1 => lines.push("1 text waits for a phone that takes it.".to_owned()),
        more => lines.push(format!("{more} texts wait for a phone that takes them.")),
    }
    lines.join("\n")
}

fn line(call: &PastCall, contacts: &Contacts) -> String {
    let outcome = match call.unanswered() {
        None => {
            let seconds = call.talked.map_or(0, |span| span.as_secs());
            format!("{}:{:02} min", seconds / 60, seconds % 60)
        }
        Some(words) if call.is_new => words.to_uppercase(),
        Some(words) => words.to_owned(),
    };
    let arrow = match call.way {
        CallWay::Out => "->",
        CallWay::In => "<-",
    };
    let contact = contacts.get(call.number);
    let who = match contact.and_then(|contact| contact.name.as_deref()) {
        Some(name) => format!("{} ({name})", call.number),
        None => call.number.to_string(),
    };
    format!(
        "{}  {} {arrow} {who:<20} {outcome}",
        local_moment(call.began),
        call.line,
    )
}

fn way(way: CallWay) -> &'static str {
    match way {
        CallWay::Out => "out",
        CallWay::In => "in",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringfence_book::{Day, Number};
    use ringfence_engine::line::identity::Identity;
    use ringfence_engine::time::UnixTime;
    use ringfence_engine::trust::contacts::ContactUpdate;
    use ringfence_media::Codec;

    use super::*;

    fn saved_state() -> SavedState {
        let call = |second: u64, way, talked, is_new| PastCall {
            line: Number::new(20_001),
            number: Number::new(20_002),
            way,
            began: UnixTime::from_seconds(1_795_000_000 + second),
            talked,
            is_new,
            is_stranger: false,
            quality: talked.map(|_| CallQuality {
                lost: 100,
                repaired: 90,
                concealed: 8,
                delay: 75,
                mos: 431,
                codecs: Some((Codec::Pcma, Codec::Opus)),
            }),
        };
        let mut saved_state = SavedState::default();
        saved_state.calls.extend([
            call(0, CallWay::Out, Some(Duration::from_secs(61)), false),
            PastCall {
                is_stranger: true,
                ..call(30, CallWay::In, None, false)
            },
            call(60, CallWay::In, None, true),
        ]);
        saved_state
    }

    #[test]
    fn the_latest_call_is_on_top_and_says_what_came_of_it() {
        let mut contacts = Contacts::default();
        let pin = ContactUpdate::Pin {
            number: Number::new(20_002),
            identity: Identity::generate(&mut rand::rng()).key(),
            day: Day::of_unix(0),
        };
        contacts.learn(&pin);
        contacts.name(Number::new(20_002), "Bob").unwrap();
        let text = table(&saved_state(), &contacts, false);
        let at = |second: u64| local_moment(UnixTime::from_seconds(1_795_000_000 + second));
        let expected = [
            format!("{}  20001 <- 20002 (Bob)          MISSED", at(60)),
            format!(
                "{}  20001 <- 20002 (Bob)          stranger, not rung",
                at(30)
            ),
            format!("{}  20001 -> 20002 (Bob)          1:01 min", at(0)),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        let nobody = Contacts::default();
        assert!(table(&saved_state(), &nobody, true).contains("<- 20002   "));
        assert_eq!(table(&saved_state(), &nobody, true).lines().count(), 1);
        assert!(table(&SavedState::default(), &nobody, false).contains("no calls"));
    }

    #[test]
    fn programs_get_every_field() {
        let value = as_value(&saved_state(), false);
        assert_eq!(value["texts_waiting"], 0);
        assert_eq!(value["calls"][1]["stranger_not_rung"], true);
        let call = &value["calls"][2];
        assert_eq!(call["direction"], "out");
        assert_eq!(
            (&call["answered"], &call["seconds"]),
            (&json!(true), &json!(61))
        );
        let sound = json!({ "lost_on_way": 0.1, "repaired": 0.09, "concealed": 0.008, "missed": 0.002, "buffer_ms": 75, "mos": 4.31,
            "phone_codec": "G.711 A-law", "codec": "Opus", "transcoded": true });
        assert_eq!(call["sound"], sound);
        assert_eq!(value["calls"][0]["new"], true);
        assert_eq!(value["calls"][0]["sound"], Value::Null);
    }
}
