//! After every input: events of the SIP agent and of joined calls are handled, subscriptions are notified, until all is quiet; then
//! the shell is asked to save what has changed, and proofs of work are ordered.

use std::time::Instant;

use ringfence_sip as sip;

use super::Engine;
use crate::call::outgoing::DialledCall;
use crate::output::Output;

impl Engine {
    /// An event of the SIP agent may move calls, which may move phones: all of them are handled until none is left.
    pub(super) fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.env.agent.poll() {
                match output {
                    sip::Output::Send { flow, bytes } => {
                        self.env.out.push(Output::Phone { flow, bytes });
                    }
                    sip::Output::Close { flow } => self.env.out.push(Output::CloseFlow(flow)),
                    sip::Output::Event(event) => self.handle_sip_event(event, now),
                }
            } else if !self.calls.deliver_partner_news(&mut self.env, now)
                && !self.notify_subscriptions(now)
            {
                break;
            }
        }
        if self.env.saved.take_changed() {
            self.env.out.push(Output::SavedState);
        }
        match self.env.agent.take_restart_change() {
            Some(sip::RestartChange::Changed) => self.env.restart.note_change(),
            Some(sip::RestartChange::Refreshed) => self.env.restart.note_small_change(now),
            None => {}
        }
        if self.env.restart.take_due(self.calls.has_ending(), now) {
            self.env.out.push(Output::RestartState);
        }
        self.order_proofs(now);
    }

    pub(super) fn order_proofs(&mut self, now: Instant) {
        let waiting = self.calls.lacks() + self.messages.lacks();
        let wall = self.env.wall(now);
        let count = self.env.proofs.order(waiting, wall);
        if count > 0 {
            self.env.out.push(Output::WantProofs(count));
        }
    }

    fn notify_subscriptions(&mut self, now: Instant) -> bool {
        let shown = (&self.calls, &self.presence);
        self.subscriptions.notify_changes(shown, &mut self.env, now)
    }

    fn handle_sip_event(&mut self, event: sip::Event, now: Instant) {
        let env = &mut self.env;
        let leg = match event {
            sip::Event::Registered { phones, user } => {
                tracing::debug!(phones, "phones of a line changed");
                self.subscriptions.handle_phone_joined(&user, env);
                return self.messages.handle_phone_joined(&user, env, now);
            }
            sip::Event::Unregistered { phones, .. } => {
                tracing::debug!(phones, "phones of a line changed");
                return;
            }
            sip::Event::Reregistered { legs, .. } => {
                return self.calls.handle_registered_anew(&legs, env, now);
            }
            sip::Event::Incoming {
                leg,
                user,
                dialled,
                sdp,
                replaces,
            } => {
                let dialled = DialledCall {
                    leg,
                    user,
                    digits: dialled,
                    sdp,
                    replaces,
                };
                return self.calls.handle_dialled(dialled, env, now);
            }
            sip::Event::Transfer { leg, to } => {
                return self.calls.handle_transfer(leg, &to, env, now);
            }
            sip::Event::Text {
                text,
                user,
                to,
                body,
            } => {
                return self
                    .messages
                    .handle_text(text, (&user, &to), &body, env, now);
            }
            sip::Event::TextAccepted { text } => {
                return self.messages.handle_text_taken(text, env, now);
            }
            sip::Event::TextRefused { text, status } => {
                return self.messages.handle_text_refused(text, status, env, now);
            }
            sip::Event::Subscribed {
                subscription,
                user,
                package,
                about,
            } => {
                let wanted = (&user, package, about.as_str());
                if self
                    .subscriptions
                    .handle_subscribed(subscription, wanted, env, now)
                {
                    self.notify_subscriptions(now);
                }
                return;
            }
            sip::Event::SubscriptionEnded { subscription } => {
                return self.subscriptions.handle_unsubscribed(subscription);
            }
            sip::Event::Cancelled { leg }
            | sip::Event::Ringing { leg }
            | sip::Event::Answered { leg, .. }
            | sip::Event::Refused { leg, .. }
            | sip::Event::Confirmed { leg, .. }
            | sip::Event::Reoffer { leg, .. }
            | sip::Event::OfferAnswered { leg, .. }
            | sip::Event::OfferRefused { leg, .. }
            | sip::Event::Digit { leg, .. }
            | sip::Event::Probed { leg, .. }
            | sip::Event::HungUp { leg } => leg,
        };
        self.calls.handle_leg(leg, event, env, now);
    }
}
