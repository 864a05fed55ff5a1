//! The command line: a file for each command. Commands parse options and print answers; the work itself is done in the other rooms.
//!
//! Exit status: 0 done; 1 failed, and one paragraph on standard error says what, why and what to do; 2 the command line or the
//! settings are wrong; 3 no engine runs that could be asked.

mod activate;
mod backup;
mod block;
mod call;
mod calls;
mod clock_warning;
mod contacts;
mod deactivate;
mod demo;
mod doctor;
mod error;
mod evidence;
mod lines;
mod passphrase;
mod paths;
mod progress;
mod roots;
mod serve;
mod setup;
mod status;
mod stolen;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use ringfence_book::BookKey;
use ringfence_daemon::log::{self, Dial, Format};
use ringfence_daemon::man::{self, Shell};
use ringfence_daemon::{core_dumps, open_files};

use crate::config::Config;
use crate::net::book::{BookCopy, BookSnapshot};
use crate::run::assemble::AssembleError;
use crate::state::folder::StateFolder;
use crate::state::keystore::Keystore;
use crate::state::secret::Secret;
pub use error::CommandError;
use paths::PathArgs;

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
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the whole system on this machine and place a call through it
    ///
    /// Starts a phone book, a Nostr relay, a TURN server and two engines on loopback, lets two built-in phones call each other and
    /// prints the path of the call. Then everything keeps running for phones of your own, until Ctrl-C.
    Demo(demo::DemoArgs),
    /// Set an engine up: phone book, activation code, passphrase, phones
    ///
    /// Asks for what is missing, checks each answer when it is given, writes the settings, redeems the code and prints the account for your
    /// phone. Without a terminal, options must give everything. If it is interrupted, run it again: every answer is kept, but for the
    /// passphrase. Existing settings are kept, unless --replace is given.
    Setup(setup::SetupArgs),
    /// Redeem an activation code: get a number and a SIP account
    ///
    /// Draws the keys of a new line, binds them to the number behind the code, and prints the SIP account for your phones. If the
    /// answer of the phone book is lost, run the same command again.
    Activate(activate::ActivateArgs),
    /// Run the engine for all lines of the state folder, until Ctrl-C
    ///
    /// Ctrl-C (or SIGTERM) hangs up all calls and ends within 3 seconds; a second one ends at once. SIGHUP reads the settings again;
    /// calls go on.
    Run(PathArgs),
    /// Show the state of the running engine: lines, phones, relays, TURN, phone book, calls, warnings
    ///
    /// Exit status 0: healthy; 1: unhealthy, and a warning says why; 3: no engine runs on this state folder.
    Status(status::StatusArgs),
    /// List the lines of the state folder and their SIP accounts
    Lines(lines::LinesArgs),
    /// Give a number back: it can no longer be called, and its keys are destroyed
    ///
    /// Stop the engine of the state folder first.
    Deactivate(deactivate::DeactivateArgs),
    /// List the contacts, add and name them, compare safety numbers, accept changed keys, block numbers
    ///
    /// A number becomes a contact, and its key is pinned, when a call with it is first answered, or when it is added. A running engine
    /// takes over what is changed here within seconds.
    Contacts(contacts::ContactsArgs),
    /// Call a number: your phone rings first, and calls when you pick it up
    ///
    /// The running engine does it, as by the button of the status page. Exit status 0: your phones ring; whether the other side answers,
    /// your phone tells.
    Call(call::CallArgs),
    /// List past calls, latest first
    ///
    /// Times are this machine's (in JSON UTC). The feature code *97, dialled on a phone, lists missed calls in a text message and turns the message lamp off.
    Calls(calls::CallsArgs),
    /// Check everything that a call needs, and prove the promise of privacy with a test call
    ///
    /// Checks settings, file permissions, disk, ports, phone book, clock, each Nostr relay and each TURN server. Then two temporary
    /// engines call each other through these servers for 10 seconds, while the doctor records which names are looked up and which
    /// addresses are connected. It works whether an engine runs or not, and affects neither the engine nor its calls. It takes half a
    /// minute, and at most four.
    Doctor(doctor::DoctorArgs),
    /// Write lines, contacts, calls and settings into one file under a passphrase
    ///
    /// Works while an engine runs. The backup gets the passphrase of the keys, if they have one, or that of the environment variable
    /// RINGFENCE_BACKUP_PASSPHRASE. Without either, the command asks for one.
    Backup(backup::BackupArgs),
    /// Restore lines, contacts, calls and settings from a backup
    ///
    /// Stop the engine of the state folder first. The folder is replaced in one step: if the restore is interrupted, either the
    /// old state or the new one is there. A backup has old ring keys: the engine draws new ones at its first start, and calls may not
    /// reach it until the phone book has published them. Contacts made after the backup must be trusted anew, later calls are
    /// forgotten, and texts of the last seven days may appear once more. Two engines must never run with the same line: each would
    /// replace the other's ring key, calls would reach one of them by chance, and both would report the phone book as dishonest.
    Restore(backup::RestoreArgs),
    /// After a theft of the machine or its disk: replace keys and passwords, and say what the thief can still do
    ///
    /// Run it where a backup was restored; stop the engine first. It renews the ring keys (at the engine's next start, if the phone book
    /// cannot be reached), draws new passwords for phones and removes the authority of their certificate. Only a new activation replaces the
    /// identity keys: the command says when that is needed, and what contacts see then.
    Stolen(stolen::StolenArgs),
    /// List the evidence against the phone book, if there is any
    Evidence(evidence::EvidenceArgs),
    /// Write the signed roots of the phone book that this engine has seen into a file, for an operator who has lost the newest epochs
    Roots(roots::RootsArgs),
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
    if let Err(error) = core_dumps::forbid() {
        return CommandError::System(error.kind()).print();
    }
    // With fewer than it may have, the engine has room for fewer calls; the service's unit sets its own.
    open_files::raise().ok();
    // One thread for all but media and what blocks (files, proofs of work): more of them would wake each other, and each keeps memory of
    // its own that no other uses.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return CommandError::System(error.kind()).print(),
    };
    let outcome = runtime.block_on(run(cli.command));
    // Threads that compute proofs of work or look up names are not waited for.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| error.print())
}

async fn run(command: CliCommand) -> Result<ExitCode, CommandError> {
    match command {
        CliCommand::Demo(args) => demo::run(args).await,
        CliCommand::Setup(args) => {
            if let Some(setup::Start { paths, secret }) = setup::run(args).await? {
                let config = paths.config()?;
                let dial = begin_log(&config.log, config.log_format);
                let store = Keystore::open(&config.state, secret)?;
                serve::serve(&paths, config, store, &dial).await?;
            }
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Activate(args) => activate::run(args).await.map(|()| ExitCode::SUCCESS),
        CliCommand::Run(paths) => {
            let config = paths.config()?;
            let dial = begin_log(&config.log, config.log_format);
            let store = open_store(&config, false)?;
            serve::serve(&paths, config, store, &dial).await?;
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Status(args) => status::run(&args).await,
        CliCommand::Lines(args) => lines::run(&args).await.map(|()| ExitCode::SUCCESS),
        CliCommand::Deactivate(args) => {
            deactivate::run(&args).await?;
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Contacts(args) => contacts::run(&args).await.map(|()| ExitCode::SUCCESS),
        CliCommand::Call(args) => call::run(&args).await.map(|()| ExitCode::SUCCESS),
        CliCommand::Calls(args) => calls::run(&args).map(|()| ExitCode::SUCCESS),
        CliCommand::Doctor(args) => doctor::run(&args).await,
        CliCommand::Backup(args) => backup::backup(&args).map(|()| ExitCode::SUCCESS),
        CliCommand::Restore(args) => backup::restore_backup(&args).map(|()| ExitCode::SUCCESS),
        CliCommand::Stolen(args) => stolen::run(&args).await.map(|()| ExitCode::SUCCESS),
        CliCommand::Evidence(args) => evidence::run(&args).map(|()| ExitCode::SUCCESS),
        CliCommand::Roots(args) => roots::run(&args).map(|()| ExitCode::SUCCESS),
        CliCommand::Completions { shell } => {
            write(&man::completions(shell, Cli::command()))?;
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Man { folder } => {
            print_manual(folder.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print_manual(folder: Option<&Path>) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| CommandError::Papers(error.kind());
    match folder {
        Some(folder) => man::manuals(Cli::command(), folder).map_err(failed),
        None => write(&man::manual(Cli::command()).map_err(failed)?),
    }
}

/// Opens the key store with its passphrase, if it has one.
fn open_store(config: &Config, new_passphrase: bool) -> Result<Keystore, CommandError> {
    let passphrase = passphrase(config, new_passphrase)?;
    Ok(Keystore::open(&config.state, passphrase)?)
}

/// Puts the passphrase, if there is one, into the state folder of the settings, for what is not a line.
fn unlock(config: &mut Config) -> Result<Option<Secret>, CommandError> {
    let passphrase = passphrase(config, false)?;
    config.state = StateFolder::open(&config.state, passphrase.clone());
    Ok(passphrase)
}

/// The passphrase of the keys, if they have one.
fn passphrase(config: &Config, new_passphrase: bool) -> Result<Option<Secret>, CommandError> {
    passphrase::find(&config.state, new_passphrase)
}

/// The copy of the phone book on this machine; no server is asked.
fn book_copy(config: &Config, secret: &Option<Secret>) -> Result<BookSnapshot, CommandError> {
    let lines = Keystore::look(&config.state, secret.clone())?;
    let line = lines.first().ok_or(AssembleError::NoLine)?;
    let key =
        BookKey::from_bytes(&line.book_key).map_err(|_| AssembleError::BadLine(line.number))?;
    let copy = BookCopy::open(&config.state, key)?;
    copy.snapshot().ok_or(CommandError::NoBook)
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

/// Starts the log; `RINGFENCE_LOG`, or else `RUST_LOG`, overrides the settings.
fn begin_log(filter: &str, format: Format) -> Dial {
    log::begin(&[log::VARIABLE, "RUST_LOG"], filter, format)
}

/// Prints the answer to a command. A closed pipe is no error: its reader has read enough.
fn say(text: &str) -> Result<(), CommandError> {
    write(format!("{text}\n").as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::Output(error.kind()))
        }
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
