//! The command line of the phone book: reads settings, starts the service or does the operator's work. No logic.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ringfence_phonebook::Exchange;
use ringfence_phonebook::Number;
use ringfence_phonebook::admin::AdminToken;
use ringfence_phonebook::book::IssueError;
use ringfence_phonebook::config::{Config, ConfigError, Settings};
use ringfence_phonebook::exchange::ExchangeError;
use ringfence_phonebook::operator::{OperatorError, copies, export, issue, list, revoke};
use ringfence_phonebook::store::{Census, State};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// The phone book of a Ringfence network: numbers and public keys, and no idea who looks up whom.
#[derive(Parser)]
#[command(name = "ringfence-phonebook", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the phone book until Ctrl-C.
    Serve {
        #[command(flatten)]
        place: Place,
        /// Address and port to listen on [default: 127.0.0.1:7420]
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        /// Nostr relay that engines are told, ws:// or wss://; may be given several times
        #[arg(long = "relay", value_name = "URL")]
        relays: Vec<String>,
        /// TURN server that engines are told, turn:host:port; may be given several times
        #[arg(long = "turn", value_name = "URL")]
        turn: Vec<String>,
        #[command(flatten)]
        neighbours: Neighbours,
    },
    /// Draw numbers and print them with their activation codes. Works beside a running server on the same database.
    Issue {
        #[command(flatten)]
        place: Place,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MAX_ISSUES))]
        count: u32,
        /// Print one line of JSON for each
        #[arg(long)]
        json: bool,
    },
    /// Print how many numbers are free, waiting for their code, active, retired, and each of them that is not free.
    List {
        #[command(flatten)]
        place: Place,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a number out of use, or withdraw the code that it waits for. It is not issued again for a year.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// The number
        number: String,
    },
    /// Write the public book as files, for a web server that mirrors it. Run again, it writes what changed.
    Export {
        #[command(flatten)]
        place: Place,
        /// The folder that is served as /
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Copy the whole book, private keys included, into one file, while it is served.
    Backup {
        #[command(flatten)]
        place: Place,
        /// The new file
        file: PathBuf,
    },
    /// Copy a backup into a database that holds no book yet, SQLite or PostgreSQL.
    Restore {
        #[command(flatten)]
        place: Place,
        /// The backup
        file: PathBuf,
    },
}

/// As many codes as one person may hand out in a day.
const MAX_ISSUES: i64 = 10_000;
/// What else runs in this process.
#[derive(Args)]
struct Neighbours {
    /// Run a Nostr relay for rings too, and tell engines of it
    #[arg(long)]
    with_relay: bool,
    /// Run a TURN server too (coturn where it is installed, else the embedded one), and tell engines of it
    #[arg(long)]
    with_turn: bool,
    /// Name under which the world finds this machine, as book.example.org
    #[arg(long, value_name = "NAME")]
    public_name: Option<String>,
}

/// Where the book is.
#[derive(Args)]
struct Place {
    /// File of settings (TOML); what is given here goes over what it says
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// SQLite file of the book, or postgres://USER:PASSWORD@HOST/NAME (better said in the settings, where others do not see it)
    /// [default: phonebook.sqlite]
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

/// What ends the program with a message.
#[derive(Debug, Error)]
enum Fatal {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] ExchangeError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("cannot listen for the signal to stop: {0}")]
    Signals(std::io::Error),
    #[error("the answer could not be written to standard output: {0}")]
    Output(std::io::Error),
}

/// Our own code only: the libraries under relay and TURN log addresses.
const LOG: &str = "ringfence=info";

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("RINGFENCE_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(Line::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            complain(&fatal);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Fatal> {
    match command {
        Command::Serve {
            place,
            listen,
            relays,
            turn,
            neighbours,
        } => {
            let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
            let settings = Settings {
                listen,
                relays: given(relays),
                turn: given(turn),
                public_name: neighbours.public_name,
                ..Settings::default()
            };
            let mut config = config(place, settings)?;
            config.relay.serve |= neighbours.with_relay;
            config.turn_server.serve |= neighbours.with_turn;
            serve(config).await
        }
        Command::Issue { place, count, json } => {
            let issued = issue(&config(place, Settings::default())?, count).await?;
            show_token(issued.token.as_ref());
            for issue in &issued.issues {
                say(&told(&issue.number.to_string(), &issue.code.text(), json))?;
            }
            issued.stopped.map_or(Ok(()), |cause| Err(cause.into()))
        }
        Command::List { place, json } => {
            let (census, states) = list(&config(place, Settings::default())?).await?;
            say(&listed(&census, &states, json))
        }
        Command::Revoke { place, number } => {
            let number = revoke(&config(place, Settings::default())?, &number).await?;
            say(&format!(
                "number {number} is out of use; the book says so after the end of the epoch"
            ))
        }
        Command::Export { place, folder } => {
            let epoch = export::export(&config(place, Settings::default())?, &folder).await?;
            say(&format!(
                "{} is the public book of epoch {epoch}",
                folder.display()
            ))
        }
        Command::Backup { place, file } => {
            copies::backup(&config(place, Settings::default())?, &file).await?;
            say(&format!(
                "{} holds the whole book; who has it can sign in the book's name",
                file.display()
            ))
        }
        Command::Restore { place, file } => {
            copies::restore(&config(place, Settings::default())?, &file).await?;
            say("the book is restored; start the server")
        }
    }
}

async fn serve(config: Config) -> Result<(), Fatal> {
    let stop = asked_to_stop()?;
    let exchange = Exchange::start(config).await?;
    show_token(exchange.book().first_token());
    // Engines are served all the same when nobody can be told.
    drop(say(&exchange.lines().join("\n")));
    stop.await;
    exchange.stop().await;
    Ok(())
}

/// Ready with Ctrl-C, and with what a service manager sends. Listens from the call on, not from the first wait.
#[cfg(unix)]
fn asked_to_stop() -> Result<impl Future<Output = ()>, Fatal> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Fatal::Signals)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(Fatal::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

/// Ready with Ctrl-C. Listens from the call on, not from the first wait.
#[cfg(windows)]
fn asked_to_stop() -> Result<impl Future<Output = ()>, Fatal> {
    let mut interrupted = tokio::signal::windows::ctrl_c().map_err(Fatal::Signals)?;
    Ok(async move {
        interrupted.recv().await;
    })
}

fn config(place: Place, line: Settings) -> Result<Config, ConfigError> {
    let file = place
        .config
        .as_deref()
        .map(Settings::read)
        .transpose()?
        .unwrap_or_default();
    Settings {
        database: place.database,
        ..line
    }
    .or(file)
    .resolve()
}

fn told(number: &str, code: &str, json: bool) -> String {
    if json {
        serde_json::json!({ "number": number, "activationCode": code }).to_string()
    } else {
        format!(
            "number           {number}\nactivation code  {code}\n\
             The code is good for 24 hours, once. Hand it over by a way you trust."
        )
    }
}

fn listed(census: &Census, states: &[(Number, State)], json: bool) -> String {
    if json {
        let states: Vec<_> = states
            .iter()
            .map(|(number, state)| state_json(*number, *state))
            .collect();
        return serde_json::json!({
            "free": census.free, "waiting": census.waiting, "active": census.active,
            "retired": census.retired, "queued": census.queued, "numbers": states,
        })
        .to_string();
    }
    let mut text = format!(
        "free {}, waiting {}, active {}, retired {}; {} changes wait for an epoch",
        census.free, census.waiting, census.active, census.retired, census.queued
    );
    for (number, state) in states {
        text.push_str(&format!("\n{number}  {}", state_name(*state)));
    }
    text
}

fn state_json(number: Number, state: State) -> serde_json::Value {
    let (until, since) = match state {
        State::Waiting { until } => (Some(until), None),
        State::Active => (None, None),
        State::Retired { since } => (None, Some(since)),
    };
    serde_json::json!({
        "number": number.to_string(), "state": state_name(state), "until": until, "since": since,
    })
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Waiting { .. } => "waiting",
        State::Active => "active",
        State::Retired { .. } => "retired",
    }
}

/// Prints the answer to a command. Whoever has closed the pipe has read enough.
fn say(text: &str) -> Result<(), Fatal> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Fatal::Output(error)),
        _ => Ok(()),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "shown to the operator once, apart from the answer that a script reads"
)]
fn show_token(token: Option<&AdminToken>) {
    if let Some(token) = token {
        eprintln!(
            "This is a new phone book. Its administrator's token, shown this once: {}",
            token.text()
        );
    }
}

#[expect(clippy::print_stderr, reason = "the command failed")]
fn complain(fatal: &Fatal) {
    eprintln!("ringfence-phonebook: {fatal}");
}
