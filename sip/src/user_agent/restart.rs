//! What outlives the process: bindings of phones and the last messages of calls are given away, and taken back at the next start.
//!
//! Everything that comes back is checked like a message from the network, and what is damaged is dropped.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::UserAgent;
use crate::account::User;
use crate::event::Event;
use crate::leg::Leg;
use crate::leg::final_delivery::{FinalDelivery, MAX_FINAL_MESSAGES};
use crate::leg::line_phone::LinePhone;
use crate::leg::target::RequestTarget;
use crate::message::{Essentials, Message, Method, Response, Uri, parse};
use crate::restart::{FinalMessage, RestartChange, SavedBinding};

/// The longest message that is written ahead. Those of phones that send longer headers than any phone does are left out.
const MAX_FINAL_BYTES: usize = 4096;
/// How long a message from before a restart waits for its phone's next stream.
const STREAM_WAIT: Duration = Duration::from_secs(120);

impl UserAgent {
    /// The registered phones that can be reached after a restart: those over UDP.
    pub fn bindings(&self, now: Instant) -> Vec<SavedBinding> {
        self.registrar.saved(now)
    }

    /// Takes saved bindings back. Each phone rings at once, and is asked once by OPTIONS whether it is still there; a phone without
    /// any response is removed. `Registered` follows for each line. Bindings of other lines, damaged ones and those beyond the
    /// bound of a line are dropped.
    pub fn restore_bindings(&mut self, bindings: Vec<SavedBinding>, now: Instant) {
        let mut lines = BTreeSet::new();
        for binding in bindings {
            if self.verifier.knows(&binding.user)
                && let Some(target) = self.registrar.restore(binding, now)
            {
                self.check(&target, now);
                lines.insert(target.phone.user);
            }
        }
        for user in lines {
            self.note_change(RestartChange::Changed);
            let phones = self.phones(&user);
            self.context.emit(Event::Registered { user, phones });
        }
    }

    /// Asks each phone that is registered over UDP whether it is still there, and removes one without any response: for a machine
    /// that has slept, in which no binding expired.
    pub fn check_bindings(&mut self, now: Instant) {
        let saved = self.bindings(now).into_iter();
        let users: BTreeSet<User> = saved.map(|binding| binding.user).collect();
        let lines = users.iter().flat_map(|user| {
            let phones = self.registrar.phones(user).iter();
            phones.map(|binding| RequestTarget::of(user, binding))
        });
        for target in lines.collect::<Vec<_>>() {
            self.check(&target, now);
        }
    }

    /// The messages that end the phones' part in all calls, if this process should die now. Those of answered calls come first,
    /// since their phones would hang longest.
    pub fn final_messages(&self) -> Vec<FinalMessage> {
        let is_answered = |leg: &&Leg| matches!(leg, Leg::Established(_));
        let answered = self.legs.values().filter(is_answered);
        let others = self.legs.values().filter(|leg| !is_answered(leg));
        let random = &self.context.random;
        let messages = answered
            .chain(others)
            .flat_map(|leg| leg.final_messages(random));
        messages
            .filter(|message| message.bytes.len() <= MAX_FINAL_BYTES)
            .take(MAX_FINAL_MESSAGES)
            .collect()
    }

    /// Sends the messages of a process that died: at once over UDP; otherwise when the phone registers over a stream within two
    /// minutes. What is damaged, and what no user agent of this crate writes ahead, is dropped.
    pub fn send_final_messages(&mut self, messages: Vec<FinalMessage>, now: Instant) {
        for message in messages.into_iter().take(MAX_FINAL_MESSAGES) {
            let Some((target, message)) = self.read_final_message(&message) else {
                tracing::debug!("dropped a damaged last message of a call");
                continue;
            };
            let context = &mut self.context;
            if target.flow.transport.is_reliable() {
                FinalDelivery::begin_waiting(target, message, STREAM_WAIT, context, now);
            } else {
                FinalDelivery::begin(target, message, context, now);
            }
        }
        self.add_new_legs();
    }

    fn read_final_message(&self, saved: &FinalMessage) -> Option<(RequestTarget, Message)> {
        let is_sound = self.verifier.knows(&saved.user)
            && saved.flow.is_usable()
            && saved.bytes.len() <= MAX_FINAL_BYTES;
        let message = parse(&saved.bytes).ok().filter(|_| is_sound)?;
        let is_final = match &message {
            Message::Request(request) => {
                let is_ours = matches!(request.method, Method::Bye | Method::Cancel);
                is_ours && request.validate().is_ok()
            }
            Message::Response(response) => {
                let checked = response.validate();
                response.status >= 300
                    && checked.is_ok_and(|essentials| essentials.cseq.method == Method::Invite)
            }
        };
        let contact = Uri::parse(saved.contact.as_bytes()).filter(|_| is_final)?;
        let phone = LinePhone {
            user: saved.user.clone(),
            contact,
            instance: saved.instance.clone(),
            registration: None,
        };
        let flow = saved.flow;
        Some((RequestTarget { phone, flow }, message))
    }

    /// What has changed of [`bindings`](Self::bindings) and [`final_messages`](Self::final_messages) since this was last called.
    pub fn take_restart_change(&mut self) -> Option<RestartChange> {
        self.change.take()
    }

    /// Whether no phone of a call waits for a message of ours that can reach it now, so that the process may end. The rest is in
    /// [`final_messages`](Self::final_messages).
    pub fn is_idle(&self) -> bool {
        let has_open_call = self.legs.values().any(Leg::is_open_call);
        !has_open_call && !self.context.transactions.has_open_refusal()
    }

    /// A response that matches no request of this process. If it accepts an INVITE from before the restart, its call is ended.
    pub(super) fn receive_stray(
        &mut self,
        response: &Response,
        essentials: &Essentials,
        now: Instant,
    ) {
        self.counters.stray += 1;
        let is_ok =
            (200..300).contains(&response.status) && essentials.cseq.method == Method::Invite;
        let is_it =
            |leg: &Leg| matches!(leg, Leg::FinalDelivery(leg) if leg.is_late_ok(essentials));
        let found = self.legs.iter().find(|(_, leg)| is_ok && is_it(leg));
        let Some(id) = found.map(|(id, _)| *id) else {
            return;
        };
        self.with_leg(id, |leg, context| match leg {
            Leg::FinalDelivery(leg) => leg.handle_late_ok((response, essentials), context, now),
            other => Some(other),
        });
    }
}
