//! Callee, picked up, before there is a relayed address that the answer can name. A person has answered and the caller still waits, so TURN
//! servers that are away, as while the machine starts again that they share with the relay, are asked again until the call's time is over.

use std::net::SocketAddr;
use std::time::Instant;

use ringfence_media::{Description, LocalEndpoint};

use super::CallCommon;
use super::context::CallContext;
use super::phone_side::PhoneSide;
use crate::config::{ALLOCATE_AGAIN, CONNECT};
use crate::output::MediaOrder;
use crate::sealed::ring::incoming::VerifiedRing;
use crate::time::Timer;

/// A ring whose answer waits for a relayed address.
#[derive(Debug)]
pub(super) struct Allocating {
    pub(super) ring: Box<VerifiedRing>,
    pub(super) remote: Description,
    pub(super) far: Option<LocalEndpoint>,
    until: Instant,
}

impl Allocating {
    /// Orders a relayed address, unless the call has one.
    pub(super) fn start(
        (ring, remote): (VerifiedRing, Description),
        far: Option<LocalEndpoint>,
        phone: &PhoneSide,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> Self {
        let allocating = Self {
            ring: Box::new(ring),
            remote,
            far,
            until: cx.now + CONNECT,
        };
        allocating.order(phone, call, cx);
        allocating
    }

    /// No server gave an address: the order is repeated soon.
    pub(super) fn handle_refused(&self, call: &mut CallCommon, cx: &CallContext<'_>) {
        cx.set_deadline(call, ALLOCATE_AGAIN, Timer::Confirmation);
    }

    /// Orders once more. False once the time is over.
    pub(super) fn try_again(
        &self,
        phone: &PhoneSide,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> bool {
        let is_over = self.until <= cx.now;
        if !is_over {
            self.order(phone, call, cx);
        }
        !is_over
    }

    fn order(&self, phone: &PhoneSide, call: &mut CallCommon, cx: &mut CallContext<'_>) {
        if self.far.is_none() {
            let avoid = self.remote.relayed_addresses.iter().map(SocketAddr::ip);
            let avoid = avoid.collect();
            cx.media(call, MediaOrder::OpenFar { avoid });
        }
        cx.media(call, MediaOrder::Attach(phone.terms()));
        call.deadline = Some((self.until, Timer::Confirmation));
    }
}
