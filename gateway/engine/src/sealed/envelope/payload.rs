//! The plaintext of every envelope: `type u8 | len u16 BE | body | zero fill`.
//!
//! The fill is checked, so that a payload has one form only and nothing can ride in it.

use zeroize::Zeroizing;

use crate::sealed::rejected::EnvelopeError;

/// Payload bytes of a ring or cancel: Noise message 1 less E 32, sealed static key 48 and tag 16.
pub(crate) const FIRST_PAYLOAD: usize = super::SEALED_LEN - 32 - 48 - 16;

/// Payload bytes of an answer or session envelope: the sealed part less E 32 and tag 16.
pub(crate) const LATER_PAYLOAD: usize = super::SEALED_LEN - 32 - 16;

/// What a payload is. Numbers between these are reserved (PROTOCOL.md) and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    Ring = 1,
    Answer = 2,
    Moved = 3,
    Cancel = 4,
    HangUp = 5,
    Text = 7,
    Confirm = 9,
    Missed = 10,
    Presence = 11,
}

impl PayloadKind {
    fn from_byte(byte: u8) -> Result<Self, EnvelopeError> {
        match byte {
            1 => Ok(Self::Ring),
            2 => Ok(Self::Answer),
            3 => Ok(Self::Moved),
            4 => Ok(Self::Cancel),
            5 => Ok(Self::HangUp),
            7 => Ok(Self::Text),
            9 => Ok(Self::Confirm),
            10 => Ok(Self::Missed),
            11 => Ok(Self::Presence),
            _ => Err(EnvelopeError::Kind),
        }
    }
}

/// Writes a payload of exactly `N` bytes; `None` when the body has no room.
pub(crate) fn encode<const N: usize>(kind: PayloadKind, body: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let mut payload = Zeroizing::new([0; N]);
    let (head, rest) = payload.split_at_mut_checked(HEAD)?;
    head[0] = kind as u8;
    head[1..].copy_from_slice(&u16::try_from(body.len()).ok()?.to_be_bytes());
    rest.get_mut(..body.len())?.copy_from_slice(body);
    Some(payload)
}

/// Reads a payload that was opened.
pub(crate) fn decode(payload: &[u8]) -> Result<(PayloadKind, &[u8]), EnvelopeError> {
    let (head, rest) = payload
        .split_first_chunk::<HEAD>()
        .ok_or(EnvelopeError::Payload)?;
    let kind = PayloadKind::from_byte(head[0])?;
    let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
    let (body, fill) = rest.split_at_checked(len).ok_or(EnvelopeError::Payload)?;
    if fill.iter().any(|byte| *byte != 0) {
        return Err(EnvelopeError::Payload);
    }
    Ok((kind, body))
}

const HEAD: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_of_908_bytes_fits_a_ring_and_one_more_does_not() {
        assert!(encode::<FIRST_PAYLOAD>(PayloadKind::Ring, &[7; 908]).is_some());
        assert!(encode::<FIRST_PAYLOAD>(PayloadKind::Ring, &[7; 909]).is_none());
        assert!(encode::<LATER_PAYLOAD>(PayloadKind::Answer, &[7; 956]).is_some());
        assert!(encode::<LATER_PAYLOAD>(PayloadKind::Answer, &[7; 957]).is_none());
    }

    #[test]
    fn a_fill_that_is_not_zero_is_refused() {
        let mut payload = encode::<32>(PayloadKind::Confirm, b"x").expect("fits");
        payload[31] = 1;
        assert_eq!(decode(&payload[..]), Err(EnvelopeError::Payload));
    }

    #[test]
    fn reserved_kinds_and_long_lengths_are_refused() {
        assert_eq!(decode(&[8, 0, 0]), Err(EnvelopeError::Kind));
        assert_eq!(decode(&[1, 0, 1]), Err(EnvelopeError::Payload));
        assert_eq!(decode(&[1, 0]), Err(EnvelopeError::Payload));
    }

    proptest! {
        #[test]
        fn a_payload_has_one_form_only(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((kind, body)) = decode(&bytes) {
                let again = encode::<64>(kind, body).expect("fits");
                prop_assert_eq!(&again[..bytes.len()], &bytes[..]);
            }
        }
    }
}
