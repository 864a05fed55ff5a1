//! How calls begin: a phone dials, or an envelope opened as a ring.

use std::time::Instant;

use ringfence_media::{Description, sdp};
use ringfence_phonebook::{IdentityKey, Number};
use ringfence_sip as sip;

use crate::call::step::{End, Step};
use crate::call::{Call, Common, Dialling, Happening, Phase, Ringing, refusal, silent_phone};
use crate::config::{MAX_CALLS, MAX_RINGS_PER_LINE};
use crate::engine::Engine;
use crate::line::call_history::Entry;
use crate::output::{CallLabel, Output};
use crate::sealed::ring::RingId;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::trust::contacts::{Learnt, OtherKey, ShownBy, Standing};
use crate::trust::directory::{CalleeKeys, LookupError};

/// What a phone shows whose person dialled a number with a changed key (RFC 3261 section 21.4.4: not to be tried again).
const KEY_CHANGED: (u16, &str) = (403, "Key changed - see ringfence contacts");

impl Engine {
    pub(crate) fn handle_ring(&mut self, line: usize, ring: Box<VerifiedRing>, now: Instant) {
        if self.closing {
            return;
        }
        self.compare(&ring.book());
        if self.has_changed(ring.caller_number(), ring.caller(), ShownBy::Ring, now) {
            // No phone rings, and the caller hears what every caller hears whom nobody answers.
            self.counters.changed_keys += 1;
            return;
        }
        let Ok(remote) = Description::decode(ring.media()) else {
            self.counters.forged += 1;
            return;
        };
        if let Some((label, ours_counts)) = self.glare(line, &ring) {
            if !ours_counts {
                self.tell(label, Happening::Glare(ring), now);
            }
            return;
        }
        if self.is_unwanted(line, &ring, now) {
            return;
        }
        let sounding = self
            .calls
            .values()
            .filter(|call| call.common.line == line && matches!(call.phase, Phase::Ringing(_)));
        if sounding.count() >= MAX_RINGS_PER_LINE || self.busy() >= MAX_CALLS {
            self.counters.flooded += 1;
            return;
        }
        self.forget_unheard(line, now);
        let entry = Entry::rang(ring.caller_number(), ring.id(), self.wall(now));
        self.begin(line, None, now, |common, desk| {
            common.entry = Some(entry);
            Ringing::start(*ring, remote, common, desk)
        });
    }

    /// Whether this line is calling the very person who rings it; and if so, whether our ring
    /// is the one that counts. While ours is not out, theirs does. When both are, it is the one
    /// with the lower identity key, on both sides.
    fn glare(&self, line: usize, ring: &VerifiedRing) -> Option<(CallLabel, bool)> {
        let (ours, theirs) = (self.lines.get(line)?.identity.key(), ring.caller());
        if ours == theirs {
            // A line that rings itself is no glare: both rings are its own.
            return None;
        }
        let on_line = self
            .calls
            .iter()
            .filter(|(_, call)| call.common.line == line);
        on_line
            .filter_map(|(label, call)| match &call.phase {
                Phase::Dialling(dialling) if dialling.callee() == theirs => Some((*label, false)),
                Phase::Calling(calling) if calling.peer().identity == theirs => {
                    Some((*label, ours.as_bytes() < theirs.as_bytes()))
                }
                _ => None,
            })
            .next()
    }

    /// Makes room for one more ring that may stay unheard: the oldest of the line goes.
    fn forget_unheard(&mut self, line: usize, now: Instant) {
        let unheard = self
            .calls
            .values()
            .filter(|call| call.common.line == line && call.is_unheard());
        let mut oldest: Vec<_> = unheard
            .map(|call| (call.common.alarm, call.common.label))
            .collect();
        oldest.sort_unstable();
        let many = oldest.len().saturating_sub(MAX_RINGS_PER_LINE - 1);
        for (_, label) in oldest.into_iter().take(many) {
            if let Some(call) = self.calls.remove(&label) {
                self.write_down(&call, now);
                self.forget(call);
            }
        }
    }

    /// Calls that take something of the machine.
    pub(crate) fn busy(&self) -> usize {
        self.calls
            .values()
            .filter(|call| !call.is_unheard())
            .count()
    }

    /// Takes a ring that waits for this line from its phones, because one of them dials exactly
    /// who is ringing.
    fn take_ring(
        &mut self,
        line: usize,
        caller: IdentityKey,
        now: Instant,
    ) -> Option<Box<VerifiedRing>> {
        let label = self.calls.iter().find_map(|(label, call)| {
            let rings = match &call.phase {
                Phase::Ringing(ringing) => ringing.caller() == caller,
                Phase::Unheard(unheard) => unheard.caller() == caller,
                _ => false,
            };
            (rings && call.common.line == line).then_some(*label)
        })?;
        let mut call = self.calls.remove(&label)?;
        let ring = self.with_desk(&mut call, now, |call, desk| call.hand_over(desk));
        self.forget(call);
        ring.flatten()
    }

    pub(crate) fn handle_withdrawal(&mut self, id: RingId, now: Instant) {
        let label = self
            .calls
            .iter()
            .find_map(|(label, call)| (call.phase.ring() == Some(id)).then_some(*label));
        if let Some(label) = label {
            self.tell(label, Happening::Withdrawn, now);
        }
    }

    /// An event of the phones' side.
    pub(crate) fn handle_leg(&mut self, event: sip::Event, now: Instant) {
        let leg = match &event {
            sip::Event::Registered { phones, user } => {
                tracing::debug!(phones, "phones of a line changed");
                self.forget_told(user);
                return self.handle_phone_joined(user, now);
            }
            sip::Event::Unregistered { phones, .. } => {
                tracing::debug!(phones, "phones of a line changed");
                return;
            }
            sip::Event::Incoming { .. } => return self.handle_dialled(event, now),
            sip::Event::Cancelled { leg }
            | sip::Event::Ringing { leg }
            | sip::Event::Answered { leg, .. }
            | sip::Event::Refused { leg, .. }
            | sip::Event::Confirmed { leg, .. }
            | sip::Event::Reoffer { leg, .. }
            | sip::Event::Reanswered { leg, .. }
            | sip::Event::OfferRefused { leg, .. }
            | sip::Event::Digit { leg, .. }
            | sip::Event::HungUp { leg } => *leg,
            sip::Event::Transfer { leg, to } => return self.handle_transfer(*leg, to, now),
            sip::Event::Text {
                text,
                user,
                to,
                written,
            } => return self.handle_text(*text, (user, to), written, now),
            sip::Event::TextTaken { text } => return self.handle_text_taken(*text, now),
            sip::Event::TextRefused { text, status } => {
                return self.handle_text_refused(*text, *status, now);
            }
            sip::Event::Subscribed {
                watch,
                user,
                package,
                about,
            } => return self.handle_subscribed(*watch, user, (*package, about), now),
            sip::Event::Unsubscribed { watch } => return self.handle_unsubscribed(*watch),
        };
        if let Some(call) = self.legs.get(&leg).copied() {
            self.tell(call, Happening::Leg(event), now);
        }
    }

    fn handle_dialled(&mut self, event: sip::Event, now: Instant) {
        let sip::Event::Incoming {
            leg,
            user,
            dialled,
            sdp,
            replaces,
        } = event
        else {
            return;
        };
        let line = self.lines.iter().position(|line| line.account.user == user);
        let Some(line) = line else {
            return self.agent.refuse(leg, 403, now);
        };
        if let Some(from) = replaces {
            return self.handle_take_over(leg, (line, from), sdp, now);
        }
        let Some(dialled) = self.read_star(line, leg, dialled, now) else {
            return;
        };
        let callee = self.callee(&dialled, now);
        let offer = match &sdp[..] {
            [] => Ok(silent_phone()),
            sdp => sdp::read_offer(sdp, self.config.srtp),
        };
        let offer = offer.map(|mut offer| {
            offer.video = offer.video.filter(|_| self.config.video);
            offer
        });
        let (status, end) = match (callee, offer) {
            _ if self.closing => (503, End::ShutDown),
            _ if self.busy() >= MAX_CALLS => (503, End::TooMany),
            (Ok(callee), _)
                if self.has_changed(callee.number, callee.identity, ShownBy::Book, now) =>
            {
                return self.refuse_changed(leg, now);
            }
            (Ok(callee), Ok(offer)) => {
                let met = self.take_ring(line, callee.identity, now);
                let entry = Entry::dialled(callee.number, self.wall(now));
                self.begin(line, Some(leg), now, |common, desk| {
                    common.entry = Some(entry);
                    Dialling::start(offer, callee, met, common, desk)
                });
                return;
            }
            (Err(LookupError::NoTile), _) => (503, End::NoBook),
            (Err(_), _) => (404, End::NoSuchNumber),
            (Ok(_), Err(fault)) => (refusal(&fault), End::NoCodec),
        };
        let call = self.new_label();
        self.note(call, Step::Dialled);
        self.agent.refuse(leg, status, now);
        self.note(call, Step::Ended(end));
    }

    /// Whether the number stood for another key until now. That is noted for the user, and logged once for each new key.
    pub(crate) fn has_changed(
        &mut self,
        number: Number,
        identity: IdentityKey,
        shown_by: ShownBy,
        now: Instant,
    ) -> bool {
        let standing = self.address_book.contacts().standing(number, &identity);
        if standing != Standing::Changed {
            return false;
        }
        let key = OtherKey {
            identity,
            since: self.wall(now).day(),
            shown_by,
        };
        if self.learn(Learnt::Other { number, key }) {
            tracing::warn!(
                "a contact's number has another key than before: no call with it until you accept that. To do: ringfence contacts shows which; ask the person by another way, then ringfence contacts accept NUMBER"
            );
        }
        true
    }

    fn refuse_changed(&mut self, leg: sip::LegId, now: Instant) {
        let call = self.new_label();
        self.note(call, Step::Dialled);
        self.agent.refuse_saying(leg, KEY_CHANGED, now);
        self.note(call, Step::Ended(End::KeyChanged));
    }

    /// Digits to keys, from the downloaded book alone.
    pub(crate) fn callee(&self, dialled: &str, now: Instant) -> Result<CalleeKeys, LookupError> {
        let number: Number = dialled.parse().map_err(|_| LookupError::NotInPlan)?;
        self.directory.look_up(number, self.wall(now))
    }

    pub(crate) fn begin(
        &mut self,
        line: usize,
        leg: Option<sip::LegId>,
        now: Instant,
        start: impl FnOnce(&mut Common, &mut crate::call::context::Desk<'_>) -> Phase,
    ) -> CallLabel {
        let label = self.new_label();
        let mut call = Call {
            common: Common {
                label,
                line,
                leg,
                partner: None,
                stamps: None,
                entry: None,
                alarm: None,
            },
            phase: Phase::Over,
        };
        let phase = self.with_desk(&mut call, now, |call, desk| start(&mut call.common, desk));
        if let Some(phase) = phase {
            call.phase = phase;
            self.keep(call);
        }
        label
    }

    fn note(&mut self, call: CallLabel, step: Step) {
        self.push(Output::Step { call, step });
    }
}
