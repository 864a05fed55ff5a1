//! The wording of the answers to the operator's commands, for people or as JSON. A part of the program, not of the library.

use ringfence_book::Number;
use ringfence_book::keys::BookKey;

use crate::PhoneBook;
use crate::book::Issue;
use crate::config::Config;
use crate::operator::{Listed, Revoked};
use crate::store::NumberState;

/// A number with its code, and the words to send to its owner. The link holds the code behind a `#`, which no browser sends to a server.
pub(crate) fn told(issue: &Issue, url: &str, key: &BookKey, json: bool) -> String {
    let (number, code) = (issue.number, issue.code.text());
    let (link, key) = (format!("{url}/#{code}"), hex::encode(key.as_bytes()));
    if json {
        let value = serde_json::json!({
            "number": number.to_string(), "activationCode": code, "link": link, "bookKey": key,
        });
        return value.to_string();
    }
    format!(
        "number           {number}\nactivation code  {code}\nto send:\n\n  \
         Your telephone number is {number}. Install Ringfence and type: ringfence setup {link}\n  \
         It shows the key of our phone book, which has to be {key}\n"
    )
}

/// What is true of all codes that were printed.
pub(crate) fn advice(config: &Config) -> String {
    let mut text =
        "A code is good for 24 hours, once. Send it by a way you trust: its reader can take the number."
            .to_owned();
    if config.public_name.is_empty() && config.listen.ip().is_loopback() {
        text.push_str(
            " The links above are good on this machine only: set public_name to the name under which others find the book.",
        );
    }
    text
}

/// What members need to know of a book that is served.
pub(crate) fn served(book: &PhoneBook) -> Vec<String> {
    let network = book.network();
    let list = |urls: &[String]| match urls {
        [] => "none".to_owned(),
        urls => urls.join(" "),
    };
    vec![
        format!(
            "the book's key is {}",
            hex::encode(book.book_key().as_bytes())
        ),
        format!("engines are told of relays: {}", list(&network.relays)),
        format!("engines are told of TURN servers: {}", list(&network.turn)),
    ]
}

/// What became of a number.
pub(crate) fn revoked(revoked: Revoked) -> String {
    let number = revoked.number;
    if revoked.was_waiting {
        return format!("the code of number {number} is withdrawn; the number had no owner yet");
    }
    format!(
        "number {number} is out of use; engines know it within two minutes of the end of this epoch"
    )
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
pub(crate) fn listed(listed: &Listed, json: bool) -> String {
    let Listed {
        key,
        counts,
        states,
    } = listed;
    let key = hex::encode(key.as_bytes());
    if json {
        let states: Vec<_> = states
            .iter()
            .map(|(number, state)| state_json(*number, *state))
            .collect();
        return serde_json::json!({
            "key": key, "free": counts.free, "waiting": counts.waiting, "active": counts.active,
            "retired": counts.retired, "queued": counts.queued, "numbers": states,
        })
        .to_string();
    }
    let mut text = format!(
        "the book's key is {key}\nfree {}, waiting {}, active {}, retired {}; {} changes wait for an epoch",
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
