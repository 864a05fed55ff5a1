//! DTLS for the far leg (RFC 9147, RFC 5764): the certificate of one call, and timers that suit a call.
//!
//! str0m's own provider retransmits a lost flight after one second, which a person hears as silence after picking up; this
//! one repeats it sooner ([`Flight`]). Ciphers and keys are those of aws-lc.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};
use zeroize::Zeroize;

use super::flight::Flight;
use super::late_init::AssociationStart;
use super::srtp_keys::KeySlot;
use crate::srtp::{SrtpKeyPair, SrtpSuite};

/// DTLS 1.3 alone: both ends are engines, it saves half a round trip, and it encrypts the certificates.
pub(super) const DTLS_VERSION: DtlsVersion = DtlsVersion::Dtls13;

/// First retransmission of a handshake flight under new record numbers, which doubles with each: a side that has the flight, and whose
/// acknowledgement was lost, acknowledges those again and drops what [`Flight`] repeats.
const FLIGHT_TIMEOUT: Duration = Duration::from_secs(1);

/// Retransmissions of one flight. A leg has given its connection up long before the seventh; the last flight of a connection that stands is
/// repeated until it is acknowledged, more and more seldom, and dimpl ends a session that has none left.
const FLIGHT_RETRIES: usize = 20;

/// The shortest time between two timers of a session without a packet between them. Where a record of a flight is missing
/// and later ones have arrived, dimpl 0.9 acknowledges at once, and again after each acknowledgement: an endless loop that
/// one altered byte starts.
const TIMER_PACE: Duration = Duration::from_millis(20);

static DTLS: CallDtls = CallDtls;

/// str0m's cryptography with the DTLS timers of this file.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        dtls_provider: &DTLS,
        ..str0m::crypto::from_feature_flags()
    }
}

/// A certificate for one call, without identifying content.
pub(super) struct CallCertificate(DtlsCert);

impl CallCertificate {
    /// Generates a certificate; `None` if the system has no random bytes or memory left.
    pub(super) fn generate() -> Option<Self> {
        DTLS.generate_certificate().map(Self)
    }

    /// The fingerprint for our description (RFC 8122).
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        provider().sha256_provider.sha256(&self.0.certificate)
    }

    /// A copy for str0m.
    pub(super) fn to_str0m(&self) -> DtlsCert {
        self.0.clone()
    }

    /// The certificate in DER.
    pub(super) fn der(&self) -> &[u8] {
        &self.0.certificate
    }
}

impl Drop for CallCertificate {
    fn drop(&mut self) {
        self.0.private_key.zeroize();
    }
}

impl std::fmt::Debug for CallCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallCertificate(..)")
    }
}

#[derive(Debug)]
struct CallDtls;

impl DtlsProvider for CallDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        dimpl::certificate::generate_self_signed_certificate().ok()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        // No cookie: ICE has verified the path before the first DTLS byte (RFC 8842 section 5.4).
        let mut config = dimpl::Config::builder()
            .use_server_cookie(false)
            // Public random values and the jitter of timers follow the seed of the leg, for simulations; keys do not.
            .dangerously_set_rng_seed(fastrand::u64(..))
            .flight_start_rto(FLIGHT_TIMEOUT)
            .flight_retries(FLIGHT_RETRIES);
        if let Some(mtu) = mtu {
            config = config.mtu(mtu);
        }
        let config = config
            .build()
            .map_err(|error| CryptoError::Other(error.to_string()))?;
        let config = Arc::new(config);
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, cert.clone(), now),
            DtlsVersion::Auto => dimpl::Dtls::new_auto(config, cert.clone(), now),
            _ => dimpl::Dtls::new_13(config, cert.clone(), now),
        };
        Ok(Box::new(DtlsSession {
            dtls,
            keys: KeySlot::waiting(&cert.certificate),
            flight: Flight::default(),
            sctp: AssociationStart::default(),
            now,
            served: None,
        }))
    }
}

struct DtlsSession {
    dtls: dimpl::Dtls,
    /// Where the keys for SRTP go.
    keys: Option<KeySlot>,
    flight: Flight,
    sctp: AssociationStart,
    /// The newest time that it was told.
    now: Instant,
    /// When its timers were served last, since the newest packet.
    served: Option<Instant>,
}

impl std::fmt::Debug for DtlsSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DtlsSession(..)")
    }
}

impl DtlsSession {
    /// Hands the keys on to the RTP session. A connection that agreed on no suite that is known has none, and ends.
    fn export(&self, material: &[u8], profile: SrtpProfile) {
        let keys = suite(profile)
            .and_then(|suite| SrtpKeyPair::from_dtls(suite, material, self.dtls.is_active()));
        if let (Some(slot), Some(keys)) = (&self.keys, keys) {
            slot.put(keys);
        }
    }
}

const fn suite(profile: SrtpProfile) -> Option<SrtpSuite> {
    match profile {
        SrtpProfile::AEAD_AES_256_GCM => Some(SrtpSuite::AesGcm256),
        SrtpProfile::AEAD_AES_128_GCM => Some(SrtpSuite::AesGcm128),
        SrtpProfile::AES128_CM_SHA1_80 => Some(SrtpSuite::AesCm128Sha1Tag80),
        _ => None,
    }
}

impl DtlsInstance for DtlsSession {
    fn set_active(&mut self, active: bool) {
        self.served = None;
        self.dtls.set_active(active);
        if !active {
            // dimpl 0.9 panics where a server gets a packet before the time. There is nothing to be late yet.
            self.dtls.handle_timeout(self.now).ok();
        }
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.served = None;
        self.flight.end();
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        if let Some(packet) = self.flight.repeat()
            && packet.len() <= buf.len()
        {
            let room = &mut buf[..packet.len()];
            room.copy_from_slice(packet);
            return DtlsOutput::Packet(room);
        }
        match self.dtls.poll_output(buf) {
            DtlsOutput::Timeout(at) => {
                let at = self.flight.timeout(at, self.now);
                let earliest = self.served.map_or(at, |served| served + TIMER_PACE);
                DtlsOutput::Timeout(at.max(earliest))
            }
            DtlsOutput::Packet(packet) => {
                self.flight.sent(packet);
                DtlsOutput::Packet(packet)
            }
            DtlsOutput::KeyingMaterial(material, profile) => {
                self.export(&material, profile);
                // str0m polls again at once for a time that has come.
                DtlsOutput::Timeout(self.now)
            }
            DtlsOutput::ApplicationData(packet) if self.sctp.is_late_init(packet) => {
                DtlsOutput::Timeout(self.now)
            }
            output => output,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        if self.served.is_some_and(|served| now < served + TIMER_PACE) {
            return Ok(());
        }
        self.served = Some(now);
        self.now = now;
        self.flight.handle_timeout(now);
        self.flight.end();
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_own_certificate() {
        let (one, two) = (
            CallCertificate::generate().unwrap(),
            CallCertificate::generate().unwrap(),
        );
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_eq!(format!("{one:?}"), "CallCertificate(..)");
    }

    #[test]
    fn the_first_that_a_server_gets_may_be_a_packet() {
        let now = crate::some_time();
        let (client, server) = (CallCertificate::generate(), CallCertificate::generate());
        let [mut client, mut server] = [(client, true), (server, false)].map(|(own, is_client)| {
            let session = DTLS.new_dtls(&own.unwrap().0, now, DTLS_VERSION, None);
            let mut session = session.unwrap();
            session.set_active(is_client);
            session
        });
        client.handle_timeout(now).unwrap();
        let mut room = [0; 2_000];
        let DtlsOutput::Packet(hello) = client.poll_output(&mut room) else {
            panic!("a client speaks first");
        };
        server.handle_packet(hello).unwrap();
        assert!(matches!(
            server.poll_output(&mut [0; 2_000]),
            DtlsOutput::Packet(_)
        ));
    }

    #[test]
    fn both_sides_of_a_handshake_have_the_keys_and_str0m_does_not() {
        let mut now = crate::some_time();
        let mut ends = [true, false].map(|is_client| {
            let certificate = CallCertificate::generate().unwrap();
            let (session, keys) = KeySlot::of(certificate.der(), || {
                DTLS.new_dtls(&certificate.0, now, DTLS_VERSION, None)
            });
            let mut session = session.unwrap();
            session.set_active(is_client);
            (session, keys)
        });
        for round in 0..40 {
            now += TIMER_PACE;
            let (session, _) = &mut ends[round % 2];
            session.handle_timeout(now).unwrap();
            let mut packets = Vec::new();
            let mut room = [0; 2_000];
            loop {
                match session.poll_output(&mut room) {
                    DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                    DtlsOutput::KeyingMaterial(..) => panic!("what is polled goes to str0m"),
                    DtlsOutput::Timeout(_) => break,
                    _ => {}
                }
            }
            for packet in packets {
                ends[1 - round % 2].0.handle_packet(&packet).unwrap();
            }
        }
        let [client, server] = ends.map(|(_, keys)| keys.take().expect("keys"));
        assert_eq!((client.ours, client.theirs), (server.theirs, server.ours));
    }
}
