//! What was typed. Each command has a file; this one names them and starts them.
//!
//! Exit status: 0 done; 1 it failed, and one paragraph on standard error says what, why and what to do; 2 the command line or the
//! settings are wrong; 3 no engine runs that could be asked.

mod activate;
mod backup;
mod block;
mod calls;
mod contacts;
mod deactivate;
mod demo;
mod doctor;
mod evidence;
mod error;
mod lines;
mod passphrase;
mod paths;
mod progress;
mod qr;
mod serve;
mod setup;
mod status;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use ringfence_phonebook::duty::log::{self, Dial, Format};
use ringfence_phonebook::duty::papers::{self, Shell};

use crate::config::Config;
use crate::state::keystore::Keystore;
use crate::state::secret::Secret;
pub use error::Failure;
use paths::Place;

/// Private calls for any SIP phone.
///
/// Ringfence looks like a SIP server on this machine. Phones register to it and dial numbers; a call leaves the machine as a sealed
/// ring on Nostr relays and as relayed WebRTC, so that no server learns who calls whom and neither side learns the other's address.
#[derive(Debug, Parser)]
#[command(
    name = "ringfence",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong command line or settings, 3 no engine runs that could be asked."
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
    Demo(demo::DemoArgs),
    /// Set an engine up: phone book, activation code, passphrase, phones
    ///
    /// Asks for what is not given, checks each answer at once, writes the settings, redeems the code and ends with the account for
    /// your phone. Without a terminal all of it comes from options. When it is interrupted, run it again: nothing is lost, and it goes
    /// on where it stopped. Settings that are there already are kept, unless --replace is given.
    Setup(setup::SetupArgs),
    /// Redeem an activation code: get a number and a SIP account
    ///
    /// Draws the keys of a new line, binds them to the number behind the code, and prints the SIP account for your phones. When the
    /// answer is lost on the way, run the same command again.
    Activate(activate::ActivateArgs),
    /// Run the engine for all lines of the state folder, until Ctrl-C
    ///
    /// Ctrl-C (or SIGTERM) hangs up all calls and ends within 3 seconds; a second one ends at once. SIGHUP reads the settings again;
    /// calls go on.
    Run(Place),
    /// Show how the running engine is: lines, phones, relays, TURN, phone book, calls, warnings
    ///
    /// Exit status 0: it is well; 1: it is ill, and a warning says why; 3: no engine runs on this state folder.
    Status(status::StatusArgs),
    /// List the lines of the state folder and their SIP accounts
    Lines(lines::LinesArgs),
    /// Give a number back: nobody can call it any more, and its keys are destroyed
    ///
    /// Stop the engine of the state folder first.
    Deactivate(deactivate::DeactivateArgs),
    /// List the contacts, add and name them, compare safety numbers, accept changed keys, block numbers
    ///
    /// A number becomes a contact, and its key is pinned, when a call with it is first answered, or when it is added. A running engine
    /// takes over what is changed here within seconds.
    Contacts(contacts::ContactsArgs),
    /// List the calls of the past, latest first
    ///
    /// Times are in UTC. The star code *97, dialled at a phone, tells of the missed ones by a text and puts the lamp out.
    Calls(calls::CallsArgs),
    /// Look whether everything that a call needs is well, and prove the promise by a call to itself
    ///
    /// Looks at settings, rights of the keys, disk, ports, phone book, clock, each Nostr relay and each TURN server, then lets two
    /// engines of its own call each other through them for 10 seconds and watches which names are looked up and which addresses are
    /// connected. Works with and beside a running engine, and disturbs neither it nor its calls. Takes half a minute, and at most four.
    Doctor(doctor::DoctorArgs),
    /// Write lines, contacts, calls and settings into one file under a passphrase
    ///
    /// Works beside a running engine. The passphrase is that of the keys if they have one; the environment variable
    /// RINGFENCE_BACKUP_PASSPHRASE names another, and without either it is asked for, twice.
    Backup(backup::BackupArgs),
    /// Bring back what a backup holds
    ///
    /// Stop the engine of the state folder first. The folder is replaced in one step: whatever stops the restore, there is either the
    /// old state or the new one. An old backup has old ring keys: the engine draws new ones at its first start, and calls may not
    /// reach it until the phone book has published them. Of what came after the backup, contacts must be trusted anew, calls are
    /// forgotten, and texts of the last seven days may show once more. Two engines must never run with the same line: each would
    /// replace the other's ring key, calls would reach one of them by chance, and both would take the phone book for a liar.
    Restore(backup::RestoreArgs),
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
        Command::Demo(args) => demo::run(args).await,
        Command::Setup(args) => setup::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Activate(args) => activate::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Run(place) => {
            let config = place.config()?;
            let dial = begin_log(&config.log, config.log_format);
            serve::serve(&place, config, &dial).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Status(args) => status::run(&args).await,
        Command::Lines(args) => lines::run(&args).await.map(|()| ExitCode::SUCCESS),
        Command::Deactivate(args) => {
            deactivate::run(&args).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Contacts(args) => contacts::run(&args).await.map(|()| ExitCode::SUCCESS),
        Command::Calls(args) => calls::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Backup(args) => backup::backup(&args).map(|()| ExitCode::SUCCESS),
        Command::Restore(args) => backup::bring_back(&args).map(|()| ExitCode::SUCCESS),
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
}
