//! The JSON that crosses the wire. Field names and shapes of `/api` are those that existing clients of this interface use (JWK of
//! RFC 7517 and RFC 8037 for keys); what is under `/api/v1` is ours. Bytes are base64url,
//! but for the challenge and its answer, which are hexadecimal. No decision is taken here.

mod own;
mod spelling;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use x25519_dalek::StaticSecret;

use crate::challenge::Possession;
use crate::code::ActivationCode;
use crate::keys::{BookKey, RingKey};
use crate::listing::Listing;
use crate::number::NumberPlan;

pub use self::own::{
    AskNumbers, AskTurn, Assigned, AssignedState, Counts, Deactivate, Done, Members, NumberList,
    Revoke, Rotate, Rotated, TurnCredential, TurnCredentials, TurnServerCredentials,
};
pub use self::spelling::{Base64, Hex, object};

/// Codes and numbers stand in these as text: their `Debug` shows the kind of message, and nothing of it.
macro_rules! without_content {
    ($($message:ident),+) => {
        $(impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        })+
    };
}
use without_content;

/// A public key as a JSON Web Key. A private one (`d`) is refused: it must never have been sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    kty: KeyType,
    crv: Curve,
    x: Base64<32>,
    /// Members that browsers export and that say nothing new; read, never written.
    #[serde(default, skip_serializing)]
    alg: Option<String>,
    #[serde(default, skip_serializing)]
    ext: Option<bool>,
    #[serde(default, skip_serializing)]
    key_ops: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum KeyType {
    #[serde(rename = "OKP")]
    Okp,
}

/// The curve a [`Jwk`] is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// For signatures.
    Ed25519,
    /// For agreement.
    X25519,
}

impl Jwk {
    /// The key with these bytes.
    #[must_use]
    pub fn new(crv: Curve, x: [u8; 32]) -> Self {
        Self {
            kty: KeyType::Okp,
            crv,
            x: Base64(x),
            alg: None,
            ext: None,
            key_ops: Vec::new(),
        }
    }

    /// The key's bytes, unchecked, if it is on this curve.
    #[must_use]
    pub fn on(&self, curve: Curve) -> Option<&[u8; 32]> {
        (self.crv == curve).then_some(&self.x.0)
    }
}

/// `POST /api/admin/issue-number` answers this.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// The number, decimal.
    pub number: String,
    /// The text of an [`ActivationCode`].
    pub activation_code: String,
}

/// `POST /api/activate` asks this.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Activate {
    /// The text of an [`ActivationCode`].
    pub code: String,
    /// The identity key.
    #[serde(deserialize_with = "object")]
    pub signing_key: Jwk,
    /// The ring key.
    #[serde(deserialize_with = "object")]
    pub encryption_key: Jwk,
    /// The listing's serial.
    pub serial: u32,
    /// The listing's self-signature.
    pub listing_signature: Base64<64>,
    /// Proof of possession of the identity key.
    pub signature: Base64<64>,
    /// Proof of possession of the ring key.
    pub ring_key_proof: Base64<32>,
}

impl Activate {
    /// The form for a listing, with the proof that its private keys are held.
    #[must_use]
    pub fn new(code: &ActivationCode, listing: &Listing, proof: &Possession) -> Self {
        Self {
            code: code.text(),
            signing_key: Jwk::new(Curve::Ed25519, *listing.identity().as_bytes()),
            encryption_key: Jwk::new(Curve::X25519, *listing.ring_key().as_bytes()),
            serial: listing.serial(),
            listing_signature: Base64(*listing.signature()),
            signature: Base64(proof.signature),
            ring_key_proof: Base64(proof.ring_key_proof),
        }
    }

    /// The form for these private keys: signs their listing and proves that they are held.
    #[must_use]
    pub fn sign(
        code: &ActivationCode,
        identity: &SigningKey,
        ring_secret: &StaticSecret,
        serial: u32,
        network: &NetworkSettings,
    ) -> Self {
        let ring_key = RingKey::from(ring_secret);
        let listing = Listing::sign(identity, ring_key, serial);
        let (digest, book, proof_key) = (code.digest(), &network.book_key, &network.proof_key);
        let proof = Possession::prove(identity, ring_secret, &listing, &digest, book, proof_key);
        Self::new(code, &listing, &proof)
    }
}

/// `POST /api/activate` answers this.
#[derive(Clone, Serialize, Deserialize)]
pub struct Activated {
    /// The number, decimal.
    pub number: String,
    /// The members' token; see [`crate::membership`].
    pub members: String,
}

/// `POST /api/auth/challenge` asks this. The number is neither needed nor looked at.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskChallenge {
    /// Any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// `POST /api/auth/challenge` answers this.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenged {
    /// The name of the challenge.
    pub challenge_id: Hex<16>,
    /// The text to sign, 64 hexadecimal digits.
    pub challenge: Hex<32>,
    /// From which the text is made; see [`crate::Challenge`].
    pub nonce: Hex<32>,
}

/// `POST /api/auth/verify` asks this.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// The name of the challenge.
    pub challenge_id: Hex<16>,
    /// The number whose identity key signed.
    pub number: String,
    /// The signature over the 64 digits as UTF-8.
    pub signature: Hex<64>,
}

/// `POST /api/auth/verify` answers this.
#[derive(Clone, Serialize, Deserialize)]
pub struct Verified {
    /// Always true; a failure is an error.
    pub verified: bool,
    /// The number, decimal.
    pub number: String,
}

/// `GET /api/keys/{number}` answers this, for every number.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NumberKeys {
    /// The number as it was asked.
    pub number: String,
    /// The identity key.
    pub signing_key: Jwk,
    /// The ring key.
    pub encryption_key: Jwk,
}

without_content!(
    Issued,
    Activate,
    Activated,
    AskChallenge,
    Verify,
    Verified,
    NumberKeys
);

/// What every failure looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One word for a program; the cause is not told.
    pub error: String,
}

/// The version of the protocol, of which the phone book's settings and each envelope speak.
pub const PROTOCOL: u32 = 2;

/// `GET /api/v1/network` answers this: what an engine must know to be part of this book's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSettings {
    /// [`PROTOCOL`].
    pub version: u32,
    /// The key that signs roots.
    #[serde(with = "spelling::book_key")]
    pub book_key: BookKey,
    /// The book's agreement key, for the proof of possession of a ring key.
    #[serde(with = "spelling::ring_key")]
    pub proof_key: RingKey,
    /// The numbers.
    pub plan: NumberPlan,
    /// Nostr relays, `ws://` or `wss://`, best first.
    pub relays: Vec<String>,
    /// TURN servers, `turn:host:port` (RFC 7065); the credentials come by another way.
    pub turn: Vec<String>,
    /// Leading zero bits that the proof of work of a ring needs.
    pub work_bits: u8,
    /// Bits of the bucket in the relay tag: 0 is one bucket for all.
    pub bucket_bits: u8,
    /// The hash of the members' token, [`crate::membership::MembersToken::digest`]: all engines can see that it is the same for all.
    pub members: Base64<32>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{from_str, json, to_value};

    use super::*;

    #[test]
    fn a_key_is_written_as_rfc_8037_has_it() {
        let jwk = to_value(Jwk::new(Curve::X25519, [0; 32])).unwrap();
        assert_eq!(
            jwk,
            json!({ "kty": "OKP", "crv": "X25519", "x": "A".repeat(43) })
        );
    }

    #[test]
    fn a_key_as_a_browser_exports_it_is_read() {
        let exported = json!({
            "alg": "Ed25519", "crv": "Ed25519", "ext": true, "key_ops": ["verify"], "kty": "OKP", "x": "A".repeat(43)
        });
        let jwk: Jwk = from_str(&exported.to_string()).unwrap();
        assert_eq!(jwk.on(Curve::Ed25519), Some(&[0; 32]));
        assert_eq!(jwk.on(Curve::X25519), None);
    }

    #[test]
    fn other_key_types_lengths_and_spellings_are_refused() {
        let x = "A".repeat(43);
        for (kty, crv, x) in [
            ("EC", "Ed25519", x.as_str()),
            ("OKP", "P-256", &x),
            ("OKP", "X25519", &x[1..]),
            ("OKP", "X25519", &format!("{x}=")),
            ("OKP", "X25519", &format!("{}B", &x[1..])),
            ("OKP", "X25519", &format!("{}+", &x[1..])),
        ] {
            let jwk = json!({ "kty": kty, "crv": crv, "x": x }).to_string();
            assert!(from_str::<Jwk>(&jwk).is_err(), "{jwk}");
        }
    }

    #[test]
    fn messages_do_not_show_codes_or_numbers_in_debug_output() {
        let issued = Issued {
            number: "20123".to_owned(),
            activation_code: "ABCD".to_owned(),
        };
        assert_eq!(format!("{issued:?}"), "Issued { .. }");
    }

    #[test]
    fn an_array_is_no_object() {
        let as_object =
            |text: &str| object::<_, AskChallenge>(&mut serde_json::Deserializer::from_str(text));
        assert!(as_object("{}").is_ok());
        assert!(from_str::<AskChallenge>("[]").is_ok() && as_object("[]").is_err());
        let issued = r#"{"number":"1"}"#;
        assert_eq!(as_object(issued).unwrap().number.as_deref(), Some("1"));
    }

    proptest! {
        #[test]
        fn bytes_survive_both_spellings(bytes in any::<[u8; 32]>()) {
            let text = to_value(Base64(bytes)).unwrap().to_string();
            prop_assert_eq!(from_str::<Base64<32>>(&text).unwrap(), Base64(bytes));
            let text = to_value(Hex(bytes)).unwrap().to_string();
            prop_assert_eq!(from_str::<Hex<32>>(&text).unwrap(), Hex(bytes));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*", quoted in "\\PC*") {
            let _ = from_str::<Activate>(&text);
            let _ = from_str::<Verify>(&text);
            let _ = from_str::<NetworkSettings>(&text);
            let quoted = json!(quoted).to_string();
            let _ = (from_str::<Base64<32>>(&quoted), from_str::<Hex<32>>(&quoted));
        }
    }
}
