//! The results of a self-call: the addresses of its parts, the outcome of the call and the timeline.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Columns of a terminal.
const WIDTH: usize = 80;

/// A line of the demo and how phones register to it.
#[derive(Clone, Debug, Serialize)]
pub struct LineReport {
    /// The number.
    pub number: String,
    /// The status page of its engine, with the key.
    pub page: String,
    /// The SIP account.
    pub sip: SipReport,
}

/// A SIP account. Printed because the demo's accounts live as long as the demo.
#[derive(Clone, Debug, Serialize)]
pub struct SipReport {
    /// `address:port` for UDP.
    pub udp: String,
    /// `address:port` for TCP.
    pub tcp: String,
    /// `address:port` for TLS.
    pub tls: String,
    /// PEM file of the certificate authority that phones are to trust over TLS.
    pub ca: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// Everything that runs, printed before the call.
#[derive(Clone, Debug, Serialize)]
pub struct StackReport {
    /// Both lines.
    pub lines: Vec<LineReport>,
    /// URL of the Nostr relay.
    pub relay: String,
    /// URL of the TURN server.
    pub turn: String,
    /// URL of the phone book.
    pub phonebook: String,
}

/// The outcome of the test call. The first of each pair is the caller's phone, the second the callee's.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CallReport {
    /// Whether everything worked.
    pub ok: bool,
    /// For how many seconds the other phone's tone was detected.
    pub tone_s: [f64; 2],
    /// The longest gap in it, in milliseconds.
    pub longest_gap_ms: [f64; 2],
    /// Lost audio packets, both directions together.
    pub lost: u64,
    /// Candidate types in use, caller's engine and callee's engine.
    pub candidate_types: Vec<String>,
    /// From the INVITE of the caller's phone to the ringing of the callee's.
    pub invite_to_ringing_ms: Option<f64>,
    /// From the answer of the callee's phone until both phones receive audio.
    pub answer_to_audio_ms: Option<f64>,
    /// What went wrong, when not ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The object after the call.
#[derive(Debug, Serialize)]
struct CallOutcome<'a> {
    result: &'a CallReport,
}

/// One JSON line with everything that runs.
#[must_use]
pub fn stack_json(stack: &StackReport) -> String {
    serde_json::to_string(stack).expect("texts always become JSON in memory")
}

/// One JSON line with the result of the call.
#[must_use]
pub fn call_json(call: &CallReport) -> String {
    serde_json::to_string(&CallOutcome { result: call })
        .expect("texts and numbers always become JSON in memory")
}

/// One JSON line for a demo that did not start.
#[must_use]
pub fn start_json(error: &str) -> String {
    call_json(&CallReport {
        error: Some(error.to_owned()),
        ..CallReport::default()
    })
}

/// The actor of a step in the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineActor {
    /// The caller's phone.
    CallingPhone,
    /// The caller's engine.
    CallingEngine,
    /// The callee's engine.
    CalledEngine,
    /// The callee's phone.
    CalledPhone,
}

impl TimelineActor {
    const fn name(self) -> &'static str {
        match self {
            Self::CallingPhone => "phone A",
            Self::CallingEngine => "engine A",
            Self::CalledEngine => "engine B",
            Self::CalledPhone => "phone B",
        }
    }

    /// Indentation of an actor's steps: the call moves from left to right and back.
    const fn indent(self) -> usize {
        match self {
            Self::CallingPhone => 0,
            Self::CallingEngine => 2,
            Self::CalledEngine => 4,
            Self::CalledPhone => 6,
        }
    }
}

/// The path of a call, as it happened.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    steps: Vec<(Instant, TimelineActor, String)>,
}

impl Timeline {
    /// Adds a step; the order of adding does not matter.
    pub fn add(&mut self, at: Instant, actor: TimelineActor, what: impl Into<String>) {
        self.steps.push((at, actor, what.into()));
    }

    /// The whole path, one step a line, with milliseconds since the first and since the step before.
    #[must_use]
    pub fn print(&self) -> String {
        let mut steps = self.steps.clone();
        steps.sort_by_key(|(at, _, _)| *at);
        let mut text = String::from("      ms   + ms  who        what\n");
        let Some(&(start, _, _)) = steps.first() else {
            return text;
        };
        let mut before = start;
        for (at, actor, what) in steps {
            let (total, more) = (millis(at - start), millis(at - before));
            let line = format!(
                "{total:8.1} {more:6.1}  {:<9}  {:indent$}{what}",
                actor.name(),
                "",
                indent = actor.indent()
            );
            text.push_str(&cut(&line));
            text.push('\n');
            before = at;
        }
        text
    }
}

/// Milliseconds with a fraction.
#[must_use]
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Milliseconds rounded to tenths, as they are reported.
#[must_use]
pub fn tenths(time: Duration) -> f64 {
    (millis(time) * 10.0).round() / 10.0
}

fn cut(line: &str) -> String {
    line.chars().take(WIDTH).collect()
}

/// Prints what runs and how to register a phone.
#[must_use]
pub fn print_stack(stack: &StackReport) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<11}  {value}\n"));
    row("phone book", &stack.phonebook);
    row("relay", &stack.relay);
    row("TURN", &stack.turn);
    for (line, name) in stack.lines.iter().zip(["line A", "line B"]) {
        row(name, &format!("number {}", line.number));
        row("", &format!("page   {}", line.page));
        row(
            "",
            &format!("SIP    udp {}   tcp {}", line.sip.udp, line.sip.tcp),
        );
        row("", &format!("       tls {}", line.sip.tls));
        row("", &format!("       trust {}", line.sip.ca));
        row(
            "",
            &format!(
                "       user {}   password {}",
                line.sip.user, line.sip.password
            ),
        );
    }
    text
}

/// Prints the outcome of the call as a table.
#[must_use]
pub fn print_call(call: &CallReport) -> String {
    let mut text = String::from("                                 phone A    phone B\n");
    let pair = |text: &mut String, name: &str, [a, b]: [f64; 2], unit: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name:<26} {a:>8.1} {unit:<2} {b:>7.1} {unit}");
    };
    let one = |text: &mut String, name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<26} {value:>11}");
    };
    let time = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.1} ms"));
    pair(&mut text, "tone of the other phone", call.tone_s, "s");
    pair(&mut text, "longest gap in it", call.longest_gap_ms, "ms");
    one(&mut text, "packets lost", &call.lost.to_string());
    one(
        &mut text,
        "candidate types",
        &call.candidate_types.join(" / "),
    );
    one(
        &mut text,
        "INVITE to ringing",
        &time(call.invite_to_ringing_ms),
    );
    one(&mut text, "answer to audio", &time(call.answer_to_audio_ms));
    one(
        &mut text,
        "result",
        if call.ok {
            "everything worked"
        } else {
            "FAILED"
        },
    );
    if let Some(error) = &call.error {
        let _ = writeln!(text, "  {error}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> StackReport {
        let line = |number: &str| LineReport {
            number: number.to_owned(),
            page: "http://127.0.0.1:40006/?token=00".to_owned(),
            sip: SipReport {
                udp: "127.0.0.1:40001".to_owned(),
                tcp: "127.0.0.1:40001".to_owned(),
                tls: "127.0.0.1:40005".to_owned(),
                ca: "/tmp/ringfence-demo-x/a/phones-ca.pem".to_owned(),
                user: number.to_owned(),
                password: "abcdefghjkmnpqrstuvw".to_owned(),
            },
        };
        StackReport {
            lines: vec![line("20417"), line("29001")],
            relay: "ws://127.0.0.1:40002".to_owned(),
            turn: "turn:127.0.0.1:40003?transport=udp".to_owned(),
            phonebook: "http://127.0.0.1:40004".to_owned(),
        }
    }

    #[test]
    fn the_objects_have_the_fields_that_programs_rely_on() {
        let value: serde_json::Value = serde_json::from_str(&stack_json(&stack())).unwrap();
        assert_eq!(value["lines"][1]["number"], "29001");
        for field in ["udp", "tcp", "tls", "ca", "user", "password"] {
            assert!(value["lines"][0]["sip"][field].is_string(), "{field}");
        }
        assert!(value["lines"][0]["page"].is_string());
        for field in ["relay", "turn", "phonebook"] {
            assert!(value[field].is_string(), "{field}");
        }
        let failed = CallReport {
            error: Some("no answer".to_owned()),
            ..CallReport::default()
        };
        let value: serde_json::Value = serde_json::from_str(&call_json(&failed)).unwrap();
        let result = value["result"].as_object().unwrap();
        for field in [
            "ok",
            "tone_s",
            "longest_gap_ms",
            "lost",
            "candidate_types",
            "invite_to_ringing_ms",
            "answer_to_audio_ms",
            "error",
        ] {
            assert!(result.contains_key(field), "{field}");
        }
        let value: serde_json::Value = serde_json::from_str(&call_json(&CallReport {
            ok: true,
            ..CallReport::default()
        }))
        .unwrap();
        assert!(!value["result"].as_object().unwrap().contains_key("error"));
    }

    #[test]
    fn everything_fits_a_terminal_of_80_columns() {
        let mut timeline = Timeline::default();
        let now = Instant::now();
        timeline.add(
            now + Duration::from_secs(100),
            TimelineActor::CalledPhone,
            "x".repeat(100),
        );
        timeline.add(now, TimelineActor::CallingPhone, "INVITE");
        let call = CallReport {
            tone_s: [3.0, 123.4],
            longest_gap_ms: [12_345.6, 0.0],
            candidate_types: vec!["relay".to_owned(), "relay".to_owned()],
            invite_to_ringing_ms: Some(12.3),
            ..CallReport::default()
        };
        for text in [timeline.print(), print_stack(&stack()), print_call(&call)] {
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn the_timeline_is_sorted_by_time_and_starts_at_zero() {
        let mut timeline = Timeline::default();
        let now = Instant::now();
        timeline.add(
            now + Duration::from_millis(12),
            TimelineActor::CalledPhone,
            "rings",
        );
        timeline.add(now, TimelineActor::CallingPhone, "INVITE");
        let text = timeline.print();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(lines[0].contains("0.0") && lines[0].ends_with("INVITE"));
        assert!(lines[1].contains("12.0") && lines[1].ends_with("rings"));
    }
}
