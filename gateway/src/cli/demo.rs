//! `ringfence demo`: the options of the demo and its exit status.

use std::process::ExitCode;

use clap::Args;
use ringfence_daemon::log::Format;

use super::{CommandError, begin_log, say, stop};
use crate::demo::{self, DemoOptions};
use crate::selfcall::{StackOptions, report};
use crate::state::secret::Secret;
use crate::turn::TurnEndpoint;

/// Log filter: errors only, because the report is the output.
const LOG: &str = "ringfence=error";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End after the built-in call; exit status 0 only if the whole call worked
    #[arg(long, conflicts_with = "no_call")]
    once: bool,
    /// Print JSON lines: what runs, then the result of the call
    #[arg(long)]
    json: bool,
    /// Start everything, but place no call
    #[arg(long)]
    no_call: bool,
    /// Use this Nostr relay instead of the embedded one
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
    /// Use this TURN server instead of the embedded one: turn:HOST:PORT?transport=udp|tcp or turns:HOST:PORT
    #[arg(long, value_name = "URL", requires = "turn_secret")]
    turn: Option<TurnEndpoint>,
    /// Secret shared with that TURN server (coturn: static-auth-secret)
    #[arg(long, value_name = "SECRET", requires = "turn")]
    turn_secret: Option<String>,
    /// SIP port of the first line, UDP and TCP; the second gets a free one
    #[arg(long, value_name = "PORT")]
    sip_port: Option<u16>,
}

/// Runs the command.
pub(super) async fn run(args: DemoArgs) -> Result<ExitCode, CommandError> {
    begin_log(LOG, Format::Text);
    let options = DemoOptions {
        once: args.once,
        json: args.json,
        no_call: args.no_call,
        stack: StackOptions {
            relay: args.relay,
            turn: args.turn.zip(args.turn_secret.map(Secret::new)),
            sip_port: args.sip_port,
            ..StackOptions::default()
        },
    };
    // A demo whose report cannot be written runs on: its phones and its exit status are still of use.
    let say = |text: &str| drop(say(text));
    let outcome = demo::run(&options, stop(), say).await;
    if let Err(error) = &outcome
        && options.json
    {
        say(&report::start_json(&error.to_string()));
    }
    let worked = outcome?;
    Ok(if worked {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn an_external_turn_server_needs_its_secret() {
        let accepts = |arguments: &[&str]| {
            let typed = ["ringfence", "demo"].iter().chain(arguments);
            Cli::try_parse_from(typed).is_ok()
        };
        assert!(!accepts(&["--turn", "turn:127.0.0.1:3478"]));
        assert!(accepts(&[
            "--turn",
            "turn:127.0.0.1:3478",
            "--turn-secret",
            "x"
        ]));
        assert!(!accepts(&["--once", "--no-call"]));
    }
}
