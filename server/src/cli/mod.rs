//! The command line of the phone book: reads settings, starts the service, or does the operator's work.

mod output;
mod token_file;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_daemon::man::{self, Shell};
use ringfence_daemon::page::PageError;
use ringfence_daemon::{log, notify};

use crate::AllInOne;
use crate::all_in_one::AllInOneError;
use crate::book::IssueError;
use crate::config::{Config, ConfigError, Settings};
use crate::operator::{OperatorError, backup, export, issue, list, revoke};
use crate::service::HealthError;
use clap::{Args, CommandFactory, Parser, Subcommand};
use thiserror::Error;

/// The phone book of a Ringfence network: numbers and public keys, and no idea who looks up whom.
#[derive(Parser)]
#[command(
    name = "ringfence-phonebook",
    version,
    after_help = "The book's key lost or stolen, or the book moved: examples/OPERATING.md (in the package: /usr/share/doc/ringfence-phonebook/OPERATING.md), section \"The book's key lost or stolen\"."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the phone book until Ctrl-C.
    Serve {
        #[command(flatten)]
        book: BookArgs,
        /// Address and port to listen on [default: 127.0.0.1:7420]
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        /// Nostr relay that engines are told, ws:// or wss://; may be given several times
        #[arg(long = "relay", value_name = "URL")]
        relays: Vec<String>,
        /// TURN server that engines are told, turn:host:port; may be given several times
        #[arg(long = "turn", value_name = "URL")]
        turn: Vec<String>,
        /// Loopback address and port of a page for monitors, with /health and /metrics [default: none]
        #[arg(long, value_name = "ADDRESS:PORT")]
        metrics: Option<String>,
        #[command(flatten)]
        community_box: BoxArgs,
    },
    /// Draw numbers and print each with its activation code and an invitation to send. Works on the database of a running server too.
    Issue {
        #[command(flatten)]
        book: BookArgs,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MAX_ISSUES))]
        count: u32,
        /// Make the book if there is none; else only `serve` does
        #[arg(long)]
        new_book: bool,
        /// Print one line of JSON for each
        #[arg(long)]
        json: bool,
    },
    /// Print the book's key, how many numbers are free, waiting for their code, active, retired, and each of them that is not free.
    List {
        #[command(flatten)]
        book: BookArgs,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a number out of use, or withdraw the code that it waits for. It is not issued again for a year.
    Revoke {
        #[command(flatten)]
        book: BookArgs,
        /// The number
        number: String,
    },
    /// Write the public book as files, for a web server that mirrors it. Run again, it writes what changed.
    Export {
        #[command(flatten)]
        book: BookArgs,
        /// The folder that is served as /
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Copy the whole book, private keys included, into one file, while it is served.
    Backup {
        #[command(flatten)]
        book: BookArgs,
        /// The new file
        file: PathBuf,
    },
    /// Copy a backup into a database that holds no book yet, SQLite or PostgreSQL.
    ///
    /// Restore only the newest backup. The book goes on after the last epoch in it. If later epochs were served, run `resume` before
    /// `serve`: an engine that saw those does not follow a book that forgot them, and a lie cannot be told from an accident.
    Restore {
        #[command(flatten)]
        book: BookArgs,
        /// The backup
        file: PathBuf,
    },
    /// After a restore: go on after the epochs that were served since the backup, as an engine has seen them (`ringfence roots FILE`).
    ///
    /// What was activated or changed since the backup is lost all the same. The backup may be two days old.
    Resume {
        #[command(flatten)]
        book: BookArgs,
        /// The roots of the engine that has the newest copy of the book
        file: PathBuf,
    },
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

/// As many codes as one person may hand out in a day.
const MAX_ISSUES: i64 = 10_000;

/// What else runs in this process.
#[derive(Args)]
struct BoxArgs {
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
struct BookArgs {
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
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] AllInOneError),
    #[error("{0}. Choose another with --metrics")]
    Page(#[from] PageError),
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

/// Runs the program that the command line asks for.
pub async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            complain(&fatal);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Serve {
            book,
            listen,
            relays,
            turn,
            metrics,
            community_box,
        } => {
            let mut settings = settings(book)?;
            settings.listen = listen.unwrap_or(settings.listen);
            settings.metrics = metrics.unwrap_or(settings.metrics);
            settings.public_name = community_box.public_name.unwrap_or(settings.public_name);
            if !relays.is_empty() {
                settings.relays = relays;
            }
            if !turn.is_empty() {
                settings.turn = turn;
            }
            settings.relay.serve |= community_box.with_relay;
            settings.turn_server.serve |= community_box.with_turn;
            let config = settings.resolve()?;
            serve(config).await
        }
        Command::Issue {
            book,
            count,
            new_book,
            json,
        } => {
            let config = begin(book)?;
            let issued = issue(&config, count, new_book).await?;
            token_file::keep(&config.database, issued.token.as_ref());
            let url = config.public_url();
            for issue in &issued.issues {
                say(&output::told(issue, &url, &issued.key, json))?;
            }
            if !json && !issued.issues.is_empty() {
                say(&output::advice(&config))?;
            }
            issued.stopped.map_or(Ok(()), |cause| Err(cause.into()))
        }
        Command::List { book, json } => say(&output::listed(&list(&begin(book)?).await?, json)),
        Command::Revoke { book, number } => {
            say(&output::revoked(revoke(&begin(book)?, &number).await?))
        }
        Command::Export { book, folder } => {
            let epoch = export::export(&begin(book)?, &folder).await?;
            say(&format!(
                "{} is the public book of epoch {epoch}",
                folder.display()
            ))
        }
        Command::Backup { book, file } => {
            backup::backup(&begin(book)?, &file).await?;
            say(&format!(
                "{} holds the whole book; who has it can sign in the book's name",
                file.display()
            ))
        }
        Command::Restore { book, file } => {
            let epoch = backup::restore(&begin(book)?, &file).await?;
            say(&output::restored(epoch))
        }
        Command::Resume { book, file } => {
            let epoch = backup::resume(&begin(book)?, &file).await?;
            say(&output::resumed(epoch))
        }
        Command::Completions { shell } => write(&man::completions(shell, Cli::command())),
        Command::Man { folder: None } => {
            write(&man::manual(Cli::command()).map_err(CommandError::Output)?)
        }
        Command::Man {
            folder: Some(folder),
        } => man::manuals(Cli::command(), &folder).map_err(CommandError::Output),
    }
}

/// What the operator's commands begin with: the settings, and the log that these want.
fn begin(book: BookArgs) -> Result<Config, CommandError> {
    let config = settings(book)?.resolve()?;
    begin_log(&config);
    Ok(config)
}

fn begin_log(config: &Config) {
    // What is logged does not change while it runs.
    drop(log::begin(&[log::VARIABLE], LOG, config.log_format));
}

async fn serve(config: Config) -> Result<(), CommandError> {
    begin_log(&config);
    let stop = asked_to_stop()?;
    let metrics = config.metrics;
    let database = config.database.clone();
    let servers = AllInOne::start(config).await?;
    let book = servers.book();
    token_file::keep(&database, book.first_token());
    let mut lines = servers.lines();
    lines.extend(output::served(book));
    let page = match metrics {
        Some(address) => Some(book.open_page(address).await?),
        None => None,
    };
    lines.extend(
        page.as_ref()
            .map(|page| format!("for monitors: http://{}", page.address())),
    );
    // Engines are served even if standard output is closed.
    drop(say(&lines.join("\n")));
    notify::ready(WELL);
    tokio::select! {
        () = stop => {}
        () = notify::stay_in_touch(async || status(book.look().await)) => {}
    }
    notify::stopping();
    servers.stop().await;
    Ok(())
}

/// What the service manager shows of a book that does its work.
const WELL: &str = "serving";

/// The line of status for the service manager; `None` when the watchdog should end this program, which is not to be done for a
/// full disk.
fn status(look: Result<(), HealthError>) -> Option<String> {
    match look {
        Ok(()) => Some(WELL.to_owned()),
        Err(why @ HealthError::Store) => Some(why.to_string()),
        Err(_) => None,
    }
}

/// Ready with Ctrl-C, and with what a service manager sends. Listens from the call on, not from the first wait.
#[cfg(unix)]
fn asked_to_stop() -> Result<impl Future<Output = ()>, CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CommandError::Signals)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(CommandError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

/// Ready with Ctrl-C. Listens from the call on, not from the first wait.
#[cfg(windows)]
fn asked_to_stop() -> Result<impl Future<Output = ()>, CommandError> {
    let mut interrupted = tokio::signal::windows::ctrl_c().map_err(CommandError::Signals)?;
    Ok(async move {
        interrupted.recv().await;
    })
}

/// The settings of the file, or the defaults, and the database that the command line names.
fn settings(book: BookArgs) -> Result<Settings, ConfigError> {
    let mut settings = book
        .config
        .as_deref()
        .map(Settings::read)
        .transpose()?
        .unwrap_or_default();
    settings.database = book.database.unwrap_or(settings.database);
    Ok(settings)
}

/// Prints the answer to a command. A reader that has closed the pipe has read enough.
fn say(text: &str) -> Result<(), CommandError> {
    write(format!("{text}\n").as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

#[expect(clippy::print_stderr, reason = "the command failed")]
fn complain(fatal: &CommandError) {
    eprintln!("ringfence-phonebook: {fatal}");
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn the_command_line_goes_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("phonebook.toml");
        std::fs::write(&file, "database = \"file.sqlite\"\nwork_bits = 3\n").unwrap();
        let arguments = ["ringfence-phonebook", "list", "--database", "line.sqlite"];
        let arguments = arguments.map(OsString::from).into_iter();
        let config = [OsString::from("--config"), file.into_os_string()];
        let Command::List { book, .. } = Cli::parse_from(arguments.chain(config)).command else {
            panic!("another command");
        };
        let settings = settings(book).unwrap();
        assert_eq!(settings.database.to_str(), Some("line.sqlite"));
        assert_eq!(settings.work_bits, 3);
    }
}
