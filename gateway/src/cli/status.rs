//! `ringfence status`: how the running engine is, asked over its page. Exit status 0: well; 1: ill; 3: none runs.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::interval;

use super::{Failure, Place, say, stop};
use crate::calendar::span;
use crate::page::client;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// The first line of the terminal, and nothing on it (ECMA-48).
const TOP: &str = "\x1b[H\x1b[2J";

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print JSON, with --watch a line each time
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(super) async fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let config = args.place.config()?;
    if !args.watch {
        return show(&visit::status(&config.state).await?, args.json, "");
    }
    let top = if std::io::stdout().is_terminal() {
        TOP
    } else {
        ""
    };
    let mut ticks = interval(PAUSE);
    let stopped = stop();
    tokio::pin!(stopped);
    let mut last = ExitCode::SUCCESS;
    loop {
        tokio::select! {
            _ = ticks.tick() => last = show(&visit::status(&config.state).await?, args.json, top)?,
            () = &mut stopped => return Ok(last),
        }
    }
}

fn show(status: &Value, as_json: bool, top: &str) -> Result<ExitCode, Failure> {
    if as_json {
        say(&status.to_string())?;
    } else {
        say(&format!("{top}{}", page(status)))?;
    }
    Ok(if status["ok"] == true {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn page(status: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut text = String::new();
    let mut row = |name: &str, says: &str| {
        // Writing into a text does not fail.
        let _ = writeln!(text, "{name:<11} {says}");
    };
    let state = if status["ok"] == true { "well" } else { "ILL" };
    row(
        "engine",
        &format!(
            "{state}, up for {}",
            span(number(&status["uptime_seconds"]))
        ),
    );
    let relays = &status["relays"];
    row(
        "relays",
        &format!(
            "{} of {} bring rings",
            number(&relays["listening"]),
            number(&relays["configured"])
        ),
    );
    let turn = if status["turn"]["ready"] == true {
        "a relayed address is ready"
    } else {
        "no relayed address is ready; the next call dials"
    };
    row("TURN", turn);
    let book = &status["phone_book"];
    if book.is_null() {
        row("phone book", "not downloaded yet");
    } else {
        let age = span(number(&book["age_seconds"]));
        row(
            "phone book",
            &format!("epoch {}, {age} old", number(&book["epoch"])),
        );
    }
    for line in list(&status["lines"]) {
        row(
            &format!("line {}", number(&line["number"])),
            &of_line(&line),
        );
    }
    for call in list(&status["calls"]) {
        row("call", &of_call(&call));
    }
    for warning in list(&status["warnings"]) {
        let grave = if warning["grave"] == true {
            "GRAVE"
        } else {
            "warning"
        };
        row(
            grave,
            &format!(
                "{} To do: {}",
                plain(&warning["what"]),
                plain(&warning["remedy"])
            ),
        );
    }
    text.trim_end().to_owned()
}

fn of_line(line: &Value) -> String {
    let phones: Vec<String> = line["phones"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|phone| {
            format!(
                "{} over {}",
                plain(&phone["address"]),
                plain(&phone["transport"])
            )
        })
        .collect();
    let mut says = match phones.as_slice() {
        [] => "no phone is registered".to_owned(),
        phones => phones.join(", "),
    };
    for (key, what) in [
        ("missed_calls", "missed calls"),
        ("texts_waiting", "texts wait"),
    ] {
        if let Some(count) = line[key].as_u64().filter(|count| *count > 0) {
            says.push_str(&format!("; {count} {what}"));
        }
    }
    if line["do_not_disturb"] == true {
        says.push_str("; do not disturb");
    }
    match line["name"].as_str() {
        Some(name) => format!("({name}) {says}"),
        None => says,
    }
}

fn of_call(call: &Value) -> String {
    let arrow = if call["direction"] == "out" {
        "->"
    } else {
        "<-"
    };
    let name = call["name"]
        .as_str()
        .map_or_else(String::new, |name| format!(" ({name})"));
    let (line, number) = (&call["line"], &call["number"]);
    let mut says = format!("{line} {arrow} {number}{name}, {}", plain(&call["state"]));
    if let Some(mos) = call["to_phone"]["mos"].as_f64() {
        says.push_str(&format!(", MOS {mos:.1}"));
    }
    says
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_known_stands_on_the_page() {
        let status = json!({
            "ok": false, "uptime_seconds": 7_300,
            "relays": { "configured": 2, "listening": 0 }, "turn": { "ready": true },
            "phone_book": { "epoch": 7, "age_seconds": 90 },
            "lines": [{ "number": 20_001, "name": "Desk", "missed_calls": 2, "texts_waiting": 0,
                "phones": [{ "transport": "UDP", "address": "127.0.0.1:5070" }], "do_not_disturb": true }],
            "calls": [{ "line": 20_001, "number": 20_002, "name": "Bob", "direction": "out", "state": "talking",
                "to_phone": { "mos": 4.37 } }],
            "warnings": [{ "grave": true, "what": "No relay.", "remedy": "Look." }],
        });
        let text = page(&status);
        for words in [
            "ILL, up for 2 h",
            "0 of 2 bring rings",
            "epoch 7, 90 s old",
            "(Desk) 127.0.0.1:5070 over UDP; 2 missed calls; do not disturb",
            "20001 -> 20002 (Bob), talking, MOS 4.4",
            "GRAVE       No relay. To do: Look.",
        ] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        assert!(page(&json!({})).contains("not downloaded yet"));
    }
}
