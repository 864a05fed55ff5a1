//! What the server's frames and the TURN client's events mean for a way out.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::{TurnWay, WayOutput, WayPhase, is_media};
use crate::far::allocation::{AllocationEvent, Stray};
use crate::far::error::FarLegError;
use crate::far::relayed_addresses;

/// Rounds with the TURN client after one input; two are normal.
const MAX_ROUNDS: usize = 16;

impl TurnWay {
    /// One frame from the server.
    pub(super) fn receive(&mut self, frame: &[u8], now: Instant) {
        let media = self.allocation.channels().unwrap(frame);
        let media = media.filter(|(_, data)| is_media(data) && self.is_standing());
        if let Some((peer, data)) = media {
            let bytes = data.to_vec();
            self.outputs.push_back(WayOutput::From { peer, bytes });
            return;
        }
        match self.allocation.receive(frame, now) {
            Ok(Some(data)) if self.is_standing() => self.outputs.push_back(WayOutput::From {
                peer: data.peer,
                bytes: data.data().to_vec(),
            }),
            Ok(_) => {}
            // The other side may not have learnt yet that the call is over.
            Err(Stray) if matches!(self.phase, WayPhase::Releasing { .. }) => {}
            Err(Stray) => self.stray += 1,
        }
        self.drive(now);
    }

    /// Polls the TURN client until it has no output left.
    pub(super) fn drive(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            if self.is_gone() {
                return;
            }
            let (mut frames, mut events) = (Vec::new(), Vec::new());
            self.allocation.poll(
                now,
                !self.is_calm,
                |frame| frames.push(frame),
                |event| events.push(event),
            );
            for frame in frames {
                self.send(frame);
            }
            if events.is_empty() {
                return;
            }
            for event in events {
                self.handle_allocation(event, now);
            }
        }
    }

    fn handle_allocation(&mut self, event: AllocationEvent, now: Instant) {
        match (event, self.phase) {
            (AllocationEvent::Ready(address), WayPhase::Allocating { .. }) => {
                self.allocated(address, now)
            }
            // Released before the allocation stood: delete it at once.
            (
                AllocationEvent::Ready(_),
                WayPhase::Releasing {
                    deleting: false, ..
                },
            ) => {
                if !self.begin_deletion(now) {
                    self.finish();
                }
            }
            (AllocationEvent::Refused(Some(code)), WayPhase::Allocating { .. }) => {
                self.fail(FarLegError::Allocation { code }, now);
            }
            (
                AllocationEvent::Refused(None) | AllocationEvent::Gone,
                WayPhase::Allocating { .. },
            ) => self.fail(FarLegError::Timeout, now),
            (AllocationEvent::Permitted(ip), _) => self.permitted(ip, now),
            (AllocationEvent::Forbidden(ip), _) => self.forbidden(ip),
            (
                AllocationEvent::Gone
                | AllocationEvent::Refused(_)
                | AllocationEvent::Unknown
                | AllocationEvent::LoginOver,
                WayPhase::Releasing { .. },
            ) => self.finish(),
            (AllocationEvent::Unknown, WayPhase::Standing { .. }) => {
                self.lose(FarLegError::ServerGone);
            }
            (AllocationEvent::LoginOver, WayPhase::Standing { .. }) => {
                self.lose(FarLegError::LOGIN_OVER);
            }
            (AllocationEvent::Gone, WayPhase::Standing { .. }) => {
                self.lose(FarLegError::ServerGone);
                self.finish();
            }
            (AllocationEvent::Confirmed, WayPhase::Standing { .. }) => {
                self.answered = Some(now);
                self.phase = WayPhase::Standing { check_until: None };
            }
            (
                AllocationEvent::Ready(_)
                | AllocationEvent::Refused(_)
                | AllocationEvent::Confirmed
                | AllocationEvent::Unknown
                | AllocationEvent::LoginOver
                | AllocationEvent::Gone,
                _,
            ) => {}
        }
    }

    fn allocated(&mut self, address: SocketAddr, now: Instant) {
        // A server that gives us our own address as the relayed one would make us disclose it to the other side.
        let mapped = self.allocation.mapped().map(|mapped| mapped.ip());
        let is_ours = address.ip() == self.own_ip || Some(address.ip()) == mapped;
        if !relayed_addresses::is_usable(address, self.allow_private_addresses)
            || (is_ours && !self.allow_private_addresses)
        {
            self.fail(FarLegError::RelayedAddress, now);
            return;
        }
        self.address = Some(address);
        self.answered = Some(now);
        self.phase = WayPhase::Standing { check_until: None };
        self.outputs.push_back(WayOutput::Standing(address));
        // The other side often uses the same server, and a permission is per address: have it before it is needed.
        self.request_permission(address.ip(), now);
        for ip in std::mem::take(&mut self.permitted) {
            if ip.is_ipv4() == address.is_ipv4() {
                self.request_permission(ip, now);
            }
        }
    }

    pub(super) fn request_permission(&mut self, ip: IpAddr, now: Instant) {
        if self.permissions.must_request(ip) && self.allocation.permit(ip, now).is_err() {
            self.forbidden(ip);
        }
    }

    fn forbidden(&mut self, ip: IpAddr) {
        if self.permissions.refused(ip) {
            self.lose(FarLegError::Forbidden);
        }
    }

    fn permitted(&mut self, ip: IpAddr, now: Instant) {
        for (to, bytes) in self.permissions.granted(ip) {
            self.wrap(to, bytes, now);
        }
        for peer in self.permissions.peers() {
            if peer.ip() == ip {
                self.bind_if_granted(peer, now);
            }
        }
    }

    pub(super) fn bind_if_granted(&mut self, peer: SocketAddr, now: Instant) {
        if self.permissions.is_granted(peer.ip()) {
            // An error means that it is refused or bound already; without a channel, packets travel in Send indications.
            self.allocation.bind(peer, now).ok();
        }
    }

    pub(super) fn wrap(&mut self, to: SocketAddr, bytes: Vec<u8>, now: Instant) {
        match self.allocation.wrap(to, bytes, now) {
            Some(frame) => self.send(frame),
            None => self.unsent += 1,
        }
    }
}
