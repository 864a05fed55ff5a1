//! Everything that may end a command, and the one way in which it is told: what failed, why, what to do.

use std::path::PathBuf;
use std::process::ExitCode;

use ringfence_engine::line::command::WishFault;
use ringfence_engine::trust::contacts::ContactFault;
use ringfence_engine::trust::directory::LookupError;
use ringfence_phonebook::CodeError;
use ringfence_phonebook::duty::page::PageError;

use crate::config::ConfigError;
use crate::lines::LineError;
use crate::net::book::BookError;
use crate::net::phone::ListenError;
use crate::node::NodeError;
use crate::page::FrontError;
use crate::page::client::VisitFault;
use crate::run::assemble::AssembleError;
use crate::selfcall::StackFault;
use crate::state::backup::BackupError;
use crate::state::keystore::KeystoreError;
use crate::turn::probe::TurnProbeError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
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
    Visit(#[from] VisitFault),
    /// What is wanted of a line.
    #[error(transparent)]
    Wish(#[from] WishFault),
    /// An engine runs and has no page to be asked over.
    #[error(
        "an engine runs on this state folder, and its page is turned off, so that it cannot be told"
    )]
    NoPage,
    /// The engine knows it and has not saved it.
    #[error("the running engine took it over, and has not written it down")]
    NotSaved,
    /// A number that the copy of the phone book does not have.
    #[error("the copy of the phone book on this machine cannot tell the key of this number: {0}")]
    NotListed(LookupError),
    /// There is no copy of the phone book.
    #[error("there is no copy of the phone book on this machine yet")]
    NoBook,
    /// A number that is a contact already.
    #[error("this number is a contact already, and its key was not touched")]
    IsContact,
    /// An edit of the contacts.
    #[error(transparent)]
    Contact(#[from] ContactFault),
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
    Front(#[from] FrontError),
    /// The passphrase that the service manager was to hand over.
    #[error("the passphrase that the service manager hands over cannot be read: {0}")]
    Credential(std::io::ErrorKind),
    /// Manual pages could not be written.
    #[error("the manual pages could not be written: {0}")]
    Papers(std::io::ErrorKind),
    /// The TURN server.
    #[error(transparent)]
    Turn(#[from] TurnProbeError),
    /// The demo.
    #[error(transparent)]
    Demo(#[from] StackFault),
    /// Something was not answered and nobody can be asked.
    #[error("{0} is needed, because there is no terminal to ask at")]
    Missing(&'static str),
    /// Settings are there and others were given.
    #[error("there are settings in {} already, and they were not changed", .0.display())]
    SettingsExist(PathBuf),
    /// The words that say where the phones are.
    #[error("no address of this machine in a local network was found")]
    NoNetwork,
    /// No line has that number.
    #[error("no line of this state folder has that number")]
    NoSuchLine,
    /// There are several lines, and none was named.
    #[error("this state folder has several lines")]
    WhichLine,
    /// The person did not say yes.
    #[error("nothing was done: it was not confirmed")]
    NotConfirmed,
    /// Nothing was typed, or two different things.
    #[error("no passphrase was given, or the second one differs from the first")]
    NoPassphrase,
    /// Standard output takes nothing.
    #[error("the answer could not be written to standard output: {0}")]
    Output(std::io::ErrorKind),
    /// The system gives no threads.
    #[error("the system refused to start: {0}")]
    System(std::io::ErrorKind),
}

impl From<NodeError> for Failure {
    fn from(fault: NodeError) -> Self {
        match fault {
            NodeError::Keystore(fault) => fault.into(),
            NodeError::Book(fault) => fault.into(),
            NodeError::Assemble(fault) => fault.into(),
            NodeError::Turn(fault) => fault.into(),
            NodeError::Listen(error) => error.into(),
        }
    }
}

impl Failure {
    fn remedy(&self) -> String {
        match self {
            Self::Config(error) => error.remedy(),
            Self::Keystore(fault) => fault.remedy(),
            Self::Archive(fault) => fault.remedy(),
            Self::Code(_) => "type it again as you were given it; nothing was sent".to_owned(),
            Self::Visit(fault) => fault.remedy(),
            Self::Wish(_) => "`ringfence contacts` lists the blocked numbers".to_owned(),
            Self::NoPage => "set page.listen and restart the engine, or stop it first, or dial *60 and *80".to_owned(),
            Self::NotSaved => "check that its disk has room, and look again: ringfence contacts".to_owned(),
            Self::NotListed(_) => "check the number, or wait for the next download: a new number appears within ten minutes".to_owned(),
            Self::NoBook => "start the engine once: it downloads the phone book".to_owned(),
            Self::IsContact => "`ringfence contacts name` names it; `ringfence contacts remove` forgets its key".to_owned(),
            Self::Contact(_) => "`ringfence contacts` lists what there is".to_owned(),
            Self::Book(fault) => fault.remedy(),
            Self::Activate(fault) => fault.remedy(),
            Self::Assemble(fault) => fault.remedy(),
            Self::Listen(error) => error.remedy(),
            Self::Page(_) => "another program (perhaps another ringfence) uses this port: set metrics.listen to another, or leave it empty".to_owned(),
            Self::Front(FrontError::Key(fault)) => fault.remedy(),
            Self::Front(_) => "set page.listen to an address and port that is free, or leave it empty: then there is no page".to_owned(),
            Self::Credential(_) => "check LoadCredential= in the unit: a file of text, of one line".to_owned(),
            Self::Papers(_) => "check that the folder exists and that this user may write to it".to_owned(),
            Self::Turn(fault) => fault.remedy(),
            Self::Demo(fault) => fault.remedy(),
            Self::Missing(_) => "give it as an option; `ringfence setup --help` names them all".to_owned(),
            Self::SettingsExist(_) => "leave the options out that would change them, or give --replace: the old file is then kept beside the new one".to_owned(),
            Self::NoNetwork => "name the address that the phones reach, for example --phones 192.168.1.10".to_owned(),
            Self::NoSuchLine => "`ringfence lines` lists them".to_owned(),
            Self::WhichLine => "add --line NUMBER; `ringfence lines` lists them".to_owned(),
            Self::NotConfirmed => "type the number when asked, or give --yes".to_owned(),
            Self::NoPassphrase => {
                "set RINGFENCE_PASSPHRASE, or start from a terminal and type it twice".to_owned()
            }
            Self::Output(_) => "check where the output goes, perhaps a full disk; `ringfence lines` prints the lines again".to_owned(),
            Self::System(_) => "check the limits of this user's processes and memory".to_owned(),
        }
    }

    /// 3 when no engine runs that could be asked, 2 when the person has to type something else, 1 for everything that happened on the way.
    fn status(&self) -> u8 {
        match self {
            Self::Visit(VisitFault::NobodyHome) => 3,
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

    /// One paragraph.
    pub(super) fn text(&self) -> String {
        format!("ringfence: {self}. To do: {}.", self.remedy())
    }

    /// Prints it, once, and gives the exit status.
    #[expect(clippy::print_stderr, reason = "the answer to a command")]
    pub(super) fn tell(&self) -> ExitCode {
        eprintln!("{}", self.text());
        ExitCode::from(self.status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_paragraph_that_says_what_why_and_what_to_do() {
        let failures = [
            Failure::from(BookError::CodeRefused),
            Failure::from(AssembleError::NoLine),
            Failure::from(KeystoreError::InUse {
                path: "/tmp/state".into(),
            }),
            Failure::from(ListenError {
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
        assert_eq!(Failure::from(ConfigError::NoHome).status(), 2);
        assert_eq!(Failure::from(BookError::BadUrl("x".to_owned())).status(), 2);
    }
}
