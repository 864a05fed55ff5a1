//! The WebRTC connection to the other engine, which str0m keeps: ICE (RFC 8445), DTLS-SRTP (RFC 5764) and one data
//! channel (RFC 8831).
//!
//! After every change str0m gets the time and is polled until it has no output left, so that nothing waits for a timer.
//! str0m draws its lesser random values (transaction ids, tie-breaker, CNAME) from a generator that is not cryptographic
//! and that a peer could predict from its output; the caller seeds that generator anew before each use.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::ChannelId;
use str0m::media::{KeyframeRequestKind, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket as Str0mPacket, RtpWrite, SeqNo};
use str0m::{Event, Input, Output, Rtc};

use super::MAX_CONTROL;
use super::error::FarLegError;
use super::event::{FarEvent, FarPacket};
use super::setup::{self, PeerSetup, candidate, priority};
use crate::video;

/// Times so far ahead mean "never" to str0m.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Rounds of polling after one input; three are normal.
const MAX_ROUNDS: usize = 8;

/// When to continue if str0m still has output after that many rounds.
const TICK: Duration = Duration::from_millis(1);

/// What a peer gives to its leg. Its events are those of the leg, but for `Allocated`; `Closed` means here that the other
/// engine ended the call.
#[derive(Debug)]
pub(super) enum PeerOutput {
    /// A packet for the other engine.
    Send {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Event(FarEvent),
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerStage {
    /// ICE looks for a path.
    Checking,
    /// There is a path; the DTLS handshake runs.
    Handshaking,
    /// Media can flow.
    Connected,
}

/// One WebRTC connection.
pub(super) struct WebRtcPeer {
    rtc: Rtc,
    relayed_address: SocketAddr,
    audio: FarStream,
    video: Option<FarStream>,
    leads: bool,
    stage: PeerStage,
    channel: ChannelId,
    control_open: bool,
    timeout: Option<Instant>,
}

/// One stream in each direction.
#[derive(Clone, Copy, Debug)]
struct FarStream {
    ssrc: u32,
    remote_ssrc: u32,
    /// The index of the newest packet that was sent.
    sequence: Option<u64>,
}

impl FarStream {
    const fn new(ssrc: u32, remote_ssrc: u32) -> Self {
        Self {
            ssrc,
            remote_ssrc,
            sequence: None,
        }
    }
}

impl WebRtcPeer {
    /// Sets up the connection; the first ICE checks leave with the next [`poll`](Self::poll).
    pub(super) fn new(setup: &PeerSetup<'_>, now: Instant) -> Result<Self, FarLegError> {
        let (rtc, channel) = setup::build(setup, now)?;
        let video = setup.remote.video.as_ref();
        let mut peer = Self {
            rtc,
            relayed_address: setup.relayed_address,
            audio: FarStream::new(setup.ssrc, setup.remote.ssrc),
            video: video.map(|video| FarStream::new(setup.video_ssrc, video.ssrc)),
            leads: setup.role.leads(),
            stage: PeerStage::Checking,
            channel,
            control_open: false,
            timeout: None,
        };
        peer.handle_timeout(now)?;
        Ok(peer)
    }

    /// Takes a packet from the accepted relayed address `from`; false if it does not belong to WebRTC.
    pub(super) fn receive(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Result<bool, FarLegError> {
        let Ok(packet) = Receive::new(Protocol::Udp, from, self.relayed_address, bytes) else {
            return Ok(false);
        };
        self.rtc
            .handle_input(Input::Receive(now, packet))
            .map_err(|error| setup::error(&error))?;
        Ok(true)
    }

    /// Whether a packet is a connectivity check, or an answer to one of ours, that only the other engine can have made.
    pub(super) fn is_check(&self, bytes: &[u8], now: Instant) -> bool {
        // str0m believes whatever comes from the address to which it sends, and checks the integrity of all the rest.
        let elsewhere = SocketAddr::new([0, 0, 0, 0].into(), 0);
        bytes.first().is_some_and(|first| *first < 4)
            && Receive::new(Protocol::Udp, elsewhere, self.relayed_address, bytes)
                .is_ok_and(|packet| self.rtc.accepts(&Input::Receive(now, packet)))
    }

    /// Whether ICE has no path yet.
    pub(super) fn is_checking(&self) -> bool {
        self.stage == PeerStage::Checking
    }

    /// Goes on from another relayed address of ours, the n-th of this call. str0m checks its way from there to the other side, and
    /// drops the old one.
    pub(super) fn move_to(
        &mut self,
        address: SocketAddr,
        nth: usize,
        now: Instant,
    ) -> Result<(), FarLegError> {
        let old = std::mem::replace(&mut self.relayed_address, address);
        self.rtc
            .add_local_candidate(candidate(address, priority(nth)));
        let mut api = self.rtc.direct_api();
        api.invalidate_candidate(&candidate(old, priority(0)));
        self.handle_timeout(now)
    }

    /// Checks the ways to these addresses of the other side, those that failed before as well.
    pub(super) fn check_anew(
        &mut self,
        remotes: &[(SocketAddr, u32)],
        now: Instant,
    ) -> Result<(), FarLegError> {
        for (address, priority) in remotes {
            self.rtc
                .add_remote_candidate(candidate(*address, *priority));
        }
        self.handle_timeout(now)
    }

    /// Tells str0m the time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), FarLegError> {
        self.rtc
            .handle_input(Input::Timeout(now))
            .map_err(|error| setup::error(&error))
    }

    /// Sends a packet of audio or video; false before the connection stands, or if its payload type is not the far leg's.
    pub(super) fn write_rtp(
        &mut self,
        packet: FarPacket,
        now: Instant,
    ) -> Result<bool, FarLegError> {
        let stream = match packet.payload_type {
            pt if setup::is_audio(pt) => Some(&mut self.audio),
            pt if video::is_far_payload_type(pt) => self.video.as_mut(),
            _ => None,
        };
        let Some(ours) = stream.filter(|_| self.stage == PeerStage::Connected) else {
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
        // str0m only queues the packet here; it leaves when str0m gets the time.
        self.handle_timeout(now)?;
        Ok(true)
    }

    /// Requests a keyframe of the other engine (PLI, RFC 4585 section 6.3.1); false without video.
    pub(super) fn request_keyframe(&mut self, now: Instant) -> Result<bool, FarLegError> {
        let Some(video) = self.video.filter(|_| self.stage == PeerStage::Connected) else {
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
    pub(super) fn send_control(&mut self, bytes: &[u8], now: Instant) -> Result<bool, FarLegError> {
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

    /// Starts to close: RTCP BYE, SCTP shutdown, DTLS close_notify.
    pub(super) fn close(&mut self, now: Instant) {
        // A connection that cannot send these is over all the same.
        self.rtc.close().ok();
        self.rtc.handle_input(Input::Timeout(now)).ok();
    }

    /// Takes all output of str0m.
    pub(super) fn poll(&mut self, now: Instant, mut handle: impl FnMut(PeerOutput)) {
        for _ in 0..MAX_ROUNDS {
            let before = self.stage;
            let due = match self.poll_once(now, &mut handle) {
                Ok(timeout) => timeout <= now,
                Err(error) => {
                    self.timeout = None;
                    self.rtc.disconnect();
                    handle(PeerOutput::Event(FarEvent::Failed(error)));
                    return;
                }
            };
            // A new stage starts the next handshake; and str0m asks for another round where DTLS has more than one
            // packet for a path that does not exist yet.
            if self.stage == before && !due {
                return;
            }
            if let Err(error) = self.handle_timeout(now) {
                handle(PeerOutput::Event(FarEvent::Failed(error)));
                return;
            }
        }
        self.timeout = Some(now + TICK);
    }

    /// Takes output until str0m names its next timeout.
    fn poll_once(
        &mut self,
        now: Instant,
        handle: &mut impl FnMut(PeerOutput),
    ) -> Result<Instant, FarLegError> {
        loop {
            match self
                .rtc
                .poll_output()
                .map_err(|error| setup::error(&error))?
            {
                Output::Timeout(at) => {
                    self.timeout = Some(at).filter(|at| at.saturating_duration_since(now) < NEVER);
                    return Ok(at);
                }
                Output::Transmit(transmit) => handle(PeerOutput::Send {
                    from: transmit.source,
                    to: transmit.destination,
                    bytes: transmit.contents.into(),
                }),
                Output::Event(event) => {
                    if let Some(event) = self.translate(event)? {
                        handle(PeerOutput::Event(event));
                    }
                }
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    fn translate(&mut self, event: Event) -> Result<Option<FarEvent>, FarLegError> {
        let event = match event {
            Event::IceConnectionStateChange(state)
                if state.is_connected() && self.stage == PeerStage::Checking =>
            {
                self.stage = PeerStage::Handshaking;
                // A ClientHello before the path exists would be repeated in vain, and its timer doubled.
                if self.leads {
                    self.rtc
                        .direct_api()
                        .start_dtls(true)
                        .map_err(|error| setup::error(&error))?;
                }
                None
            }
            Event::Connected => {
                self.stage = PeerStage::Connected;
                if self.leads {
                    self.rtc.direct_api().start_sctp(true);
                }
                Some(FarEvent::Connected)
            }
            Event::RtpPacket(packet) => self.read_rtp(&packet).map(FarEvent::Rtp),
            // str0m raises this for its own outgoing streams alone.
            Event::KeyframeRequest(_) => self.video.map(|_| FarEvent::KeyframeRequested),
            Event::ChannelOpen(id, _) if id == self.channel => {
                self.control_open = true;
                Some(FarEvent::ControlOpen)
            }
            Event::ChannelOpen(id, _) => {
                // The two engines use one channel.
                self.rtc.direct_api().close_data_channel(id);
                None
            }
            Event::ChannelClose(id) if id == self.channel => {
                self.control_open = false;
                None
            }
            Event::ChannelData(data) if data.id == self.channel => {
                Some(FarEvent::Control(data.data))
            }
            Event::Closed => Some(FarEvent::Closed),
            _ => None,
        };
        Ok(event)
    }

    fn read_rtp(&self, packet: &Str0mPacket) -> Option<FarPacket> {
        let header = &packet.header;
        let is_video = video::is_far_payload_type(*header.payload_type);
        let stream = if is_video {
            self.video.as_ref()
        } else {
            Some(&self.audio)
        };
        let is_theirs = stream.is_some_and(|stream| *header.ssrc == stream.remote_ssrc);
        is_theirs.then(|| FarPacket {
            payload_type: *header.payload_type,
            marker: header.marker,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            payload: packet.payload.to_vec(),
        })
    }
}

impl std::fmt::Debug for WebRtcPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtcPeer")
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
    // The cast keeps the low 16 bits.
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
