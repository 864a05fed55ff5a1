//! The path of a packet of media through a far leg, past str0m and the TURN client: sealed or opened in its own memory, with the header of
//! a channel in front. Nothing else of the leg is driven for it.

use std::net::SocketAddr;
use std::time::Instant;

use super::event::{FarEvent, FarOutput, FarPacket};
use super::leg::{FarLeg, LegPhase};
use super::rtp_session::{OpenedPacket, RtpSession};

impl FarLeg {
    /// Sends one packet of audio or video; it leaves with the next [`poll`](Self::poll). Before `Connected` it is dropped
    /// and counted, since late media is of no use; so is one whose sequence number was used before.
    pub fn write_rtp(&mut self, packet: FarPacket, now: Instant) {
        if let Some(frame) = self.seal(now, |session| session.write(&packet, now)) {
            self.outputs.push_back(FarOutput::ToServer(frame));
        }
    }

    /// Requests a keyframe of the other side. In a call without video this does nothing.
    pub fn request_keyframe(&mut self, now: Instant) {
        let session = self.session();
        if session.is_some_and(|session| session.has_video()) {
            self.send_report(now, |session| session.request_keyframe(now));
        }
    }

    /// Sends the reports that are due.
    pub(super) fn poll_reports(&mut self, now: Instant) {
        while let Some(report) = self.session().and_then(|session| session.poll_report(now)) {
            self.send_report(now, |_| Some(report));
        }
    }

    /// Tells the other side that the streams end.
    pub(super) fn leave_session(&mut self, now: Instant) {
        let session = self.session();
        let last = session.map(|session| session.leave(now));
        for packet in last.into_iter().flatten() {
            self.send_report(now, |_| Some(packet));
        }
    }

    /// Takes what came through the allocation and is media; true if that was all that came.
    pub(super) fn take_media(&mut self, now: Instant) -> bool {
        while let Some((from, bytes)) = self.way.poll_media() {
            self.receive_media(from, bytes, now);
        }
        self.way.is_polled()
    }

    /// A packet of media, from the other side or not.
    pub(super) fn receive_media(&mut self, from: SocketAddr, bytes: Vec<u8>, now: Instant) {
        if !self.remotes.admit(from) {
            self.counters.unpermitted += 1;
            return;
        }
        let session = self.session();
        let Some(opened) = session.and_then(|session| session.open(bytes, now)) else {
            self.counters.unopened += 1;
            return;
        };
        match opened {
            OpenedPacket::Rtp(packet) => {
                self.heard_sound(now);
                self.emit(FarEvent::Rtp(packet));
            }
            OpenedPacket::KeyframeRequest => {
                self.heard(now);
                self.emit(FarEvent::KeyframeRequested);
            }
            OpenedPacket::Other => self.heard(now),
        }
    }

    fn send_report(&mut self, now: Instant, seal: impl FnOnce(&mut RtpSession) -> Option<Vec<u8>>) {
        if let Some(report) = self.seal(now, seal) {
            self.send_behind(report);
        }
    }

    /// What `seal` makes, for the server, to where ICE has found the other side, while that is heard. Without a channel it leaves by
    /// the client.
    fn seal(
        &mut self,
        now: Instant,
        seal: impl FnOnce(&mut RtpSession) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let LegPhase::Talking { peer, search } = &mut self.phase else {
            self.counters.unsent += 1;
            return None;
        };
        let to = peer.destination().filter(|to| self.remotes.admit(*to));
        let to = to.filter(|_| search.may_speak(now));
        let sealed = to.and_then(|to| Some((to, peer.session().and_then(seal)?)));
        let Some((to, packet)) = sealed else {
            self.counters.unsent += 1;
            return None;
        };
        match self.way.wrap_media(to, packet) {
            Ok(frame) => Some(frame),
            Err(packet) => {
                self.way.send_to(to, packet, now);
                self.drive(now);
                None
            }
        }
    }

    fn session(&mut self) -> Option<&mut RtpSession> {
        match &mut self.phase {
            LegPhase::Talking { peer, .. } => peer.session(),
            _ => None,
        }
    }
}
