//! The command line of the phone book: reads settings, starts the service or does the operator's work. No logic.

mod answer;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use ringfence_daemon::man::{self, Shell};
use ringfence_daemon::page::PageError;
use ringfence_daemon::{log, notify};
use ringfence_phonebook::AllInOne;
use ringfence_phonebook::admin::AdminToken;
use ringfence_phonebook::all_in_one::AllInOneError;
use ringfence_phonebook::book::IssueError;
use ringfence_phonebook::config::{Config, ConfigError, Settings};
use ringfence_phonebook::operator::{OperatorError, copies, export, issue, list, revoke};
use ringfence_phonebook::service::Complaint;
use thiserror::Error;

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
        /// Loopback address and port of a page for monitors, with /health and /metrics [default: none]
        #[arg(long, value_name = "ADDRESS:PORT")]
        metrics: Option<String>,
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
    ///
    /// Restore only the newest backup. The book goes on after the last epoch in it, and signs the epochs that came later anew. An
    /// engine that saw those keeps its copy, does not follow the restored book, and reports to its user that the phone book contradicts
    /// itself: two roots of one epoch are how a lie is proved, and nobody can tell them from an accident. After such a restore tell
    /// the members which epochs were lost; what they activated or changed since is lost too.
    Restore {
        #[command(flatten)]
        place: Place,
        /// The backup
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
const LOG_VARIABLE: &str = "RINGFENCE_LOG";

#[tokio::main]
async fn main() -> ExitCode {
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
            metrics,
            neighbours,
        } => {
            let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
            let settings = Settings {
                listen,
                relays: given(relays),
                turn: given(turn),
                metrics,
                public_name: neighbours.public_name,
                ..Settings::default()
            };
            let mut config = config(place, settings)?;
            config.relay.serve |= neighbours.with_relay;
            config.turn_server.serve |= neighbours.with_turn;
            serve(config).await
        }
        Command::Issue { place, count, json } => {
            let issued = issue(&begin(place)?, count).await?;
            show_token(issued.token.as_ref());
            for issue in &issued.issues {
                say(&answer::told(
                    &issue.number.to_string(),
                    &issue.code.text(),
                    json,
                ))?;
            }
            issued.stopped.map_or(Ok(()), |cause| Err(cause.into()))
        }
        Command::List { place, json } => {
            let (census, states) = list(&begin(place)?).await?;
            say(&answer::listed(&census, &states, json))
        }
        Command::Revoke { place, number } => {
            let number = revoke(&begin(place)?, &number).await?;
            say(&format!(
                "number {number} is out of use; the book says so after the end of the epoch"
            ))
        }
        Command::Export { place, folder } => {
            let epoch = export::export(&begin(place)?, &folder).await?;
            say(&format!(
                "{} is the public book of epoch {epoch}",
                folder.display()
            ))
        }
        Command::Backup { place, file } => {
            copies::backup(&begin(place)?, &file).await?;
            say(&format!(
                "{} holds the whole book; who has it can sign in the book's name",
                file.display()
            ))
        }
        Command::Restore { place, file } => {
            let epoch = copies::restore(&begin(place)?, &file).await?;
            say(&restored(epoch))
        }
        Command::Completions { shell } => write(&man::completions(shell, Line::command())),
        Command::Man { folder: None } => {
            write(&man::manual(Line::command()).map_err(Fatal::Output)?)
        }
        Command::Man {
            folder: Some(folder),
        } => man::manuals(Line::command(), &folder).map_err(Fatal::Output),
    }
}

/// What the operator's commands begin with: the settings, and the log that these want.
fn begin(place: Place) -> Result<Config, Fatal> {
    let config = config(place, Settings::default())?;
    begin_log(&config);
    Ok(config)
}

fn begin_log(config: &Config) {
    // What is logged does not change while it runs.
    drop(log::begin(LOG_VARIABLE, LOG, config.log_format));
}

async fn serve(config: Config) -> Result<(), Fatal> {
    begin_log(&config);
    let stop = asked_to_stop()?;
    let metrics = config.metrics;
    let servers = AllInOne::start(config).await?;
    let book = servers.book();
    show_token(book.first_token());
    let mut lines = servers.lines();
    let page = match metrics {
        Some(address) => Some(book.open_page(address).await?),
        None => None,
    };
    lines.extend(
        page.as_ref()
            .map(|page| format!("for monitors: http://{}", page.address())),
    );
    // Engines are served all the same when nobody can be told.
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
fn status(look: Result<(), Complaint>) -> Option<String> {
    match look {
        Ok(()) => Some(WELL.to_owned()),
        Err(why @ Complaint::Store) => Some(why.to_string()),
        Err(_) => None,
    }
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

fn restored(epoch: u32) -> String {
    format!(
        "the book is restored as it was at the end of epoch {epoch}; start the server\n\
         Warning: if later epochs were served, stop here and restore the newest backup instead. The book will sign epoch {} anew; \
         engines that saw the first one keep their copy and report a contradiction of the phone book to their users.",
        epoch.saturating_add(1)
    )
}

/// Prints the answer to a command. Whoever has closed the pipe has read enough.
fn say(text: &str) -> Result<(), Fatal> {
    write(format!("{text}\n").as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), Fatal> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
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
