//! The phones of the lines, beyond REGISTER: which one calls, which ones may be gone, and what follows when one registers again.

use std::time::Instant;

use super::UserAgent;
use super::receive::ReceivedRequest;
use crate::account::User;
use crate::event::{Event, LegId};
use crate::leg::Leg;
use crate::leg::contact_check::ContactCheck;
use crate::leg::line_phone::LinePhone;
use crate::leg::target::RequestTarget;
use crate::registrar::instance;
use crate::restart::RestartChange;

impl UserAgent {
    /// The phone that sends an INVITE: known by its instance or Contact, else by its flow. A phone that is not registered may call
    /// too.
    pub(super) fn calling_phone(&self, user: User, received: &ReceivedRequest) -> LinePhone {
        let contact = received.request.headers.contacts();
        let contact = contact.and_then(|contacts| contacts.into_iter().next());
        let own = LinePhone {
            user,
            instance: contact.as_ref().and_then(instance),
            contact: contact.map_or_else(|| received.uri.clone(), |contact| contact.uri),
            registration: None,
        };
        let line = self.registrar.phones(&own.user);
        let phones = || line.iter().map(|binding| LinePhone::of(&own.user, binding));
        let known = phones().find(|phone| phone.is(&own));
        let on_flow = line.iter().find(|binding| binding.flow == received.flow);
        let on_flow = || on_flow.map(|binding| LinePhone::of(&own.user, binding));
        known.or_else(on_flow).unwrap_or(own)
    }

    /// A phone has registered. Its calls go on over its new flow; those that it may have forgotten are reported.
    pub(super) fn follow_phones(
        &mut self,
        received: &ReceivedRequest,
        user: &User,
        is_new_flow: bool,
        now: Instant,
    ) {
        let call_id = &received.essentials.call_id;
        let bindings = self.registrar.phones(user).iter();
        let registered: Vec<LinePhone> = bindings
            .filter(|binding| binding.flow == received.flow && binding.call_id == *call_id)
            .map(|binding| LinePhone::of(user, binding))
            .collect();
        for phone in registered {
            self.report_forgotten_calls(&phone);
            if is_new_flow {
                let legs: Vec<LegId> = self.legs.keys().copied().collect();
                for leg in legs {
                    self.with_leg(leg, |leg, context| {
                        leg.handle_registered(&phone, received.flow, context, now)
                    });
                }
            }
        }
    }

    fn report_forgotten_calls(&mut self, phone: &LinePhone) {
        let forgotten = self.legs.iter_mut().filter_map(|(id, leg)| match leg {
            Leg::Established(leg) => leg.registers_anew(phone).then_some(*id),
            _ => None,
        });
        let legs: Vec<LegId> = forgotten.collect();
        if !legs.is_empty() {
            let user = phone.user.clone();
            self.context.emit(Event::Reregistered { user, legs });
        }
    }

    /// Asks a registered phone whether it is still there. Without any response its binding is removed.
    pub(super) fn check(&mut self, target: &RequestTarget, now: Instant) {
        let id = self.context.new_leg();
        if !self.registrar.begin_check(target, id) {
            return;
        }
        match ContactCheck::new(id, target, &mut self.context, now) {
            Some(check) => self.add_leg(id, Leg::ContactCheck(check)),
            // The table is full: the phone stays as it is.
            None => drop(self.registrar.end_check(id, true)),
        }
    }

    /// Takes over what legs have learned about registered phones.
    pub(super) fn take_news_of_phones(&mut self) {
        for flow in std::mem::take(&mut self.context.refused_unsolicited) {
            self.registrar.set_refuses_unsolicited(flow);
            self.note_change(RestartChange::Refreshed);
        }
        for (check, is_alive) in std::mem::take(&mut self.context.ended_checks) {
            for user in self.registrar.end_check(check, is_alive) {
                self.emit_unregistered(user);
            }
        }
    }
}
