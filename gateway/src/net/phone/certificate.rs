//! The certificate that phones see over TLS: one of the user's own, or one of a small certificate authority that the first run makes
//! and saves in the state folder.
//!
//! The authority (`authority`) is what a phone is told to trust. The certificate under it lives 90 days, has a key of its own
//! that is never written down, and is replaced at a handshake when a third of its life is left, so that an engine may run for
//! years. Its names are those that phones dial: loopback, and the addresses and names of the LAN.
//!
//! Linphone's mbedTLS compares only DNS names before its version 3.5, so that every IPv4 address has to stand there as one too. It ignores
//! name constraints; others refuse such names under an authority that has them. mbedTLS alone gets that certificate: until 3.6 it
//! offers no TLS 1.3, and it offers AES-CCM, which OpenSSL's and rustls's usual lists do not have.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::authority::{self, making, named, set_life};
use crate::clock;
use crate::net::tls::{TlsFileError, certificates};
use crate::state::folder::StateFolder;
use crate::state::keystore::KeystoreError;

/// How long one certificate is good, and with how much of that left it is replaced.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
const RENEW: Duration = Duration::from_secs(30 * 86_400);
/// The first byte of TLS 1.3's cipher suites (RFC 8446 appendix B.4).
const TLS_1_3: u8 = 0x13;
/// TLS_ECDHE_ECDSA_WITH_AES_256_CCM (RFC 7251).
const CCM: u16 = 0xc0ad;

/// The names that a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// Where phones register, beside loopback.
    pub addresses: Vec<IpAddr>,
    /// Host names of this machine.
    pub hosts: Vec<String>,
}

/// The source of certificates.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// The authority in this state folder; made if there is none.
    Own {
        /// The state folder.
        folder: StateFolder,
        /// The names that phones dial.
        names: CertificateNames,
    },
    /// Files of the user's: the chain, and its key.
    Files {
        /// PEM file of the certificate and those above it.
        certificate: PathBuf,
        /// PEM file of the key.
        key: PathBuf,
    },
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The authority's files cannot be read or written.
    #[error(transparent)]
    Disk(#[from] KeystoreError),
    /// The user's certificate cannot be read.
    #[error(transparent)]
    Chain(#[from] TlsFileError),
    /// No private key in the file, or one that does not match the certificate.
    #[error("{} holds no key that fits (PEM is expected)", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// A name that no certificate can have.
    #[error("{0:?} cannot stand in a certificate")]
    Name(String),
    /// An unexpected error of the cipher library.
    #[error("a certificate could not be made: {0}")]
    Making(String),
}

impl CertificateError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Disk(fault) => fault.remedy(),
            Self::Chain(_) => "correct sip.certificate".to_owned(),
            Self::Key { .. } => {
                "correct sip.key; the engine's own authority is made anew when phones-ca.json is moved away, and phones must then trust the new phones-ca.pem".to_owned()
            }
            Self::Name(_) => "correct sip.names: plain ASCII host names".to_owned(),
            Self::Making(_) => "report this".to_owned(),
        }
    }
}

/// The TLS server settings for phones: TLS 1.2 and 1.3.
///
/// # Errors
/// [`CertificateError`].
pub fn server(source: &CertificateSource) -> Result<Arc<ServerConfig>, CertificateError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("this provider has the suites of TLS 1.2 and 1.3")
        .with_no_client_auth();
    let config = match source {
        CertificateSource::Own { folder, names } => {
            let authority = Authority::open(folder.clone(), names.clone())?;
            builder.with_cert_resolver(Arc::new(authority))
        }
        CertificateSource::Files { certificate, key } => {
            let unfit = || CertificateError::Key { path: key.clone() };
            let chain = certificates(certificate)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|_| unfit())?;
            builder
                .with_single_cert(chain, private)
                .map_err(|_| unfit())?
        }
    };
    Ok(Arc::new(config))
}

/// The authority's folder, and the certificate that it last made.
struct Authority {
    folder: StateFolder,
    names: CertificateNames,
    current: Mutex<Current>,
}

struct Current {
    certified: Arc<CertifiedKey>,
    /// The same with IPv4 addresses as DNS names.
    with_dotted_names: Arc<CertifiedKey>,
    /// Time since 1970 at which both are replaced.
    renew: Duration,
}

impl Authority {
    /// Reads the authority of a folder, or makes one there; a first certificate follows.
    fn open(folder: StateFolder, names: CertificateNames) -> Result<Self, CertificateError> {
        let current = Mutex::new(issue(&folder, &names, clock::since_epoch())?);
        Ok(Self {
            folder,
            names,
            current,
        })
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = clock::since_epoch();
        // ReplacedListings in one assignment, so that it is complete even after a panic.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.renew <= now {
            match issue(&self.folder, &self.names, now) {
                Ok(next) => *current = next,
                Err(fault) => tracing::warn!(%fault, "the certificate for phones is not renewed"),
            }
        }
        let suites = hello.cipher_suites().iter();
        let offered: Vec<u16> = suites.map(|suite| u16::from(*suite)).collect();
        Some(Arc::clone(if compares_dns_names_alone(&offered) {
            &current.with_dotted_names
        } else {
            &current.certified
        }))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(..)")
    }
}

/// Whether a client that offers these cipher suites is mbedTLS before version 3.6.
fn compares_dns_names_alone(offered: &[u16]) -> bool {
    let is_newer = |suite: &u16| suite.to_be_bytes()[0] == TLS_1_3;
    offered.contains(&CCM) && !offered.iter().any(is_newer)
}

/// Makes a certificate for these names, and renews the authority before if that is due.
fn issue(
    folder: &StateFolder,
    names: &CertificateNames,
    now: Duration,
) -> Result<Current, CertificateError> {
    let (names, dotted) = alternatives(names)?;
    let all = [names.as_slice(), &dotted].concat();
    let issuer = authority::open(folder, &names, now)?;
    let key = KeyPair::generate().map_err(making)?;
    Ok(Current {
        certified: sign(&issuer, &key, names, now)?,
        with_dotted_names: sign(&issuer, &key, all, now)?,
        renew: now + LIFE.saturating_sub(RENEW),
    })
}

fn sign(
    issuer: &Issuer<'static, KeyPair>,
    key: &KeyPair,
    names: Vec<SanType>,
    now: Duration,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Ringfence");
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_life(&mut params, now, LIFE);
    let certificate = params.signed_by(key, issuer).map_err(making)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = aws_lc_rs::sign::any_supported_type(&private).map_err(making)?;
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    Ok(Arc::new(CertifiedKey::new(chain, signing)))
}

/// The names that phones dial, and the IPv4 addresses among them as DNS names.
fn alternatives(
    names: &CertificateNames,
) -> Result<(Vec<SanType>, Vec<SanType>), CertificateError> {
    let host = |name: &str| {
        let text = name.try_into();
        text.map(SanType::DnsName)
            .map_err(|_| CertificateError::Name(name.to_owned()))
    };
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for address in &names.addresses {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    let (mut found, mut dotted) = (vec![host("localhost")?], Vec::new());
    for address in addresses {
        found.push(SanType::IpAddress(address));
        if address.is_ipv4() {
            dotted.push(host(&address.to_string())?);
        }
    }
    for name in &names.hosts {
        found.push(host(name)?);
    }
    Ok((found, dotted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::phone::authority::authority_file;

    #[test]
    fn a_certificate_is_replaced_when_a_third_of_its_life_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let now = clock::since_epoch();
        let current = issue(&folder.path().into(), &CertificateNames::default(), now).unwrap();
        assert_eq!(current.renew, now + Duration::from_secs(60 * 86_400));
    }

    #[test]
    fn names_are_those_that_phones_dial() {
        let names = CertificateNames {
            addresses: vec!["192.168.1.10".parse().unwrap(), "::1".parse().unwrap()],
            hosts: vec!["phones.example.org".to_owned()],
        };
        let (found, dotted) = alternatives(&names).unwrap();
        let name = |host: &str| SanType::DnsName(host.try_into().unwrap());
        for host in ["localhost", "phones.example.org"] {
            assert!(found.contains(&name(host)), "{host}");
        }
        for address in ["127.0.0.1", "::1", "192.168.1.10"] {
            assert!(
                found.contains(&SanType::IpAddress(address.parse().unwrap())),
                "{address}"
            );
        }
        assert_eq!(found.len(), 5);
        assert_eq!(dotted, ["127.0.0.1", "192.168.1.10"].map(name));
        let bad = CertificateNames {
            hosts: vec!["büro".to_owned()],
            ..CertificateNames::default()
        };
        assert_eq!(
            alternatives(&bad),
            Err(CertificateError::Name("büro".to_owned()))
        );
    }

    #[test]
    fn only_an_early_mbedtls_gets_addresses_as_dns_names() {
        // The beginnings of the lists of mbedTLS 2.28, OpenSSL 3.0 with TLS 1.2 alone, and rustls.
        assert!(compares_dns_names_alone(&[0xcca8, 0xcca9, 0xc02c, 0xc0ad]));
        assert!(!compares_dns_names_alone(&[0xc02c, 0xc030, 0x9f, 0xcca9]));
        assert!(!compares_dns_names_alone(&[0x1302, 0x1301, 0xc02c, 0xc0ad]));
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        issue(
            &folder.path().into(),
            &CertificateNames::default(),
            clock::since_epoch(),
        )
        .unwrap();
        let json = std::fs::read(folder.path().join("phones-ca.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let key = folder.path().join("key.pem");
        std::fs::write(&key, json["key"].as_str().unwrap()).unwrap();
        let certificate = authority_file(folder.path());
        let source = |key: PathBuf| CertificateSource::Files {
            certificate: certificate.clone(),
            key,
        };
        assert_eq!(
            server(&source(certificate.clone())).unwrap_err(),
            CertificateError::Key {
                path: certificate.clone()
            }
        );
        assert!(server(&source(key)).is_ok());
    }
}
