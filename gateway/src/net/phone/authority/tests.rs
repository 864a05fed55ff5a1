//! The authority as verifiers see it: rustls in this process, and OpenSSL's program.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;
use crate::state::secret::Secret;

const NOW: Duration = Duration::from_secs(1_795_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse().unwrap())
}

fn own() -> Vec<SanType> {
    vec![
        dns("localhost"),
        ip("127.0.0.1"),
        ip("::1"),
        dns("pbx.example.org"),
    ]
}

/// A certificate for this name that the authority signs.
fn leaf(
    issuer: &Issuer<'static, KeyPair>,
    name: SanType,
    now: Duration,
) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Ringfence");
    params.subject_alt_names = vec![name];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_life(&mut params, now, 30 * DAY);
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, issuer).unwrap().der().clone()
}

fn rustls_accepts(authority: &Path, leaf: &CertificateDer<'_>, name: &str, now: Duration) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).unwrap())
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let name = ServerName::try_from(name).unwrap();
    let now = UnixTime::since_unix_epoch(now);
    let verified = verifier
        .build()
        .unwrap()
        .verify_server_cert(leaf, &[], &name, &[], now);
    verified.is_ok()
}

fn openssl_accepts(authority: &Path, leaf: &CertificateDer<'_>, now: Duration) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("leaf.der");
    std::fs::write(&file, leaf).unwrap();
    let pem = Command::new("openssl")
        .args(["x509", "-inform", "DER", "-in"])
        .arg(&file)
        .output()
        .unwrap();
    let leaf = folder.path().join("leaf.pem");
    std::fs::write(&leaf, pem.stdout).unwrap();
    let verified = Command::new("openssl")
        .args(["verify", "-purpose", "sslserver", "-attime"])
        .arg(now.as_secs().to_string())
        .arg("-CAfile")
        .args([authority, &leaf])
        .output()
        .unwrap();
    verified.status.success()
}

#[test]
fn a_certificate_for_another_name_by_this_authority_is_refused_by_rustls_and_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = open(&folder.path().into(), &own(), NOW).unwrap();
    let file = authority_file(folder.path());
    for (name, text) in [
        (dns("localhost"), "localhost"),
        (dns("pbx.example.org"), "pbx.example.org"),
        (ip("127.0.0.1"), "127.0.0.1"),
        (ip("::1"), "::1"),
    ] {
        let leaf = leaf(&issuer, name, NOW);
        assert!(rustls_accepts(&file, &leaf, text, NOW), "{text}");
        assert!(openssl_accepts(&file, &leaf, NOW), "{text}");
    }
    for (name, text) in [
        (dns("bank.example"), "bank.example"),
        (dns("example.org"), "example.org"),
        (dns("192.0.2.1"), "192.0.2.1"),
    ] {
        let leaf = leaf(&issuer, name, NOW);
        assert!(!rustls_accepts(&file, &leaf, text, NOW), "{text}");
        assert!(!openssl_accepts(&file, &leaf, NOW), "{text}");
    }
}

#[test]
fn the_authority_is_made_once_lives_two_years_and_its_key_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = open(&folder.path().into(), &own(), NOW).unwrap();
    let first = std::fs::read(authority_file(folder.path())).unwrap();
    open(&folder.path().into(), &own(), NOW + 300 * DAY).unwrap();
    assert_eq!(std::fs::read(authority_file(folder.path())).unwrap(), first);
    let mode = std::fs::metadata(folder.path().join(FILE)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let late = NOW + 731 * DAY;
    let leaf = leaf(&issuer, dns("localhost"), late);
    let file = authority_file(folder.path());
    assert!(!openssl_accepts(&file, &leaf, late));
}

#[test]
fn a_phone_with_the_old_file_goes_on_until_that_ends_and_one_with_the_new_file_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::from(folder.path());
    open(&state, &own(), NOW).unwrap();
    let file = authority_file(folder.path());
    let old = folder.path().join("old.pem");
    std::fs::copy(&file, &old).unwrap();
    let later = NOW + 400 * DAY;
    let issuer = open(&state, &own(), later).unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), std::fs::read(&old).unwrap());
    for (now, old_accepts) in [(later, true), (NOW + 740 * DAY, false)] {
        let leaf = leaf(&issuer, dns("localhost"), now);
        // rustls takes what it is told to trust without an end.
        assert_eq!(openssl_accepts(&old, &leaf, now), old_accepts);
        assert!(rustls_accepts(&file, &leaf, "localhost", now));
        assert!(openssl_accepts(&file, &leaf, now));
    }
}

#[test]
fn other_names_make_another_certificate_of_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::from(folder.path());
    open(&state, &own(), NOW).unwrap();
    let first = std::fs::read(authority_file(folder.path())).unwrap();
    let more = [own(), vec![dns("desk.example.org")]].concat();
    let issuer = open(&state, &more, NOW).unwrap();
    let file = authority_file(folder.path());
    assert_ne!(std::fs::read(&file).unwrap(), first);
    let leaf = leaf(&issuer, dns("desk.example.org"), NOW);
    assert!(rustls_accepts(&file, &leaf, "desk.example.org", NOW));
    std::fs::write(&file, first).unwrap();
    assert!(!rustls_accepts(&file, &leaf, "desk.example.org", NOW));
}

#[test]
fn under_a_passphrase_the_key_cannot_be_read_and_the_earlier_one_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Some(Secret::new("correct horse".to_owned()));
    write_private(
        &folder.path().join(EARLIER_KEY),
        b"-----BEGIN PRIVATE KEY-----",
    )
    .unwrap();
    let state = StateFolder::open(folder.path(), secret);
    open(&state, &own(), NOW).unwrap();
    let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert!(!text.contains("PRIVATE") && text.contains("passphrase"));
    assert!(!folder.path().join(EARLIER_KEY).exists());
    open(&state, &own(), NOW).unwrap();
}

#[test]
fn lengths_are_those_of_der() {
    for (length, head) in [
        (0, &[4, 0][..]),
        (127, &[4, 127]),
        (128, &[4, 0x81, 128]),
        (256, &[4, 0x82, 1, 0]),
    ] {
        let bytes = der(4, &vec![7; length]);
        assert_eq!(
            (&bytes[..head.len()], bytes.len()),
            (head, head.len() + length)
        );
    }
}
