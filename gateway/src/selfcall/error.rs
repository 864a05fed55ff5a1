//! Why the servers or engines of a self-call do not start, and what the user can do.

use ringfence_box::relay::RelayError;
use ringfence_box::turn::service::TurnStartError;
use ringfence_phonebook::service::{ServiceError, StartError};

use crate::lines::LineError;
use crate::net::book::BookError;
use crate::net::phone::ListenError;
use crate::page::StatusPageError;
use crate::run::assemble::AssembleError;
use crate::turn::probe::TurnProbeError;

/// Why the stack could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// No temporary folder.
    #[error("cannot make a temporary folder: {0}")]
    Folder(std::io::Error),
    /// The embedded phone book.
    #[error(transparent)]
    Book(#[from] StartError),
    /// The embedded phone book issued no number.
    #[error(transparent)]
    Issue(#[from] ServiceError),
    /// The embedded relay.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The embedded TURN server.
    #[error(transparent)]
    Turn(#[from] TurnStartError),
    /// A line could not be activated.
    #[error(transparent)]
    Activate(#[from] LineError),
    /// The book could not be downloaded.
    #[error(transparent)]
    Download(#[from] BookError),
    /// An engine could not be put together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The TURN server grants no allocation.
    #[error(transparent)]
    Probe(#[from] TurnProbeError),
    /// An engine could not listen for phones.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An engine could not open its page.
    #[error(transparent)]
    Page(#[from] StatusPageError),
}

impl StackError {
    /// What the user can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Folder(_) => "set TMPDIR to a folder that this user may write to".to_owned(),
            Self::Book(_)
            | Self::Issue(_)
            | Self::Relay(_)
            | Self::Turn(_)
            | Self::Page(_) => {
                "try again: it needs free ports and a writable temporary folder".to_owned()
            }
            Self::Activate(error) => error.remedy(),
            Self::Download(error) => error.remedy(),
            Self::Assemble(error) => error.remedy(),
            Self::Probe(_) => {
                "check --turn and --turn-secret, and that the server permits peers at its own addresses".to_owned()
            }
            Self::Listen(_) => {
                "choose another port with --sip-port, or leave it out for a free one".to_owned()
            }
        }
    }
}
