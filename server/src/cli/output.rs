//! The wording of the answers to the operator's commands, for people or as JSON. A part of the program, not of the library.

use ringfence_book::Number;

use crate::store::{NumberCounts, NumberState};

/// A number and its code.
pub(crate) fn told(number: &str, code: &str, json: bool) -> String {
    if json {
        serde_json::json!({ "number": number, "activationCode": code }).to_string()
    } else {
        format!(
            "number           {number}\nactivation code  {code}\n\
             The code is good for 24 hours, once. Hand it over by a way you trust."
        )
    }
}

/// A book that was restored as it was at the end of an epoch.
pub(crate) fn restored(epoch: u32) -> String {
    format!(
        "the book is restored as it was at the end of epoch {epoch}; start the server\n\
         Warning: if later epochs were served, do not start it yet: restore the newest backup instead, or let an engine that saw them run `ringfence roots FILE`, \
         and run `ringfence-phonebook resume FILE` here before `serve`. Without it, engines that saw those epochs keep their copy and refuse \
         this book."
    )
}

/// A book that goes on after roots of an engine.
pub(crate) fn resumed(epoch: u32) -> String {
    format!(
        "the book goes on with epoch {epoch}; start the server\n\
         What was activated or changed after the backup is lost: issue those numbers anew, and tell the members."
    )
}

/// How many numbers are in each state, and each of them that is not free.
pub(crate) fn listed(
    counts: &NumberCounts,
    states: &[(Number, NumberState)],
    json: bool,
) -> String {
    if json {
        let states: Vec<_> = states
            .iter()
            .map(|(number, state)| state_json(*number, *state))
            .collect();
        return serde_json::json!({
            "free": counts.free, "waiting": counts.waiting, "active": counts.active,
            "retired": counts.retired, "queued": counts.queued, "numbers": states,
        })
        .to_string();
    }
    let mut text = format!(
        "free {}, waiting {}, active {}, retired {}; {} changes wait for an epoch",
        counts.free, counts.waiting, counts.active, counts.retired, counts.queued
    );
    for (number, state) in states {
        text.push_str(&format!("\n{number}  {}", state_name(*state)));
    }
    text
}

fn state_json(number: Number, state: NumberState) -> serde_json::Value {
    let (until, since) = match state {
        NumberState::Waiting { until } => (Some(until), None),
        NumberState::Active => (None, None),
        NumberState::Retired { since } => (None, Some(since)),
    };
    serde_json::json!({
        "number": number.to_string(), "state": state_name(state), "until": until, "since": since,
    })
}

const fn state_name(state: NumberState) -> &'static str {
    match state {
        NumberState::Waiting { .. } => "waiting",
        NumberState::Active => "active",
        NumberState::Retired { .. } => "retired",
    }
}
