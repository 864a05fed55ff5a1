//! TLS of a server: a certificate chain and its key from two PEM files, read again when they change, so that the program that renews
//! them need not know this one. A change that cannot be used leaves the certificate before it in force.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{error, info};
use zeroize::Zeroizing;

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// A chain has a few kilobytes; a wrong path should not fill the memory.
const MAX_FILE: u64 = 1024 * 1024;

/// Where certificate and key are; both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The book's certificate, and those that lead to a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why there is no TLS with these files.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// No certificate in the file of certificates.
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No private key in the file of the key.
    #[error("{} holds no private key in PEM form", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The two do not belong together, or are of a kind that rustls does not know.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(tokio_rustls::rustls::Error),
}

/// The certificate in force.
pub struct ReloadedCertificate {
    files: TlsFiles,
    current: RwLock<Arc<Loaded>>,
}

impl fmt::Debug for ReloadedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadedCertificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

struct Loaded {
    config: Arc<ServerConfig>,
    digest: [u8; 32],
}

impl ReloadedCertificate {
    /// Reads the files.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(load(&files)?));
        Ok(Self { files, current })
    }

    /// Accepts connections with the certificate that is in force now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.loaded().config))
    }

    /// Takes the files over if they changed. True if they did.
    pub fn read_again(&self) -> Result<bool, TlsError> {
        let loaded = load(&self.files)?;
        if loaded.digest == self.loaded().digest {
            return Ok(false);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(true)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looks at the files once a minute, and when the process is sent SIGHUP, which ends it no more from the call on.
pub fn renew(certificate: Arc<ReloadedCertificate>) -> impl Future<Output = ()> {
    look_again_and_again(certificate, Asked::new())
}

async fn look_again_and_again(certificate: Arc<ReloadedCertificate>, mut asked: Asked) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = asked.again() => {}
        }
        let certificate = Arc::clone(&certificate);
        match spawn_blocking(move || certificate.read_again()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => info!("the TLS certificate was renewed"),
            Ok(Err(cause)) => error!(%cause, "the TLS certificate before stays in force"),
            Err(_) => return,
        }
    }
}

/// What a service manager sends when it wants files read again.
struct Asked(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Asked {
    #[cfg(unix)]
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::hangup()).ok())
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self()
    }

    async fn again(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

fn load(files: &TlsFiles) -> Result<Loaded, TlsError> {
    let (chain, key) = (slurp(&files.certificate)?, slurp(&files.key)?);
    let digest = Sha256::new()
        .chain_update(Sha256::digest(&chain))
        .chain_update(Sha256::digest(&key))
        .finalize()
        .0;
    let none = || TlsError::NoCertificate {
        path: files.certificate.clone(),
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|_| none())?;
    if chain.is_empty() {
        return Err(none());
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey {
        path: files.key.clone(),
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("this provider has the suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded {
        config: Arc::new(config),
        digest,
    })
}

fn slurp(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |cause| TlsError::Read {
        path: path.to_owned(),
        cause,
    };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .map_err(failed)?
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    fn write_pair(folder: &TempDir) -> TlsFiles {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
        };
        std::fs::write(&files.certificate, cert.pem()).unwrap();
        std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn files_are_taken_over_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = ReloadedCertificate::read(write_pair(&folder)).unwrap();
        assert!(!certificate.read_again().unwrap());
        let before = certificate.loaded().digest;
        write_pair(&folder);
        assert!(certificate.read_again().unwrap());
        assert_ne!(certificate.loaded().digest, before);
    }

    #[test]
    fn a_change_that_cannot_be_used_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(&folder);
        let certificate = ReloadedCertificate::read(files.clone()).unwrap();
        let before = certificate.loaded().digest;
        let key = std::fs::read(&files.key).unwrap();
        for spoilt in ["", "no key"] {
            std::fs::write(&files.key, spoilt).unwrap();
            assert!(matches!(
                certificate.read_again(),
                Err(TlsError::NoKey { .. })
            ));
        }
        // A new chain whose key has not come yet.
        write_pair(&folder);
        std::fs::write(&files.key, key).unwrap();
        assert!(matches!(
            certificate.read_again(),
            Err(TlsError::Unusable(_))
        ));
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(matches!(
            certificate.read_again(),
            Err(TlsError::Read { .. })
        ));
        assert_eq!(certificate.loaded().digest, before);
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(&folder);
        std::fs::write(&files.certificate, "nothing").unwrap();
        let Err(error) = ReloadedCertificate::read(files) else {
            panic!("there is no certificate");
        };
        assert!(error.to_string().contains("chain.pem"), "{error}");
    }
}
