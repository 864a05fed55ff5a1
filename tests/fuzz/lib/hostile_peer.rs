//! A WebRTC peer whose plain SCTP packets `hostile_dtls` alters. It is str0m like the leg's own side, and knows the leg as an engine
//! would: from its description.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::OnceLock;
use std::time::Instant;

use ringfence_media::far::Role;
use ringfence_media::{Codec, Description, LocalEndpoint};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion, Fingerprint};
use str0m::crypto::dtls::DtlsProvider;
use str0m::format::{Codec as Str0mCodec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceCreds, Input, Output, Rtc, RtcConfig};

use crate::hostile_dtls::HOSTILE;
use crate::turn_stub::RELAYED;

/// The peer's relayed address, as the leg is told.
pub const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, 9), 50_002));

const UFRAG: &str = "fuzz";
const PWD: &str = "thepasswordofthehostilepeer";
const SSRC: u32 = 0x0bad_5eed;

/// The peer.
pub struct HostilePeer {
    rtc: Rtc,
    channel: ChannelId,
    timeout: Option<Instant>,
    is_client: bool,
    /// A client that has not begun DTLS yet.
    waits_for_path: bool,
    fingerprint: [u8; 32],
    /// Datagrams for the leg.
    pub outbox: VecDeque<Vec<u8>>,
}

impl HostilePeer {
    /// Makes the peer of a leg that has the given role; `None` if str0m refuses.
    pub fn new(leg: &LocalEndpoint, role: Role, now: Instant) -> Option<Self> {
        static CERTIFICATE: OnceLock<Option<DtlsCert>> = OnceLock::new();
        let certificate = CERTIFICATE.get_or_init(|| HOSTILE.generate_certificate()).clone()?;
        let is_client = role == Role::Caller;
        let provider = CryptoProvider {
            dtls_provider: &HOSTILE,
            ..str0m::crypto::from_feature_flags()
        };
        let mut config = RtcConfig::new()
            .set_crypto_provider(provider.into())
            .set_dtls_cert(certificate)
            .set_dtls_version(DtlsVersion::Dtls13)
            .set_local_ice_credentials(IceCreds { ufrag: UFRAG.to_owned(), pass: PWD.to_owned() })
            .clear_extension_map()
            .clear_codecs()
            .set_rtp_mode(true);
        config.codec_config().add_config(
            Pt::from(0),
            None,
            Str0mCodec::PCMU,
            Frequency::EIGHT_KHZ,
            None,
            FormatParams::default(),
        );
        let mut rtc = config.build(now);
        rtc.handle_input(Input::Timeout(now)).ok()?;
        rtc.add_local_candidate(Candidate::relayed(PEER, PEER, "udp").ok()?);
        let mut api = rtc.direct_api();
        api.set_ice_controlling(is_client);
        api.set_remote_ice_credentials(IceCreds { ufrag: leg.ufrag.clone(), pass: leg.pwd.clone() });
        api.set_remote_fingerprint(Fingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: leg.fingerprint.to_vec(),
        });
        let fingerprint = api.local_dtls_fingerprint().bytes[..].try_into().ok()?;
        let mid = Mid::from("0");
        api.declare_media(mid, MediaKind::Audio);
        api.declare_stream_tx(SSRC.into(), None, mid, None);
        api.expect_stream_rx(leg.ssrc.into(), None, mid, None).suppress_nack(true);
        if !is_client {
            api.start_dtls(false).ok()?;
            api.start_sctp(false);
        }
        let channel = api.create_data_channel(ChannelConfig {
            negotiated: Some(0),
            ..ChannelConfig::default()
        });
        rtc.add_remote_candidate(Candidate::relayed(RELAYED, RELAYED, "udp").ok()?);
        let mut peer = Self {
            rtc,
            channel,
            timeout: None,
            is_client,
            waits_for_path: is_client,
            fingerprint,
            outbox: VecDeque::new(),
        };
        peer.handle_timeout(now);
        Some(peer)
    }

    /// What the leg is told of this peer.
    pub fn description(&self) -> Description {
        Description {
            ufrag: UFRAG.to_owned(),
            pwd: PWD.to_owned(),
            fingerprint: self.fingerprint,
            ssrc: SSRC,
            relayed_addresses: vec![PEER],
            codecs: vec![Codec::Pcmu],
            video: None,
        }
    }

    /// Takes a datagram from the leg.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        if let Ok(packet) = Receive::new(Protocol::Udp, RELAYED, PEER, bytes) {
            // What the peer cannot stomach ends the peer, not the run: the leg must survive its silence.
            let _ = self.rtc.handle_input(Input::Receive(now, packet));
            self.poll(now);
        }
    }

    /// Tells the peer the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = self.rtc.handle_input(Input::Timeout(now));
        self.poll(now);
    }

    /// Sends a message on the data channel.
    pub fn send_control(&mut self, bytes: &[u8], now: Instant) {
        if let Some(mut channel) = self.rtc.channel(self.channel) {
            let _ = channel.write(true, bytes);
        }
        self.handle_timeout(now);
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    fn poll(&mut self, now: Instant) {
        // Far more than one input can lead to.
        for _ in 0..1_000 {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = Some(at).filter(|_| self.rtc.is_alive());
                    return;
                }
                Ok(Output::Transmit(packet)) => self.outbox.push_back(packet.contents.into()),
                Ok(Output::Event(event)) => self.handle(&event, now),
                Err(_) => break,
            }
        }
        self.rtc.disconnect();
        self.timeout = None;
    }

    /// The steps of a caller: DTLS once there is a path, SCTP once there is DTLS.
    fn handle(&mut self, event: &Event, now: Instant) {
        match event {
            Event::IceConnectionStateChange(state) if state.is_connected() && self.waits_for_path => {
                self.waits_for_path = false;
                let _ = self.rtc.direct_api().start_dtls(true);
            }
            Event::Connected if self.is_client => self.rtc.direct_api().start_sctp(true),
            _ => return,
        }
        let _ = self.rtc.handle_input(Input::Timeout(now));
    }
}
