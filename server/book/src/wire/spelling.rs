//! How bytes are spelt in JSON: base64url without padding (RFC 4648 section 5) or lower-case hexadecimal, of a fixed length. What is
//! longer, shorter or spelt otherwise is refused.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

use crate::keys::{BookKey, RingKey};

/// `N` bytes, written in base64url.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Base64<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Base64<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Base64<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| D::Error::custom("not base64url without padding"))?;
        let bytes = bytes
            .try_into()
            .map_err(|_| D::Error::custom(format_args!("not {N} bytes")))?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> fmt::Debug for Base64<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({N} bytes)")
    }
}

/// `N` bytes, written in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| D::Error::custom(format_args!("not {N} bytes in hexadecimal")))?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hex({N} bytes)")
    }
}

/// Reads a struct from a JSON object only. By itself serde takes an array for one too, with the members in order.
///
/// # Errors
/// The deserializer's.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::deserialize(ObjectOnly(deserializer))
}

struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

pub(super) mod book_key {
    use super::{Base64, BookKey, Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::wire) fn serialize<S: Serializer>(
        key: &BookKey,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Base64(*key.as_bytes()).serialize(serializer)
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BookKey, D::Error> {
        let Base64(bytes) = Base64::deserialize(deserializer)?;
        BookKey::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}

pub(super) mod ring_key {
    use super::{Base64, Deserialize, Deserializer, RingKey, Serialize, Serializer};

    pub(in crate::wire) fn serialize<S: Serializer>(
        key: &RingKey,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Base64(*key.as_bytes()).serialize(serializer)
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<RingKey, D::Error> {
        let Base64(bytes) = Base64::deserialize(deserializer)?;
        RingKey::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}
