//! Control frames on a call's data channel: 64 bytes each, `type u8 | length u8 | body | zeros`.
//!
//! The channel runs inside DTLS whose fingerprint came sealed in ring and answer, so a frame
//! is as authentic as the call. TURN servers see only that a packet of the usual size passed.

/// Size of every frame, so that its kind cannot be told from its length.
pub(crate) const FRAME: usize = 64;

const HANG_UP: u8 = 1;

/// What one engine tells the other during a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The person on the other side has hung up.
    HangUp,
}

impl Control {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut frame = vec![0; FRAME];
        if let Some(kind) = frame.first_mut() {
            *kind = match self {
                Self::HangUp => HANG_UP,
            };
        }
        frame
    }

    /// Reads a frame; unknown kinds and malformed frames are `None` and mean nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let well_formed = bytes.len() == FRAME && rest.iter().all(|byte| *byte == 0);
        (well_formed && *kind == HANG_UP).then_some(Self::HangUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_survives_the_way() {
        let frame = Control::HangUp.encode();
        assert_eq!(frame.len(), FRAME);
        assert_eq!(Control::decode(&frame), Some(Control::HangUp));
    }

    #[test]
    fn other_kinds_and_other_sizes_mean_nothing() {
        assert_eq!(Control::decode(&[]), None);
        assert_eq!(Control::decode(&[1]), None);
        assert_eq!(Control::decode(&[9; FRAME]), None);
        let mut dirty = Control::HangUp.encode();
        dirty[40] = 1;
        assert_eq!(Control::decode(&dirty), None);
    }
}
