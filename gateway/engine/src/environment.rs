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
use crate::line::state_keeper::StateKeeper;
use crate::output::Outbox;
use crate::restart::keeper::RestartKeeper;

use crate::sealed::proof_stock::ProofStock;
use crate::time::{UnixTime, WallClock};
use crate::trust::Trust;
use crate::trust::contacts::{Contact, PeerIdentity, ShownBy};
use crate::trust::directory::{CalleeKeys, LookupError};
use crate::trust::shares::Owner;

/// See the module.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) config: Config,
    pub(crate) agent: sip::UserAgent,
    pub(crate) lines: Lines,
    pub(crate) saved: StateKeeper,
    pub(crate) restart: RestartKeeper,
    pub(crate) trust: Trust,
    pub(crate) proofs: ProofStock,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) clock: WallClock,
    pub(crate) counters: EngineCounters,
    pub(crate) out: Outbox,
    /// A relay has confirmed that it brings this engine's envelopes: without one, no answer to a ring would arrive.
    pub(crate) is_listening: bool,
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
