//! The container of every file: JSON that says its format and how its body is protected.
//!
//! With a passphrase the body is ChaCha20-Poly1305 (RFC 8439) under a key from Argon2id (RFC 9106, second recommended option: 64 MiB,
//! 3 passes, here with 1 lane). All files of a folder share the salt in its file `salt`, so that many lines cost one derivation; every
//! write draws a fresh nonce. The format's name and the file's name are authenticated with the body, so that files cannot trade places.
//!
//! A file names the terms of its derivation, and is read before they are authenticated. Terms other than this program's are refused: weaker
//! ones would let an attacker who can write one file have the passphrase tried cheaply, stronger ones take all memory or hours.
//!
//! Names of files that would tell something (a number, the hash of an activation code) are HMAC-SHA-256 (RFC 2104) under a key of their
//! own from the same derivation.
//!
//! A checksum over all of it, which has no key, tells damage from a wrong passphrase, and finds it where there is none. It protects
//! from no one who writes the file on purpose. Files of earlier versions have none and are read.

mod container;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hmac::{Hmac, KeyInit as _, Mac};
use rand::Rng;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeystoreError, file};
use crate::state::secret::Secret;
use container::{Container, Kdf, Protection, read};
pub(in crate::state) use container::{is_container, is_encrypted};

const FORMAT: &str = "ringfence-line-1";
/// The same for a backup, so that neither is ever taken for the other.
const BACKUP: &str = "ringfence-backup-1";
const SALT: usize = 16;
const NONCE: usize = 12;
/// 64 MiB, in KiB.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What a container has beside its body, at most.
const HEAD: usize = 1_024;
/// The file of the salt in a state folder. It is no secret; without it another one is drawn, and the files name their own.
const SALT_FILE: &str = "salt";
/// Keys that are kept: one, but for a folder of an earlier version, whose files had a salt each. The oldest one is forgotten.
const MOST_KEYS: usize = 8;
/// Bytes of a keyed name: as long as no two files of a folder will ever share.
const NAME: usize = 16;

/// Seals and opens bodies under one passphrase, or none. Clones share the derived keys.
#[derive(Clone, Debug)]
pub(in crate::state) struct Vault {
    format: &'static str,
    passphrase: Option<Secret>,
    memory_kib: u32,
    passes: u32,
    /// Where the salt is; a backup draws its own.
    salt_file: Option<PathBuf>,
    known: Arc<Mutex<Known>>,
}

/// What was derived so far.
#[derive(Debug, Default)]
struct Known {
    /// The salt under which files are written.
    salt: Option<[u8; SALT]>,
    keys: Vec<([u8; SALT], Key)>,
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
    /// For the files of a state folder.
    pub(in crate::state) fn new(state: &Path, passphrase: Option<Secret>) -> Self {
        Self {
            salt_file: Some(state.join(SALT_FILE)),
            ..Self::unsalted(FORMAT, passphrase)
        }
    }

    /// Seals and opens backups.
    pub(in crate::state) fn of_backups(passphrase: Secret) -> Self {
        Self::unsalted(BACKUP, Some(passphrase))
    }

    fn unsalted(format: &'static str, passphrase: Option<Secret>) -> Self {
        Self {
            format,
            passphrase: passphrase.filter(|passphrase| !passphrase.is_empty()),
            memory_kib: MEMORY,
            passes: PASSES,
            salt_file: None,
            known: Arc::default(),
        }
    }

    /// The cheapest derivation there is.
    #[cfg(test)]
    pub(in crate::state) fn quick(state: &Path, passphrase: Option<Secret>) -> Self {
        Self {
            memory_kib: 8,
            passes: 1,
            ..Self::new(state, passphrase)
        }
    }

    /// The same, of backups.
    #[cfg(test)]
    pub(in crate::state) fn quick_of_backups(passphrase: Secret) -> Self {
        Self {
            memory_kib: 8,
            passes: 1,
            ..Self::of_backups(passphrase)
        }
    }

    /// Whether there is a passphrase.
    pub(in crate::state) fn is_sealing(&self) -> bool {
        self.passphrase.is_some()
    }

    /// A file name that tells nothing of `text` without the passphrase; `kind` separates the folders.
    pub(in crate::state) fn name(&self, kind: &str, text: &[u8]) -> Result<String, KeystoreError> {
        let path = Path::new(kind);
        let salt = self.own_salt()?;
        let mut known = self.known();
        let key = self.key(&mut known, path, salt)?;
        let mac = |key: &[u8], parts: &[&[u8]]| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes()
        };
        let names = Zeroizing::new(mac(&*key.0, &[b"ringfence file names"]).to_vec());
        let full = mac(&names, &[kind.as_bytes(), b"\0", text]);
        Ok(hex::encode(full.get(..NAME).unwrap_or_default()))
    }

    /// The file's bytes for `body`.
    pub(in crate::state) fn seal(
        &self,
        path: &Path,
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let container = if self.passphrase.is_some() {
            self.encrypt(path, body)?
        } else {
            Container::new(self.format, Protection::None, body)
        };
        // Room for all of it: a vector that grows leaves copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(container.body.len() + HEAD));
        serde_json::to_writer_pretty(&mut *json, &container)
            .expect("texts and numbers always become JSON in memory");
        Ok(json)
    }

    fn encrypt(&self, path: &Path, body: &[u8]) -> Result<Container, KeystoreError> {
        let salt = self.own_salt()?;
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let label = label(self.format, path);
        let sealed = self.cipher(path, salt)?.encrypt(
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
            memory_kib: self.memory_kib,
            passes: self.passes,
            salt: STANDARD.encode(salt),
            nonce: STANDARD.encode(nonce),
        };
        Ok(Container::new(self.format, protection, &sealed))
    }

    /// The body in a file's bytes.
    pub(in crate::state) fn open(
        &self,
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
        if (memory_kib, passes) != (self.memory_kib, self.passes) {
            return Err(KeystoreError::OtherDerivation {
                path: path.to_owned(),
            });
        }
        let salt = bytes(&salt).ok_or_else(malformed)?;
        let nonce: [u8; NONCE] = bytes(&nonce).ok_or_else(malformed)?;
        let label = label(self.format, path);
        let cipher = self.cipher(path, salt)?;
        let opened = cipher.decrypt(
            &Nonce::from(nonce),
            Payload {
                msg: &body,
                aad: &label,
            },
        );
        match opened {
            Ok(body) => {
                self.known().has_opened = true;
                Ok(Zeroizing::new(body))
            }
            // A file of an earlier version, whose damage only the right passphrase shows.
            Err(_) if self.known().has_opened && container.checksum.is_none() => Err(malformed()),
            Err(_) => Err(KeystoreError::WrongPassphrase {
                path: path.to_owned(),
            }),
        }
    }

    fn cipher(&self, path: &Path, salt: [u8; SALT]) -> Result<ChaCha20Poly1305, KeystoreError> {
        let mut known = self.known();
        let key = self.key(&mut known, path, salt)?;
        Ok(ChaCha20Poly1305::new((&*key.0).into()))
    }

    /// The key for a salt, derived if need be. `path` is for the error.
    fn key<'a>(
        &self,
        known: &'a mut Known,
        path: &Path,
        salt: [u8; SALT],
    ) -> Result<&'a Key, KeystoreError> {
        let at = known.keys.iter().position(|(known, _)| *known == salt);
        let at = match (at, &self.passphrase) {
            (Some(at), _) => at,
            (None, None) => {
                return Err(KeystoreError::PassphraseNeeded {
                    path: path.to_owned(),
                });
            }
            (None, Some(passphrase)) => {
                let key = self.derive(passphrase, salt);
                let key = key.ok_or_else(|| KeystoreError::Malformed {
                    path: path.to_owned(),
                })?;
                if known.keys.len() >= MOST_KEYS {
                    known.keys.remove(0);
                }
                known.keys.push((salt, key));
                known.keys.len() - 1
            }
        };
        let (_, key) = known.keys.get(at).expect("found or pushed just now");
        Ok(key)
    }

    fn derive(&self, passphrase: &Secret, salt: [u8; SALT]) -> Option<Key> {
        let params = Params::new(self.memory_kib, self.passes, 1, Some(32)).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose().as_bytes(), &salt, &mut *key)
            .ok()?;
        Some(Key(key))
    }

    /// The salt of what is written: that of the folder, drawn at the first use.
    fn own_salt(&self) -> Result<[u8; SALT], KeystoreError> {
        if let Some(salt) = self.known().salt {
            return Ok(salt);
        }
        let mut fresh = [0; SALT];
        rand::rng().fill_bytes(&mut fresh);
        let salt = match &self.salt_file {
            Some(path) => file::create_or_read(path, fresh)?,
            None => fresh,
        };
        self.known().salt = Some(salt);
        Ok(salt)
    }

    /// Every change of it is one assignment, so that it is whole even after a panic.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        quick(Some("correct horse"))
    }

    /// Without a folder: the salt is drawn, as for a backup.
    fn quick(passphrase: Option<&str>) -> Vault {
        Vault {
            salt_file: None,
            ..Vault::quick(
                Path::new(""),
                passphrase.map(|text| Secret::new(text.to_owned())),
            )
        }
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
            let vault = quick(passphrase);
            let sealed = vault.seal(path(), b"secret keys, and \"more\"").unwrap();
            let assert_noticed = |bytes: &[u8], change: &str| match vault.open(path(), bytes) {
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
        let vault = vault();
        let sealed = vault.seal(path(), b"secret keys").unwrap();
        let mut container = read(FORMAT, path(), &sealed).unwrap();
        container.checksum = None;
        let old = serde_json::to_vec(&container).unwrap();
        assert_eq!(vault.open(path(), &old).unwrap().as_slice(), b"secret keys");
        let other = if container.body.starts_with('/') {
            "+"
        } else {
            "/"
        };
        container.body.replace_range(0..1, other);
        let bad = serde_json::to_vec(&container).unwrap();
        let path = path().to_owned();
        let damaged = KeystoreError::Malformed { path: path.clone() };
        assert_eq!(vault.clone().open(&path, &bad), Err(damaged));
        let untried = self::vault();
        let wrong = KeystoreError::WrongPassphrase { path: path.clone() };
        assert_eq!(untried.open(&path, &bad), Err(wrong.clone()));
        let other = quick(Some("battery"));
        assert_eq!(other.open(&path, &sealed), Err(wrong));
    }

    #[test]
    fn every_changed_byte_of_the_body_is_noticed() {
        let vault = vault();
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
        let vault = vault();
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
        let vault = vault();
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
    fn a_file_that_names_weaker_or_stronger_terms_than_the_programs_own_is_refused() {
        let vault = Vault {
            memory_kib: 16,
            passes: 2,
            ..vault()
        };
        let sealed = vault.seal(path(), b"x").unwrap();
        assert!(vault.open(path(), &sealed).is_ok());
        let container = || read(FORMAT, path(), &sealed).unwrap();
        for (memory, rounds) in [(8, 2), (16, 1), (u32::MAX, 2), (16, u32::MAX), (0, 0)] {
            let mut protection = container().protection;
            if let Protection::Passphrase {
                memory_kib, passes, ..
            } = &mut protection
            {
                (*memory_kib, *passes) = (memory, rounds);
            }
            let body = STANDARD.decode(&container().body).unwrap();
            let altered = serde_json::to_vec(&Container::new(FORMAT, protection, &body)).unwrap();
            let refused = vault.open(path(), &altered).unwrap_err();
            assert!(
                matches!(refused, KeystoreError::OtherDerivation { .. }),
                "{memory} {rounds}: {refused}"
            );
        }
        let again = vault.seal(path(), b"y").unwrap();
        let terms = read(FORMAT, path(), &again).unwrap().protection;
        let Protection::Passphrase {
            memory_kib, passes, ..
        } = terms
        else {
            panic!("not sealed")
        };
        assert_eq!((memory_kib, passes), (16, 2));
    }

    #[test]
    fn a_keyed_name_is_the_same_each_time_and_differs_by_text_kind_and_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let vault = |text: &str| Vault::quick(folder.path(), Some(Secret::new(text.to_owned())));
        let name = |text: &str, kind: &str, what: &[u8]| vault(text).name(kind, what).unwrap();
        let one = name("a", "lines", b"20001");
        assert_eq!((one.len(), &one), (32, &name("a", "lines", b"20001")));
        for other in [
            name("b", "lines", b"20001"),
            name("a", "pending", b"20001"),
            name("a", "lines", b"20002"),
        ] {
            assert_ne!(one, other);
        }
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
