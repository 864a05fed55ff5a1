//! The JSON of `/api/v1` and of the operator's calls: what an owner asks about a number, TURN credentials, and the numbers as the
//! operator sees them.

use serde::{Deserialize, Serialize};

use super::{Base64, Hex, without_content};
use crate::challenge::Possession;
use crate::listing::LISTING_BYTES;

/// `POST /api/v1/members` answers this; it asks what `POST /api/auth/verify` asks.
#[derive(Clone, Serialize, Deserialize)]
pub struct Members {
    /// The members' token; see [`crate::membership`].
    pub members: String,
}

/// `POST /api/v1/keys/rotate` asks this.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotate {
    /// The number.
    pub number: String,
    /// The name of the challenge that this answers.
    pub challenge_id: Hex<16>,
    /// The new listing, signed by the same identity.
    pub listing: Base64<LISTING_BYTES>,
    /// Proof of possession of the identity key; see [`Possession::prove_rotation`].
    pub signature: Base64<64>,
    /// Proof of possession of the ring key.
    pub ring_key_proof: Base64<32>,
}

impl Rotate {
    /// The proof of both keys.
    #[must_use]
    pub fn proof(&self) -> Possession {
        Possession {
            signature: self.signature.0,
            ring_key_proof: self.ring_key_proof.0,
        }
    }
}

/// `POST /api/v1/keys/rotate` answers this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// Ends of epochs to wait for, at most, until all engines have the new key.
    pub epochs: u32,
}

/// `POST /api/v1/numbers/deactivate` asks this.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deactivate {
    /// The number.
    pub number: String,
    /// The name of the challenge that this answers.
    pub challenge_id: Hex<16>,
    /// The owner's word; see [`crate::challenge::sign_deactivation`].
    pub signature: Base64<64>,
}

/// The answer that says no more than that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// `POST /api/v1/turn-credentials` asks this.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskTurn {
    /// The members' token.
    pub members: String,
}

/// `POST /api/v1/turn-credentials` answers this.
#[derive(Clone, Serialize, Deserialize)]
pub struct TurnCredentials {
    /// When all of them end, Unix seconds: a UTC midnight, the same for all who ask on one day.
    pub expires: u64,
    /// The servers for which there are credentials.
    pub servers: Vec<TurnServerCredentials>,
}

/// The credentials for one TURN server.
#[derive(Clone, Serialize, Deserialize)]
pub struct TurnServerCredentials {
    /// Its host, as [`turn_host`](crate::turn_credentials::turn_host) reads it from the URIs of the network settings.
    pub host: String,
    /// Credentials that no other server takes.
    pub credentials: Vec<TurnCredential>,
}

/// A user name and its password (draft-uberti-behave-turn-rest).
#[derive(Clone, Serialize, Deserialize)]
pub struct TurnCredential {
    /// `expiry:random`
    pub user: String,
    /// Base64 of an HMAC.
    pub password: String,
}

/// `POST /api/admin/revoke` asks this.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The number.
    pub number: String,
}

/// `GET /api/admin/numbers` is asked with these.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskNumbers {
    /// The first number of interest; the plan's first, if absent.
    pub from: Option<u32>,
    /// Numbers on a page, 1 to 1 000; 1 000, if absent.
    pub limit: Option<u32>,
}

/// `GET /api/admin/numbers` answers this.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumberList {
    /// How many there are.
    pub counts: Counts,
    /// Those that are not free, ascending.
    pub numbers: Vec<Assigned>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// How many numbers are in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Numbers that can be issued.
    pub free: u64,
    /// Numbers that wait for their code.
    pub waiting: u64,
    /// Numbers that have an owner.
    pub active: u64,
    /// Numbers that had an owner and are not issued again yet.
    pub retired: u64,
    /// Changes that wait for the end of an epoch.
    pub queued: u64,
}

/// A number that is not free.
#[derive(Clone, Serialize, Deserialize)]
pub struct Assigned {
    /// The number, decimal.
    pub number: String,
    /// Its state.
    #[serde(flatten)]
    pub state: AssignedState,
}

/// What is known of a number that is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum AssignedState {
    /// It waits for its code.
    Waiting {
        /// When the code ends, Unix seconds.
        until: u64,
    },
    /// It has an owner.
    Active,
    /// It had an owner and is not issued again yet.
    Retired {
        /// When it was given up or revoked, Unix seconds.
        since: u64,
    },
}

without_content!(
    Members,
    Rotate,
    Deactivate,
    AskTurn,
    TurnCredentials,
    TurnServerCredentials,
    TurnCredential,
    Revoke,
    AskNumbers,
    Assigned
);
