//! Sets up a WebRTC connection: str0m's configuration, and the typed values that SDP would otherwise carry.
//!
//! str0m has one data channel with the number 0, which is negotiated beforehand (without the messages of RFC 8832 section 5.1), and no
//! media: no codec, no stream and no keys for SRTP, so that it can neither seal nor open a packet (`rtp_session` does). Our only candidate
//! is the relayed one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::Fingerprint;
use str0m::net::Protocol;
use str0m::{Candidate, CandidateKind, IceCreds, Input, Rtc, RtcConfig, RtcError};

use super::MAX_CONTROL;
use super::config::Role;
use super::dtls::{self, CallCertificate};
use super::error::FarLegError;
use super::srtp_keys::KeySlot;
use crate::description::Description;

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
    /// For the times of RTCP reports.
    pub(super) seed: u64,
    pub(super) remote: &'a Description,
    pub(super) remote_addresses: &'a [SocketAddr],
}

/// Makes the connection, ready for ICE checks, and the slot in which DTLS will leave the keys for SRTP.
pub(super) fn build(
    setup: &PeerSetup<'_>,
    now: Instant,
) -> Result<(Rtc, ChannelId, KeySlot), FarLegError> {
    let certificate = setup.certificate.der();
    let (mut rtc, keys) = KeySlot::of(certificate, || config(setup).build(now));
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
    Ok((rtc, channel, keys))
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
        .clear_extension_map()
        .clear_codecs()
        .set_sctp_max_buffered_amount(MAX_BUFFERED)
        .set_sctp_max_message_size(MAX_CONTROL as u32);
    config.set_initial_stun_rto(CHECK_TIMEOUT);
    config.set_max_stun_rto(LONGEST_CHECK_TIMEOUT);
    config.set_max_stun_retransmits(CHECKS);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VideoDescription;
    use crate::video::VideoFormat;
    use str0m::media::{MediaKind, Mid, Pt};
    use str0m::rtp::RtpWrite;

    #[test]
    fn str0m_has_no_media_and_no_keys_and_cannot_write_rtp() {
        let now = crate::some_time();
        let certificate = CallCertificate::generate().unwrap();
        let address: SocketAddr = ([203, 0, 113, 7], 50_000).into();
        let remote = Description {
            ufrag: "ufrag".to_owned(),
            pwd: "password of 22 letters".to_owned(),
            fingerprint: [1; 32],
            ssrc: 7,
            relayed_addresses: vec![address],
            codecs: vec![crate::Codec::Pcmu],
            video: Some(VideoDescription {
                ssrc: 8,
                formats: vec![VideoFormat::Vp8],
            }),
        };
        let setup = PeerSetup {
            role: Role::Caller,
            ufrag: "ufrag",
            pwd: "password of 22 letters",
            certificate: &certificate,
            ssrc: 1,
            video_ssrc: 2,
            relayed_address: ([203, 0, 113, 8], 50_000).into(),
            nth: 0,
            seed: 0,
            remote: &remote,
            remote_addresses: &[address],
        };
        let (mut rtc, _, keys) = build(&setup, now).unwrap();
        assert!(keys.take().is_none(), "before DTLS");
        assert_eq!(rtc.codec_config().params().len(), 0);
        for mid in ["0", "1"] {
            assert!(rtc.media(Mid::from(mid)).is_none());
        }
        let mut api = rtc.direct_api();
        for ssrc in [1, 2, 7, 8] {
            assert!(api.stream_tx(&ssrc.into()).is_none());
            assert!(api.stream_rx(&ssrc.into()).is_none());
        }
        // Even with a stream it has no format to send in, and nothing to seal it with.
        let mid = Mid::from("0");
        api.declare_media(mid, MediaKind::Audio);
        let stream = api.declare_stream_tx(1.into(), None, mid, None);
        stream.write_rtp(RtpWrite::new(Pt::from(0), 1.into(), 0, now, vec![1]));
        rtc.handle_input(Input::Timeout(now)).ok();
        let mut left = Vec::new();
        while let Ok(str0m::Output::Transmit(packet)) = rtc.poll_output() {
            left.push(packet.contents[0]);
        }
        assert!(
            left.iter().all(|first| *first < 4),
            "checks alone: {left:?}"
        );
    }
}
