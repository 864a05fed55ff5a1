//! The certificate authority that phones are told to trust: one for each engine, at rest in the state folder, sealed if there is a passphrase.
//!
//! A thief of its key could pretend to a phone to be the engine, and no server with another name: the authority is good for TLS servers
//! with the host names of this engine alone (name constraints, RFC 5280 section 4.2.1.10), and for two years. With a year left, or with
//! other names, its certificate is made anew with the same key: phones that have the old file go on until that ends, and reject the
//! engine only if they dial a name that the old file lacks.
//!
//! Addresses are not constrained. OpenSSL before 1.1.0, which phones still have, refuses any certificate with an address under an authority
//! that constrains addresses, and phones dial addresses.
//!
//! RFC 5280 wants name constraints to be critical. These are not, because Linphone's mbedTLS knows none and refuses a file with a critical
//! extension that it does not know. OpenSSL, GnuTLS and rustls keep to them all the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::certificate::CertificateError;
use crate::state::folder::StateFolder;
use crate::state::keystore::write_private;

/// How long a phone may trust one certificate of the authority, and with how much of that left the next one is made.
const LIFE: Duration = Duration::from_secs(2 * 365 * 86_400);
const RENEW: Duration = Duration::from_secs(365 * 86_400);
/// Clocks of phones may be behind ours.
const SLACK: Duration = Duration::from_secs(86_400);
/// Authority and key, in the state folder.
const FILE: &str = "phones-ca.json";
/// The authority's key in a folder of an earlier version, good for every name.
const EARLIER_KEY: &str = "phones-ca.key";
/// A key and a certificate with 64 names.
const MOST_BYTES: u64 = 64 * 1024;
/// The name constraints' object identifier.
const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];

/// The file of the authority's certificate, for phones. It is public.
#[must_use]
pub(crate) fn authority_file(folder: &Path) -> PathBuf {
    folder.join("phones-ca.pem")
}

/// What is saved.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// PKCS #8 in PEM.
    key: String,
    /// In PEM.
    certificate: String,
    /// The certificate's end, Unix seconds.
    until: u64,
    /// The name constraints.
    names: String,
}

/// The authority of a state folder for these names, made or made anew if need be. `now` is the time since 1970.
pub(super) fn open(
    state: &StateFolder,
    names: &[SanType],
    now: Duration,
) -> Result<Issuer<'static, KeyPair>, CertificateError> {
    let unfit = || CertificateError::Key {
        path: state.join(FILE),
    };
    let stored: Option<Stored> = match state.read(Path::new(FILE), MOST_BYTES)? {
        Some(json) => Some(serde_json::from_slice(&json).map_err(|_| unfit())?),
        None => None,
    };
    let key = match &stored {
        Some(stored) => KeyPair::from_pem(&stored.key).map_err(|_| unfit())?,
        None => KeyPair::generate().map_err(making)?,
    };
    let permitted = constraints(names);
    let wanted = hex::encode(&permitted);
    let is_good = |stored: &Stored| {
        stored.names == wanted && Duration::from_secs(stored.until) > now.saturating_add(RENEW)
    };
    let certificate = match stored.filter(is_good) {
        Some(stored) => stored.certificate.clone(),
        None => make(state, &key, (permitted, wanted), now)?,
    };
    let public = authority_file(state);
    if std::fs::read(&public).ok().as_deref() != Some(certificate.as_bytes()) {
        if public.exists() {
            tracing::warn!(
                "phones-ca.pem is a new one: phones that check the engine's certificate need it, at the latest when the old one ends"
            );
        }
        write_private(&public, certificate.as_bytes())?;
    }
    // It was good for every name; what phones trusted it for is now refused.
    std::fs::remove_file(state.join(EARLIER_KEY)).ok();
    Ok(Issuer::new(params(), key))
}

/// Makes the certificate and saves it with its key.
fn make(
    state: &StateFolder,
    key: &KeyPair,
    (permitted, names): (Vec<u8>, String),
    now: Duration,
) -> Result<String, CertificateError> {
    let mut params = params();
    set_life(&mut params, now, LIFE);
    let extension = CustomExtension::from_oid_content(NAME_CONSTRAINTS, permitted);
    params.custom_extensions = vec![extension];
    let certificate = params.self_signed(key).map_err(making)?.pem();
    let stored = Stored {
        key: key.serialize_pem(),
        certificate: certificate.clone(),
        until: now.saturating_add(LIFE).as_secs(),
        names,
    };
    let json = serde_json::to_vec(&stored).expect("texts and numbers always become JSON");
    state.write(Path::new(FILE), &Zeroizing::new(json))?;
    Ok(certificate)
}

/// The authority's parameters without constraints and dates. Certificates under it refer to it by these.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Ringfence: phones of one engine");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub(super) fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From a day before `now` on.
pub(super) fn set_life(params: &mut CertificateParams, now: Duration, life: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SLACK);
    params.not_after = epoch + now + life;
}

pub(super) fn making(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Making(error.to_string())
}

/// NameConstraints with the host names among these as the only permitted ones, in DER (X.690).
fn constraints(names: &[SanType]) -> Vec<u8> {
    let hosts = names.iter().filter_map(|name| match name {
        SanType::DnsName(host) => Some(der(0x82, host.as_str().as_bytes())),
        _ => None,
    });
    let subtrees: Vec<u8> = hosts.flat_map(|host| der(0x30, &host)).collect();
    der(0x30, &der(0xa0, &subtrees))
}

/// Tag, length, content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let digits = length.get(zeros..).unwrap_or_default();
    let mut bytes = vec![tag];
    match (u8::try_from(content.len()), u8::try_from(digits.len())) {
        (Ok(short @ 0..0x80), _) => bytes.push(short),
        (_, digits_in_it) => {
            bytes.push(0x80 | digits_in_it.unwrap_or_default());
            bytes.extend_from_slice(digits);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests;
