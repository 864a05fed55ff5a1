//! Sets up a WebRTC connection: str0m's configuration, and the typed values that SDP would otherwise carry.
//!
//! There is one audio stream in each direction, one video stream if both sides have video, and one data channel with the
//! number 0, which is negotiated beforehand (without the messages of RFC 8832 section 5.1). Our only candidate is the
//! relayed one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::DirectApi;
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::Fingerprint;
use str0m::format::{Codec as Str0mCodec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid, Pt};
use str0m::net::Protocol;
use str0m::{Candidate, CandidateKind, IceCreds, Input, Rtc, RtcConfig, RtcError};

use super::MAX_CONTROL;
use super::config::Role;
use super::dtls::{self, CallCertificate};
use super::error::FarLegError;
use crate::description::Description;
use crate::frame::FRAME_PAYLOAD_TYPE;
use crate::video::{FIRST_PAYLOAD_TYPE, LAST_PAYLOAD_TYPE};

/// First retransmission of an ICE check. str0m's 250 ms is for paths that may not exist; this one does.
const CHECK_TIMEOUT: Duration = Duration::from_millis(50);

/// Longest time between two retransmissions: the callee checks while its answer travels, and must check again soon after
/// the answer has arrived.
const LONGEST_CHECK_TIMEOUT: Duration = Duration::from_millis(300);

/// Transmissions of a check: 15 s, as long as a leg waits for its connection. str0m's ICE shifts a number by this count,
/// which must stay below 58.
const CHECKS: usize = 50;

/// SCTP data that may wait for the path. Control messages are few and small.
const MAX_BUFFERED: usize = 64 * 1024;

/// Outgoing packets that str0m keeps for retransmission. None is ever retransmitted, but str0m requires at least one.
const KEPT_PACKETS: usize = 1;

/// Audio payload types of the far leg: frames, as engines send them, and what another peer sends: PCMU, PCMA, G722, Opus, and telephone
/// events in both clocks. They never change.
const AUDIO_PAYLOADS: [(u8, Str0mCodec, Frequency); 7] = [
    // The clock is that of what is in it. str0m takes the codec for its reports alone.
    (
        FRAME_PAYLOAD_TYPE,
        Str0mCodec::Opus,
        Frequency::FORTY_EIGHT_KHZ,
    ),
    (0, Str0mCodec::PCMU, Frequency::EIGHT_KHZ),
    (8, Str0mCodec::PCMA, Frequency::EIGHT_KHZ),
    (9, Str0mCodec::G722, Frequency::SIXTEEN_KHZ),
    (101, Str0mCodec::Tele, Frequency::EIGHT_KHZ),
    (110, Str0mCodec::Tele, Frequency::FORTY_EIGHT_KHZ),
    (111, Str0mCodec::Opus, Frequency::FORTY_EIGHT_KHZ),
];

/// The parameters of a connection.
pub(super) struct PeerSetup<'a> {
    pub(super) role: Role,
    pub(super) ufrag: &'a str,
    pub(super) pwd: &'a str,
    pub(super) certificate: &'a CallCertificate,
    pub(super) ssrc: u32,
    /// Used if the remote description has video.
    pub(super) video_ssrc: u32,
    pub(super) relayed_address: SocketAddr,
    /// Which of this side's addresses in the call that is, counted from 0.
    pub(super) nth: usize,
    pub(super) remote: &'a Description,
    pub(super) remote_addresses: &'a [SocketAddr],
}

/// Makes the connection, ready for ICE checks.
pub(super) fn build(setup: &PeerSetup<'_>, now: Instant) -> Result<(Rtc, ChannelId), FarLegError> {
    let mut rtc = config(setup).build(now);
    // The time comes first: DTLS and SCTP start their clocks below.
    rtc.handle_input(Input::Timeout(now))
        .map_err(|cause| error(&cause))?;
    rtc.add_local_candidate(candidate(setup.relayed_address, priority(setup.nth)));
    let leads = setup.role.leads();
    let mut api = rtc.direct_api();
    api.set_ice_controlling(leads);
    api.set_remote_ice_credentials(IceCreds {
        ufrag: setup.remote.ufrag.clone(),
        pass: setup.remote.pwd.clone(),
    });
    api.set_remote_fingerprint(Fingerprint {
        hash_func: "sha-256".to_owned(),
        bytes: setup.remote.fingerprint.to_vec(),
    });
    let remote = setup.remote;
    declare(&mut api, MediaKind::Audio, setup.ssrc, remote.ssrc);
    if let Some(video) = &remote.video {
        declare(&mut api, MediaKind::Video, setup.video_ssrc, video.ssrc);
    }
    if !leads {
        api.start_dtls(false).map_err(|cause| error(&cause))?;
        api.start_sctp(false);
    }
    let channel = api.create_data_channel(ChannelConfig {
        negotiated: Some(0),
        ..ChannelConfig::default()
    });
    for address in setup.remote_addresses {
        rtc.add_remote_candidate(candidate(*address, priority(0)));
    }
    Ok((rtc, channel))
}

/// The ICE priority of a side's n-th relayed address in a call, counted from 0. RFC 8445 section 5.1.2.1 gives each further candidate a
/// lower one; here a later address takes the place of those before, and must win over them at both sides, by ICE alone.
pub(super) fn priority(nth: usize) -> u32 {
    // The type preference has seven bits. 2 is str0m's for the first relayed address.
    let preference = u32::try_from(nth.saturating_add(2)).map_or(126, |nth| nth.min(126));
    (preference << 24) | (0xffff << 8) | 255
}

/// A relayed candidate.
pub(super) fn candidate(address: SocketAddr, priority: u32) -> Candidate {
    let foundation = format!("{address}");
    let kind = CandidateKind::Relayed;
    Candidate::from_parts(
        foundation,
        1,
        Protocol::Udp,
        priority,
        address,
        kind,
        None,
        None,
        None,
    )
}

/// Declares one stream in each direction.
fn declare(api: &mut DirectApi<'_>, kind: MediaKind, ours: u32, theirs: u32) {
    let mid = Mid::from(if kind.is_audio() { "0" } else { "1" });
    api.declare_media(mid, kind);
    api.declare_stream_tx(ours.into(), None, mid, None);
    // There are no retransmissions: a receiver that lost part of a video frame requests a keyframe.
    api.expect_stream_rx(theirs.into(), None, mid, None)
        .suppress_nack(true);
}

/// Whether a payload type of the far leg is audio.
pub(super) fn is_audio(payload_type: u8) -> bool {
    AUDIO_PAYLOADS.iter().any(|(pt, ..)| *pt == payload_type)
}

/// The error of the leg that an error of str0m means.
pub(super) fn error(cause: &RtcError) -> FarLegError {
    match cause {
        RtcError::Ice(_) => FarLegError::Ice,
        _ => FarLegError::Dtls,
    }
}

fn config(setup: &PeerSetup<'_>) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_crypto_provider(dtls::provider().into())
        .set_dtls_cert(setup.certificate.to_str0m())
        .set_dtls_version(dtls::DTLS_VERSION)
        .set_local_ice_credentials(IceCreds {
            ufrag: setup.ufrag.to_owned(),
            pass: setup.pwd.to_owned(),
        })
        // Header extensions travel in clear: the audio level would tell the TURN server who speaks.
        .clear_extension_map()
        .clear_codecs()
        .set_rtp_mode(true)
        .set_send_buffer_audio(KEPT_PACKETS)
        .set_send_buffer_video(KEPT_PACKETS)
        .set_sctp_max_buffered_amount(MAX_BUFFERED)
        .set_sctp_max_message_size(MAX_CONTROL as u32);
    config.set_initial_stun_rto(CHECK_TIMEOUT);
    config.set_max_stun_rto(LONGEST_CHECK_TIMEOUT);
    config.set_max_stun_retransmits(CHECKS);
    let video = setup.remote.video.iter().flat_map(|_| {
        (FIRST_PAYLOAD_TYPE..=LAST_PAYLOAD_TYPE)
            .map(|pt| (pt, video_codec(pt), Frequency::NINETY_KHZ))
    });
    for (pt, codec, clock) in AUDIO_PAYLOADS.into_iter().chain(video) {
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

/// str0m does not parse the payloads; the codec only sets its RTCP report interval.
fn video_codec(payload_type: u8) -> Str0mCodec {
    match payload_type {
        FIRST_PAYLOAD_TYPE => Str0mCodec::Vp8,
        _ => Str0mCodec::H264,
    }
}
