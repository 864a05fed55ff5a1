//! TURN over a byte stream: cutting it into STUN messages and ChannelData, and padding what leaves (RFC 8656 section 12.5).
//!
//! turn-server-proto cuts streams too, but does not know the padding of ChannelData; it is given one whole frame at a time.

/// Longest frame that a client may send. Sound, checks and requests stay far below; a client that claims more is
/// not speaking TURN for a call.
const MAX_FRAME: usize = 4096;

/// One client's stream.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pending: Vec<u8>,
}

/// The stream holds something that is not TURN.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotTurn;

impl Frames {
    /// Appends the next bytes; take all frames before pushing again.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, without its padding.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>, NotTurn>> {
        let [kind, _, high, low] = *self.pending.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let frame = match kind >> 6 {
            0 if length % 4 == 0 => 20 + length,
            1 => 4 + length,
            _ => return Some(Err(NotTurn)),
        };
        let padded = frame.next_multiple_of(4);
        if padded > MAX_FRAME {
            return Some(Err(NotTurn));
        }
        if self.pending.len() < padded {
            return None;
        }
        let rest = self.pending.split_off(padded);
        let mut whole = std::mem::replace(&mut self.pending, rest);
        whole.truncate(frame);
        Some(Ok(whole))
    }
}

/// Pads a frame for a stream.
pub(super) fn pad(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_come_out_whole_however_the_stream_is_cut(lengths in prop::collection::vec(0u16..1500, 1..12), cut in 1usize..500) {
            let frames: Vec<Vec<u8>> = lengths
                .iter()
                .map(|length| {
                    let mut frame = vec![0x41, 0];
                    frame.extend_from_slice(&length.to_be_bytes());
                    frame.resize(4 + usize::from(*length), 9);
                    frame
                })
                .collect();
            let stream: Vec<u8> = frames.iter().flat_map(|frame| pad(frame.clone())).collect();
            let (mut cutter, mut out) = (Frames::default(), Vec::new());
            for chunk in stream.chunks(cut) {
                cutter.push(chunk);
                while let Some(frame) = cutter.next() {
                    out.push(frame.unwrap());
                }
            }
            prop_assert_eq!(out, frames);
        }

        #[test]
        fn no_bytes_make_it_panic_or_hold_more_than_a_frame(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20)) {
            let mut cutter = Frames::default();
            for chunk in chunks {
                cutter.push(&chunk);
                let broken = loop {
                    match cutter.next() {
                        Some(Ok(_)) => {}
                        Some(Err(NotTurn)) => break true,
                        None => break false,
                    }
                };
                if broken {
                    break;
                }
                prop_assert!(cutter.pending.len() <= MAX_FRAME);
            }
        }
    }
}
