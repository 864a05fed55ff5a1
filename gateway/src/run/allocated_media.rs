//! A call's bridge and what its allocation still owes the pool: what a media thread does with them, without sockets and without a clock.

use std::time::Instant;

use ringfence_engine::{MediaFailure, MediaOrder};
use ringfence_media::Bridge;
use ringfence_media::far::{FarLeg, TurnWay};

use crate::turn::pool::{Checks, Home};

/// The media of a call that has an allocation.
#[derive(Debug)]
pub(crate) struct AllocatedMedia {
    bridge: Box<Bridge>,
    /// Of an allocation of the pool, until the other side is known.
    waiting: Option<(Checks, Home)>,
}

/// What the end of a call leaves of an allocation that never had a peer.
#[derive(Debug)]
pub(crate) enum Unused {
    /// It waits, and may go back to the pool.
    Waiting(Box<TurnWay>, Checks, Home),
    /// It is to be closed, as that of a call that was connected.
    Bridge(AllocatedMedia),
}

impl AllocatedMedia {
    /// Over an allocation, which the bridge reports with its first output.
    pub(crate) fn new(way: TurnWay, waiting: Option<(Checks, Home)>, now: Instant) -> Self {
        let far = FarLeg::new(way, rand::random(), now);
        Self {
            bridge: Box::new(Bridge::new(far, rand::random())),
            waiting,
        }
    }

    pub(crate) fn bridge(&mut self) -> &mut Bridge {
        &mut self.bridge
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let check = self.waiting.as_ref().map(|(checks, _)| checks.at());
        let timeout = self.bridge.next_timeout().map(|(at, _)| at);
        check.into_iter().chain(timeout).min()
    }

    /// Time has passed: an allocation that waits is checked as in the pool.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.bridge.handle_timeout(now);
        if let Some((checks, _)) = &mut self.waiting
            && checks.are_due(now)
        {
            self.bridge.check(now);
        }
    }

    /// Takes another way out; returns the one that is left. The pool makes another allocation in place of what it gave.
    ///
    /// # Errors
    /// The new way, if it is of no use.
    pub(super) fn adopt(&mut self, way: TurnWay, now: Instant) -> Result<TurnWay, Box<TurnWay>> {
        let left = self.bridge.adopt(way, now)?;
        if let Some((_, home)) = self.waiting.take() {
            home.note_lost();
        }
        Ok(left)
    }

    /// The call is over: what is to become of its allocation.
    pub(crate) fn into_unused(mut self) -> Unused {
        let Some((checks, home)) = self.waiting.take() else {
            return Unused::Bridge(self);
        };
        match self.bridge.into_waiting() {
            Ok(way) => Unused::Waiting(Box::new(way), checks, home),
            Err(bridge) => {
                home.note_lost();
                self.bridge = bridge;
                Unused::Bridge(self)
            }
        }
    }

    /// Carries out an order.
    ///
    /// # Errors
    /// What the engine is to learn.
    pub(super) fn carry_out(
        &mut self,
        order: MediaOrder,
        now: Instant,
    ) -> Result<(), MediaFailure> {
        let bridge = &mut self.bridge;
        match order {
            MediaOrder::Attach(terms) => bridge.attach_phone(*terms, now),
            MediaOrder::Detach => bridge.detach_phone(now),
            MediaOrder::Connect { remote, role } => {
                if let Err(error) = bridge.connect(&remote, role, now) {
                    tracing::debug!(%error, "the other side's description cannot be used");
                    return Err(MediaFailure::NoPath);
                }
                self.waiting = None;
            }
            MediaOrder::Meet(remote) => bridge.meet(remote, now),
            MediaOrder::OpenMicrophone => bridge.open_microphone(now),
            MediaOrder::Press { event, millis } => {
                let sent = bridge.send_dtmf(event, millis, now);
                tracing::trace!(sent, "key press");
            }
            MediaOrder::Datagram { to, bytes } => {
                let sent = bridge.send_datagram(to, &bytes, now);
                tracing::trace!(sent, "datagram");
            }
            MediaOrder::Control(frame) => {
                let sent = bridge.send_control(&frame, now);
                tracing::trace!(sent, "control frame");
            }
            MediaOrder::OpenNear { .. }
            | MediaOrder::OpenFar { .. }
            | MediaOrder::SendToPhone { .. }
            | MediaOrder::Close => {}
        }
        Ok(())
    }
}
