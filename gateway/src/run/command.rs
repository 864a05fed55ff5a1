//! What the owner of a gateway, its background tasks and the status page ask of the event loop. An answer whose receiver is gone is
//! dropped; the command was carried out all the same.

use ringfence_book::Number;
use ringfence_engine::LineUpdateError;
use ringfence_engine::line::command::{LineCommand, LineCommandError};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::trust::contacts::ContactEdit;
use ringfence_engine::trust::directory::Directory;
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use super::conditions::BookOutcome;
use super::parts::SettingsChange;
use crate::net::relay::RelayState;
use crate::state::writer::EditError;
use crate::stats::snapshot::{GatewayStatus, Snapshot};
use crate::turn::pool::PoolState;

/// A command for the event loop.
#[derive(Debug)]
pub(crate) enum GatewayCommand {
    /// A newer copy of the phone book.
    Book(Directory),
    /// The outcome of an attempt to download the phone book.
    BookOutcome(Box<BookOutcome>),
    /// Settings that changed.
    Change(Box<SettingsChange>),
    /// The keys of a line after its ring key was replaced.
    Identity(
        Number,
        Box<Identity>,
        oneshot::Sender<Result<(), LineUpdateError>>,
    ),
    /// Signals by which to wait until calls can be made.
    Readiness(oneshot::Sender<Readiness>),
    /// The status in figures and conditions.
    Status(oneshot::Sender<GatewayStatus>),
    /// Everything that the user may see.
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    /// A command of the user for a line.
    Line(
        Number,
        LineCommand,
        oneshot::Sender<Result<(), LineCommandError>>,
    ),
    /// A text that the user wrote at the screen: line, number, words.
    Write(
        Number,
        Number,
        Zeroizing<String>,
        oneshot::Sender<Result<(), LineCommandError>>,
    ),
    /// A number that the user adds to the contacts, with its name.
    AddContact(Number, String, oneshot::Sender<Result<(), EditError>>),
    /// A change of a contact by the user.
    EditContact(Number, ContactEdit, oneshot::Sender<Result<(), EditError>>),
    /// End every call, then the loop.
    Stop,
}

/// Signals that change until calls can be made and received.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) relays: watch::Receiver<RelayState>,
    pub(crate) allocation: watch::Receiver<PoolState>,
}
