//! How the event loop carries out commands: new books, keys and settings, what it shows, what the user changes.

use std::sync::Arc;

use ringfence_book::{Day, Number};
use ringfence_engine::Line;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::{ContactEdit, ContactError};
use tokio::sync::oneshot;

use super::command::{GatewayCommand, Readiness};
use super::event_loop::EventLoop;
use super::parts::SettingsChange;
use crate::clock;
use crate::net::relay::ListeningWatch;
use crate::state::writer::{EditError, EditReply, SavedContacts, StateChange};
use crate::stats::snapshot::{CallSnapshot, GatewayStatus, LineSnapshot, PhoneSnapshot, Snapshot};
use crate::turn::pool::AllocationPool;
use crate::turn::servers::TurnServers;

impl EventLoop {
    /// Carries out one command. [`GatewayCommand::Stop`] concerns the loop itself and does not get here.
    pub(super) fn handle_command(&mut self, command: GatewayCommand) {
        let now = clock::now();
        match command {
            GatewayCommand::Book(directory) => self.engine.handle_directory(directory),
            GatewayCommand::BookOutcome(outcome) => self.watch.book = *outcome,
            GatewayCommand::Change(change) => self.change(*change),
            GatewayCommand::Identity(number, identity, reply) => {
                reply
                    .send(self.engine.handle_identity(number, *identity))
                    .ok();
            }
            GatewayCommand::Readiness(reply) => self.readiness(reply),
            GatewayCommand::Status(reply) => drop(reply.send(self.status())),
            GatewayCommand::Snapshot(reply) => drop(reply.send(Box::new(self.snapshot()))),
            GatewayCommand::Line(line, command, reply) => {
                reply
                    .send(self.engine.handle_command(line, command, now))
                    .ok();
            }
            GatewayCommand::Write(line, to, text, reply) => {
                reply
                    .send(self.engine.handle_written(line, to, &text, now))
                    .ok();
            }
            GatewayCommand::AddContact(number, name, reply) => {
                self.add_contact(number, name, reply);
            }
            GatewayCommand::EditContact(number, edit, reply) => {
                self.edit_contact(number, edit, reply);
            }
            GatewayCommand::Stop => {}
        }
    }

    /// Applies changed settings. Calls that are up keep their allocations.
    fn change(&mut self, change: SettingsChange) {
        self.work_bits = change.work_bits;
        self.engine
            .handle_rules(change.work_bits, change.no_answer, clock::now());
        if let Some((relays, envelopes)) = change.relays {
            // Events that are being published hold the old relays until they are confirmed.
            self.listening = ListeningWatch::new(relays.state(), clock::now());
            (self.relays, self.envelopes) = (Arc::new(relays), envelopes);
        }
        if let Some(turn) = change.turn {
            self.renew_pool(turn);
        }
    }

    /// Keeps an allocation ready at these servers from now on.
    pub(super) fn renew_pool(&mut self, turn: TurnServers) {
        // The old pool releases its allocation in a task of its own.
        drop(self.pool.take().map(AllocationPool::release));
        let (pool, allocations) = AllocationPool::start(turn.clone());
        self.pool = Some(pool);
        (self.media.allocations, self.media.turn) = (allocations, turn);
    }

    /// Without a pool the loop is about to stop: the dropped reply says so.
    fn readiness(&self, reply: oneshot::Sender<Readiness>) {
        if let Some(pool) = &self.pool {
            let (relays, allocation) = (self.relays.state(), pool.state());
            reply.send(Readiness { relays, allocation }).ok();
        }
    }

    fn status(&mut self) -> GatewayStatus {
        let conditions = self.active_conditions();
        let lines = self.engine.lines().iter();
        GatewayStatus {
            phones: lines.map(|line| self.engine.phones(line)).collect(),
            calls: self.engine.call_counts(),
            relays: self.relays.state().borrow().clone(),
            turn_ready: self
                .pool
                .as_ref()
                .is_some_and(|pool| pool.state().borrow().is_ready),
            conditions,
            counters: self.engine.counters(),
            totals: self.totals.clone(),
        }
    }

    fn snapshot(&mut self) -> Snapshot {
        let status = self.status();
        let calls = self.engine.live_calls().into_iter();
        let lines = self.engine.lines().iter();
        Snapshot {
            at: UnixTime::from_seconds(clock::unix_seconds()),
            status,
            book: self.engine.book_age(),
            lines: lines.map(|line| self.line(line)).collect(),
            calls: calls
                .map(|call| CallSnapshot {
                    quality: self.histories.of(call.label),
                    call,
                })
                .collect(),
            contacts: self.engine.contacts().clone(),
            saved_state: self.engine.saved_state().clone(),
            written: self.engine.written(),
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
            takes_no_texts: self.engine.message_refusal(line),
        }
    }

    /// Adds a contact with the key that the copy of the phone book lists.
    fn add_contact(&mut self, number: Number, name: String, reply: EditReply) {
        let Some(identity) = self.engine.listed(number) else {
            reply.send(Err(ContactError::NotListed.into())).ok();
            return;
        };
        let today = Day::of_unix(clock::unix_seconds());
        self.edit_contact(number, ContactEdit::Add(identity, today, name), reply);
    }

    /// Has a contact changed on the disk; [`Self::handle_saved`] answers.
    fn edit_contact(&mut self, number: Number, edit: ContactEdit, reply: EditReply) {
        let Some(writer) = &self.writer else {
            let mut contacts = self.engine.contacts().clone();
            let outcome = contacts.edit(number, &edit);
            self.engine
                .handle_contacts(contacts, u64::MAX, clock::now());
            reply.send(outcome.map_err(EditError::Contact)).ok();
            return;
        };
        // With a full queue the reply is dropped, which the receiver reads as an engine that does not answer.
        writer
            .changes
            .try_send(StateChange::EditContact(number, edit, reply))
            .ok();
    }

    /// Takes over the contacts of the disk, which differ from the engine's.
    pub(super) fn handle_saved(&mut self, saved: SavedContacts) {
        self.engine
            .handle_contacts(saved.contacts, saved.count, clock::now());
        for (reply, outcome) in saved.replies {
            reply.send(outcome.map_err(EditError::Contact)).ok();
        }
    }
}
