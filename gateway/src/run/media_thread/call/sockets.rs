//! The sockets of a call: which are watched, and which rest for a moment.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::Result;

use super::ThreadCall;
use crate::net::rtp_ports::{PortPair, RtpPorts};
use crate::run::media_thread::poller::Poller;

/// From an error of a socket, or an event for which the loop has no room, to the next read: the length of an audio packet.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run::media_thread) enum Source {
    Turn,
    Audio,
    AudioControl,
    Video,
    VideoControl,
}

/// The sockets of the phone's side.
const OF_PHONE: [Source; 4] = [
    Source::Audio,
    Source::AudioControl,
    Source::Video,
    Source::VideoControl,
];

impl Source {
    /// Names a call's socket.
    pub(super) fn token(self, call: u64) -> u64 {
        call << 3 | self as u64
    }

    pub(in crate::run::media_thread) fn of_token(token: u64) -> (u64, Self) {
        let source = match token & 7 {
            0 => Self::Turn,
            1 => Self::Audio,
            2 => Self::AudioControl,
            3 => Self::Video,
            _ => Self::VideoControl,
        };
        (token >> 3, source)
    }
}

impl ThreadCall {
    /// Watches the phone's ports if they are others than before.
    pub(super) fn watch_ports(&mut self, poller: &Poller) -> Result<()> {
        let first = self.ports.first().map(RtpPorts::local);
        if first == self.watched_ports {
            return Ok(());
        }
        self.paused.retain(|(source, _)| *source == Source::Turn);
        for source in OF_PHONE {
            if let Some(socket) = self.phone_socket(source) {
                poller.add(socket, source.token(self.id))?;
            }
        }
        self.watched_ports = first;
        Ok(())
    }

    /// Reads nothing from a socket for a moment.
    pub(super) fn pause(&mut self, source: Source, poller: &Poller, now: Instant) {
        if let Some(socket) = self.socket(source) {
            poller.remove(socket);
        }
        if !self.paused.iter().any(|(paused, _)| *paused == source) {
            self.paused.push((source, now + PAUSE));
        }
    }

    /// Reads again from those sockets whose pause is over.
    pub(super) fn resume(&mut self, poller: &Poller, now: Instant) -> Result<()> {
        let over = self.paused.extract_if(.., |(_, until)| *until <= now);
        for (source, _) in over.collect::<Vec<_>>() {
            if source == Source::Turn {
                self.watches_writing = false;
            }
            if (source != Source::Turn || !self.is_turn_closed)
                && let Some(socket) = self.socket(source)
            {
                poller.add(socket, source.token(self.id))?;
            }
        }
        Ok(())
    }

    fn socket(&self, source: Source) -> Option<BorrowedFd<'_>> {
        match source {
            Source::Turn => Some(self.turn.as_fd()),
            _ => self.phone_socket(source).map(AsFd::as_fd),
        }
    }

    pub(super) fn phone_socket(&self, source: Source) -> Option<&std::net::UdpSocket> {
        let ports = self.ports.first()?;
        match source {
            Source::Turn => None,
            Source::Audio => Some(&ports.audio.rtp),
            Source::AudioControl => ports.audio.rtcp.as_ref(),
            Source::Video => ports.video.as_ref().map(|video| &video.rtp),
            Source::VideoControl => ports.video.as_ref()?.rtcp.as_ref(),
        }
    }
}

/// Sends the phone a packet. A lost one is not repeated, as on any network.
pub(super) fn send(ports: Option<&PortPair>, bytes: &[u8], to: SocketAddr) {
    let sent = ports.map(|ports| ports.rtp.send_to(bytes, to));
    if !matches!(sent, Some(Ok(_))) {
        tracing::trace!("a packet for the phone was lost");
    }
}
