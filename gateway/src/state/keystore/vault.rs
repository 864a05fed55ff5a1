//! The container of every file: JSON that says its format and how its body is protected.
//!
//! With a passphrase the body is ChaCha20-Poly1305 (RFC 8439) under a key from Argon2id (RFC 9106, second recommended option: 64 MiB,
//! 3 passes, here with 1 lane). All files of a folder share one salt, so that many lines cost one derivation; every write draws a
//! fresh nonce. The format's name and the file's name are authenticated with the body, so that files cannot trade places.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand::Rng;
use serde::{Deserialize, Serialize};
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
struct Container {
    format: String,
    protection: Protection,
    body: String,
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
            Container {
                format: self.format.to_owned(),
                protection: Protection::None,
                body: STANDARD.encode(body),
            }
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
        Ok(Container {
            format: self.format.to_owned(),
            protection,
            body: STANDARD.encode(sealed),
        })
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
        opened
            .map(Zeroizing::new)
            .map_err(|_| KeystoreError::WrongPassphrase {
                path: path.to_owned(),
            })
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
    let malformed = |_| KeystoreError::Malformed {
        path: path.to_owned(),
    };
    let named: Named = serde_json::from_slice(json).map_err(malformed)?;
    if named.format != format {
        return Err(KeystoreError::NewerFormat {
            path: path.to_owned(),
        });
    }
    serde_json::from_slice(json).map_err(malformed)
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
    fn every_changed_byte_of_the_body_is_noticed() {
        let mut vault = vault();
        let sealed = vault.seal(path(), b"secret keys").unwrap();
        let mut container = read(FORMAT, path(), &sealed).unwrap();
        let body = STANDARD.decode(&container.body).unwrap();
        for at in 0..body.len() {
            let mut bad = body.clone();
            bad[at] ^= 1;
            container.body = STANDARD.encode(&bad);
            let json = serde_json::to_vec(&container).unwrap();
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
