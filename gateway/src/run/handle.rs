//! A handle by which pages and programs ask a running gateway and change what the user may change. It does not keep the gateway
//! running.

use ringfence_book::Number;
use ringfence_engine::line::command::{LineCommand, LineCommandError};
use ringfence_engine::trust::contacts::ContactEdit;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::command::{GatewayCommand, Readiness};
use crate::state::writer::EditError;
use crate::stats::snapshot::{GatewayStatus, Snapshot};

/// Asks a running gateway and gives it commands of the user. Does not keep it running.
#[derive(Clone, Debug)]
pub struct GatewayHandle(pub(super) mpsc::WeakSender<GatewayCommand>);

impl GatewayHandle {
    /// The status in figures and conditions; `None` once the gateway has stopped.
    pub async fn status(&self) -> Option<GatewayStatus> {
        let (reply, answer) = oneshot::channel();
        self.send(GatewayCommand::Status(reply)).await?;
        answer.await.ok()
    }

    /// Everything that the user may see; `None` once the gateway has stopped.
    pub async fn snapshot(&self) -> Option<Box<Snapshot>> {
        let (reply, answer) = oneshot::channel();
        self.send(GatewayCommand::Snapshot(reply)).await?;
        answer.await.ok()
    }

    /// Carries out a command of the user for a line; `None` once the gateway has stopped. The disk has the change a moment later.
    pub async fn command(
        &self,
        line: Number,
        command: LineCommand,
    ) -> Option<Result<(), LineCommandError>> {
        let (reply, answer) = oneshot::channel();
        self.send(GatewayCommand::Line(line, command, reply))
            .await?;
        answer.await.ok()
    }

    /// Sends a text that the user wrote; `None` once the gateway has stopped. The snapshot shows what becomes of it.
    pub async fn write(
        &self,
        line: Number,
        to: Number,
        text: String,
    ) -> Option<Result<(), LineCommandError>> {
        let (reply, answer) = oneshot::channel();
        let text = Zeroizing::new(text);
        self.send(GatewayCommand::Write(line, to, text, reply))
            .await?;
        answer.await.ok()
    }

    /// Adds a number to the contacts, with the key that the copy of the phone book lists, and a name; an empty one is none. On success
    /// it is on the disk.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed then.
    pub async fn add_contact(&self, number: Number, name: String) -> Result<(), EditError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(GatewayCommand::AddContact(number, name, reply));
        sent.await.ok_or(EditError::Stopped)?;
        answer.await.unwrap_or(Err(EditError::Stopped))
    }

    /// Changes a contact. On success the change is on the disk.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed then.
    pub async fn edit_contact(&self, number: Number, edit: ContactEdit) -> Result<(), EditError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(GatewayCommand::EditContact(number, edit, reply));
        sent.await.ok_or(EditError::Stopped)?;
        answer.await.unwrap_or(Err(EditError::Stopped))
    }

    pub(super) async fn readiness(&self) -> Option<Readiness> {
        let (reply, answer) = oneshot::channel();
        self.send(GatewayCommand::Readiness(reply)).await?;
        answer.await.ok()
    }

    async fn send(&self, command: GatewayCommand) -> Option<()> {
        self.0.upgrade()?.send(command).await.ok()
    }
}
