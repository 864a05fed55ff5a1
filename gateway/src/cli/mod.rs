//! What was typed. Each command has a file; this one names them and starts them.
//!
//! Exit status: 0 done; 1 it failed, and one paragraph on standard error says what, why and what to do; 2 the command line or the
//! settings are wrong.

mod calls;
mod contacts;
mod deactivate;
mod evidence;
mod failure;
mod lines;
mod passphrase;
mod serve;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use ringfence_phonebook::ActivationCode;
use ringfence_phonebook::duty::log::{self, Dial, Format};
use ringfence_phonebook::duty::papers::{self, Shell};

use crate::activate::activate;
use crate::config::{Config, ConfigError};
use crate::demo::stack::StackOptions;
use crate::demo::{self, DemoOptions};
use crate::io::book::BookClient;
use crate::io::turn::TurnEndpoint;
use crate::keystore::Keystore;
use crate::secret::Secret;
pub use failure::Failure;

/// Log of the demo: its output is the report.
const DEMO_LOG: &str = "ringfence=error";

/// Private calls for any SIP phone.
///
/// Ringfence looks like a SIP server on this machine. Phones register to it and dial numbers; a call leaves the machine as a sealed
/// ring on Nostr relays and as relayed WebRTC, so that no server learns who calls whom and neither side learns the other's address.
#[derive(Debug, Parser)]
#[command(
    name = "ringfence",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong command line or settings."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system on this machine and place a call through it
    ///
    /// Starts a phone book, a Nostr relay, a TURN server and two engines on loopback, lets two built-in phones call each other and
    /// prints the path of the call. Then everything keeps running for phones of your own, until Ctrl-C.
    Demo(DemoArgs),
    /// Redeem an activation code: get a number and a SIP account
    ///
    /// Draws the keys of a new line, binds them to the number behind the code, and prints the SIP account for your phones. When the
    /// answer is lost on the way, run the same command again.
    Activate(ActivateArgs),
    /// Run the engine for all lines of the state folder, until Ctrl-C
    ///
    /// Ctrl-C (or SIGTERM) hangs up all calls and ends within 3 seconds; a second one ends at once. SIGHUP reads the settings again;
    /// calls go on.
    Run(Place),
    /// List the lines of the state folder and their SIP accounts
    Lines(LinesArgs),
    /// Give a number back: nobody can call it any more, and its keys are destroyed
    ///
    /// Stop the engine of the state folder first.
    Deactivate(deactivate::DeactivateArgs),
    /// List the contacts, compare safety numbers, accept changed keys
    ///
    /// A number becomes a contact, and its key is pinned, when a call with it is first answered.
    Contacts(contacts::ContactsArgs),
    /// List the calls of the past, latest first
    ///
    /// Times are in UTC. The star code *97, dialled at a phone, tells of the missed ones by a text and puts the lamp out.
    Calls(calls::CallsArgs),
    /// List the proof against the phone book that was found, if any
    Evidence(evidence::EvidenceArgs),
    /// Print the completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write a page for each command into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// End after the built-in call; exit status 0 only if all of it held
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

#[derive(Debug, Args)]
struct ActivateArgs {
    /// URL of the phone book
    #[arg(long, value_name = "URL")]
    phonebook: String,
    /// The activation code, as its operator gave it to you
    #[arg(long, value_name = "CODE")]
    code: String,
    /// A name for the line; stays on this machine
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Encrypt the keys with a passphrase and ask for it (or set RINGFENCE_PASSPHRASE)
    #[arg(long)]
    passphrase: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct LinesArgs {
    /// Print the SIP passwords too
    #[arg(long)]
    passwords: bool,
    #[command(flatten)]
    place: Place,
}

/// Where settings and keys are.
#[derive(Debug, Args)]
struct Place {
    /// File of settings (TOML); examples/ringfence.toml shows them all
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Folder of the keys; goes over the setting `state` [default: ~/.local/share/ringfence]
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
}

impl Place {
    fn config(&self) -> Result<Config, ConfigError> {
        match (&self.config, &self.state) {
            (Some(file), None) => Ok(Config::read(file)?),
            (Some(file), Some(state)) => Ok(Config {
                state: state.clone(),
                ..Config::read(file)?
            }),
            (None, Some(state)) => Ok(Config::with_state(state)),
            (None, None) => Ok(Config::defaults()?),
        }
    }
}

/// Runs a command to its end.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Failure::System(error.kind()).tell(),
    };
    let outcome = runtime.block_on(run(cli.command));
    // Threads that mint stamps or look up names are not waited for.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|failure| failure.tell())
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo(args) => run_demo(args).await,
        Command::Activate(args) => run_activate(args).await,
        Command::Run(place) => {
            let config = place.config()?;
            let dial = begin_log(&config.log, config.log_format);
            serve::serve(&place, config, &dial).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Lines(args) => {
            let config = args.place.config()?;
            let mut store = open_store(&config, false)?;
            say(&lines::table(&store.lines()?, &config, args.passwords))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Deactivate(args) => {
            deactivate::run(&args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Contacts(args) => contacts::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Calls(args) => calls::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Evidence(args) => evidence::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Completions { shell } => {
            write(&papers::completions(shell, Cli::command()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            print_manual(folder.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print_manual(folder: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Papers(error.kind());
    match folder {
        Some(folder) => papers::manuals(Cli::command(), folder).map_err(failed),
        None => write(&papers::manual(Cli::command()).map_err(failed)?),
    }
}

async fn run_demo(args: DemoArgs) -> Result<ExitCode, Failure> {
    begin_log(DEMO_LOG, Format::Text);
    let options = DemoOptions {
        once: args.once,
        json: args.json,
        no_call: args.no_call,
        stack: StackOptions {
            relay: args.relay,
            turn: args.turn.zip(args.turn_secret.map(Secret::new)),
            sip_port: args.sip_port,
        },
    };
    // A demo whose report cannot be written runs on: its phones and its exit status are still of use.
    let say = |text: &str| drop(say(text));
    let outcome = demo::run(&options, stop(), say).await;
    if let Err(fault) = &outcome
        && options.json
    {
        say(&demo::report::start_json(&fault.to_string()));
    }
    let held = outcome?;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run_activate(args: ActivateArgs) -> Result<ExitCode, Failure> {
    let config = args.place.config()?;
    begin_log(&config.log, config.log_format);
    let code: ActivationCode = args.code.parse()?;
    let client = BookClient::new(&args.phonebook, config.phonebook.ca_file.as_deref())?;
    let mut store = open_store(&config, args.passphrase)?;
    let line = activate(&mut store, &client, &code, args.name).await?;
    say(&format!(
        "Line {} is yours.\n\n{}",
        line.number,
        lines::table(std::slice::from_ref(&line), &config, true)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the key store, with the passphrase of whoever has one to give.
fn open_store(config: &Config, new_passphrase: bool) -> Result<Keystore, Failure> {
    let passphrase = passphrase(config, new_passphrase)?;
    Ok(Keystore::open(&config.state, passphrase)?)
}

/// The passphrase of the keys, if they have one.
fn passphrase(config: &Config, new_passphrase: bool) -> Result<Option<Secret>, Failure> {
    let encrypted = Keystore::is_encrypted(&config.state)?;
    passphrase::find(encrypted, new_passphrase)
}

/// Resolves at Ctrl-C or SIGTERM.
async fn stop() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        result = tokio::signal::ctrl_c() => if result.is_err() { std::future::pending::<()>().await },
    }
}

/// `RUST_LOG` goes before the settings.
fn begin_log(filter: &str, format: Format) -> Dial {
    log::begin("RUST_LOG", filter, format)
}

/// Prints the answer to a command. Whoever has closed the pipe has read enough.
fn say(text: &str) -> Result<(), Failure> {
    write(format!("{text}\n").as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output(error.kind())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_external_turn_server_needs_its_secret() {
        assert!(
            Cli::try_parse_from(["ringfence", "demo", "--turn", "turn:127.0.0.1:3478"]).is_err()
        );
        assert!(
            Cli::try_parse_from([
                "ringfence",
                "demo",
                "--turn",
                "turn:127.0.0.1:3478",
                "--turn-secret",
                "x"
            ])
            .is_ok()
        );
        assert!(Cli::try_parse_from(["ringfence", "demo", "--once", "--no-call"]).is_err());
    }

    #[test]
    fn a_folder_on_the_command_line_goes_over_the_settings() {
        let place = Place {
            config: None,
            state: Some(PathBuf::from("/tmp/a")),
        };
        assert_eq!(place.config().unwrap().state, PathBuf::from("/tmp/a"));
    }
}
