//! Control frames of a call in progress, over the WebRTC data channel (DTLS, so sealed and authenticated).
//!
//! 64 bytes always: `type u8 | len u8 | body | zero fill`. One size, so that a TURN server cannot tell a
//! hang-up from anything else. The relay of the ring is not involved any more.

use std::fmt;

use ringfence_media::Codec;
use subtle::ConstantTimeEq;

/// What one side tells the other during a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlFrame {
    /// The call is over.
    HangUp,
    /// The caller holds the session's keys. Says again what the confirmation on the relay says, in
    /// case that was lost there.
    Confirm(ConfirmProof),
    /// A key was pressed on a phone that says so beside its audio. Those that say it within their audio (RFC 4733) need
    /// no frame.
    Digit {
        /// 0 to 15 (RFC 4733 section 3.2).
        event: u8,
        /// How long, in milliseconds.
        millis: u16,
    },
    /// The audio of this side's phone, which called without an offer and has chosen only now, among all that both sides have.
    Codec(Codec),
}

/// What only the two ends of one answered call can compute ([`crate::sealed::session::CallSession::proof`]).
/// DTLS alone proves less: its fingerprint came with the ring, and who has stolen the callee's
/// key can forge a ring. Compared in constant time.
#[derive(Clone, Copy)]
pub struct ConfirmProof(pub [u8; 32]);

impl PartialEq for ConfirmProof {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ConfirmProof {}

impl fmt::Debug for ConfirmProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfirmProof(..)")
    }
}

/// Bytes of every frame.
pub const FRAME_LEN: usize = 64;

/// Why a frame is ignored. None of these ends the call: a later version may say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Not 64 bytes, a length beyond the frame, or a fill that is not zero.
    #[error("malformed control frame")]
    Malformed,
    /// A type that this version does not know.
    #[error("unknown control frame")]
    Unknown,
}

impl ControlFrame {
    /// The frame.
    #[must_use]
    pub fn encode(self) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        match self {
            Self::HangUp => frame[0] = HANG_UP,
            Self::Confirm(ConfirmProof(proof)) => {
                frame[0] = CONFIRM;
                frame[1] = PROOF_LEN;
                frame[2..34].copy_from_slice(&proof);
            }
            Self::Digit { event, millis } => {
                let [high, low] = millis.to_be_bytes();
                frame[..5].copy_from_slice(&[DIGIT, 3, event, high, low]);
            }
            Self::Codec(codec) => {
                frame[..3].copy_from_slice(&[CODEC, 1, codec.far_payload_type()]);
            }
        }
        frame
    }

    /// Reads one message of the data channel.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        let frame: &[u8; FRAME_LEN] = bytes.try_into().map_err(|_| ControlError::Malformed)?;
        let (head, rest) = frame
            .split_first_chunk::<2>()
            .ok_or(ControlError::Malformed)?;
        let (body, fill) = rest
            .split_at_checked(head[1].into())
            .ok_or(ControlError::Malformed)?;
        if fill.iter().any(|byte| *byte != 0) {
            return Err(ControlError::Malformed);
        }
        match (head[0], body) {
            (HANG_UP, []) => Ok(Self::HangUp),
            (CONFIRM, body) => match body.try_into() {
                Ok(proof) => Ok(Self::Confirm(ConfirmProof(proof))),
                Err(_) => Err(ControlError::Malformed),
            },
            (DIGIT, &[event @ 0..=15, high, low]) => Ok(Self::Digit {
                event,
                millis: u16::from_be_bytes([high, low]),
            }),
            (CODEC, &[payload_type]) => Codec::from_far_payload_type(payload_type)
                .filter(|codec| !codec.is_events())
                .map(Self::Codec)
                .ok_or(ControlError::Malformed),
            (HANG_UP | DIGIT | CODEC, _) => Err(ControlError::Malformed),
            _ => Err(ControlError::Unknown),
        }
    }
}

const HANG_UP: u8 = 1;
const CONFIRM: u8 = 2;
const DIGIT: u8 = 3;
const CODEC: u8 = 4;
const PROOF_LEN: u8 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hang_up_comes_back() {
        assert_eq!(
            ControlFrame::decode(&ControlFrame::HangUp.encode()),
            Ok(ControlFrame::HangUp)
        );
    }

    #[test]
    fn a_confirmation_comes_back_with_its_proof() {
        let frame = ControlFrame::Confirm(ConfirmProof([9; 32])).encode();
        assert_eq!(
            ControlFrame::decode(&frame),
            Ok(ControlFrame::Confirm(ConfirmProof([9; 32])))
        );
        let short = [&[2, 31][..], &[0; 62]].concat();
        assert_eq!(ControlFrame::decode(&short), Err(ControlError::Malformed));
    }

    #[test]
    fn a_digit_comes_back_and_no_other_event_does() {
        let digit = ControlFrame::Digit {
            event: 11,
            millis: 250,
        };
        assert_eq!(ControlFrame::decode(&digit.encode()), Ok(digit));
        let frame = ControlFrame::Digit {
            event: 16,
            millis: 0,
        }
        .encode();
        assert_eq!(ControlFrame::decode(&frame), Err(ControlError::Malformed));
    }

    #[test]
    fn a_codec_comes_back_and_telephone_events_are_none() {
        for codec in Codec::ALL {
            let frame = ControlFrame::Codec(codec);
            let read = ControlFrame::decode(&frame.encode());
            match codec.is_events() {
                true => assert_eq!(read, Err(ControlError::Malformed)),
                false => assert_eq!(read, Ok(frame)),
            }
        }
    }

    #[test]
    fn other_lengths_types_and_fills_are_refused() {
        let frame = ControlFrame::HangUp.encode();
        assert_eq!(
            ControlFrame::decode(&frame[..63]),
            Err(ControlError::Malformed)
        );
        let with = |at: usize, byte| {
            let mut frame = frame;
            frame[at] = byte;
            ControlFrame::decode(&frame)
        };
        assert_eq!(with(0, 4), Err(ControlError::Malformed));
        assert_eq!(with(0, 5), Err(ControlError::Unknown));
        assert_eq!(with(1, 1), Err(ControlError::Malformed));
        assert_eq!(with(1, 63), Err(ControlError::Malformed));
        assert_eq!(with(63, 1), Err(ControlError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(control) = ControlFrame::decode(&bytes) {
                prop_assert_eq!(&control.encode()[..], &bytes[..]);
            }
        }
    }
}
