//! What every part of an engine may use while it handles one input: the SIP agent, the lines with their saved state, the trust
//! in numbers and keys, the proofs of work in stock, the random source, the clock, and the output.
//!
//! The parts (`call`, `line::messages`, `line::subscriptions`, `presence`) own their own state and are lent this; no part sees
//! the state of another one.

use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use ringfence_book::Number;
use ringfence_sip as sip;

use crate::config::Config;
use crate::counters::EngineCounters;
use crate::line::Lines;
use crate::line::old_book::OldBookNotices;
use crate::line::state_keeper::StateKeeper;
use crate::output::Outbox;
use crate::restart::keeper::RestartKeeper;

use crate::sealed::contact_secret::ContactSecret;
use crate::sealed::proof_stock::ProofStock;
use crate::sealed::routing_tag::RoutingTag;
use crate::time::{UnixTime, WallClock};
use crate::trust::Trust;
use crate::trust::contacts::{Contact, PeerIdentity, ShownBy};
use crate::trust::directory::{CalleeKeys, LookupError};
use crate::trust::secrets::SharedSecrets;
use crate::trust::shares::Owner;
use crate::trust::tags::Tags;

/// See the module.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) config: Config,
    pub(crate) agent: sip::UserAgent,
    pub(crate) lines: Lines,
    pub(crate) saved: StateKeeper,
    pub(crate) restart: RestartKeeper,
    pub(crate) trust: Trust,
    pub(crate) tags: Tags,
    pub(crate) proofs: ProofStock,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) clock: WallClock,
    pub(crate) counters: EngineCounters,
    pub(crate) out: Outbox,
    pub(crate) old_book: OldBookNotices,
    /// A relay has confirmed that it brings this engine's envelopes: without one, no answer to a ring would arrive.
    pub(crate) is_listening: bool,
    /// A TURN server gives this engine allocations: without one, no call has media.
    pub(crate) reaches_turn: bool,
    /// The engine shuts down: nothing new begins.
    pub(crate) closing: bool,
}

impl Environment {
    pub(crate) fn wall(&self, now: Instant) -> UnixTime {
        self.clock.wall(now)
    }

    /// The keys of a dialled number, from the downloaded book alone.
    pub(crate) fn callee(&self, dialled: &str) -> Result<CalleeKeys, LookupError> {
        let number: Number = dialled.parse().map_err(|_| LookupError::NotInPlan)?;
        self.trust.directory().look_up(number)
    }

    /// Whether the user has not accepted this key for this number, which had another one.
    pub(crate) fn has_changed(
        &mut self,
        sender: PeerIdentity,
        shown_by: ShownBy,
        now: Instant,
    ) -> bool {
        let today = self.wall(now).day();
        self.trust
            .has_changed(sender, (shown_by, today), &mut self.out)
    }

    /// Whether the user of a line has chosen to have to do with this number: it was named, verified, let see the line's presence, or
    /// dialled, or is a line of this engine. A call that was merely answered makes no contact, since any number can ring.
    pub(crate) fn is_contact(&self, line: Number, number: Number, now: Instant) -> bool {
        let contact = self.trust.contacts().get(number);
        let wall = self.wall(now);
        contact.is_some_and(Contact::is_chosen)
            || self.lines.of_number(number).is_some()
            || self.saved.state().has_dialled(line, number, wall)
    }

    pub(crate) fn owner(&self, line: Number, sender: Number, now: Instant) -> Owner {
        Owner {
            sender,
            is_contact: self.is_contact(line, sender, now),
        }
    }

    /// The tag of an envelope of a line, if it shares a secret with the receiver and has not used all of this window.
    pub(crate) fn tag(
        &mut self,
        line: Number,
        receiver: PeerIdentity,
        wall: UnixTime,
    ) -> Option<RoutingTag> {
        let secrets = &self.saved.state().secrets;
        self.tags.give(secrets, (line, receiver), wall)
    }

    /// The line and the sender of an envelope under this tag, if that is a contact of the line.
    pub(crate) fn try_tag(&mut self, tag: RoutingTag, now: Instant) -> Option<(usize, Number)> {
        let wall = self.wall(now);
        let secrets = &self.saved.state().secrets;
        let (line, sender) = self.tags.try_tag(secrets, tag, wall)?;
        let index = self.lines.of_number(line)?;
        (self.is_contact(line, sender, now)).then_some((index, sender))
    }

    /// The two sides of a call have proved their keys to each other: the line and its peer share a secret of it.
    pub(crate) fn share_secret(
        &mut self,
        line: Number,
        peer: PeerIdentity,
        secret: ContactSecret,
        now: Instant,
    ) {
        let is_stranger = |pair: &SharedSecrets| !self.is_contact(pair.line, pair.number, now);
        let gone = self.saved.state().secrets.iter().position(is_stranger);
        let gone = gone.unwrap_or_default();
        self.saved.share(line, peer, secret, gone);
        if let Some(pair) = self.saved.state().secrets.of(line, peer.number) {
            self.tags.learn(pair);
        }
    }

    /// Whether a line rings for contacts only, and this number is none.
    pub(crate) fn is_kept_out(&self, line: Number, number: Number, now: Instant) -> bool {
        self.saved.state().contacts_only(line) && !self.is_contact(line, number, now)
    }

    /// Whether a line receives anything of this sender. The sender cannot tell.
    pub(crate) fn is_welcome(&mut self, line: Number, sender: PeerIdentity, now: Instant) -> bool {
        if self.saved.state().is_blocked(line, sender.number) {
            return false;
        }
        let changed = self.has_changed(sender, ShownBy::Ring, now);
        self.counters.changed_keys += u64::from(changed);
        !changed
    }
}
