//! The container of every file: JSON that says its format and how its body is protected.
//!
//! With a passphrase the body is ChaCha20-Poly1305 (RFC 8439) under a key from Argon2id (RFC 9106, second recommended option: 64 MiB,
//! 3 passes, here with 1 lane). All files of a folder share one salt, so that many lines cost one derivation; every write draws a
//! fresh nonce. The format's name and the file's name are authenticated with the body, so that files cannot trade places.
//!
//! A checksum over all of it, which has no key, tells damage from a wrong passphrase, and finds it where there is none. It protects
//! from no one who writes the file on purpose. Files of earlier versions have none and are read.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::KeystoreError;
use crate::state::secret::Secret;

const FORMAT: &str = "ringfence-line-1";
/// The same for a backup, so that neither is ever taken for the other.
const BACKUP: &str = "ringfence-backup-1";
const SALT: usize = 16;
const NONCE: usize = 12;
/// 64 MiB, in KiB.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What a file may ask for at most: a hostile one must not take all memory or hours.
const MOST_MEMORY: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 32;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Container {
    format: String,
    protection: Protection,
    body: String,
    /// SHA-256 in hexadecimal; see [`Container::sum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl Container {
    fn new(format: &str, protection: Protection, body: &[u8]) -> Self {
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
        let fields = serde_json::to_vec(&(format, &self.protection, &self.body));
        let fields = Zeroizing::new(fields.expect("texts and numbers always become JSON"));
        hex::encode(Sha256::digest(&*fields))
    }

    /// Whether the checksum, if there is one, fits the content under this format.
    fn is_whole(&self, format: &str) -> bool {
        let sum = self.checksum.as_ref();
        sum.is_none_or(|sum| *sum == self.sum(format))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Protection {
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
enum Kdf {
    Argon2id,
}

/// What a key is derived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    memory_kib: u32,
    passes: u32,
    salt: [u8; SALT],
}

/// Seals and opens bodies under one passphrase, or none.
#[derive(Debug)]
pub(in crate::state) struct Vault {
    format: &'static str,
    passphrase: Option<Secret>,
    memory_kib: u32,
    passes: u32,
    derived: Option<(Terms, Key)>,
    /// The passphrase has opened a file, so it is the right one.
    has_opened: bool,
}

struct Key(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Vault {
    pub(in crate::state) fn new(passphrase: Option<Secret>) -> Self {
        let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
        Self {
            format: FORMAT,
            passphrase,
            memory_kib: MEMORY,
            passes: PASSES,
            derived: None,
            has_opened: false,
        }
    }

    /// Seals and opens backups.
    pub(in crate::state) fn of_backups(passphrase: Secret) -> Self {
        Self {
            format: BACKUP,
            ..Self::new(Some(passphrase))
        }
    }

    /// Another one under the same passphrase. It derives its key itself.
    pub(in crate::state) fn again(&self) -> Self {
        Self {
            format: self.format,
            passphrase: self.passphrase.clone(),
            memory_kib: self.memory_kib,
            passes: self.passes,
            derived: None,
            has_opened: self.has_opened,
        }
    }

    /// The cheapest derivation there is.
    #[cfg(test)]
    pub(in crate::state) fn quick(passphrase: Option<Secret>) -> Self {
        Self {
            memory_kib: 8,
            passes: 1,
            ..Self::new(passphrase)
        }
    }

    /// The file's bytes for `body`.
    pub(in crate::state) fn seal(
        &mut self,
        path: &Path,
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let container = if self.passphrase.is_some() {
            self.encrypt(path, body)?
        } else {
            Container::new(self.format, Protection::None, body)
        };
        let json = serde_json::to_vec_pretty(&container)
            .expect("texts and numbers always become JSON in memory");
        Ok(Zeroizing::new(json))
    }

    fn encrypt(&mut self, path: &Path, body: &[u8]) -> Result<Container, KeystoreError> {
        let terms = self.derived.as_ref().map_or_else(
            || {
                let mut salt = [0; SALT];
                rand::rng().fill_bytes(&mut salt);
                Terms {
                    memory_kib: self.memory_kib,
                    passes: self.passes,
                    salt,
                }
            },
            |(terms, _)| *terms,
        );
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let label = label(self.format, path);
        let sealed = self.cipher(path, terms)?.encrypt(
            &Nonce::from(nonce),
            Payload {
                msg: body,
                aad: &label,
            },
        );
        let sealed = sealed.map_err(|_| KeystoreError::Malformed {
            path: path.to_owned(),
        })?;
        let protection = Protection::Passphrase {
            kdf: Kdf::Argon2id,
            memory_kib: terms.memory_kib,
            passes: terms.passes,
            salt: STANDARD.encode(terms.salt),
            nonce: STANDARD.encode(nonce),
        };
        Ok(Container::new(self.format, protection, &sealed))
    }

    /// The body in a file's bytes.
    pub(in crate::state) fn open(
        &mut self,
        path: &Path,
        json: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let malformed = || KeystoreError::Malformed {
            path: path.to_owned(),
        };
        let container = read(self.format, path, json)?;
        let body = STANDARD.decode(&container.body).map_err(|_| malformed())?;
        let Protection::Passphrase {
            kdf: Kdf::Argon2id,
            memory_kib,
            passes,
            salt,
            nonce,
        } = container.protection
        else {
            return match self.passphrase {
                None => Ok(Zeroizing::new(body)),
                Some(_) => Err(KeystoreError::NotEncrypted {
                    path: path.to_owned(),
                }),
            };
        };
        if memory_kib > MOST_MEMORY || passes > MOST_PASSES {
            return Err(malformed());
        }
        let salt = bytes(&salt).ok_or_else(malformed)?;
        let nonce: [u8; NONCE] = bytes(&nonce).ok_or_else(malformed)?;
        let label = label(self.format, path);
        let cipher = self.cipher(
            path,
            Terms {
                memory_kib,
                passes,
                salt,
            },
        )?;
        let opened = cipher.decrypt(
            &Nonce::from(nonce),
            Payload {
                msg: &body,
                aad: &label,
            },
        );
        match opened {
            Ok(body) => {
                self.has_opened = true;
                Ok(Zeroizing::new(body))
            }
            // A file of an earlier version, whose damage only the right passphrase shows.
            Err(_) if self.has_opened && container.checksum.is_none() => Err(malformed()),
            Err(_) => Err(KeystoreError::WrongPassphrase {
                path: path.to_owned(),
            }),
        }
    }

    fn cipher(&mut self, path: &Path, terms: Terms) -> Result<ChaCha20Poly1305, KeystoreError> {
        let Some(passphrase) = &self.passphrase else {
            return Err(KeystoreError::PassphraseNeeded {
                path: path.to_owned(),
            });
        };
        let (_, key) = match self.derived.take().filter(|(known, _)| *known == terms) {
            Some(derived) => self.derived.insert(derived),
            None => {
                let key = derive(passphrase, terms).ok_or_else(|| KeystoreError::Malformed {
                    path: path.to_owned(),
                })?;
                self.derived.insert((terms, key))
            }
        };
        Ok(ChaCha20Poly1305::new((&*key.0).into()))
    }
}

fn derive(passphrase: &Secret, terms: Terms) -> Option<Key> {
    let params = Params::new(terms.memory_kib, terms.passes, 1, Some(32)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), &terms.salt, &mut *key)
        .ok()?;
    Some(Key(key))
}

/// Format and file name: what the body may not be separated from.
fn label(format: &str, path: &Path) -> Vec<u8> {
    let name = path
        .file_name()
        .map(|name| name.as_encoded_bytes())
        .unwrap_or_default();
    [format.as_bytes(), b"\0", name].concat()
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn read(format: &str, path: &Path, json: &[u8]) -> Result<Container, KeystoreError> {
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

/// Whether a file needs a passphrase.
pub(in crate::state) fn is_encrypted(path: &Path, json: &[u8]) -> Result<bool, KeystoreError> {
    Ok(matches!(
        read(FORMAT, path, json)?.protection,
        Protection::Passphrase { .. }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::quick(Some(Secret::new("correct horse".to_owned())))
    }

    fn path() -> &'static Path {
        Path::new("/state/lines/20001.json")
    }

    #[test]
    fn a_file_with_any_byte_changed_or_cut_off_has_the_same_content_or_is_damaged() {
        let damaged = KeystoreError::Malformed {
            path: path().to_owned(),
        };
        for passphrase in [None, Some("correct horse")] {
            let secret = passphrase.map(|text| Secret::new(text.to_owned()));
            let mut vault = Vault::quick(secret);
            let sealed = vault.seal(path(), b"secret keys, and \"more\"").unwrap();
            let mut assert_noticed = |bytes: &[u8], change: &str| match vault.open(path(), bytes) {
                Ok(body) => assert_eq!(&**body, b"secret keys, and \"more\"", "{change}"),
                Err(error) => assert_eq!(error, damaged, "{change}"),
            };
            for at in 0..sealed.len() {
                assert_noticed(&sealed[..at], &format!("cut at {at}"));
                let mut bad = sealed.to_vec();
                for byte in 0..=u8::MAX {
                    bad[at] = byte;
                    assert_noticed(&bad, &format!("{byte} at {at}"));
                }
            }
        }
    }

    #[test]
    fn a_file_without_a_checksum_is_read_and_a_right_passphrase_shows_its_damage() {
        let mut vault = vault();
        let sealed = vault.seal(path(), b"secret keys").unwrap();
        let mut container = read(FORMAT, path(), &sealed).unwrap();
        container.checksum = None;
        let old = serde_json::to_vec(&container).unwrap();
        assert_eq!(vault.open(path(), &old).unwrap().as_slice(), b"secret keys");
        container.body.replace_range(0..1, "/");
        let bad = serde_json::to_vec(&container).unwrap();
        let path = path().to_owned();
        let damaged = KeystoreError::Malformed { path: path.clone() };
        assert_eq!(vault.again().open(&path, &bad), Err(damaged));
        let mut untried = self::vault();
        let wrong = KeystoreError::WrongPassphrase { path: path.clone() };
        assert_eq!(untried.open(&path, &bad), Err(wrong.clone()));
        let mut other = Vault::quick(Some(Secret::new("battery".to_owned())));
        assert_eq!(other.open(&path, &sealed), Err(wrong));
    }

    #[test]
    fn every_changed_byte_of_the_body_is_noticed() {
        let mut vault = vault();
        let sealed = vault.seal(path(), b"secret keys").unwrap();
        let container = read(FORMAT, path(), &sealed).unwrap();
        let body = STANDARD.decode(&container.body).unwrap();
        for at in 0..body.len() {
            let mut bad = body.clone();
            bad[at] ^= 1;
            let altered = Container::new(FORMAT, container.protection.clone(), &bad);
            let json = serde_json::to_vec(&altered).unwrap();
            assert_eq!(
                vault.open(path(), &json),
                Err(KeystoreError::WrongPassphrase {
                    path: path().to_owned()
                })
            );
        }
    }

    #[test]
    fn two_files_cannot_trade_places() {
        let mut vault = vault();
        let sealed = vault.seal(path(), b"secret keys").unwrap();
        let other = Path::new("/state/lines/20002.json");
        assert!(vault.open(path(), &sealed).is_ok());
        assert_eq!(
            vault.open(other, &sealed),
            Err(KeystoreError::WrongPassphrase {
                path: other.to_owned()
            })
        );
    }

    #[test]
    fn no_nonce_is_used_twice_and_one_salt_serves_all_files() {
        let mut vault = vault();
        let (a, b) = (
            vault.seal(path(), b"x").unwrap(),
            vault.seal(path(), b"x").unwrap(),
        );
        let parts = |json: &[u8]| match read(FORMAT, path(), json).unwrap().protection {
            Protection::Passphrase { salt, nonce, .. } => (salt, nonce),
            Protection::None => panic!("not encrypted"),
        };
        let ((salt_a, nonce_a), (salt_b, nonce_b)) = (parts(&a), parts(&b));
        assert_ne!(nonce_a, nonce_b);
        assert_eq!(salt_a, salt_b);
    }

    #[test]
    fn a_file_that_asks_for_all_memory_is_refused() {
        let mut vault = vault();
        let sealed = vault.seal(path(), b"x").unwrap();
        let text = String::from_utf8(sealed.to_vec())
            .unwrap()
            .replace("\"memory_kib\": 8", "\"memory_kib\": 4294967295");
        assert_eq!(
            vault.open(path(), text.as_bytes()),
            Err(KeystoreError::Malformed {
                path: path().to_owned()
            })
        );
    }

    #[test]
    fn a_later_format_is_told_from_a_damaged_file() {
        let later = br#"{"format":"ringfence-line-2","new":true}"#;
        assert_eq!(
            vault().open(path(), later),
            Err(KeystoreError::NewerFormat {
                path: path().to_owned()
            })
        );
        assert_eq!(
            vault().open(path(), b"{}"),
            Err(KeystoreError::Malformed {
                path: path().to_owned()
            })
        );
    }
}
