//! What the owner of a gateway, its background tasks and the status page ask of the event loop.

use ringfence_book::{Binding, Number};
use ringfence_engine::BindingFault;
use ringfence_engine::line::command::{Wish, WishFault};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::trust::contacts::Edit;
use ringfence_engine::trust::directory::Directory;
use tokio::sync::oneshot;

use super::parts::SettingsChange;
use crate::state::writer::EditError;
use crate::stats::snapshot::{GatewayStatus, Snapshot};

/// What the owner asks of the loop.
#[derive(Debug)]
pub(crate) enum GatewayCommand {
    Book(Directory),
    Binding(Box<Binding>, oneshot::Sender<Result<(), BindingFault>>),
    Change(Box<SettingsChange>),
    Identity(
        Number,
        Box<Identity>,
        oneshot::Sender<Result<(), BindingFault>>,
    ),
    Status(oneshot::Sender<GatewayStatus>),
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    Wish(Number, Wish, oneshot::Sender<Result<(), WishFault>>),
    Edit(Number, Edit, oneshot::Sender<Result<(), EditError>>),
    Stop,
}
