//! The other engine, as str0m sees it: ICE (RFC 8445), DTLS-SRTP (RFC 5764) and one data channel (RFC 8831).
//!
//! After every change str0m is told the time and drained, so that nothing waits for a timer. str0m draws its lesser
//! randomness (transaction ids, tie-breaker, CNAME) from a generator that is not cryptographic and that a peer could
//! read back; the caller seeds that afresh before each use.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::ChannelId;
use str0m::media::{KeyframeRequestKind, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket as Str0mPacket, RtpWrite, SeqNo};
use str0m::{Event, IceConnectionState, Input, Output, Rtc};

use super::MAX_CONTROL;
use super::setup::{self, PeerTerms};
use super::terms::{FarFault, Role, RtpPacket};
use crate::video;

/// Times so far ahead mean "never" to str0m.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Drains after one input; three are normal.
const MAX_DRAINS: usize = 8;

/// When to come back if str0m never has enough.
const TICK: Duration = Duration::from_millis(1);

/// What a peer has to say.
#[derive(Debug)]
pub(super) enum PeerOutput {
    /// A packet for the other engine.
    Send {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// ICE and DTLS are done.
    Connected,
    /// The data channel is open.
    ControlOpen,
    /// The other engine's sound or moving pictures.
    Rtp(RtpPacket),
    /// The other engine wants a whole picture.
    PictureWanted,
    /// A message on the data channel.
    Control(Vec<u8>),
    /// It cannot go on.
    Failed(FarFault),
    /// The other engine ended the call.
    Closed,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// ICE looks for a path.
    Checking,
    /// There is a path; the DTLS handshake runs.
    Handshaking,
    /// Sound can flow.
    Connected,
}

/// One WebRTC connection.
pub(super) struct Peer {
    rtc: Rtc,
    relay: SocketAddr,
    sound: Stream,
    video: Option<Stream>,
    caller: bool,
    stage: Stage,
    channel: ChannelId,
    control_open: bool,
    alarm: Option<Instant>,
}

/// One stream each way.
#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    remote_ssrc: u32,
    /// The index of the newest packet that was sent.
    sequence: Option<u64>,
}

impl Stream {
    const fn new(ssrc: u32, remote_ssrc: u32) -> Self {
        Self {
            ssrc,
            remote_ssrc,
            sequence: None,
        }
    }
}

impl Peer {
    /// Sets up the connection and makes ready to send the first checks.
    pub(super) fn new(terms: &PeerTerms<'_>, now: Instant) -> Result<Self, FarFault> {
        let (rtc, channel) = setup::build(terms, now)?;
        let video = terms.remote.video.as_ref();
        let mut peer = Self {
            rtc,
            relay: terms.relay,
            sound: Stream::new(terms.ssrc, terms.remote.ssrc),
            video: video.map(|video| Stream::new(terms.video_ssrc, video.ssrc)),
            caller: terms.role == Role::Caller,
            stage: Stage::Checking,
            channel,
            control_open: false,
            alarm: None,
        };
        peer.handle_timeout(now)?;
        Ok(peer)
    }

    /// Takes a packet from the accepted relay `from`; false if it is no packet of WebRTC.
    pub(super) fn receive(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Result<bool, FarFault> {
        let Ok(packet) = Receive::new(Protocol::Udp, from, self.relay, bytes) else {
            return Ok(false);
        };
        self.rtc
            .handle_input(Input::Receive(now, packet))
            .map_err(|error| setup::fault(&error))?;
        Ok(true)
    }

    /// Tells the time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), FarFault> {
        self.rtc
            .handle_input(Input::Timeout(now))
            .map_err(|error| setup::fault(&error))
    }

    /// Sends a packet of sound or moving pictures; false if it is not one that this leg can carry, or too early.
    pub(super) fn write_rtp(&mut self, packet: RtpPacket, now: Instant) -> Result<bool, FarFault> {
        let stream = match packet.payload_type {
            pt if setup::is_sound(pt) => Some(&mut self.sound),
            pt if video::is_far_payload_type(pt) => self.video.as_mut(),
            _ => None,
        };
        let Some(ours) = stream.filter(|_| self.stage == Stage::Connected) else {
            return Ok(false);
        };
        let Some(sequence) = extend(ours.sequence, packet.sequence) else {
            return Ok(false);
        };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&ours.ssrc.into()) else {
            return Ok(false);
        };
        let write = RtpWrite::new(
            Pt::from(packet.payload_type),
            SeqNo::from(sequence),
            packet.timestamp,
            now,
            packet.payload,
        );
        stream.write_rtp(write.marker(packet.marker));
        ours.sequence = ours.sequence.max(Some(sequence));
        // str0m only stamps the packet here; it leaves when the time is told.
        self.handle_timeout(now)?;
        Ok(true)
    }

    /// Asks the other engine for a whole picture (RFC 4585 section 6.3.1); false if there are none.
    pub(super) fn want_picture(&mut self, now: Instant) -> Result<bool, FarFault> {
        let Some(video) = self.video.filter(|_| self.stage == Stage::Connected) else {
            return Ok(false);
        };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_rx(&video.remote_ssrc.into()) else {
            return Ok(false);
        };
        stream.request_keyframe(KeyframeRequestKind::Pli);
        self.handle_timeout(now)?;
        Ok(true)
    }

    /// Sends a control message; false if the channel is not open or full.
    pub(super) fn send_control(&mut self, bytes: &[u8], now: Instant) -> Result<bool, FarFault> {
        if !self.control_open || bytes.is_empty() || bytes.len() > MAX_CONTROL {
            return Ok(false);
        }
        let sent = self
            .rtc
            .channel(self.channel)
            .is_some_and(|mut channel| channel.write(true, bytes).unwrap_or(false));
        self.handle_timeout(now)?;
        Ok(sent)
    }

    /// Starts the farewell: RTCP BYE, SCTP shutdown, DTLS close_notify.
    pub(super) fn close(&mut self, now: Instant) {
        // A connection that cannot say farewell is over all the same.
        let _ = self.rtc.close();
        let _ = self.rtc.handle_input(Input::Timeout(now));
    }

    /// Takes everything that str0m has to say.
    pub(super) fn drain(&mut self, now: Instant, mut say: impl FnMut(PeerOutput)) {
        for _ in 0..MAX_DRAINS {
            let before = self.stage;
            let due = match self.drain_once(now, &mut say) {
                Ok(alarm) => alarm <= now,
                Err(fault) => {
                    self.alarm = None;
                    self.rtc.disconnect();
                    say(PeerOutput::Failed(fault));
                    return;
                }
            };
            // A new stage sets something going; and str0m asks for another turn where DTLS has more than one packet
            // for a path that is not there yet.
            if self.stage == before && !due {
                return;
            }
            if let Err(fault) = self.handle_timeout(now) {
                say(PeerOutput::Failed(fault));
                return;
            }
        }
        self.alarm = Some(now + TICK);
    }

    /// Drains until str0m names the time at which it wants to be woken.
    fn drain_once(
        &mut self,
        now: Instant,
        say: &mut impl FnMut(PeerOutput),
    ) -> Result<Instant, FarFault> {
        loop {
            match self
                .rtc
                .poll_output()
                .map_err(|error| setup::fault(&error))?
            {
                Output::Timeout(at) => {
                    self.alarm = Some(at).filter(|at| at.saturating_duration_since(now) < NEVER);
                    return Ok(at);
                }
                Output::Transmit(transmit) => say(PeerOutput::Send {
                    from: transmit.source,
                    to: transmit.destination,
                    bytes: transmit.contents.into(),
                }),
                Output::Event(event) => {
                    if let Some(output) = self.hear(event)? {
                        say(output);
                    }
                }
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    fn hear(&mut self, event: Event) -> Result<Option<PeerOutput>, FarFault> {
        let output = match event {
            Event::IceConnectionStateChange(state)
                if state.is_connected() && self.stage == Stage::Checking =>
            {
                self.stage = Stage::Handshaking;
                // Not earlier: a ClientHello that waits for the path is repeated, and its timer doubles, in vain.
                if self.caller {
                    self.rtc
                        .direct_api()
                        .start_dtls(true)
                        .map_err(|error| setup::fault(&error))?;
                }
                None
            }
            Event::Connected => {
                self.stage = Stage::Connected;
                if self.caller {
                    self.rtc.direct_api().start_sctp(true);
                }
                Some(PeerOutput::Connected)
            }
            // Before the connection stands, checks may fail because the other side does not know us yet.
            Event::IceConnectionStateChange(IceConnectionState::Disconnected)
                if self.stage == Stage::Connected =>
            {
                Some(PeerOutput::Failed(FarFault::Ice))
            }
            Event::RtpPacket(packet) => self.hear_rtp(&packet).map(PeerOutput::Rtp),
            // Only what we send can be asked for: str0m says this of its own streams alone.
            Event::KeyframeRequest(_) => self.video.map(|_| PeerOutput::PictureWanted),
            Event::ChannelOpen(id, _) if id == self.channel => {
                self.control_open = true;
                Some(PeerOutput::ControlOpen)
            }
            Event::ChannelOpen(id, _) => {
                // One channel was agreed on.
                self.rtc.direct_api().close_data_channel(id);
                None
            }
            Event::ChannelClose(id) if id == self.channel => {
                self.control_open = false;
                None
            }
            Event::ChannelData(data) if data.id == self.channel => {
                Some(PeerOutput::Control(data.data))
            }
            Event::Closed => Some(PeerOutput::Closed),
            _ => None,
        };
        Ok(output)
    }

    fn hear_rtp(&self, packet: &Str0mPacket) -> Option<RtpPacket> {
        let header = &packet.header;
        let is_video = video::is_far_payload_type(*header.payload_type);
        let stream = if is_video {
            self.video.as_ref()
        } else {
            Some(&self.sound)
        };
        let is_theirs = stream.is_some_and(|stream| *header.ssrc == stream.remote_ssrc);
        is_theirs.then(|| RtpPacket {
            payload_type: *header.payload_type,
            marker: header.marker,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            payload: packet.payload.to_vec(),
        })
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("stage", &self.stage)
            .field("waits_for", &self.rtc.last_timeout_reason())
            .finish_non_exhaustive()
    }
}

/// The 64-bit index whose low half is `sequence`, nearest to the last one (RFC 3711 section 3.3.1). `None` if that lies
/// before the first packet of the call.
fn extend(last: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(last) = last else {
        return Some(u64::from(sequence));
    };
    // Truncation is meant: the low 16 bits.
    let step = sequence.wrapping_sub(last as u16).cast_signed();
    last.checked_add_signed(i64::from(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_roll_over_in_both_directions() {
        assert_eq!(extend(None, 65_535), Some(65_535));
        assert_eq!(extend(Some(65_535), 0), Some(65_536));
        assert_eq!(extend(Some(65_536), 65_535), Some(65_535));
        assert_eq!(extend(Some(65_540), 3), Some(65_539));
        assert_eq!(extend(Some(0), 65_535), None);
    }
}
