//! The activation code: 72 random bits that stand for a number until they are used, once, and 56 bits of a hash of the book's key, so
//! that an engine takes no other book for the one that issued the code. Written as seven groups of four in
//! Crockford's alphabet (no I, L, O, U) with twelve check bits, so that a slip of the finger is found before anything is sent
//! and cannot be mistaken for a code that the book refuses.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::keys::BookKey;

/// Random, and good for a day, in which a book lets few of them be tried: a thief of a book's store still makes 2^71 hashes.
const SECRET_BYTES: usize = 9;
/// Of a hash of the book's key: to pass for a book takes 2^56 keys.
const FINGERPRINT_BYTES: usize = 7;
const CODE_BYTES: usize = SECRET_BYTES + FINGERPRINT_BYTES;
/// 16 bytes and 12 check bits in characters of 5 bits.
const CHARACTERS: usize = 28;
const GROUP: usize = 4;
/// The first group.
const PREFIX_BITS: usize = 20;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Longest text looked at: every character with a separator around it, with room to spare.
const MAX_TEXT: usize = 80;

/// A code in the hand of the person who was given it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ActivationCode([u8; CODE_BYTES]);

/// Why a text is no activation code. Found without asking the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Too many or too few characters.
    #[error("an activation code has {CHARACTERS} letters and digits in groups of {GROUP}")]
    Length,
    /// A character that no code has.
    #[error("an activation code has digits and letters only, and no U")]
    Character,
    /// The check bits do not fit: mistyped.
    #[error("the activation code was mistyped: its check characters do not fit")]
    Mistyped,
}

impl ActivationCode {
    /// A new code of the book with this key.
    pub fn draw(book: &BookKey, rng: &mut impl CryptoRng) -> Self {
        let mut code = Self([0; CODE_BYTES]);
        let (secret, end) = code.0.split_at_mut(SECRET_BYTES);
        rng.fill_bytes(secret);
        end.copy_from_slice(&fingerprint(book));
        code
    }

    /// Whether the book with this key can have issued it.
    #[must_use]
    pub fn is_of(&self, book: &BookKey) -> bool {
        self.0.ends_with(&fingerprint(book))
    }

    /// The text to hand over, `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX`. The only way in which a code shows itself.
    #[must_use]
    pub fn text(&self) -> String {
        let checked = (u128::from_be_bytes(self.0), self.check());
        let mut text = String::with_capacity(CHARACTERS + CHARACTERS / GROUP);
        for position in 0..CHARACTERS {
            if position > 0 && position % GROUP == 0 {
                text.push('-');
            }
            text.push(letter(five_bits(checked, position)));
        }
        text
    }

    /// What the book keeps instead of the code. Random bits that are good for a day need no slow hash.
    #[must_use]
    pub fn digest(&self) -> CodeDigest {
        CodeDigest(
            Sha256::new()
                .chain_update(b"ringfence/2 activation-code\0")
                .chain_update(self.0)
                .finalize()
                .0,
        )
    }

    /// The first four characters.
    #[must_use]
    pub fn prefix(&self) -> CodePrefix {
        CodePrefix(u128::from_be_bytes(self.0) >> (8 * CODE_BYTES - PREFIX_BITS))
    }

    /// Twelve bits of a hash of the code.
    fn check(&self) -> u16 {
        let digest = Sha256::new()
            .chain_update(b"ringfence/2 code-check\0")
            .chain_update(self.0)
            .finalize()
            .0;
        let [high, low, ..] = digest;
        u16::from_be_bytes([high, low]) >> 4
    }
}

impl FromStr for ActivationCode {
    type Err = CodeError;

    /// Reads what a person typed: case, blanks and hyphens do not count, and O, I, L are taken for 0, 1, 1.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > MAX_TEXT {
            return Err(CodeError::Length);
        }
        let mut value: u128 = 0;
        let mut check: u16 = 0;
        let mut characters = 0;
        for character in text
            .chars()
            .filter(|character| !matches!(character, '-' | ' '))
        {
            let digit = value_of(character).ok_or(CodeError::Character)?;
            // The 26th character holds the last three bits of the code and the first two check bits.
            match characters {
                0..25 => value = value << 5 | u128::from(digit),
                25 => (value, check) = (value << 3 | u128::from(digit >> 2), u16::from(digit & 3)),
                _ => check = check << 5 | u16::from(digit),
            }
            characters += 1;
            if characters > CHARACTERS {
                return Err(CodeError::Length);
            }
        }
        if characters != CHARACTERS {
            return Err(CodeError::Length);
        }
        let code = Self(value.to_be_bytes());
        if code.check() == check {
            Ok(code)
        } else {
            Err(CodeError::Mistyped)
        }
    }
}

impl fmt::Debug for ActivationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for ActivationCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ActivationCode {}

/// What codes that begin alike have in common: their first 20 bits. Limits count tries by it, so that no one who knows how a code
/// begins has many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodePrefix(u128);

impl fmt::Debug for CodePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodePrefix(..)")
    }
}

/// The hash under which the book knows a code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodeDigest([u8; 32]);

impl CodeDigest {
    /// The 32 bytes, as a store keeps them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CodeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeDigest(..)")
    }
}

fn fingerprint(book: &BookKey) -> [u8; FINGERPRINT_BYTES] {
    let digest = Sha256::new()
        .chain_update(b"ringfence/2 book-fingerprint\0")
        .chain_update(book.as_bytes())
        .finalize()
        .0;
    digest.first_chunk().copied().unwrap_or_default()
}

fn five_bits((value, check): (u128, u16), position: usize) -> u8 {
    let bits = match position {
        0..25 => value >> (123 - 5 * position),
        25 => value << 2 | u128::from(check >> 10),
        _ => u128::from(check >> (5 * (27 - position))),
    };
    u8::try_from(bits & 31).unwrap_or(0)
}

fn letter(digit: u8) -> char {
    ALPHABET
        .get(usize::from(digit))
        .copied()
        .map_or('0', char::from)
}

fn value_of(character: char) -> Option<u8> {
    let canonical = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let position = ALPHABET
        .iter()
        .position(|letter| char::from(*letter) == canonical)?;
    u8::try_from(position).ok()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn book(seed: u8) -> BookKey {
        BookKey::from(&SigningKey::from_bytes(&[seed; 32]))
    }

    fn code(seed: u8) -> ActivationCode {
        ActivationCode::draw(&book(1), &mut ChaCha20Rng::from_seed([seed; 32]))
    }

    #[test]
    fn a_code_names_its_book_and_no_other() {
        let read = |text: &str| text.parse::<ActivationCode>().unwrap();
        for seed in 0..8 {
            let typed = read(&code(seed).text());
            assert!(typed.is_of(&book(1)));
            assert!((2..32).all(|other| !typed.is_of(&book(other))));
        }
        // Every bit of the fingerprint counts.
        for bit in 0..8 * FINGERPRINT_BYTES {
            let mut other = code(1);
            other.0[SECRET_BYTES + bit / 8] ^= 1 << (bit % 8);
            assert!(!other.is_of(&book(1)), "bit {bit}");
        }
    }

    #[test]
    fn codes_of_one_book_differ_in_all_but_the_fingerprint() {
        let (one, other) = (code(1), code(2));
        assert_eq!(one.0[SECRET_BYTES..], other.0[SECRET_BYTES..]);
        assert!((0..SECRET_BYTES).all(|at| one.0[at] != other.0[at]));
    }

    #[test]
    fn a_code_is_seven_groups_of_four() {
        let text = code(1).text();
        let groups: Vec<_> = text.split('-').collect();
        assert_eq!(groups.len(), 7);
        assert!(groups.iter().all(|group| group.len() == 4));
    }

    #[test]
    fn case_blanks_and_lookalikes_do_not_matter() {
        let text = code(2).text();
        let sloppy = text
            .to_lowercase()
            .replace('-', " ")
            .replace('0', "o")
            .replace('1', "l");
        assert_eq!(sloppy.parse(), Ok(code(2)));
    }

    #[test]
    fn mistyped_is_told_from_too_short_and_from_foreign() {
        let text = code(3).text();
        assert_eq!("".parse::<ActivationCode>(), Err(CodeError::Length));
        assert_eq!(text[1..].parse::<ActivationCode>(), Err(CodeError::Length));
        assert_eq!(
            format!("{text}0").parse::<ActivationCode>(),
            Err(CodeError::Length)
        );
        assert_eq!(
            text.replace('-', "u").parse::<ActivationCode>(),
            Err(CodeError::Character)
        );
        assert_eq!(
            "0".repeat(10_000).parse::<ActivationCode>(),
            Err(CodeError::Length)
        );
    }

    #[test]
    fn swapped_neighbours_are_noticed() {
        let text: Vec<char> = code(4).text().replace('-', "").chars().collect();
        for position in 1..text.len() {
            let mut swapped = text.clone();
            swapped.swap(position - 1, position);
            if swapped != text {
                assert_eq!(
                    swapped.iter().collect::<String>().parse::<ActivationCode>(),
                    Err(CodeError::Mistyped)
                );
            }
        }
    }

    #[test]
    fn a_prefix_is_the_first_four_characters() {
        let prefix = |text: &str| text.parse::<ActivationCode>().unwrap().prefix();
        let codes: Vec<String> = (0..=255).map(|seed| code(seed).text()).collect();
        for one in &codes {
            for other in &codes {
                assert_eq!(one[..4] == other[..4], prefix(one) == prefix(other));
            }
        }
        let like_the_first =
            ActivationCode([&code(6).0[..3], &[0; 13]].concat().try_into().unwrap());
        assert_eq!(like_the_first.prefix(), code(6).prefix());
        assert_ne!(like_the_first, code(6));
    }

    #[test]
    fn a_code_does_not_show_itself_in_debug_output() {
        assert_eq!(
            format!(
                "{:?} {:?} {:?}",
                code(5),
                code(5).digest(),
                code(5).prefix()
            ),
            "Secret(..) CodeDigest(..) CodePrefix(..)"
        );
    }

    proptest! {
        #[test]
        fn a_code_reads_back(seed in any::<[u8; 32]>()) {
            let code = ActivationCode::draw(&book(1), &mut ChaCha20Rng::from_seed(seed));
            prop_assert_eq!(code.text().parse::<ActivationCode>(), Ok(code));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = text.parse::<ActivationCode>();
        }
    }
}
