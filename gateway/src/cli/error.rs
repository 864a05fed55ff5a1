//! Every error that can end a command, and its one form on standard error: what failed, why, what to do.

use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_book::CodeError;
use ringfence_daemon::page::PageError;
use ringfence_engine::line::command::LineCommandError;
use ringfence_engine::trust::contacts::ContactError;
use ringfence_engine::trust::directory::LookupError;

use crate::config::ConfigError;
use crate::lines::LineError;
use crate::net::book::BookError;
use crate::net::phone::ListenError;
use crate::node::NodeError;
use crate::page::StatusPageError;
use crate::page::client::{self, PageClientError};
use crate::run::assemble::AssembleError;
use crate::selfcall::StackError;
use crate::state::backup::BackupError;
use crate::state::keystore::KeystoreError;
use crate::turn::probe::TurnProbeError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key store.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// A backup.
    #[error(transparent)]
    Archive(#[from] BackupError),
    /// The typed activation code.
    #[error("this is not an activation code: {0}")]
    Code(#[from] CodeError),
    /// The running engine.
    #[error(transparent)]
    Visit(#[from] PageClientError),
    /// A command for a line.
    #[error(transparent)]
    Line(#[from] LineCommandError),
    /// An engine runs without a page, so commands cannot reach it.
    #[error(
        "an engine runs on this state folder, but its status page is turned off, so that this command cannot reach it"
    )]
    NoPage,
    /// The engine has accepted a change and not saved it.
    #[error("the running engine accepted the change, but has not saved it")]
    NotSaved,
    /// A number without a key in the copy of the phone book.
    #[error("the copy of the phone book on this machine has no key for this number: {0}")]
    NotListed(LookupError),
    /// There is no copy of the phone book.
    #[error("there is no copy of the phone book on this machine yet")]
    NoBook,
    /// A number that is a contact already.
    #[error("this number is a contact already; its key was not changed")]
    IsContact,
    /// An edit of the contacts.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// The phone book.
    #[error(transparent)]
    Book(#[from] BookError),
    /// An activation.
    #[error(transparent)]
    Activate(#[from] LineError),
    /// The parts of an engine.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The sockets towards phones.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The page for monitors.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The user's page.
    #[error(transparent)]
    StatusPage(#[from] StatusPageError),
    /// The passphrase from the service manager.
    #[error("the passphrase from the service manager cannot be read: {0}")]
    Credential(std::io::ErrorKind),
    /// Manual pages could not be written.
    #[error("the manual pages could not be written: {0}")]
    Papers(std::io::ErrorKind),
    /// The TURN server.
    #[error(transparent)]
    Turn(#[from] TurnProbeError),
    /// The demo.
    #[error(transparent)]
    Demo(#[from] StackError),
    /// A question was left unanswered.
    #[error("the setup is not finished")]
    Stopped,
    /// An engine runs, so a setup can change nothing.
    #[error("an engine runs on this state folder, and takes no other line while it runs")]
    Running,
    /// A question that there is no terminal to ask at.
    #[error("{0} is needed, because there is no terminal to ask at")]
    Missing(&'static str),
    /// There is a file of settings, and the options would change it.
    #[error("there are settings in {} already; they were not changed", .0.display())]
    SettingsExist(PathBuf),
    /// `--phones lan` on a machine without a local network.
    #[error("no address of this machine in a local network was found")]
    NoNetwork,
    /// No line has that number.
    #[error("no line of this state folder has that number")]
    NoSuchLine,
    /// There are several lines, and none was named.
    #[error("this state folder has several lines")]
    WhichLine,
    /// The user did not confirm.
    #[error("nothing was done: it was not confirmed")]
    NotConfirmed,
    /// Nothing was typed, or two different things.
    #[error("no passphrase was given, or the second one differs from the first")]
    NoPassphrase,
    /// Standard output cannot be written.
    #[error("the answer could not be written to standard output: {0}")]
    Output(std::io::ErrorKind),
    /// The system refuses threads or signals.
    #[error("the operating system refused a resource: {0}")]
    System(std::io::ErrorKind),
}

impl From<NodeError> for CommandError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Keystore(error) => error.into(),
            NodeError::Book(error) => error.into(),
            NodeError::Assemble(error) => error.into(),
            NodeError::Turn(error) => error.into(),
            NodeError::Listen(error) => error.into(),
        }
    }
}

impl CommandError {
    fn remedy(&self) -> String {
        match self {
            Self::Config(error) => error.remedy(),
            Self::Keystore(error) => error.remedy(),
            Self::Archive(error) => error.remedy(),
            Self::Code(_) => "type it again as you were given it; nothing was sent".to_owned(),
            Self::Visit(error) => error.remedy(),
            Self::Line(error) => client::remedy(*error).to_owned(),
            Self::NoPage => "set page.listen and restart the engine, or stop it first, or dial the feature codes *60 and *80".to_owned(),
            Self::NotSaved => "check that the disk has room, then look again: ringfence contacts".to_owned(),
            Self::NotListed(_) => "check the number, or wait for the next download: a new number appears within two minutes".to_owned(),
            Self::NoBook => "start the engine once: it downloads the phone book".to_owned(),
            Self::IsContact => "`ringfence contacts name` names it; `ringfence contacts remove` forgets its key".to_owned(),
            Self::Contact(_) => "`ringfence contacts` lists what there is".to_owned(),
            Self::Book(error) => error.remedy(),
            Self::Activate(error) => error.remedy(),
            Self::Assemble(error) => error.remedy(),
            Self::Listen(error) => error.remedy(),
            Self::Page(_) => "another program (perhaps another ringfence) uses this port: set metrics.listen to another, or leave it empty".to_owned(),
            Self::StatusPage(StatusPageError::Key(error)) => error.remedy(),
            Self::StatusPage(_) => "set page.listen to an address and port that is free, or leave it empty: then there is no page".to_owned(),
            Self::Credential(_) => "check LoadCredential= in the unit: it names a text file of one line".to_owned(),
            Self::Papers(_) => "check that the folder exists and that this user may write to it".to_owned(),
            Self::Turn(error) => error.remedy(),
            Self::Demo(error) => error.remedy(),
            Self::Stopped => "run it again: what was answered is kept".to_owned(),
            Self::Running => "stop it (`systemctl --user stop ringfence`, or Ctrl-C where it runs; its calls end), then run the same setup again, and start it: with all its lines".to_owned(),
            Self::Missing(_) => "give it as an option; `ringfence setup --help` names them all".to_owned(),
            Self::SettingsExist(_) => "remove the options that would change them, or give --replace, which keeps the old file beside the new one".to_owned(),
            Self::NoNetwork => "name the address at which phones reach this machine, for example --phones 192.168.1.10".to_owned(),
            Self::NoSuchLine => "`ringfence lines` lists them".to_owned(),
            Self::WhichLine => "add --line NUMBER; `ringfence lines` lists them".to_owned(),
            Self::NotConfirmed => "type what is asked for, or give --yes".to_owned(),
            Self::NoPassphrase => {
                "set RINGFENCE_PASSPHRASE, or start from a terminal and type it twice".to_owned()
            }
            Self::Output(_) => "check where the output goes, perhaps a full disk; `ringfence lines` prints the lines again".to_owned(),
            Self::System(_) => "check the limits of this user's processes and memory".to_owned(),
        }
    }

    /// Whether another passphrase may help.
    pub(super) fn is_wrong_passphrase(&self) -> bool {
        matches!(
            self,
            Self::Keystore(KeystoreError::WrongPassphrase { .. })
                | Self::Archive(
                    BackupError::WrongPassphrase(_)
                        | BackupError::Keystore(KeystoreError::WrongPassphrase { .. })
                )
        )
    }

    /// 3 when no engine runs that could be asked, 2 when the command line or the settings must change, 1 for every other failure.
    fn status(&self) -> u8 {
        match self {
            Self::Visit(PageClientError::NotRunning) => 3,
            Self::Config(_)
            | Self::Code(_)
            | Self::Contact(_)
            | Self::NoPassphrase
            | Self::Archive(BackupError::Exists(_) | BackupError::LinesThere(_))
            | Self::Missing(_)
            | Self::SettingsExist(_)
            | Self::NoNetwork
            | Self::NotListed(_)
            | Self::IsContact
            | Self::NoSuchLine
            | Self::WhichLine
            | Self::NotConfirmed
            | Self::Book(BookError::BadUrl(_) | BookError::Insecure(_)) => 2,
            _ => 1,
        }
    }

    /// The error in one paragraph.
    pub(super) fn text(&self) -> String {
        format!("ringfence: {self}. To do: {}.", self.remedy())
    }

    /// Prints the error and returns the exit status.
    #[expect(clippy::print_stderr, reason = "the answer to a command")]
    pub(super) fn print(&self) -> ExitCode {
        eprintln!("{}", self.text());
        ExitCode::from(self.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_paragraph_that_says_what_why_and_what_to_do() {
        let failures = [
            CommandError::from(BookError::CodeRefused),
            CommandError::from(AssembleError::NoLine),
            CommandError::from(KeystoreError::InUse {
                path: "/tmp/state".into(),
            }),
            CommandError::from(ListenError {
                transport: "udp",
                addr: ([127, 0, 0, 1], 5060).into(),
                error: std::io::ErrorKind::AddrInUse.into(),
            }),
        ];
        for failure in failures {
            let text = failure.text();
            assert!(
                !text.contains('\n') && text.contains(". To do: ") && text.ends_with('.'),
                "{text}"
            );
            assert!(!text.contains("..") && !text.contains(".:"), "{text}");
            assert_eq!(failure.status(), 1);
        }
    }

    #[test]
    fn what_must_be_typed_differently_has_a_status_of_its_own() {
        assert_eq!(CommandError::from(ConfigError::NoHome).status(), 2);
        assert_eq!(
            CommandError::from(BookError::BadUrl("x".to_owned())).status(),
            2
        );
    }
}
