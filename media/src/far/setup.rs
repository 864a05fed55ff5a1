//! How a WebRTC connection is set up: str0m's configuration, and the typed values that SDP would otherwise carry.
//!
//! One stream of sound each way, one of moving pictures if both sides have them, and one data channel with the number 0, agreed on beforehand (RFC 8832 section 5.1 does not
//! happen). Exactly one candidate is ours: the relay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::DirectApi;
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::Fingerprint;
use str0m::format::{Codec as Str0mCodec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid, Pt};
use str0m::{Candidate, IceCreds, Input, Rtc, RtcConfig, RtcError};

use super::MAX_CONTROL;
use super::dtls::{self, Certificate};
use super::terms::{FarFault, Role};
use crate::description::Description;
use crate::video::{FIRST_PAYLOAD_TYPE, LAST_PAYLOAD_TYPE};

/// First repetition of a lost ICE check. str0m's 250 ms is for paths that may not exist; this one does.
const CHECK_TIMEOUT: Duration = Duration::from_millis(50);

/// Longest time between two repetitions: the callee checks while its answer travels, and must not be asleep when it
/// has arrived.
const LONGEST_CHECK_TIMEOUT: Duration = Duration::from_millis(300);

/// Repetitions of a check: 15 s, as long as a leg waits for its connection. str0m's ICE shifts a number by this count, so
/// that it must stay below 58.
const CHECKS: usize = 50;

/// SCTP data that may wait for the path. Control messages are few and small.
const MAX_BUFFERED: usize = 64 * 1024;

/// Outgoing packets that str0m keeps for repetition. Nothing is ever repeated, and it insists on one.
const KEPT_PACKETS: usize = 1;

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
    /// Of moving pictures, which are sent if the description has them as well.
    pub(super) video_ssrc: u32,
    pub(super) relay: SocketAddr,
    pub(super) remote: &'a Description,
    pub(super) remote_relays: &'a [SocketAddr],
}

/// Makes the connection, ready to check for a path.
pub(super) fn build(terms: &PeerTerms<'_>, now: Instant) -> Result<(Rtc, ChannelId), FarFault> {
    let mut rtc = config(terms).build(now);
    // Time first: DTLS and SCTP start their clocks below.
    rtc.handle_input(Input::Timeout(now))
        .map_err(|error| fault(&error))?;
    rtc.add_local_candidate(
        Candidate::relayed(terms.relay, terms.relay, "udp").map_err(|_| FarFault::Relay)?,
    );
    let caller = terms.role == Role::Caller;
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
    let remote = terms.remote;
    declare(&mut api, MediaKind::Audio, terms.ssrc, remote.ssrc);
    if let Some(video) = &remote.video {
        declare(&mut api, MediaKind::Video, terms.video_ssrc, video.ssrc);
    }
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
    Ok((rtc, channel))
}

/// One stream each way.
fn declare(api: &mut DirectApi<'_>, kind: MediaKind, ours: u32, theirs: u32) {
    let mid = Mid::from(if kind.is_audio() { "0" } else { "1" });
    api.declare_media(mid, kind);
    api.declare_stream_tx(ours.into(), None, mid, None);
    // Nothing is sent again: who has lost part of a picture asks for a whole one.
    api.expect_stream_rx(theirs.into(), None, mid, None)
        .suppress_nack(true);
}

/// Whether a payload type is one of the far leg's sound.
pub(super) fn is_sound(payload_type: u8) -> bool {
    PAYLOADS.iter().any(|(pt, ..)| *pt == payload_type)
}

/// Whose fault an error of str0m is.
pub(super) fn fault(error: &RtcError) -> FarFault {
    match error {
        RtcError::Ice(_) => FarFault::Ice,
        _ => FarFault::Dtls,
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
        .set_send_buffer_video(KEPT_PACKETS)
        .set_sctp_max_buffered_amount(MAX_BUFFERED)
        .set_sctp_max_message_size(MAX_CONTROL as u32);
    config.set_initial_stun_rto(CHECK_TIMEOUT);
    config.set_max_stun_rto(LONGEST_CHECK_TIMEOUT);
    config.set_max_stun_retransmits(CHECKS);
    let video = terms.remote.video.iter().flat_map(|_| {
        (FIRST_PAYLOAD_TYPE..=LAST_PAYLOAD_TYPE)
            .map(|pt| (pt, video_codec(pt), Frequency::NINETY_KHZ))
    });
    for (pt, codec, clock) in PAYLOADS.into_iter().chain(video) {
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

/// str0m does not look into packets; that these have names keeps its report intervals right.
fn video_codec(payload_type: u8) -> Str0mCodec {
    match payload_type {
        FIRST_PAYLOAD_TYPE => Str0mCodec::Vp8,
        _ => Str0mCodec::H264,
    }
}
