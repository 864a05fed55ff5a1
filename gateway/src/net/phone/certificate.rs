//! The certificate that phones see over TLS: one of the user's own, or one of a small certificate authority that the first run makes
//! and saves in the state folder.
//!
//! The authority (10 years) is what a phone is told to trust, once. The certificate under it lives 90 days, has a key of its own
//! that is never written down, and is replaced at a handshake when a third of its life is left, so that an engine may run for
//! years. Its names are those that phones dial: loopback, and the addresses and names of the LAN. Every IPv4 address stands there as
//! a DNS name too, because Linphone's mbedTLS compares no others.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::clock;
use crate::net::tls::{TlsFileError, certificates};
use crate::state::keystore::{KeystoreError, read_private, write_private};

/// How long a phone may trust the authority.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long one certificate is good, and with how much of that left it is replaced.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
const RENEW: Duration = Duration::from_secs(30 * 86_400);
/// Clocks of phones may be behind ours.
const SLACK: Duration = Duration::from_secs(86_400);

/// The names that a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// Where phones register, beside loopback.
    pub addresses: Vec<IpAddr>,
    /// Host names of this machine.
    pub hosts: Vec<String>,
}

/// The source of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// The authority in this state folder; made if there is none.
    Own {
        /// The state folder.
        folder: PathBuf,
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
                "correct sip.key; the engine's own authority is made anew when phones-ca.pem and phones-ca.key are moved away, and phones must then trust the new one".to_owned()
            }
            Self::Name(_) => "correct sip.names: plain ASCII host names".to_owned(),
            Self::Making(_) => "report this".to_owned(),
        }
    }
}

/// The file of the certificate authority that phones trust.
#[must_use]
pub fn authority_file(folder: &Path) -> PathBuf {
    folder.join("phones-ca.pem")
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("phones-ca.key")
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
            let authority = Authority::open(folder, names.clone())?;
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

/// The authority, and the certificate that it last made.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    names: CertificateNames,
    current: Mutex<Current>,
}

struct Current {
    certified: Arc<CertifiedKey>,
    /// Time since 1970 at which it is replaced.
    renew: Duration,
}

impl Authority {
    /// Reads the authority of a folder, or makes one there; a first certificate follows.
    fn open(folder: &Path, names: CertificateNames) -> Result<Self, CertificateError> {
        let path = key_file(folder);
        let key = if path.exists() && authority_file(folder).exists() {
            let text = read_private(&path)?;
            let unfit = || CertificateError::Key { path: path.clone() };
            let text = str::from_utf8(&text).map_err(|_| unfit())?;
            KeyPair::from_pem(text).map_err(|_| unfit())?
        } else {
            found(folder)?
        };
        let issuer = Issuer::new(authority(), key);
        let current = Mutex::new(issue(&issuer, &names, clock::since_epoch())?);
        Ok(Self {
            issuer,
            names,
            current,
        })
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = clock::since_epoch();
        // Replaced in one assignment, so that it is complete even after a panic.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.renew <= now {
            match issue(&self.issuer, &self.names, now) {
                Ok(next) => *current = next,
                Err(fault) => tracing::warn!(%fault, "the certificate for phones is not renewed"),
            }
        }
        Some(Arc::clone(&current.certified))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority(..)")
    }
}

fn making(error: impl fmt::Display) -> CertificateError {
    CertificateError::Making(error.to_string())
}

/// Makes a new authority. Its key is saved first, because a certificate without its key is of no use.
fn found(folder: &Path) -> Result<KeyPair, CertificateError> {
    let key = KeyPair::generate().map_err(making)?;
    let mut params = authority();
    set_life(&mut params, clock::since_epoch(), AUTHORITY_LIFE);
    let certificate = params.self_signed(&key).map_err(making)?;
    let secret = zeroize::Zeroizing::new(key.serialize_pem());
    write_private(&key_file(folder), secret.as_bytes())?;
    write_private(&authority_file(folder), certificate.pem().as_bytes())?;
    Ok(key)
}

/// The authority's parameters without key and dates. Certificates under it refer to it by these.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Ringfence: phones of one engine");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn issue(
    issuer: &Issuer<'static, KeyPair>,
    names: &CertificateNames,
    now: Duration,
) -> Result<Current, CertificateError> {
    let key = KeyPair::generate().map_err(making)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Ringfence");
    params.subject_alt_names = alternatives(names)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_life(&mut params, now, LIFE);
    let certificate = params.signed_by(&key, issuer).map_err(making)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = aws_lc_rs::sign::any_supported_type(&private).map_err(making)?;
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    Ok(Current {
        certified: Arc::new(CertifiedKey::new(chain, signing)),
        renew: now + LIFE.saturating_sub(RENEW),
    })
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From a day before `now` on.
fn set_life(params: &mut CertificateParams, now: Duration, life: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SLACK);
    params.not_after = epoch + now + life;
}

fn alternatives(names: &CertificateNames) -> Result<Vec<SanType>, CertificateError> {
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
    let mut found = vec![host("localhost")?];
    for address in addresses {
        found.push(SanType::IpAddress(address));
        if address.is_ipv4() {
            found.push(host(&address.to_string())?);
        }
    }
    for name in &names.hosts {
        found.push(host(name)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn own(folder: &Path) -> Authority {
        Authority::open(folder, CertificateNames::default()).unwrap()
    }

    #[test]
    fn the_authority_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        own(folder.path());
        let first = std::fs::read(authority_file(folder.path())).unwrap();
        own(folder.path());
        assert_eq!(std::fs::read(authority_file(folder.path())).unwrap(), first);
        let mode = std::fs::metadata(key_file(folder.path())).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        own(folder.path());
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(key_file(folder.path()), open).unwrap();
        let fault = Authority::open(folder.path(), CertificateNames::default()).unwrap_err();
        assert!(matches!(
            fault,
            CertificateError::Disk(KeystoreError::TooOpen { .. })
        ));
    }

    #[test]
    fn a_certificate_is_replaced_when_a_third_of_its_life_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let authority = own(folder.path());
        let now = clock::since_epoch();
        let current = issue(&authority.issuer, &authority.names, now).unwrap();
        assert_eq!(current.renew, now + Duration::from_secs(60 * 86_400));
    }

    #[test]
    fn names_are_those_that_phones_dial() {
        let names = CertificateNames {
            addresses: vec!["192.168.1.10".parse().unwrap(), "::1".parse().unwrap()],
            hosts: vec!["phones.example.org".to_owned()],
        };
        let found = alternatives(&names).unwrap();
        let has = |san: SanType| found.contains(&san);
        for host in [
            "localhost",
            "127.0.0.1",
            "192.168.1.10",
            "phones.example.org",
        ] {
            assert!(has(SanType::DnsName(host.try_into().unwrap())), "{host}");
        }
        for address in ["127.0.0.1", "::1", "192.168.1.10"] {
            assert!(
                has(SanType::IpAddress(address.parse().unwrap())),
                "{address}"
            );
        }
        assert_eq!(found.len(), 7);
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
    fn files_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        own(folder.path());
        let source = CertificateSource::Files {
            certificate: authority_file(folder.path()),
            key: authority_file(folder.path()),
        };
        assert_eq!(
            server(&source).unwrap_err(),
            CertificateError::Key {
                path: authority_file(folder.path())
            }
        );
        let source = CertificateSource::Files {
            certificate: authority_file(folder.path()),
            key: key_file(folder.path()),
        };
        assert!(server(&source).is_ok());
    }
}
