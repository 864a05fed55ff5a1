//! What a call may use while it handles an event: the engine's environment, and the ways back to the call. A call has no other
//! way to act.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use ringfence_book::Number;
use ringfence_media::PhoneMedia;
use ringfence_sip as sip;

use super::control::ControlFrame;
use super::slots::{GivenUp, PostingSlots};
use super::step::{CallStep, EndReason};
use super::{CallCommon, CallPeer, PartnerNews};
use crate::environment::Environment;
use crate::output::{CallLabel, CallParties, MediaOrder, Output, PostId};
use crate::sealed::envelope::{Envelope, EventContext};
use crate::sealed::first_message::SealingKeys;
use crate::sealed::proof_of_work::ProofOfWork;
use crate::sealed::ring::outgoing::OutgoingRing;
use crate::sealed::routing_tag::RoutingTag;
use crate::sealed::session::{CallSession, SessionMessage};
use crate::time::{Timer, UnixTime};
use crate::trust::contacts::PeerIdentity;

/// Lent to one call for the length of one event.
pub(crate) struct CallContext<'a> {
    pub(crate) env: &'a mut Environment,
    pub(super) routes: &'a mut Routes,
    pub(crate) wall: UnixTime,
    pub(crate) now: Instant,
}

/// Which call an envelope or a posted event concerns, and what joined calls have to tell each other.
#[derive(Debug, Default)]
pub(super) struct Routes {
    tags: BTreeMap<RoutingTag, CallLabel>,
    posts: BTreeMap<PostId, CallLabel>,
    pub(super) slots: PostingSlots,
    /// Phones that dialled a number whose ring was taken back while it was answered.
    dialled: VecDeque<DialledAgain>,
    /// A call tells its partner a handful of things in its life.
    news: VecDeque<(CallLabel, PartnerNews)>,
}

/// A phone whose call is to be placed anew.
#[derive(Debug)]
pub(super) struct DialledAgain {
    pub(super) line: usize,
    pub(super) leg: sip::LegId,
    pub(super) offer: PhoneMedia,
    pub(super) number: Number,
}

impl Routes {
    pub(super) fn next_dialled(&mut self) -> Option<DialledAgain> {
        self.dialled.pop_front()
    }

    pub(super) fn of_tag(&self, tag: &RoutingTag) -> Option<CallLabel> {
        self.tags.get(tag).copied()
    }

    /// The call that posted an event.
    pub(super) fn of_post(&self, post: PostId) -> Option<CallLabel> {
        self.posts.get(&post).copied()
    }

    pub(super) fn next_news(&mut self) -> Option<(CallLabel, PartnerNews)> {
        self.news.pop_front()
    }

    pub(super) fn forget(&mut self, call: CallLabel) {
        self.tags.retain(|_, of| *of != call);
        self.posts.retain(|_, of| *of != call);
    }
}

/// An envelope for a relayed address, kept to be sent again.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) to: SocketAddr,
    pub(crate) envelope: Envelope,
}

impl CallContext<'_> {
    pub(crate) fn step(&mut self, call: &CallCommon, step: CallStep) {
        let parties = CallParties {
            line: call.number,
            peer: call.peer,
            direction: call.direction,
        };
        let call = call.label;
        tracing::debug!(%call, %step, "call");
        self.env.out.push(Output::Step {
            call,
            parties,
            step,
        });
    }

    /// Reports how the call ended.
    pub(crate) fn report_end(&mut self, call: &CallCommon, end: EndReason) {
        self.notify_partner(call, PartnerNews::Over(480));
        self.step(call, CallStep::Ended(end));
    }

    /// Reports how the call ended and frees its media.
    pub(crate) fn end(&mut self, call: &CallCommon, end: EndReason) {
        self.report_end(call, end);
        self.media(call, MediaOrder::Close);
    }

    pub(crate) fn media(&mut self, call: &CallCommon, order: MediaOrder) {
        let call = call.label;
        self.env.out.push(Output::Media { call, order });
    }

    /// Sends a frame on the call's data channel.
    pub(super) fn control(&mut self, call: &CallCommon, frame: ControlFrame) {
        self.media(call, MediaOrder::Control(frame.encode().to_vec()));
    }

    /// Says hang-up on the call's data channel, before all that waits there: the phone has left.
    pub(super) fn tell_hang_up(&mut self, call: &CallCommon) {
        self.media(call, MediaOrder::Detach);
        self.control(call, ControlFrame::HangUp);
    }

    /// Tells the call that this one is or will be joined with, if there is one.
    pub(crate) fn notify_partner(&mut self, call: &CallCommon, news: PartnerNews) {
        if let Some(partner) = call.partner {
            self.routes.news.push_back((partner, news));
        }
    }

    /// A phone's call is placed anew.
    pub(crate) fn dial_again(
        &mut self,
        call: &CallCommon,
        leg: sip::LegId,
        offer: PhoneMedia,
        number: Number,
    ) {
        self.routes.dialled.push_back(DialledAgain {
            line: call.line,
            leg,
            offer,
            number,
        });
    }

    /// The phone is told that the other side rings.
    pub(crate) fn ring_back(&mut self, call: &CallCommon) {
        match call.leg {
            Some(leg) => self.env.agent.ring(leg, self.now),
            None => self.notify_partner(call, PartnerNews::Rings),
        }
    }

    /// Tells the phone the state of the transfer that it has asked for.
    pub(crate) fn notify_transfer(&mut self, call: &CallCommon, status: u16) {
        if let Some(leg) = call.leg {
            self.env.agent.notify_transfer(leg, status, self.now);
        }
    }

    /// Answers the phone's INVITE, or its re-INVITE.
    pub(crate) fn answer_phone(&mut self, call: &CallCommon, sdp: Vec<u8>) {
        if let Some(leg) = call.leg {
            self.env.agent.answer(leg, sdp, self.now);
        }
    }

    /// Refuses the phone's INVITE, or its re-INVITE.
    pub(crate) fn refuse_phone(&mut self, call: &CallCommon, status: u16) {
        match call.leg {
            Some(leg) if call.summoned.is_some() => {
                self.env.agent.hang_up(leg, sip::HangUp::Normal, self.now);
            }
            Some(leg) => self.env.agent.refuse(leg, status, self.now),
            None => self.notify_partner(call, PartnerNews::Over(status)),
        }
    }

    /// Refuses the phone's INVITE with words for its display.
    pub(super) fn refuse_phone_with(&mut self, call: &CallCommon, refusal: sip::Refusal) {
        match call.leg {
            Some(_) if call.summoned.is_some() => self.refuse_phone(call, refusal.status),
            Some(leg) => self.env.agent.refuse_with(leg, refusal, self.now),
            None => self.notify_partner(call, PartnerNews::Over(refusal.status)),
        }
    }

    /// Ends the phone's side, whatever its state.
    pub(crate) fn hang_up_phone(&mut self, call: &mut CallCommon) {
        self.hang_up_phone_with(sip::HangUp::Normal, call);
    }

    /// Stops phones whose call was taken in another way; they show no missed call.
    pub(crate) fn stop_phones(&mut self, call: &mut CallCommon) {
        self.hang_up_phone_with(sip::HangUp::AnsweredElsewhere, call);
    }

    /// The same, with the reason that the phone is told.
    pub(super) fn hang_up_phone_with(&mut self, reason: sip::HangUp, call: &mut CallCommon) {
        if let Some(leg) = call.leg.take() {
            self.env.agent.hang_up(leg, reason, self.now);
        }
    }

    /// Makes sure that a call holds its `count` proofs of work; false while the stock lacks them.
    pub(crate) fn reserve(&mut self, call: &mut CallCommon, count: usize) -> bool {
        if call.proofs.is_none() {
            call.proofs = self.env.proofs.take(count, self.wall);
        }
        call.proofs.is_some()
    }

    /// Takes one more proof of work from the stock for a call that has used those it reserved.
    pub(super) fn refill(&mut self, call: &mut CallCommon) {
        if let Some(proofs) = &mut call.proofs
            && proofs.is_empty()
        {
            proofs.extend(self.env.proofs.take(1, self.wall).unwrap_or_default());
        }
    }

    /// Seals with the call's next proof of work and posts. `None` when nothing could be sealed: the reservation is spent, or the
    /// other side's key is unusable.
    pub(crate) fn post<T, E>(
        &mut self,
        call: &mut CallCommon,
        bucket: u16,
        seal: impl FnOnce(SealingKeys<'_>, &EventContext, &mut ChaCha20Rng) -> Result<(T, Envelope), E>,
    ) -> Option<(T, PostId)> {
        let (proof, envelope, rest) = self.seal(call, bucket, seal)?;
        let post = self.env.out.post(proof, bucket, envelope);
        self.routes.posts.insert(post, call.label);
        Some((rest, post))
    }

    /// A ring has been posted: envelopes follow it whatever becomes of the call.
    pub(crate) fn begin_slots(&mut self, call: &CallCommon, bucket: u16) {
        let Self {
            env, routes, now, ..
        } = self;
        routes.slots.begin(call.label, bucket, &mut env.rng, *now);
    }

    /// A ring counts no more: the envelopes that still follow it take it back.
    pub(crate) fn take_back(
        &mut self,
        ring: Arc<OutgoingRing>,
        callee: PeerIdentity,
        call: &CallCommon,
    ) {
        let given_up = GivenUp {
            ring,
            number: call.number,
            callee,
        };
        self.routes.slots.give_up(call.label, given_up);
    }

    /// Seals a note with the call's next proof of work and posts it for relays to keep.
    pub(crate) fn post_note<E>(
        &mut self,
        call: &mut CallCommon,
        bucket: u16,
        seal: impl FnOnce(SealingKeys<'_>, &EventContext, &mut ChaCha20Rng) -> Result<Envelope, E>,
    ) {
        let sealed = self.seal(call, bucket, |keys, event, rng| {
            seal(keys, event, rng).map(|envelope| ((), envelope))
        });
        if let Some((proof, envelope, ())) = sealed {
            self.env.out.post_note(proof, bucket, envelope);
        }
    }

    pub(super) fn seal<T, E>(
        &mut self,
        call: &mut CallCommon,
        bucket: u16,
        seal: impl FnOnce(SealingKeys<'_>, &EventContext, &mut ChaCha20Rng) -> Result<(T, Envelope), E>,
    ) -> Option<(ProofOfWork, Envelope, T)> {
        let proof = call.proofs.as_mut().and_then(Vec::pop)?;
        let event = EventContext {
            bucket,
            event_key: proof.event_key,
        };
        let env = &mut *self.env;
        let line = env.lines.get(call.line)?;
        let keys = SealingKeys {
            identity: &line.identity,
            number: line.number,
            book: env.trust.book_view(),
        };
        let (rest, envelope) = seal(keys, &event, &mut env.rng).ok()?;
        Some((proof, envelope, rest))
    }

    /// Seals a message of an answered call for the way between the relayed addresses; what sends it. `None` without an address.
    pub(crate) fn seal_datagram(
        &mut self,
        session: &mut CallSession,
        what: SessionMessage,
        peer: &CallPeer,
    ) -> Option<Datagram> {
        let envelope = session.seal(what, &EventContext::NONE, &mut self.env.rng);
        peer.relayed.map(|to| Datagram { to, envelope })
    }

    /// Seals a message of an answered call with a proof of work of its own, and posts it. `None` if the stock of proofs is empty.
    pub(super) fn post_message(
        &mut self,
        call: &mut CallCommon,
        bucket: u16,
        session: &mut CallSession,
        what: SessionMessage,
    ) -> Option<PostId> {
        self.refill(call);
        let posted = self.post(call, bucket, |_, event, rng| {
            Ok::<_, ()>(((), session.seal(what, event, rng)))
        });
        posted.map(|((), post)| post)
    }

    /// Sends an envelope from our relayed address to the other side's.
    pub(crate) fn send_datagram(&mut self, call: &CallCommon, datagram: &Datagram) {
        let Datagram { to, envelope } = datagram;
        let (to, bytes) = (*to, envelope.to_datagram());
        self.media(call, MediaOrder::Datagram { to, bytes });
    }

    /// Envelopes with these routing tags are for this call.
    pub(crate) fn expect(&mut self, call: &CallCommon, tags: impl IntoIterator<Item = RoutingTag>) {
        for tag in tags {
            self.routes.tags.insert(tag, call.label);
        }
    }

    /// The tag of an envelope for the other side, if the two have talked before.
    pub(crate) fn tag(&mut self, call: &CallCommon, peer: &CallPeer) -> Option<RoutingTag> {
        self.env.tag(call.number, peer.party, self.wall)
    }

    /// The call is confirmed: it leaves a secret to the two sides.
    pub(crate) fn share_secret(&mut self, call: &CallCommon, peer: &CallPeer, of: &CallSession) {
        let (secret, now) = (of.contact_secret(), self.now);
        self.env.share_secret(call.number, peer.party, secret, now);
    }

    /// The other side has proved its key in an answered call.
    pub(crate) fn pin(&mut self, peer: &CallPeer) {
        let day = self.wall.day();
        let env = &mut *self.env;
        env.trust.pin(peer.party, day, &mut env.out);
    }

    /// Sets how long the call's new state may last.
    pub(crate) fn set_deadline(&self, call: &mut CallCommon, span: Duration, timer: Timer) {
        call.deadline = Some((self.now + span, timer));
    }
}
