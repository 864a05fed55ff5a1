//! While the path between the two engines of an answered call is lost. Each engine's media find another relayed address for themselves, and
//! the connectivity checks from there tell the other engine, as long as that one has kept its own. If both were lost, as when the
//! machine that is relay, TURN server and phone book starts again, no packet finds its way: then the **caller** posts its new
//! address, sealed, in the bucket where its ring went, until it is heard. The callee's engine posts nothing; its checks from
//! its own new address tell the caller.
//!
//! The media end the call when nothing was heard for a minute.

use std::net::SocketAddr;
use std::time::Instant;

use ringfence_media::BridgeEvent;

use super::CallCommon;
use super::context::CallContext;
use crate::call::step::CallStep;
use crate::config::{MOVED_AFTER, MOVED_AGAIN, MOVED_PAUSE, MOVED_POSTS};
use crate::output::PostId;
use crate::sealed::session::{CallSession, SessionMessage};

/// What one side knows of the path, from the answer to the end of the call.
#[derive(Debug, Default)]
pub(super) struct Outage {
    is_on: bool,
    moved: Option<Moved>,
}

/// A relayed address of the caller that the callee may not know.
#[derive(Debug)]
struct Moved {
    to: SocketAddr,
    said: u32,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// It is posted at this instant.
    Due(Instant),
    /// Relays have been given it.
    Posted(PostId),
    /// It was said often enough.
    Enough,
}

impl Outage {
    /// Whether nothing is known of the other side.
    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// What the media report of the path. True if the other side is heard again and may have been told a new address over relays.
    pub(super) fn handle_bridge(
        &mut self,
        event: &BridgeEvent,
        call: &CallCommon,
        cx: &mut CallContext<'_>,
    ) -> bool {
        let mut was_told = false;
        match event {
            BridgeEvent::WayLost | BridgeEvent::Unheard if !self.is_on => {
                self.is_on = true;
                cx.step(call, CallStep::Reconnecting);
            }
            // A side that moved because it was not heard had always heard the other.
            BridgeEvent::Heard => {
                was_told = self.moved.as_ref().is_some_and(|moved| moved.said > 0);
                if std::mem::take(self).is_on {
                    cx.step(call, CallStep::Reconnected);
                }
            }
            _ => {}
        }
        was_told
    }

    /// The two engines have found each other.
    pub(super) fn handle_connected(&mut self) {
        self.moved = None;
    }

    /// The media are gone, and nothing passes through them any more.
    pub(super) const fn handle_failed(&mut self) {
        self.is_on = true;
    }

    /// The caller's engine has another relayed address.
    pub(super) fn handle_moved(&mut self, to: SocketAddr, now: Instant) {
        self.moved = Some(Moved {
            to,
            said: 0,
            next: Next::Due(now + MOVED_AFTER),
        });
    }

    /// Posts the new address if that is due.
    pub(super) fn post_moved(
        &mut self,
        session: &mut CallSession,
        bucket: u16,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) {
        let Some(moved) = self.moved.as_mut().filter(|moved| moved.is_due(cx.now)) else {
            return;
        };
        let message = SessionMessage::Moved(moved.to);
        moved.next = match cx.post_message(call, bucket, session, message) {
            Some(post) => {
                moved.said += 1;
                Next::Posted(post)
            }
            // The stock of proofs of work is empty.
            None => Next::Due(cx.now + MOVED_AGAIN),
        };
    }

    /// Relays took what was posted, or none did; both may be in vain.
    pub(super) fn handle_posted(&mut self, post: PostId, now: Instant) {
        if let Some(moved) = &mut self.moved
            && matches!(moved.next, Next::Posted(waits) if waits == post)
        {
            moved.next = match moved.said {
                said if said < MOVED_POSTS => {
                    let pause = MOVED_AGAIN * 2_u32.pow(said.saturating_sub(1));
                    Next::Due(now + pause.min(MOVED_PAUSE))
                }
                _ => Next::Enough,
            };
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.moved.as_ref()?.next {
            Next::Due(at) => Some(at),
            Next::Posted(_) | Next::Enough => None,
        }
    }
}

impl Moved {
    fn is_due(&self, now: Instant) -> bool {
        matches!(self.next, Next::Due(at) if at <= now)
    }
}
