//! One line as it is stored: what activation received and generated, in JSON with base64 for bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::state::secret::Secret;

/// The SIP account with which phones register to a line.
#[derive(Clone, Debug)]
pub struct SipAccount {
    /// User name; the number, so that it is what the phone shows.
    pub user: String,
    /// Password, drawn at activation.
    pub password: Secret,
}

/// A line of this engine.
#[derive(Clone)]
pub struct LineFile {
    /// The number.
    pub number: u32,
    /// The engine's identity for this line, as `ringfence_engine::line::identity::Identity::to_bytes` wrote it. Secret.
    pub identity: Zeroizing<Vec<u8>>,
    /// Where the phone book is.
    pub book_url: String,
    /// The key with which the book signs, learnt at activation and never changed silently.
    pub book_key: [u8; 32],
    /// The SIP account.
    pub account: SipAccount,
    /// What the owner calls the line. Stays on this machine.
    pub name: Option<String>,
    /// When the ring key is to be renewed, Unix seconds, if that was drawn already.
    pub ring_key_due: Option<u64>,
    /// The phone book's token for its members, as it last came.
    pub members: Option<Secret>,
}

impl std::fmt::Debug for LineFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LineFile(..)")
    }
}

#[cfg(test)]
impl PartialEq for LineFile {
    fn eq(&self, other: &Self) -> bool {
        self.to_json() == other.to_json()
    }
}

/// The JSON. Its texts are wiped when dropped.
#[derive(Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Stored {
    number: u32,
    identity: String,
    book_url: String,
    book_key: String,
    sip_user: String,
    sip_password: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    ring_key_due: Option<u64>,
    /// Written by earlier versions, which renewed by the age of the key.
    #[serde(default, rename = "ring_key_since", skip_serializing)]
    _ring_key_since: Option<u32>,
    /// Written by earlier versions: the phone book's word that the number is this identity's.
    #[serde(default, rename = "binding", skip_serializing)]
    _binding: Option<String>,
    #[serde(default)]
    members: Option<String>,
}

impl LineFile {
    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let stored = Stored {
            number: self.number,
            identity: STANDARD.encode(&*self.identity),
            book_url: self.book_url.clone(),
            book_key: STANDARD.encode(self.book_key),
            sip_user: self.account.user.clone(),
            sip_password: self.account.password.expose().to_owned(),
            name: self.name.clone(),
            ring_key_due: self.ring_key_due,
            _ring_key_since: None,
            _binding: None,
            members: self.members.as_ref().map(|token| token.expose().to_owned()),
        };
        // Large enough that it never grows and leaves copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(8 * 1024));
        serde_json::to_writer(&mut *json, &stored)
            .expect("texts and numbers always become JSON in memory");
        json
    }

    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        let mut stored: Stored = serde_json::from_slice(json).ok()?;
        let bytes = |text: &str| STANDARD.decode(text).ok();
        let mut key = bytes(&stored.book_key)?;
        let book_key = key.as_slice().try_into().ok()?;
        key.zeroize();
        Some(Self {
            number: stored.number,
            identity: Zeroizing::new(bytes(&stored.identity)?),
            book_url: std::mem::take(&mut stored.book_url),
            book_key,
            account: SipAccount {
                user: std::mem::take(&mut stored.sip_user),
                password: Secret::new(std::mem::take(&mut stored.sip_password)),
            },
            name: stored.name.take(),
            ring_key_due: stored.ring_key_due,
            members: stored.members.take().map(Secret::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_prints_nothing_of_itself() {
        let line = LineFile::from_json(
            br#"{"number":20001,"identity":"AAAA","book_url":"u","book_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","sip_user":"20001","sip_password":"swordfish"}"#,
        )
        .unwrap();
        assert_eq!(format!("{line:?}"), "LineFile(..)");
        assert_eq!(line.account.password.expose(), "swordfish");
    }

    #[test]
    fn a_line_of_an_earlier_version_is_read_and_draws_its_renewal_anew() {
        let line = LineFile::from_json(
            br#"{"number":20001,"identity":"AAAA","book_url":"u","book_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","sip_user":"20001","sip_password":"swordfish","ring_key_since":20700}"#,
        );
        assert_eq!(line.unwrap().ring_key_due, None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(LineFile::from_json(&bytes).is_none());
        }
    }
}
