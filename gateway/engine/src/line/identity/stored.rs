//! An identity as bytes: what must be kept, to be encrypted before it touches a disk.

use ed25519_dalek::SigningKey;
use ringfence_book::Day;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::{Identity, MAX_PREVIOUS, OwnRingKey};

/// Stored identity bytes that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Wrong length, or a flag that is neither 0 nor 1.
    #[error("not a stored identity")]
    Malformed,
    /// Written by another version.
    #[error("an identity of an unknown version")]
    Version,
}

impl Identity {
    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let (version, mut reader) = bytes.split_first().ok_or(IdentityError::Malformed)?;
        let (most, has_next) = match *version {
            FIRST_VERSION => (1, false),
            SECOND_VERSION => (1, true),
            STORED_VERSION => (MAX_PREVIOUS, true),
            _ => return Err(IdentityError::Version),
        };
        let signing = SigningKey::from_bytes(&*take::<32>(&mut reader)?);
        let current = OwnRingKey::read(&mut reader)?;
        let mut previous = Vec::with_capacity(MAX_PREVIOUS);
        for _ in 0..most {
            previous.extend(OwnRingKey::read_if_any(&mut reader)?);
        }
        let next = if has_next {
            OwnRingKey::read_if_any(&mut reader)?
        } else {
            None
        };
        if !reader.is_empty() {
            return Err(IdentityError::Malformed);
        }
        Ok(Self {
            signing,
            current,
            previous,
            next,
        })
    }

    /// Everything that must be kept, secrets included: to be encrypted before it touches a disk.
    ///
    /// version 3 | Ed25519 seed 32 | ring key 36 | 4 times: previous? 1 | previous ring key 36 (zero if none) | next? 1 | next ring key
    /// 36 (zero if none); a ring key is its X25519 secret 32 and its day 4, big-endian. Version 2 has one previous key, and version 1
    /// ends after it.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(STORED_LEN));
        bytes.push(STORED_VERSION);
        bytes.extend_from_slice(self.signing.as_bytes());
        self.current.write(&mut bytes);
        let previous = (0..MAX_PREVIOUS).map(|place| self.previous.get(place));
        for key in previous.chain([self.next.as_ref()]) {
            bytes.push(u8::from(key.is_some()));
            match key {
                Some(key) => key.write(&mut bytes),
                None => bytes.extend_from_slice(&[0; RING_KEY_LEN]),
            }
        }
        bytes
    }
}

impl OwnRingKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.secret.as_bytes());
        bytes.extend_from_slice(&self.until.count().to_be_bytes());
    }

    fn read_if_any(reader: &mut &[u8]) -> Result<Option<Self>, IdentityError> {
        let flag = take::<1>(reader)?[0];
        let key = Self::read(reader)?;
        match flag {
            0 => Ok(None),
            1 => Ok(Some(key)),
            _ => Err(IdentityError::Malformed),
        }
    }

    fn read(reader: &mut &[u8]) -> Result<Self, IdentityError> {
        let secret = StaticSecret::from(*take::<32>(reader)?);
        let until = Day::new(u32::from_be_bytes(*take::<4>(reader)?));
        Ok(Self { secret, until })
    }
}

/// Takes the first `N` bytes off, into memory that is wiped.
fn take<const N: usize>(reader: &mut &[u8]) -> Result<Zeroizing<[u8; N]>, IdentityError> {
    let (head, rest) = reader
        .split_first_chunk::<N>()
        .ok_or(IdentityError::Malformed)?;
    *reader = rest;
    Ok(Zeroizing::new(*head))
}

pub(super) const FIRST_VERSION: u8 = 1;
pub(super) const SECOND_VERSION: u8 = 2;
pub(super) const STORED_VERSION: u8 = 3;
pub(super) const RING_KEY_LEN: usize = 36;
pub(super) const STORED_LEN: usize =
    1 + 32 + RING_KEY_LEN + (MAX_PREVIOUS + 1) * (1 + RING_KEY_LEN);
