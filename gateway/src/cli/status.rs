//! `ringfence status`: the state of the running engine, asked over its page. Exit status 0: healthy; 1: unhealthy; 3: no engine runs.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::interval;

use super::{CommandError, PathArgs, say, stop, unlock};
use crate::calendar::span;
use crate::page::client::{self, PageClientError};
use crate::page::key::{self, PageKey};
use crate::stats::status::{CallDirection, CallStatus, LineStatus, StatusReport};

/// Between two looks with `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// Moves to the first line and erases the screen (ECMA-48: CUP, ED).
const CLEAR_SCREEN: &str = "\x1b[H\x1b[2J";

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print the address of the status page with its key, for a browser
    #[arg(long, conflicts_with_all = ["watch", "json"])]
    page: bool,
    /// Print JSON, with --watch a line each time
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    paths: PathArgs,
}

/// Runs the command.
pub(super) async fn run(args: &StatusArgs) -> Result<ExitCode, CommandError> {
    let mut config = args.paths.config()?;
    // Without an engine there is nothing to ask the passphrase for.
    if key::file(&config.state).exists() {
        unlock(&mut config)?;
    }
    if args.page {
        let key = PageKey::read(&config.state)?.ok_or(PageClientError::NotRunning)?;
        say(key.url().expose())?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.watch {
        return show(&client::status(&config.state).await?, args.json, "");
    }
    let top = if std::io::stdout().is_terminal() {
        CLEAR_SCREEN
    } else {
        ""
    };
    let mut ticks = interval(PAUSE);
    let stopped = stop();
    tokio::pin!(stopped);
    let mut last = ExitCode::SUCCESS;
    loop {
        tokio::select! {
            _ = ticks.tick() => last = show(&client::status(&config.state).await?, args.json, top)?,
            () = &mut stopped => return Ok(last),
        }
    }
}

fn show(status: &StatusReport, as_json: bool, top: &str) -> Result<ExitCode, CommandError> {
    if as_json {
        say(&serde_json::to_string(status).expect("texts and numbers always become JSON"))?;
    } else {
        say(&format!("{top}{}", table(status)))?;
    }
    Ok(if status.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn table(status: &StatusReport) -> String {
    let mut text = String::new();
    let mut row = |name: &str, says: &str| {
        // Writing to a string never fails.
        let _ = writeln!(text, "{name:<11} {says}");
    };
    let health = if status.ok { "healthy" } else { "UNHEALTHY" };
    row(
        "engine",
        &format!("{health}, up for {}", span(status.uptime_seconds)),
    );
    let relays = status.relays;
    row(
        "relays",
        &format!(
            "{} of {} deliver rings",
            relays.listening, relays.configured
        ),
    );
    row(
        "TURN",
        if status.turn.ready {
            "allocation ready"
        } else {
            "no allocation ready; the next call makes one"
        },
    );
    if let Some(proxy) = &status.proxy {
        let answers = match status.proxy_answers {
            Some(true) => "answers",
            Some(false) => "does not answer",
            None => "has not answered yet",
        };
        row(
            "proxy",
            &format!("{proxy} {answers}; it leads to relays and phone book"),
        );
    }
    row(
        "phone book",
        &status.phone_book.map_or_else(
            || "not downloaded yet".to_owned(),
            |book| format!("epoch {}, {} old", book.epoch, span(book.age_seconds)),
        ),
    );
    for line in &status.lines {
        row(&format!("line {}", line.number), &line_state(line));
    }
    for call in &status.calls {
        row("call", &call_state(call));
    }
    for warning in &status.warnings {
        let lasts = span(status.at.saturating_sub(warning.since));
        row(
            if warning.grave { "SERIOUS" } else { "warning" },
            &format!("{} To do: {} (for {lasts})", warning.what, warning.remedy),
        );
    }
    text.trim_end().to_owned()
}

fn line_state(line: &LineStatus) -> String {
    let phones: Vec<String> = line
        .phones
        .iter()
        .map(|phone| format!("{} over {}", phone.address, phone.transport))
        .collect();
    let mut says = match phones.as_slice() {
        [] => "no phone is registered".to_owned(),
        phones => phones.join(", "),
    };
    for (count, one, many) in [
        (line.missed_calls, "missed call", "missed calls"),
        (line.texts_waiting, "text waits", "texts wait"),
    ] {
        match count {
            0 => {}
            1 => says.push_str(&format!("; 1 {one}")),
            count => says.push_str(&format!("; {count} {many}")),
        }
    }
    if line.do_not_disturb {
        says.push_str("; do not disturb");
    }
    if line.contacts_only {
        says.push_str("; rings for contacts only");
    }
    match &line.name {
        Some(name) => format!("({name}) {says}"),
        None => says,
    }
}

fn call_state(call: &CallStatus) -> String {
    let arrow = match call.direction {
        CallDirection::Out => "->",
        CallDirection::In => "<-",
    };
    let name = call.name.as_deref();
    let name = name.map_or_else(String::new, |name| format!(" ({name})"));
    let mut says = format!(
        "{} {arrow} {}{name}, {}",
        call.line,
        call.number,
        call.state.word()
    );
    if let (Some(phone), Some(codec), true) = (&call.phone_codec, &call.codec, call.transcoded) {
        says.push_str(&format!(", {phone} here transcoded to {codec}"));
    } else if let Some(codec) = &call.phone_codec {
        says.push_str(&format!(", {codec}"));
    }
    if let Some(mos) = call.to_phone.and_then(|quality| quality.mos) {
        says.push_str(&format!(", MOS {mos:.1}"));
    }
    says
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_known_stands_on_the_page() {
        let status = json!({
            "ok": false, "at": 1_090, "uptime_seconds": 7_300,
            "relays": { "configured": 2, "listening": 0 }, "turn": { "ready": true },
            "phone_book": { "epoch": 7, "age_seconds": 90 },
            "proxy": "socks5h://127.0.0.1:9050", "proxy_answers": true,
            "lines": [{ "number": 20_001, "name": "Desk", "missed_calls": 2, "texts_waiting": 0,
                "phones": [{ "transport": "UDP", "address": "127.0.0.1:5070" }], "do_not_disturb": true, "contacts_only": true }],
            "calls": [{ "line": 20_001, "number": 20_002, "name": "Bob", "direction": "out", "state": "talking",
                "phone_codec": "G.722", "codec": "Opus", "transcoded": true, "to_phone": { "mos": 4.37 } }],
            "warnings": [{ "kind": "no_relay", "since": 1_000, "grave": true, "what": "No relay.", "remedy": "Look." }],
        });
        let text = table(&serde_json::from_value(status).unwrap());
        for words in [
            "UNHEALTHY, up for 2 h",
            "0 of 2 deliver rings",
            "TURN        allocation ready",
            "socks5h://127.0.0.1:9050 answers",
            "epoch 7, 90 s old",
            "(Desk) 127.0.0.1:5070 over UDP; 2 missed calls; do not disturb; rings for contacts only",
            "20001 -> 20002 (Bob), talking, G.722 here transcoded to Opus, MOS 4.4",
            "SERIOUS     No relay. To do: Look. (for 90 s)",
        ] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        assert!(table(&StatusReport::default()).contains("not downloaded yet"));
    }
}
