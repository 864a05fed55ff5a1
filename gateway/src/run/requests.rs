//! How the event loop answers what is asked of it: what it shows, what the user changes, new books, bindings and settings.

use std::sync::Arc;

use ringfence_engine::Line;
use ringfence_engine::contacts::Edit;
use ringfence_engine::date::UnixTime;
use ringfence_phonebook::Number;

use super::command::Request;
use super::event_loop::Loop;
use super::parts::Change;
use crate::clock;
use crate::state::writer::{Asker, EditFault, Entry, Saved};
use crate::stats::snapshot::{CallPicture, LinePicture, PhonePicture, Picture, Status};
use crate::turn::pool::{self, Keeping};

impl Loop {
    /// Carries out one request. [`Request::Stop`] concerns the loop itself and does not get here.
    pub(super) fn handle_request(&mut self, request: Request) {
        // Whoever asked may have gone; what was asked counts all the same.
        match request {
            Request::Book(directory) => self.engine.handle_directory(directory),
            Request::Binding(binding, tell) => {
                let _ = tell.send(self.engine.handle_binding(*binding, clock::now()));
            }
            Request::Change(change) => self.change(*change),
            Request::Identity(number, identity, tell) => {
                let _ = tell.send(self.engine.handle_identity(number, *identity));
            }
            Request::Status(tell) => drop(tell.send(self.status())),
            Request::Picture(tell) => drop(tell.send(Box::new(self.picture()))),
            Request::Wish(line, wish, tell) => {
                let _ = tell.send(self.engine.handle_wish(line, wish, clock::now()));
            }
            Request::Edit(number, edit, tell) => self.edit(number, edit, tell),
            Request::Stop => {}
        }
    }

    /// Takes other settings over. Calls that are up keep the way out that they have.
    fn change(&mut self, change: Change) {
        self.work_bits = change.work_bits;
        self.engine
            .handle_rules(change.work_bits, change.no_answer, clock::now());
        if let Some((relays, envelopes)) = change.relays {
            // Posts under way hold the old ones until they are confirmed.
            (self.relays, self.envelopes) = (Arc::new(relays), envelopes);
        }
        if let Some(lobby) = change.lobby {
            // The old spare goes back to its server meanwhile.
            drop(self.spare.take().map(Keeping::end));
            let (spare, shelf) = pool::keep(lobby.clone());
            self.spare = Some(spare);
            (self.studio.shelf, self.studio.lobby) = (shelf, lobby);
        }
    }

    fn status(&self) -> Status {
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

    fn picture(&self) -> Picture {
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
    fn edit(&mut self, number: Number, edit: Edit, asker: Asker) {
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
    pub(super) fn hear_diary(&mut self, saved: Saved) {
        self.engine
            .handle_contacts(saved.contacts, saved.count, clock::now());
        for (asker, outcome) in saved.told {
            drop(asker.send(outcome.map_err(EditFault::Contact)));
        }
    }
}
