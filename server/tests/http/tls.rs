//! TLS of the book's own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use ringfence_daemon::tls::TlsFiles;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{Answer, config, get_request};

/// Writes a certificate for `localhost` and its key, and answers the certificate.
fn write_pair(files: &TlsFiles) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&files.certificate, cert.pem()).unwrap();
    fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("chain.pem"),
        key: folder.join("key.pem"),
    }
}

async fn ask(book: &PhoneBook, trusted: &CertificateDer<'static>) -> Option<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(book.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .ok()?;
    let request = get_request("/api/v1/newest", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    Some(Answer::read(&bytes))
}

#[tokio::test]
async fn a_book_with_a_certificate_speaks_tls_and_takes_a_renewed_one_over() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let first = write_pair(&files);
    let config = Config {
        tls: Some(files.clone()),
        ..config()
    };
    let book = PhoneBook::start(config).await.unwrap();
    assert!(book.url().starts_with("https://"));
    assert_eq!(ask(&book, &first).await.unwrap().status, 200);
    let mut plain = TcpStream::connect(book.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    let second = write_pair(&files);
    let me = std::process::id().to_string();
    let told = Command::new("sh")
        .args(["-c", "kill -HUP \"$0\"", &me])
        .status();
    assert!(told.unwrap().success());
    let begun = Instant::now();
    while ask(&book, &second).await.is_none() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the old certificate is still shown"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ask(&book, &first).await.is_none());
    book.stop().await;
}

#[tokio::test]
async fn a_missing_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        tls: Some(files(folder.path())),
        ..config()
    };
    let error = PhoneBook::start(config).await.unwrap_err().to_string();
    assert!(error.contains("chain.pem"), "{error}");
}
