//! An identity as bytes: what must be kept, to be encrypted before it touches a disk.

use ed25519_dalek::SigningKey;
use ringfence_book::Day;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::{Identity, MAX_PREVIOUS, OwnRingKey, RetiredKey};

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
        if *version != STORED_VERSION {
            return Err(IdentityError::Version);
        }
        let signing = SigningKey::from_bytes(&*take::<32>(&mut reader)?);
        let current = read(&mut reader)?.into();
        let mut previous = Vec::with_capacity(MAX_PREVIOUS);
        for _ in 0..MAX_PREVIOUS {
            previous.extend(read_if_any(&mut reader)?.map(|(secret, until)| RetiredKey {
                secret,
                until: Day::new(until),
            }));
        }
        let next = read_if_any(&mut reader)?.map(OwnRingKey::from);
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
    /// version 4 | Ed25519 seed 32 | ring key 36 | 4 times: previous? 1 | previous ring key 36 (zero if none) | next? 1 | next ring key
    /// 36 (zero if none); a ring key is its X25519 secret 32 and 4 bytes, big-endian: its serial, or a previous one's last day.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(STORED_LEN));
        bytes.push(STORED_VERSION);
        bytes.extend_from_slice(self.signing.as_bytes());
        let Self {
            current,
            previous,
            next,
            ..
        } = self;
        write(&current.secret, current.serial, &mut bytes);
        let previous = (0..MAX_PREVIOUS).map(|place| previous.get(place));
        let previous = previous.map(|key| key.map(|key| (&key.secret, key.until.count())));
        let next = next.as_ref().map(|key| (&key.secret, key.serial));
        for key in previous.chain([next]) {
            bytes.push(u8::from(key.is_some()));
            match key {
                Some((secret, count)) => write(secret, count, &mut bytes),
                None => bytes.extend_from_slice(&[0; RING_KEY_LEN]),
            }
        }
        bytes
    }
}

impl From<(StaticSecret, u32)> for OwnRingKey {
    fn from((secret, serial): (StaticSecret, u32)) -> Self {
        Self { secret, serial }
    }
}

fn write(secret: &StaticSecret, count: u32, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(secret.as_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
}

fn read_if_any(reader: &mut &[u8]) -> Result<Option<(StaticSecret, u32)>, IdentityError> {
    let flag = take::<1>(reader)?[0];
    let key = read(reader)?;
    match flag {
        0 => Ok(None),
        1 => Ok(Some(key)),
        _ => Err(IdentityError::Malformed),
    }
}

fn read(reader: &mut &[u8]) -> Result<(StaticSecret, u32), IdentityError> {
    let secret = StaticSecret::from(*take::<32>(reader)?);
    Ok((secret, u32::from_be_bytes(*take::<4>(reader)?)))
}

/// Takes the first `N` bytes off, into memory that is wiped.
fn take<const N: usize>(reader: &mut &[u8]) -> Result<Zeroizing<[u8; N]>, IdentityError> {
    let (head, rest) = reader
        .split_first_chunk::<N>()
        .ok_or(IdentityError::Malformed)?;
    *reader = rest;
    Ok(Zeroizing::new(*head))
}

pub(super) const STORED_VERSION: u8 = 4;
const RING_KEY_LEN: usize = 36;
pub(super) const STORED_LEN: usize =
    1 + 32 + RING_KEY_LEN + (MAX_PREVIOUS + 1) * (1 + RING_KEY_LEN);
