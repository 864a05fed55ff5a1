//! TLS towards servers: which certificates are trusted, and what is wrong with one that is not.
//!
//! Trusted are the authorities of this system, so that what its administrator adds or removes counts, and those of the setting
//! `ca_file` (a community box with an authority of its own). The compiled-in Mozilla set stands in where the system has none, as in
//! a bare container. Certificates are always verified; no setting turns this off. Revocation is not looked up: that would tell a
//! third party which servers this machine uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::certificate_fault::NamingVerifier;

/// Why a file of certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// The file cannot be read.
    #[error("cannot read the certificates in {}: {kind}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// The file has no certificate in PEM form, or one that does not parse.
    #[error("{} holds no usable certificate (PEM is expected)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
}

/// Installs the process-wide cipher provider for libraries that use the default one. Calling it again is harmless.
pub fn install_provider() {
    // An error only says that a provider is installed already.
    aws_lc_rs::default_provider().install_default().ok();
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// [`TlsFileError`] when the file is unreadable or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let text = std::fs::read(path).map_err(|error| TlsFileError::Unreadable {
        path: path.to_owned(),
        kind: error.kind(),
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsFileError::NoCertificate {
            path: path.to_owned(),
        }),
    }
}

/// A TLS 1.2/1.3 client that trusts the system's authorities and those of `ca_file`. Its errors have a
/// [`CertificateFault`](super::certificate_fault::CertificateFault).
///
/// # Errors
/// [`TlsFileError`] when `ca_file` cannot be used.
pub fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsFileError> {
    let mut roots = RootCertStore::empty();
    // Single files that cannot be read are the system's affair: what the others hold is trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|_| TlsFileError::NoCertificate {
                    path: path.to_owned(),
                })?;
        }
    }
    Ok(trusting(roots))
}

/// A client that trusts these authorities and no others.
fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("there is at least one authority");
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("this provider has the suites of TLS 1.2 and 1.3")
        .dangerous()
        // It only names what the usual verifier refuses.
        .with_custom_certificate_verifier(Arc::new(NamingVerifier(verifier)))
        .with_no_client_auth();
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_from_the_systems_authorities() {
        assert!(client(None).is_ok());
    }

    #[test]
    fn a_file_without_certificates_is_refused_and_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate here").unwrap();
        assert_eq!(
            client(Some(file.path())).unwrap_err(),
            TlsFileError::NoCertificate {
                path: file.path().to_owned()
            }
        );
    }
}
