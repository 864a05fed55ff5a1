//! What a running engine shows to the user of this machine, with the names and numbers that a monitor does not get, and what the
//! user changes there. All of it passes through the one loop. What is changed of contacts is on the disk when the user
//! hears so, what is changed of a line a moment later.

use std::net::SocketAddr;

use ringfence_book::{IdentityKey, Number};
use ringfence_engine::contacts::{Contacts, Edit};
use ringfence_engine::date::UnixTime;
use ringfence_engine::ledger::Ledger;
use ringfence_engine::wish::{Wish, WishFault};
use ringfence_engine::{BookAge, Line, LiveCall};
use tokio::sync::oneshot;

use crate::clock;
pub use crate::curve::{Curve, MOST_SAMPLES, Quality, Sample};
use crate::diary::{Asker, EditFault, Entry, Saved};
use crate::gateway::{Enquiry, Request, Status};
use crate::io::spare::Keeping;
use crate::run::Loop;

/// The engine at one moment.
#[derive(Clone, Debug)]
pub struct Picture {
    /// When.
    pub at: UnixTime,
    /// The numbers-only part.
    pub status: Status,
    /// The copy of the phone book; `None` while there is none.
    pub book: Option<BookAge>,
    /// The lines, in their order.
    pub lines: Vec<LinePicture>,
    /// The calls that are not over.
    pub calls: Vec<CallPicture>,
    /// Whose key each number stands for.
    pub contacts: Contacts,
    /// Calls of the past, texts that wait, what lines were told.
    pub ledger: Ledger,
}

/// One line.
#[derive(Clone, Debug)]
pub struct LinePicture {
    /// Its number.
    pub number: Number,
    /// Its key.
    pub identity: IdentityKey,
    /// The phones that are registered.
    pub phones: Vec<PhonePicture>,
    /// The status with which they refuse texts, if they do.
    pub takes_no_texts: Option<u16>,
}

/// One registered phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhonePicture {
    /// `UDP`, `TCP` or `TLS`.
    pub transport: &'static str,
    /// Where it is.
    pub address: SocketAddr,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallPicture {
    /// Who and how far.
    pub call: LiveCall,
    /// How good.
    pub curve: Curve,
}

impl Enquiry {
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

impl Loop {
    pub(crate) fn status(&self) -> Status {
        let lines = self.engine.lines().iter();
        Status {
            phones: lines.map(|line| self.engine.phones(line)).collect(),
            calls: self.engine.census(),
            relays: *self.relays.state().borrow(),
            turn_ready: self.spare.as_ref().is_some_and(Keeping::is_ready),
            counters: self.engine.counters(),
            sound: self.tally.clone(),
        }
    }

    pub(crate) fn picture(&self) -> Picture {
        let calls = self.engine.live_calls().into_iter();
        Picture {
            at: UnixTime::from_seconds(clock::unix_seconds()),
            status: self.status(),
            book: self.engine.book_age(),
            lines: self
                .engine
                .lines()
                .iter()
                .map(|line| self.line(line))
                .collect(),
            calls: calls
                .map(|call| CallPicture {
                    call,
                    curve: self.curves.of(call.label),
                })
                .collect(),
            contacts: self.engine.contacts().clone(),
            ledger: self.engine.ledger().clone(),
        }
    }

    fn line(&self, line: &Line) -> LinePicture {
        let flows = self.engine.flows(line).into_iter();
        LinePicture {
            number: line.number,
            identity: line.identity.key(),
            phones: flows
                .map(|flow| PhonePicture {
                    transport: flow.transport.via_name(),
                    address: flow.peer,
                })
                .collect(),
            takes_no_texts: self.engine.takes_no_texts(line),
        }
    }

    /// Has an edit of the user written down; whoever asked hears of it from [`Self::hear_diary`].
    pub(crate) fn edit(&mut self, number: Number, edit: Edit, asker: Asker) {
        let Some(open) = &self.diary else {
            // Nothing is kept here.
            let mut contacts = self.engine.contacts().clone();
            let outcome = contacts.edit(number, &edit);
            self.engine
                .handle_contacts(contacts, u64::MAX, clock::now());
            drop(asker.send(outcome.map_err(EditFault::Contact)));
            return;
        };
        // Dropped, the question tells whoever asked that there is no answer.
        drop(open.entries.try_send(Entry::Edit(number, edit, asker)));
    }

    /// The contacts are others on the disk.
    pub(crate) fn hear_diary(&mut self, saved: Saved) {
        self.engine
            .handle_contacts(saved.contacts, saved.count, clock::now());
        for (asker, outcome) in saved.told {
            drop(asker.send(outcome.map_err(EditFault::Contact)));
        }
    }
}
