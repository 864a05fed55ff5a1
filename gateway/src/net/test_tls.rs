//! Tests only: TLS with a certificate that signs itself, and a server that sends back what it gets over it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// TLS for a server of these names, and its certificate as PEM.
pub(crate) fn self_signed(names: &[&str]) -> (TlsAcceptor, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

/// The server, as its clients know it.
pub(crate) struct TlsEcho {
    pub(crate) addr: SocketAddr,
    certificate: NamedTempFile,
}

impl TlsEcho {
    /// Starts it on loopback, with a certificate for `name`.
    pub(crate) async fn start(name: &str) -> Self {
        let (acceptor, pem) = self_signed(&[name]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(acceptor.clone(), stream));
            }
        });
        let certificate = NamedTempFile::new().unwrap();
        std::fs::write(certificate.path(), pem).unwrap();
        Self { addr, certificate }
    }

    /// The file with its certificate, which signs itself.
    pub(crate) fn ca_file(&self) -> &Path {
        self.certificate.path()
    }
}

/// Ends with the connection, also with one whose client refuses the certificate.
async fn echo(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut bytes = vec![0; 100_000];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        if stream.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
