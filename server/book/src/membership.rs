//! The members' token: shown for what only people with a number should get, and the same for all of them, so that the book cannot
//! tell by it who asks. It changes every 30 days. The network settings name its hash, and the root signs those: a token of one's own
//! would be a lie that can be proved.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Seconds for which a token is handed out. It is accepted for one more period.
pub const PERIOD: u64 = 30 * 24 * 60 * 60;

const TOKEN: &[u8] = b"ringfence/2 book members\0";
const DIGEST: &[u8] = b"ringfence/2 members-token\0";

/// 256 bits in base64url.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MembersToken(String);

impl MembersToken {
    /// The text to hand over, 43 characters. The only way in which a token shows itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What the network settings say of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.0)
    }
}

impl fmt::Debug for MembersToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The book's side: makes the token of any time, and knows it again.
#[derive(Clone)]
pub struct Membership(Hkdf<Sha256>);

impl Membership {
    /// From 32 secret bytes of the book.
    #[must_use]
    pub fn of(seed: &[u8; 32]) -> Self {
        Self(Hkdf::new(None, seed))
    }

    /// The token of this moment, Unix seconds.
    #[must_use]
    pub fn token(&self, now: u64) -> MembersToken {
        self.of_period(now / PERIOD)
    }

    /// Whether the text is the token of this period or of the one before.
    #[must_use]
    pub fn accepts(&self, text: &str, now: u64) -> bool {
        let (shown, period) = (digest(text), now / PERIOD);
        let [now, before] =
            [period, period.saturating_sub(1)].map(|period| self.of_period(period).digest());
        (shown.ct_eq(&now) | shown.ct_eq(&before)).into()
    }

    fn of_period(&self, period: u64) -> MembersToken {
        let mut bytes = Zeroizing::new([0; 32]);
        self.0
            .expand_multi_info(&[TOKEN, &period.to_be_bytes()], bytes.as_mut_slice())
            .expect("HKDF-SHA256 gives up to 8 160 bytes");
        MembersToken(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Membership(..)")
    }
}

/// What the network settings say of the token with this text.
#[must_use]
pub fn digest(text: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(DIGEST)
        .chain_update(text)
        .finalize()
        .0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_period_and_the_next() {
        let membership = Membership::of(&[1; 32]);
        let issued = 100 * PERIOD;
        let token = membership.token(issued);
        assert_eq!(token.text().len(), 43);
        assert_eq!(token.text(), membership.token(issued + PERIOD - 1).text());
        assert_ne!(token.text(), membership.token(issued + PERIOD).text());
        for (now, good) in [
            (issued - 1, false),
            (issued, true),
            (issued + 2 * PERIOD - 1, true),
            (issued + 2 * PERIOD, false),
        ] {
            assert_eq!(membership.accepts(token.text(), now), good, "{now}");
        }
    }

    #[test]
    fn another_books_token_or_none_is_not_accepted() {
        let (ours, theirs) = (Membership::of(&[1; 32]), Membership::of(&[2; 32]));
        assert!(!ours.accepts(theirs.token(PERIOD).text(), PERIOD));
        assert!(!ours.accepts("", PERIOD));
        assert_eq!(
            format!("{ours:?} {:?}", ours.token(0)),
            "Membership(..) Secret(..)"
        );
    }
}
