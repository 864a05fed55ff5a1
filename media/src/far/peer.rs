//! The other engine, as str0m sees it: ICE (RFC 8445), DTLS-SRTP (RFC 5764) and one data channel (RFC 8831), set up from
//! typed values; no SDP text exists.
//!
//! After every change str0m is told the time and drained, so that nothing waits for a timer. str0m draws its lesser
//! randomness (transaction ids, tie-breaker, CNAME) from a generator that is not cryptographic and that a peer could
//! read back; the caller seeds that afresh before each use.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::Fingerprint;
use str0m::format::{Codec as Str0mCodec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket as Str0mPacket, RtpWrite, SeqNo};
use str0m::{
    Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig, RtcError,
};

use super::MAX_CONTROL;
use super::dtls::{self, Certificate};
use super::terms::{FarFault, Role, RtpPacket};
use crate::description::Description;

/// First repetition of a lost ICE check. str0m's 250 ms is for paths that may not exist; this one does.
const CHECK_TIMEOUT: Duration = Duration::from_millis(50);

/// Longest time between two repetitions: the callee checks while its answer travels, and must not be asleep when it
/// has arrived.
const LONGEST_CHECK_TIMEOUT: Duration = Duration::from_millis(300);

/// Repetitions of a check: 15 s, as long as a leg waits for its connection. str0m's ICE shifts a number by this count, so
/// that it must stay below 58.
const CHECKS: usize = 50;

/// Times so far ahead mean "never" to str0m.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// SCTP data that may wait for the path. Control messages are few and small.
const MAX_BUFFERED: usize = 64 * 1024;

/// Outgoing packets that str0m keeps for repetition. Nothing is ever repeated, and it insists on one.
const KEPT_PACKETS: usize = 1;

/// Drains after one input; three are normal.
const MAX_DRAINS: usize = 8;

/// When to come back if str0m never has enough.
const TICK: Duration = Duration::from_millis(1);

/// Payload types of the far leg: PCMU, PCMA, G722, Opus, and key presses in both clocks. They never change.
const PAYLOADS: [(u8, Str0mCodec, Frequency); 6] = [
    (0, Str0mCodec::PCMU, Frequency::EIGHT_KHZ),
    (8, Str0mCodec::PCMA, Frequency::EIGHT_KHZ),
    (9, Str0mCodec::G722, Frequency::SIXTEEN_KHZ),
    (101, Str0mCodec::Tele, Frequency::EIGHT_KHZ),
    (110, Str0mCodec::Tele, Frequency::FORTY_EIGHT_KHZ),
    (111, Str0mCodec::Opus, Frequency::FORTY_EIGHT_KHZ),
];

/// What a peer is made from.
pub(super) struct PeerTerms<'a> {
    pub(super) role: Role,
    pub(super) ufrag: &'a str,
    pub(super) pwd: &'a str,
    pub(super) certificate: &'a Certificate,
    pub(super) ssrc: u32,
    pub(super) relay: SocketAddr,
    pub(super) remote: &'a Description,
    pub(super) remote_relays: &'a [SocketAddr],
}

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
    /// The other engine's sound.
    Rtp(RtpPacket),
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
    ssrc: u32,
    remote_ssrc: u32,
    caller: bool,
    stage: Stage,
    channel: ChannelId,
    control_open: bool,
    sequence: Option<u64>,
    alarm: Option<Instant>,
}

impl Peer {
    /// Sets up the connection and makes ready to send the first checks.
    pub(super) fn new(terms: &PeerTerms<'_>, now: Instant) -> Result<Self, FarFault> {
        let mut rtc = config(terms).build(now);
        // Time first: the DTLS client and SCTP start their clocks below.
        rtc.handle_input(Input::Timeout(now))
            .map_err(|error| fault(&error))?;
        rtc.add_local_candidate(
            Candidate::relayed(terms.relay, terms.relay, "udp").map_err(|_| FarFault::Relay)?,
        );
        let caller = terms.role == Role::Caller;
        let mid = Mid::from("0");
        let mut api = rtc.direct_api();
        api.set_ice_controlling(caller);
        api.set_remote_ice_credentials(IceCreds {
            ufrag: terms.remote.ufrag.clone(),
            pass: terms.remote.pwd.clone(),
        });
        api.set_remote_fingerprint(Fingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: terms.remote.fingerprint.to_vec(),
        });
        api.declare_media(mid, MediaKind::Audio);
        api.declare_stream_tx(terms.ssrc.into(), None, mid, None);
        api.expect_stream_rx(terms.remote.ssrc.into(), None, mid, None)
            .suppress_nack(true);
        if !caller {
            api.start_dtls(false).map_err(|error| fault(&error))?;
            api.start_sctp(false);
        }
        let channel = api.create_data_channel(ChannelConfig {
            negotiated: Some(0),
            ..ChannelConfig::default()
        });
        for relay in terms.remote_relays {
            rtc.add_remote_candidate(
                Candidate::relayed(*relay, *relay, "udp").map_err(|_| FarFault::Relay)?,
            );
        }
        let mut peer = Self {
            rtc,
            relay: terms.relay,
            ssrc: terms.ssrc,
            remote_ssrc: terms.remote.ssrc,
            caller,
            stage: Stage::Checking,
            channel,
            control_open: false,
            sequence: None,
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
            .map_err(|error| fault(&error))?;
        Ok(true)
    }

    /// Tells the time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), FarFault> {
        self.rtc
            .handle_input(Input::Timeout(now))
            .map_err(|error| fault(&error))
    }

    /// Sends a packet of sound; false if it is not one that this leg can carry, or too early.
    pub(super) fn write_rtp(&mut self, packet: RtpPacket, now: Instant) -> Result<bool, FarFault> {
        if self.stage != Stage::Connected
            || !PAYLOADS.iter().any(|(pt, ..)| *pt == packet.payload_type)
        {
            return Ok(false);
        }
        let Some(sequence) = extend(self.sequence, packet.sequence) else {
            return Ok(false);
        };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx(&self.ssrc.into()) else {
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
        self.sequence = self.sequence.max(Some(sequence));
        // str0m only stamps the packet here; it leaves when the time is told.
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
            match self.rtc.poll_output().map_err(|error| fault(&error))? {
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
                        .map_err(|error| fault(&error))?;
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
        (*header.ssrc == self.remote_ssrc).then(|| RtpPacket {
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

fn config(terms: &PeerTerms<'_>) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_crypto_provider(dtls::provider().into())
        .set_dtls_cert(terms.certificate.to_str0m())
        .set_dtls_version(dtls::DTLS_VERSION)
        .set_local_ice_credentials(IceCreds {
            ufrag: terms.ufrag.to_owned(),
            pass: terms.pwd.to_owned(),
        })
        // Header extensions travel in clear: audio level would tell the relay who speaks.
        .clear_extension_map()
        .clear_codecs()
        .set_rtp_mode(true)
        .set_send_buffer_audio(KEPT_PACKETS)
        .set_sctp_max_buffered_amount(MAX_BUFFERED)
        .set_sctp_max_message_size(MAX_CONTROL as u32);
    config.set_initial_stun_rto(CHECK_TIMEOUT);
    config.set_max_stun_rto(LONGEST_CHECK_TIMEOUT);
    config.set_max_stun_retransmits(CHECKS);
    for (pt, codec, clock) in PAYLOADS {
        config.codec_config().add_config(
            Pt::from(pt),
            None,
            codec,
            clock,
            None,
            FormatParams::default(),
        );
    }
    config
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

fn fault(error: &RtcError) -> FarFault {
    match error {
        RtcError::Ice(_) => FarFault::Ice,
        _ => FarFault::Dtls,
    }
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
