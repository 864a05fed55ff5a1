//! TLS settings of the TURN socket and the phone-book client.
//!
//! Trusted roots are the compiled-in Mozilla set, plus one file of the user's own (a community box with its own CA). Certificates are
//! always verified; no setting turns this off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

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

/// A TLS 1.2/1.3 client that trusts the compiled-in roots and those of `extra`.
///
/// # Errors
/// [`TlsFileError`] when `extra` cannot be used.
pub fn client(extra: Option<&Path>) -> Result<Arc<ClientConfig>, TlsFileError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = extra {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|_| TlsFileError::NoCertificate {
                    path: path.to_owned(),
                })?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("this provider has the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_from_the_compiled_in_roots() {
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
