//! TURN over a byte stream: where one message ends and the next begins (RFC 8656 section 12.5).
//!
//! The TURN client cuts streams as well, but neither expects nor writes the padding that ChannelData has on a stream; so
//! it is given whole frames without padding, and what it sends is padded here.

/// Cuts a stream from the server into STUN messages and ChannelData.
#[derive(Debug, Default)]
pub(super) struct StreamCutter {
    pending: Vec<u8>,
}

/// The stream holds something that is neither STUN nor ChannelData: there is no way to find the next frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokenStream;

impl StreamCutter {
    /// Appends the next bytes. The caller takes all frames before it pushes again, so that at most one frame (64 KiB)
    /// and one chunk are held.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, without padding.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>, BrokenStream>> {
        let [kind, _, high, low] = *self.pending.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (frame, padded) = match kind >> 6 {
            0 if length % 4 == 0 => (20 + length, 20 + length),
            1 => (4 + length, (4 + length).next_multiple_of(4)),
            _ => return Some(Err(BrokenStream)),
        };
        if self.pending.len() < padded {
            return None;
        }
        let mut whole: Vec<u8> = self.pending.drain(..padded).collect();
        whole.truncate(frame);
        Some(Ok(whole))
    }
}

/// Makes a frame fit for a stream: STUN messages are multiples of four bytes already, ChannelData is padded.
pub(super) fn pad(frame: &mut Vec<u8>) {
    frame.resize(frame.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel_data(length: usize) -> Vec<u8> {
        let mut frame = vec![0x40, 0x00];
        frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        frame.resize(4 + length, 7);
        frame
    }

    #[test]
    fn something_else_than_turn_breaks_the_stream() {
        let mut cutter = StreamCutter::default();
        cutter.push(b"HTTP/1.1 400 Bad Request");
        cutter.pending[0] = 0x80;
        assert_eq!(cutter.next(), Some(Err(BrokenStream)));
        let mut cutter = StreamCutter::default();
        cutter.push(&[0, 1, 0, 3]);
        assert_eq!(cutter.next(), Some(Err(BrokenStream)));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(lengths in prop::collection::vec(0usize..2000, 1..20), cut in 1usize..700) {
            let frames: Vec<Vec<u8>> = lengths.into_iter().map(channel_data).collect();
            let mut stream = Vec::new();
            for frame in &frames {
                let mut padded = frame.clone();
                pad(&mut padded);
                stream.extend(padded);
            }
            let mut cutter = StreamCutter::default();
            let mut out = Vec::new();
            for chunk in stream.chunks(cut) {
                cutter.push(chunk);
                while let Some(frame) = cutter.next() {
                    out.push(frame.unwrap());
                }
            }
            prop_assert_eq!(out, frames);
        }

        #[test]
        fn no_bytes_make_the_cutter_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut cutter = StreamCutter::default();
            cutter.push(&bytes);
            while let Some(Ok(_)) = cutter.next() {}
        }
    }
}
