//! Drives a far leg: polls its way out and the WebRTC peer in turns after every input, and carries out what their events mean
//! for the leg.
//!
//! Both are polled until neither has output left, so that nothing waits for a timer.

use std::net::SocketAddr;
use std::time::Instant;

use rand_core::Rng;

use super::MAX_CONTROL;
use super::datagrams;
use super::error::FarLegError;
use super::event::{FarEvent, FarOutput};
use super::leg::{FarLeg, LegPhase};
use super::peer::{PeerOutput, WebRtcPeer};
use super::replies;
use super::search::WaySearch;
use super::way::WayOutput;
use super::way::is_media;
use crate::description::LocalEndpoint;

/// Rounds between the way out and WebRTC after one input; two are normal.
const MAX_ROUNDS: usize = 16;

impl FarLeg {
    /// Data that came over the allocation.
    fn receive(&mut self, from: SocketAddr, bytes: Vec<u8>, now: Instant) {
        if matches!(self.phase, LegPhase::Ending | LegPhase::Closed) {
            return;
        }
        if is_media(&bytes) {
            self.receive_media(from, bytes, now);
            return;
        }
        let bytes = &bytes[..];
        if datagrams::is_datagram(bytes) {
            if self.datagrams.admit(now) {
                self.emit(FarEvent::Datagram(bytes.to_vec()));
            } else {
                self.counters.datagrams += 1;
            }
            return;
        }
        if !self.remotes.admit(from) && !self.meet_checking(from, bytes, now) {
            if matches!(self.phase, LegPhase::Waiting { .. }) {
                self.early_packets.keep(from, bytes, now);
            }
            self.counters.unpermitted += 1;
            return;
        }
        if let LegPhase::Connecting { peer, .. } | LegPhase::Talking { peer, .. } = &self.phase
            && peer.is_check(bytes, now)
        {
            self.remotes.note_heard(from, now);
            self.heard(now);
            if replies::is_success(bytes) {
                self.answered(bytes, now);
            }
        }
        if self.with_peer(now, |peer, now| peer.receive(from, bytes, now)) == Some(false) {
            self.counters.stray += 1;
        }
    }

    /// Runs `work` on the peer, if there is one; an error ends the leg.
    pub(super) fn with_peer<T>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut WebRtcPeer, Instant) -> Result<T, FarLegError>,
    ) -> Option<T> {
        let (LegPhase::Connecting { peer, .. } | LegPhase::Talking { peer, .. }) = &mut self.phase
        else {
            return None;
        };
        fastrand::seed(self.rng.next_u64());
        match work(peer, now) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(error, now);
                None
            }
        }
    }

    /// Polls way out and peer in turns until both have no output left.
    pub(super) fn drive(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            let from_peer = self.poll_peer(now);
            let from_way = self.poll_way(now);
            if !from_peer && !from_way {
                return;
            }
        }
    }

    fn poll_way(&mut self, now: Instant) -> bool {
        let mut more = false;
        while let Some(output) = self.way.poll() {
            match output {
                WayOutput::ToServer(bytes) => {
                    self.send_behind(bytes);
                    continue;
                }
                WayOutput::Standing(address) => self.allocated(address, now),
                WayOutput::From { peer, bytes } => self.receive(peer, bytes, now),
                WayOutput::Lost(error) => self.lost(error, now),
                WayOutput::Gone if matches!(self.phase, LegPhase::Ending) => self.finish(),
                WayOutput::Gone => {}
            }
            more = true;
        }
        more
    }

    pub(super) fn allocated(&mut self, address: SocketAddr, now: Instant) {
        if !matches!(self.phase, LegPhase::Waiting { .. }) || self.own.contains(&address) {
            return;
        }
        let Some(certificate) = &self.certificate else {
            self.fail(FarLegError::Dtls, now);
            return;
        };
        let local = LocalEndpoint {
            ufrag: self.credentials.ufrag.clone(),
            pwd: self.credentials.pwd.clone(),
            fingerprint: certificate.fingerprint(),
            ssrc: self.ssrc,
            video_ssrc: self.video_ssrc,
            relayed_address: address,
        };
        self.own.push(address);
        self.emit(FarEvent::Allocated(Box::new(local)));
    }

    pub(super) fn poll_peer(&mut self, now: Instant) -> bool {
        let (LegPhase::Connecting { peer, search, .. } | LegPhase::Talking { peer, search }) =
            &mut self.phase
        else {
            return false;
        };
        fastrand::seed(self.rng.next_u64());
        let mut outputs = Vec::new();
        peer.set_calm(search.is_calm(now));
        peer.poll(now, |output| outputs.push(output));
        peer.note_destination(&self.remotes.all(), now);
        let more = !outputs.is_empty();
        // The leg ends after all packets: the reply to the other side's close_notify comes behind the event, and must
        // still leave.
        let ended = outputs
            .iter()
            .any(|output| matches!(output, PeerOutput::Event(FarEvent::Closed)));
        for output in outputs {
            self.presume(&output, now);
            self.handle_peer(output, now);
        }
        if ended {
            self.end(now);
        }
        more
    }

    /// A check to the other side counts as answered while there is no path yet.
    fn presume(&mut self, output: &PeerOutput, now: Instant) {
        let LegPhase::Connecting { peer, presumed, .. } = &mut self.phase else {
            return;
        };
        if let (true, Some(path), PeerOutput::Send { from, to, bytes }) =
            (peer.is_checking(), presumed, output)
            && let Some(answer) = path.answer(*from, *to, bytes)
        {
            let to = *to;
            self.with_peer(now, |peer, now| peer.receive(to, &answer, now));
        }
    }

    fn handle_peer(&mut self, output: PeerOutput, now: Instant) {
        match output {
            PeerOutput::Send { from, to, bytes } => {
                if !self.own.contains(&from) || !self.remotes.admit(to) {
                    self.counters.misdirected += 1;
                } else {
                    self.checked(to, &bytes, now);
                    self.way.send_to(to, bytes, now);
                }
            }
            PeerOutput::Event(FarEvent::Connected) => self.connected(now),
            PeerOutput::Event(FarEvent::Failed(error)) => self.fail(error, now),
            PeerOutput::Event(FarEvent::Closed) => {}
            // SCTP refuses longer messages today; the limit must not depend on a setting of the library.
            PeerOutput::Event(FarEvent::Control(bytes)) if bytes.len() > MAX_CONTROL => {
                self.counters.overlong += 1;
            }
            PeerOutput::Event(event) => {
                if matches!(event, FarEvent::Control(_)) {
                    self.heard(now);
                }
                self.emit(event);
            }
        }
    }

    fn connected(&mut self, now: Instant) {
        match std::mem::replace(&mut self.phase, LegPhase::Closed) {
            LegPhase::Connecting { peer, search, .. } => {
                self.phase = LegPhase::Talking {
                    peer,
                    search: WaySearch::new(search.role(), now),
                };
                self.way.be_calm();
                self.emit(FarEvent::Connected);
            }
            other => self.phase = other,
        }
    }

    pub(super) fn fail(&mut self, error: FarLegError, now: Instant) {
        if !matches!(self.phase, LegPhase::Ending | LegPhase::Closed) {
            self.emit(FarEvent::Failed(error));
            self.end(now);
        }
    }

    /// Releases the allocation; the connection is over.
    pub(super) fn end(&mut self, now: Instant) {
        if matches!(self.phase, LegPhase::Ending | LegPhase::Closed) {
            return;
        }
        self.phase = LegPhase::Ending;
        self.remotes.shut();
        self.way.release(now);
        self.poll_way(now);
        if self.way.is_gone() {
            self.finish();
        }
    }

    pub(super) fn finish(&mut self) {
        if !matches!(self.phase, LegPhase::Closed) {
            self.phase = LegPhase::Closed;
            self.emit(FarEvent::Closed);
        }
    }

    pub(super) fn emit(&mut self, event: FarEvent) {
        self.outputs.push_back(FarOutput::Event(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::far::{FarConfig, TurnAccess, TurnPassword, TurnTransport, TurnWay};

    #[test]
    fn a_control_message_beyond_the_limit_is_counted_and_not_handed_on() {
        let now = crate::some_time();
        let config = FarConfig {
            turn: TurnAccess {
                addr: ([203, 0, 113, 1], 3478).into(),
                transport: TurnTransport::Udp,
                username: "user".to_owned(),
                password: TurnPassword::new("password".to_owned()),
            },
            local: ([192, 0, 2, 1], 40_000).into(),
            allow_private_addresses: false,
            permitted: Vec::new(),
            relays_ipv6: false,
        };
        let mut leg = FarLeg::new(TurnWay::new(config, now), [7; 32], now);
        while leg.poll().is_some() {}
        leg.handle_peer(
            PeerOutput::Event(FarEvent::Control(vec![0; MAX_CONTROL + 1])),
            now,
        );
        assert!(leg.poll().is_none());
        assert_eq!(leg.counters().overlong, 1);
        let longest = vec![0; MAX_CONTROL];
        leg.handle_peer(PeerOutput::Event(FarEvent::Control(longest.clone())), now);
        let output = leg.poll();
        assert!(
            matches!(output, Some(FarOutput::Event(FarEvent::Control(bytes))) if bytes == longest)
        );
        assert_eq!(leg.counters().overlong, 1);
    }
}
