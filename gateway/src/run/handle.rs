//! Asks a running gateway, and changes what the user may change: for pages and programs that do not own it.

use ringfence_engine::contacts::Edit;
use ringfence_engine::wish::{Wish, WishFault};
use ringfence_phonebook::Number;
use tokio::sync::{mpsc, oneshot};

use super::command::Request;
use crate::state::writer::EditFault;
use crate::stats::snapshot::{Picture, Status};

/// Asks a running gateway how it is. Does not keep it running.
#[derive(Clone, Debug)]
pub struct Enquiry(pub(super) mpsc::WeakSender<Request>);

impl Enquiry {
    /// How it is; `None` once it has stopped.
    pub async fn status(&self) -> Option<Status> {
        let (tell, told) = oneshot::channel();
        self.ask(Request::Status(tell)).await?;
        told.await.ok()
    }

    /// How everything looks; `None` once the gateway has stopped.
    pub async fn picture(&self) -> Option<Box<Picture>> {
        let (tell, told) = oneshot::channel();
        self.ask(Request::Picture(tell)).await?;
        told.await.ok()
    }

    /// Tells the engine what the user wants of a line; `None` once the gateway has stopped.
    pub async fn wish(&self, line: Number, wish: Wish) -> Option<Result<(), WishFault>> {
        let (tell, told) = oneshot::channel();
        self.ask(Request::Wish(line, wish, tell)).await?;
        told.await.ok()
    }

    /// Tells the engine what the user decided about a contact.
    ///
    /// # Errors
    /// [`EditFault`]; nothing has changed then.
    pub async fn edit(&self, number: Number, edit: Edit) -> Result<(), EditFault> {
        let (tell, told) = oneshot::channel();
        let asked = self.ask(Request::Edit(number, edit, tell)).await;
        asked.ok_or(EditFault::Away)?;
        told.await.unwrap_or(Err(EditFault::Away))
    }

    async fn ask(&self, request: Request) -> Option<()> {
        self.0.upgrade()?.send(request).await.ok()
    }
}
