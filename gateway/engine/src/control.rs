//! Control frames of a call in progress, over the WebRTC data channel (DTLS, so sealed and authenticated).
//!
//! 64 bytes always: `type u8 | len u8 | body | zero fill`. One size, so that a TURN server cannot tell a
//! hang-up from anything else. The relay of the ring is not involved any more.

/// What one side tells the other during a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// The call is over.
    HangUp,
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

impl Control {
    /// The frame.
    #[must_use]
    pub fn encode(self) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        frame[0] = match self {
            Self::HangUp => HANG_UP,
        };
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
            (HANG_UP, _) => Err(ControlError::Malformed),
            _ => Err(ControlError::Unknown),
        }
    }
}

const HANG_UP: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hang_up_comes_back() {
        assert_eq!(
            Control::decode(&Control::HangUp.encode()),
            Ok(Control::HangUp)
        );
    }

    #[test]
    fn other_lengths_types_and_fills_are_refused() {
        let frame = Control::HangUp.encode();
        assert_eq!(Control::decode(&frame[..63]), Err(ControlError::Malformed));
        let with = |at: usize, byte| {
            let mut frame = frame;
            frame[at] = byte;
            Control::decode(&frame)
        };
        assert_eq!(with(0, 2), Err(ControlError::Unknown));
        assert_eq!(with(1, 1), Err(ControlError::Malformed));
        assert_eq!(with(1, 63), Err(ControlError::Malformed));
        assert_eq!(with(63, 1), Err(ControlError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(control) = Control::decode(&bytes) {
                prop_assert_eq!(&control.encode()[..], &bytes[..]);
            }
        }
    }
}
