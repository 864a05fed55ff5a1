//! What is wrong with a server's certificate: whose it is, who issued it, why it is refused, and what a person can do (RFC 5280).
//!
//! The usual verifier decides; here its refusals get names. The texts of a certificate come from a stranger, so they are cut and cleaned.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};
use x509_cert::der::Decode;

/// Most characters of a name in a certificate that are shown.
const MOST_SHOWN: usize = 80;
/// Most names of a certificate that are shown.
const MOST_NAMES: usize = 4;
/// The last second that a date of HTTP can express.
const LAST_DATE: u64 = 253_402_300_799;

/// A certificate that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFault {
    /// The name or address by which the server was reached.
    pub server: String,
    /// Whose certificate it is, by its own word.
    pub subject: String,
    /// Who issued it, by its own word.
    pub issuer: String,
    /// What is wrong.
    pub problem: CertificateProblem,
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// No trusted authority issued it.
    UnknownIssuer,
    /// It is for these names, and the server's is not among them.
    OtherName(Vec<String>),
    /// It is valid from a later moment on.
    NotYetValid {
        /// From when on, Unix seconds.
        from: u64,
        /// This machine's time, Unix seconds.
        now: u64,
    },
    /// It has expired.
    Expired {
        /// Until when it was valid, Unix seconds.
        until: u64,
        /// This machine's time, Unix seconds.
        now: u64,
    },
    /// Something else, in the words of the verifier.
    Other(String),
}

impl CertificateFault {
    /// The fault behind an error of a handshake, if a certificate was refused.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::InvalidCertificate(CertificateError::Other(OtherError(fault))) => {
                fault.downcast_ref().cloned()
            }
            _ => None,
        }
    }

    fn new(server: &ServerName<'_>, certificate: &CertificateDer<'_>, error: &Error) -> Self {
        let parsed = x509_cert::Certificate::from_der(certificate).ok();
        let parsed = parsed.as_ref().map(|parsed| parsed.tbs_certificate());
        let name = |name: Option<String>| match name.map(|name| shown(&name)) {
            Some(name) if !name.is_empty() => name,
            _ => "a certificate without a name".to_owned(),
        };
        Self {
            server: server.to_str().into_owned(),
            subject: name(parsed.map(|parsed| parsed.subject().to_string())),
            issuer: name(parsed.map(|parsed| parsed.issuer().to_string())),
            problem: CertificateProblem::of(error),
        }
    }

    /// What is wrong without names: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        let why = match &self.problem {
            CertificateProblem::UnknownIssuer => "its issuer is unknown".to_owned(),
            CertificateProblem::OtherName(_) => "it is for another name".to_owned(),
            CertificateProblem::Other(_) => "it is malformed or of another use".to_owned(),
            timed => timed.to_string(),
        };
        format!("the server's certificate is refused: {why}")
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.problem {
            CertificateProblem::UnknownIssuer => {
                "if the server has an authority of its own, set ca_file (`ringfence setup --ca-file FILE`) to that authority's certificate; if not, something between here and the server intercepts the connection"
            }
            CertificateProblem::OtherName(_) => {
                "check the address; if it is right, the server's operator must get a certificate for it"
            }
            CertificateProblem::NotYetValid { .. } => {
                "set this machine's clock, which is probably behind, for example with timedatectl set-ntp true"
            }
            CertificateProblem::Expired { .. } => {
                "if this machine's clock is wrong, set it, for example with timedatectl set-ntp true; if it is right, the server's operator must renew the certificate"
            }
            CertificateProblem::Other(_) => "tell the server's operator",
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            subject,
            issuer,
            problem,
        } = self;
        write!(
            f,
            "the certificate of {server} is refused: {problem} (subject: {subject}; issuer: {issuer})"
        )
    }
}

impl std::error::Error for CertificateFault {}

impl CertificateProblem {
    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => Self::UnknownIssuer,
            Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            }) => {
                let names = presented.iter().take(MOST_NAMES);
                Self::OtherName(names.map(|name| shown(name)).collect())
            }
            Error::InvalidCertificate(CertificateError::NotValidYetContext {
                time,
                not_before,
            }) => Self::NotYetValid {
                from: not_before.as_secs(),
                now: time.as_secs(),
            },
            Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
                Self::Expired {
                    until: not_after.as_secs(),
                    now: time.as_secs(),
                }
            }
            other => Self::Other(shown(&other.to_string())),
        }
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str("its issuer is unknown"),
            Self::OtherName(names) if names.is_empty() => f.write_str("it is for no name at all"),
            Self::OtherName(names) => write!(f, "it is for {}", names.join(", ")),
            Self::NotYetValid { from, now } => write!(
                f,
                "it is valid from {} on, and this machine's clock says {}",
                date(*from),
                date(*now)
            ),
            Self::Expired { until, now } => write!(
                f,
                "it expired on {}, and this machine's clock says {}",
                date(*until),
                date(*now)
            ),
            Self::Other(words) => f.write_str(words),
        }
    }
}

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_DATE)))
}

/// A text of a certificate in a form that fits into a line.
fn shown(text: &str) -> String {
    let printable = text.chars().filter(|character| !character.is_control());
    printable.take(MOST_SHOWN).collect()
}

/// The usual verifier, whose refusals get a [`CertificateFault`].
#[derive(Debug)]
pub(super) struct NamingVerifier(pub(super) Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for NamingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            let fault = CertificateFault::new(server_name, end_entity, &error);
            CertificateError::Other(OtherError(Arc::new(fault))).into()
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use time::{Duration as Span, OffsetDateTime};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;
    use crate::net::outbound::{Destination, Outbound, OutboundError};
    use crate::net::socks::Circuit;
    use crate::net::tls;

    /// What an engine that trusts the authority says of a server at `localhost` with a certificate of `made`.
    async fn told(
        made: impl FnOnce(&mut CertificateParams),
        is_trusted: bool,
    ) -> Result<(), OutboundError> {
        let mut authority = CertificateParams::default();
        authority
            .distinguished_name
            .push(DnType::CommonName, "Box authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap());
        let authority = authority.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "Box server");
        made(&mut params);
        let certificate = params.signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream).await.ok();
        });
        let trust = tls::client(Some(file.path()).filter(|_| is_trusted)).unwrap();
        let outbound = Outbound::new(trust, None);
        let host = "localhost".to_owned();
        let to = Destination {
            host,
            port,
            is_tls: true,
        };
        outbound.connect(&to, &Circuit::random()).await.map(drop)
    }

    fn fault(told: Result<(), OutboundError>) -> CertificateFault {
        match told {
            Err(OutboundError::Certificate(fault)) => *fault,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_certificate_of_an_authority_that_is_named_is_trusted() {
        assert_eq!(told(|_| (), true).await, Ok(()));
    }

    #[tokio::test]
    async fn a_certificate_of_an_unknown_issuer_is_named_with_subject_and_issuer() {
        let fault = fault(told(|_| (), false).await);
        assert_eq!(fault.problem, CertificateProblem::UnknownIssuer);
        let says = fault.to_string();
        for part in ["localhost", "Box server", "Box authority", "unknown"] {
            assert!(says.contains(part), "{says}");
        }
        assert!(fault.remedy().contains("ca_file"));
        assert!(!fault.unnamed().contains("Box"), "{}", fault.unnamed());
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_says_for_which() {
        let other = |params: &mut CertificateParams| {
            let names = CertificateParams::new(vec!["book.example.org".to_owned()]);
            params.subject_alt_names = names.unwrap().subject_alt_names;
        };
        let fault = fault(told(other, true).await);
        assert!(matches!(fault.problem, CertificateProblem::OtherName(_)));
        assert!(fault.to_string().contains("book.example.org"), "{fault}");
    }

    #[tokio::test]
    async fn where_the_time_is_the_cause_the_clock_is_named_with_its_time() {
        let now = OffsetDateTime::now_utc();
        let hour = Span::hours(1);
        let future = fault(told(|params| params.not_before = now + hour, true).await);
        assert!(
            matches!(future.problem, CertificateProblem::NotYetValid { from, now } if from > now + 3_500),
            "{future}"
        );
        assert!(future.remedy().starts_with("set this machine's clock"));
        let past = |params: &mut CertificateParams| {
            params.not_before = now - hour * 2;
            params.not_after = now - hour;
        };
        let past = fault(told(past, true).await);
        assert!(
            matches!(past.problem, CertificateProblem::Expired { until, now } if until + 3_500 < now),
            "{past}"
        );
        let (year, says) = (now.year().to_string(), past.to_string());
        assert!(says.contains(&year) && says.contains("clock"), "{says}");
        assert!(past.remedy().contains("clock"));
    }

    #[test]
    fn texts_of_a_certificate_are_cut_and_have_no_control_characters() {
        assert_eq!(shown("a\n\u{1b}[31mb"), "a[31mb");
        assert_eq!(shown(&"x".repeat(500)).len(), MOST_SHOWN);
        assert_eq!(date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
