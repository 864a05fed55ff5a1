//! How the event loop answers what is asked of it: what it shows, what the user changes, new books, bindings and settings.

use std::sync::Arc;

use ringfence_book::Number;
use ringfence_engine::Line;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::Edit;

use super::command::GatewayCommand;
use super::event_loop::EventLoop;
use super::parts::SettingsChange;
use crate::clock;
use crate::state::writer::{EditError, EditReply, SavedContacts, StateChange};
use crate::stats::snapshot::{CallSnapshot, GatewayStatus, LineSnapshot, PhoneSnapshot, Snapshot};
use crate::turn::pool::{self, AllocationPool};

impl EventLoop {
    /// Carries out one request. [`GatewayCommand::Stop`] concerns the loop itself and does not get here.
    pub(super) fn handle_request(&mut self, request: GatewayCommand) {
        // Whoever asked may have gone; what was asked counts all the same.
        match request {
            GatewayCommand::Book(directory) => self.engine.handle_directory(directory),
            GatewayCommand::Binding(binding, tell) => {
                let _ = tell.send(self.engine.handle_binding(*binding, clock::now()));
            }
            GatewayCommand::Change(change) => self.change(*change),
            GatewayCommand::Identity(number, identity, tell) => {
                let _ = tell.send(self.engine.handle_identity(number, *identity));
            }
            GatewayCommand::Status(tell) => drop(tell.send(self.status())),
            GatewayCommand::Snapshot(tell) => drop(tell.send(Box::new(self.picture()))),
            GatewayCommand::Wish(line, wish, tell) => {
                let _ = tell.send(self.engine.handle_wish(line, wish, clock::now()));
            }
            GatewayCommand::Edit(number, edit, tell) => self.edit(number, edit, tell),
            GatewayCommand::Stop => {}
        }
    }

    /// Takes other settings over. Calls that are up keep the way out that they have.
    fn change(&mut self, change: SettingsChange) {
        self.work_bits = change.work_bits;
        self.engine
            .handle_rules(change.work_bits, change.no_answer, clock::now());
        if let Some((relays, envelopes)) = change.relays {
            // Posts under way hold the old ones until they are confirmed.
            (self.relays, self.envelopes) = (Arc::new(relays), envelopes);
        }
        if let Some(lobby) = change.lobby {
            // The old spare goes back to its server meanwhile.
            drop(self.spare.take().map(AllocationPool::end));
            let (spare, shelf) = pool::keep(lobby.clone());
            self.spare = Some(spare);
            (self.studio.shelf, self.studio.lobby) = (shelf, lobby);
        }
    }

    fn status(&self) -> GatewayStatus {
        let lines = self.engine.lines().iter();
        GatewayStatus {
            phones: lines.map(|line| self.engine.phones(line)).collect(),
            calls: self.engine.census(),
            relays: *self.relays.state().borrow(),
            turn_ready: self.spare.as_ref().is_some_and(AllocationPool::is_ready),
            counters: self.engine.counters(),
            sound: self.totals.clone(),
        }
    }

    fn picture(&self) -> Snapshot {
        let calls = self.engine.live_calls().into_iter();
        Snapshot {
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
                .map(|call| CallSnapshot {
                    call,
                    curve: self.curves.of(call.label),
                })
                .collect(),
            contacts: self.engine.contacts().clone(),
            ledger: self.engine.ledger().clone(),
        }
    }

    fn line(&self, line: &Line) -> LineSnapshot {
        let flows = self.engine.flows(line).into_iter();
        LineSnapshot {
            number: line.number,
            identity: line.identity.key(),
            phones: flows
                .map(|flow| PhoneSnapshot {
                    transport: flow.transport.via_name(),
                    address: flow.peer,
                })
                .collect(),
            takes_no_texts: self.engine.takes_no_texts(line),
        }
    }

    /// Has an edit of the user written down; whoever asked hears of it from [`Self::hear_diary`].
    fn edit(&mut self, number: Number, edit: Edit, asker: EditReply) {
        let Some(open) = &self.diary else {
            // Nothing is kept here.
            let mut contacts = self.engine.contacts().clone();
            let outcome = contacts.edit(number, &edit);
            self.engine
                .handle_contacts(contacts, u64::MAX, clock::now());
            drop(asker.send(outcome.map_err(EditError::Contact)));
            return;
        };
        // Dropped, the question tells whoever asked that there is no answer.
        drop(
            open.entries
                .try_send(StateChange::Edit(number, edit, asker)),
        );
    }

    /// The contacts are others on the disk.
    pub(super) fn hear_diary(&mut self, saved: SavedContacts) {
        self.engine
            .handle_contacts(saved.contacts, saved.count, clock::now());
        for (asker, outcome) in saved.told {
            drop(asker.send(outcome.map_err(EditError::Contact)));
        }
    }
}
