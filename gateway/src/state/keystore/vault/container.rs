//! The container's JSON: format, protection, body and checksum; nothing here knows a key.

use std::io::{self, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::state::keystore::KeystoreError;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Container {
    pub(super) format: String,
    pub(super) protection: Protection,
    pub(super) body: String,
    /// SHA-256 in hexadecimal; see [`Container::sum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
}

impl Container {
    pub(super) fn new(format: &str, protection: Protection, body: &[u8]) -> Self {
        let mut container = Self {
            format: format.to_owned(),
            protection,
            body: STANDARD.encode(body),
            checksum: None,
        };
        container.checksum = Some(container.sum(format));
        container
    }

    /// The checksum over format, protection and body, as a JSON list.
    fn sum(&self, format: &str) -> String {
        let mut sum = Summing(Sha256::new());
        serde_json::to_writer(&mut sum, &(format, &self.protection, &self.body))
            .expect("texts and numbers always become JSON");
        hex::encode(sum.0.finalize())
    }

    /// Whether the checksum, if there is one, fits the content under this format.
    fn is_whole(&self, format: &str) -> bool {
        let sum = self.checksum.as_ref();
        sum.is_none_or(|sum| *sum == self.sum(format))
    }
}

/// Sums what is written to it.
struct Summing(Sha256);

impl Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Protection {
    None,
    Passphrase {
        kdf: Kdf,
        memory_kib: u32,
        passes: u32,
        salt: String,
        nonce: String,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kdf {
    Argon2id,
}

/// Reads a container of this format.
pub(super) fn read(format: &str, path: &Path, json: &[u8]) -> Result<Container, KeystoreError> {
    /// Only the format: a later one may have other fields.
    #[derive(Deserialize)]
    struct Named {
        format: String,
    }
    let malformed = || KeystoreError::Malformed {
        path: path.to_owned(),
    };
    let named: Named = serde_json::from_slice(json).map_err(|_| malformed())?;
    let container: Option<Container> = serde_json::from_slice(json).ok();
    let container = container.filter(|container| container.is_whole(format));
    if named.format == format {
        return container.ok_or_else(malformed);
    }
    // With a checksum that fits this version's name, the name itself is what was damaged.
    let is_ours = container.is_some_and(|container| container.checksum.is_some());
    if is_ours || !is_later(&named.format, format) {
        return Err(malformed());
    }
    Err(KeystoreError::NewerFormat {
        path: path.to_owned(),
    })
}

/// Whether a name differs from that of this version by a higher number at its end.
fn is_later(named: &str, format: &str) -> bool {
    let parts = |name: &str| {
        let (kind, version) = name.rsplit_once('-')?;
        Some((kind.to_owned(), version.parse::<u32>().ok()?))
    };
    match (parts(named), parts(format)) {
        (Some((theirs, later)), Some((ours, version))) => theirs == ours && later > version,
        _ => false,
    }
}

/// Whether these bytes are a container of any kind: damaged or whole, not what an earlier version wrote in the clear.
pub(in crate::state) fn is_container(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{") && {
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Container>();
        matches!(values.next(), Some(Ok(_)))
    }
}

/// Whether a file needs a passphrase.
pub(in crate::state) fn is_encrypted(path: &Path, json: &[u8]) -> Result<bool, KeystoreError> {
    Ok(matches!(
        read(super::FORMAT, path, json)?.protection,
        Protection::Passphrase { .. }
    ))
}
