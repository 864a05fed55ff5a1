//! The WebRTC connection to the other engine: ICE (RFC 8445), DTLS (RFC 9147) and one data channel (RFC 8831), which str0m keeps, and the RTP
//! session under the keys of that DTLS (RFC 5764), which it knows nothing of.
//!
//! After every change str0m gets the time and is polled until it has no output left, so that nothing waits for a timer.
//! str0m draws its lesser random values (transaction ids, tie-breaker, CNAME) from a generator that is not cryptographic
//! and that a peer could predict from its output; the caller seeds that generator anew before each use.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Event, Input, Output, Reason, Rtc, RtcError};

use super::MAX_CONTROL;
use super::check_form::CheckForm;
use super::check_pace::CheckPace;
use super::error::FarLegError;
use super::event::FarEvent;
use super::rtp_session::{RtpSession, StreamSsrcs};
use super::setup::{self, PeerSetup, candidate, priority};
use super::srtp_keys::KeySlot;

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

/// A message of STUN that asks for no answer: a binding indication (RFC 8489 section 5).
const INDICATION: [u8; 20] = *b"\0\x11\0\0\x21\x12\xa4\x42............";

/// One WebRTC connection.
pub(super) struct WebRtcPeer {
    rtc: Rtc,
    relayed_address: SocketAddr,
    streams: (StreamSsrcs, Option<StreamSsrcs>),
    keys: KeySlot,
    form: CheckForm,
    seed: u64,
    /// Once connected.
    session: Option<RtpSession>,
    /// Where the other side is, as ICE has found out.
    destination: Option<SocketAddr>,
    pace: CheckPace,
    leads: bool,
    stage: PeerStage,
    channel: ChannelId,
    control_open: bool,
    timeout: Option<Instant>,
}

impl WebRtcPeer {
    /// Sets up the connection; the first ICE checks leave with the next [`poll`](Self::poll).
    pub(super) fn new(setup: &PeerSetup<'_>, now: Instant) -> Result<Self, FarLegError> {
        let (rtc, channel, keys) = setup::build(setup, now)?;
        let ssrcs = |ours, theirs| StreamSsrcs { ours, theirs };
        let video = setup.remote.video.as_ref();
        let mut peer = Self {
            rtc,
            relayed_address: setup.relayed_address,
            streams: (
                ssrcs(setup.ssrc, setup.remote.ssrc),
                video.map(|video| ssrcs(setup.video_ssrc, video.ssrc)),
            ),
            keys,
            form: CheckForm::new(setup.pwd, &setup.remote.pwd, setup.role.leads()),
            seed: setup.seed,
            session: None,
            destination: None,
            pace: CheckPace::new(now),
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
        let restored = is_check(bytes).then(|| self.form.received(bytes)).flatten();
        let bytes = restored.as_deref().unwrap_or(bytes);
        let Ok(packet) = Receive::new(Protocol::Udp, from, self.relayed_address, bytes) else {
            return Ok(false);
        };
        if is_dtls(bytes) {
            self.pace.note_dtls(now);
        }
        self.rtc
            .handle_input(Input::Receive(now, packet))
            .map_err(|error| setup::error(&error))?;
        Ok(true)
    }

    /// The RTP session, once the connection stands.
    pub(super) fn session(&mut self) -> Option<&mut RtpSession> {
        self.session.as_mut()
    }

    /// When the RTP session has a report to send.
    pub(super) fn report_at(&self) -> Option<Instant> {
        self.session.as_ref().map(RtpSession::next_timeout)
    }

    /// Where the other side is, as ICE has found out.
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        self.destination
    }

    /// Notes where the other side is. str0m does not tell its nominated pair, but believes whatever comes from the address to which that
    /// sends, and not an indication of STUN from any other.
    pub(super) fn note_destination(&mut self, remotes: &[(SocketAddr, u32)], now: Instant) {
        let sends_to = |to: SocketAddr| {
            Receive::new(Protocol::Udp, to, self.relayed_address, &INDICATION)
                .is_ok_and(|packet| self.rtc.accepts(&Input::Receive(now, packet)))
        };
        let mut addresses = remotes.iter().map(|(address, _)| *address);
        self.destination = addresses.find(|address| sends_to(*address));
    }

    /// The owner says whether the path is known to live; checks are seldom then.
    pub(super) fn set_calm(&mut self, is_calm: bool) {
        self.pace.set_calm(is_calm);
    }

    /// Something has changed that is to be checked soon.
    pub(super) fn note_change(&mut self, now: Instant) {
        self.pace.note_change(now);
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
        self.pace.note_change(now);
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
        self.pace.note_change(now);
        self.handle_timeout(now)
    }

    /// Tells str0m the time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), FarLegError> {
        self.rtc
            .handle_input(Input::Timeout(now))
            .map_err(|error| setup::error(&error))
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

    /// Starts to close: SCTP shutdown, DTLS close_notify.
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
            let output = match self.rtc.poll_output() {
                // The other side's close_notify. str0m shuts SCTP down then, and fails where that does not stand yet.
                Err(RtcError::Sctp(_)) => {
                    self.rtc.disconnect();
                    handle(PeerOutput::Event(FarEvent::Closed));
                    continue;
                }
                output => output.map_err(|error| setup::error(&error))?,
            };
            match output {
                Output::Timeout(at) => {
                    let at = match self.rtc.last_timeout_reason() {
                        Reason::Ice => self.pace.put_off(at, now),
                        _ => at,
                    };
                    self.timeout = Some(at).filter(|at| at.saturating_duration_since(now) < NEVER);
                    return Ok(at);
                }
                Output::Transmit(transmit) => {
                    let (from, to) = (transmit.source, transmit.destination);
                    let mut bytes: Vec<u8> = transmit.contents.into();
                    if is_dtls(&bytes) {
                        self.pace.note_dtls(now);
                    }
                    if is_check(&bytes) {
                        if !self.pace.admits(to, now) {
                            continue;
                        }
                        bytes = self.form.sent(&bytes).unwrap_or(bytes);
                    }
                    handle(PeerOutput::Send { from, to, bytes });
                }
                Output::Event(event) => {
                    if let Some(event) = self.translate(event, now)? {
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

    fn translate(&mut self, event: Event, now: Instant) -> Result<Option<FarEvent>, FarLegError> {
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
                let keys = self.keys.take().ok_or(FarLegError::Dtls)?;
                let (audio, video) = self.streams;
                self.session = Some(RtpSession::new(&keys, audio, video, self.seed, now));
                self.stage = PeerStage::Connected;
                if self.leads {
                    self.rtc.direct_api().start_sctp(true);
                }
                Some(FarEvent::Connected)
            }
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
}

impl std::fmt::Debug for WebRtcPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtcPeer")
            .field("stage", &self.stage)
            .field("waits_for", &self.rtc.last_timeout_reason())
            .finish_non_exhaustive()
    }
}

/// Whether a packet is a connectivity check: a binding request (RFC 8489 section 5).
pub(super) fn is_check(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 1])
}

/// Whether a packet is DTLS (RFC 9443 section 3).
fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=63))
}
