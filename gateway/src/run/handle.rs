//! Asks a running gateway, and changes what the user may change: for pages and programs that do not own it.

use ringfence_book::Number;
use ringfence_engine::line::command::{Wish, WishFault};
use ringfence_engine::trust::contacts::Edit;
use tokio::sync::{mpsc, oneshot};

use super::command::GatewayCommand;
use crate::state::writer::EditError;
use crate::stats::snapshot::{GatewayStatus, Snapshot};

/// Asks a running gateway how it is. Does not keep it running.
#[derive(Clone, Debug)]
pub struct GatewayHandle(pub(super) mpsc::WeakSender<GatewayCommand>);

impl GatewayHandle {
    /// How it is; `None` once it has stopped.
    pub async fn status(&self) -> Option<GatewayStatus> {
        let (tell, told) = oneshot::channel();
        self.ask(GatewayCommand::Status(tell)).await?;
        told.await.ok()
    }

    /// How everything looks; `None` once the gateway has stopped.
    pub async fn picture(&self) -> Option<Box<Snapshot>> {
        let (tell, told) = oneshot::channel();
        self.ask(GatewayCommand::Snapshot(tell)).await?;
        told.await.ok()
    }

    /// Tells the engine what the user wants of a line; `None` once the gateway has stopped.
    pub async fn wish(&self, line: Number, wish: Wish) -> Option<Result<(), WishFault>> {
        let (tell, told) = oneshot::channel();
        self.ask(GatewayCommand::Wish(line, wish, tell)).await?;
        told.await.ok()
    }

    /// Tells the engine what the user decided about a contact.
    ///
    /// # Errors
    /// [`EditError`]; nothing has changed then.
    pub async fn edit(&self, number: Number, edit: Edit) -> Result<(), EditError> {
        let (tell, told) = oneshot::channel();
        let asked = self.ask(GatewayCommand::Edit(number, edit, tell)).await;
        asked.ok_or(EditError::Away)?;
        told.await.unwrap_or(Err(EditError::Away))
    }

    async fn ask(&self, request: GatewayCommand) -> Option<()> {
        self.0.upgrade()?.send(request).await.ok()
    }
}
