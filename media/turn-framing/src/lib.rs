//! TURN over a byte stream: where one message ends and the next begins (RFC 8656 section 12.5).
//!
//! TURN clients and servers need the same framing, and a server must not link a WebRTC stack for it; therefore this is a
//! package of its own, without dependencies. The buffer of `turn-types` does not fit: it neither expects nor skips the
//! padding that ChannelData has on a stream, and it has no limit.

/// Splits a byte stream into STUN messages and ChannelData.
///
/// The owner calls [`push`](Self::push) with the next bytes and then [`next_frame`](Self::next_frame) until it returns
/// `None`, so that at most one frame and one chunk are held.
#[derive(Debug)]
pub struct TurnFramer {
    pending: Vec<u8>,
    max_frame: usize,
}

/// The stream holds something that is neither STUN nor ChannelData, or a frame beyond the limit. The next frame cannot be
/// found any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTurn;

/// The longest frame that the length field can express: a STUN message with 65,532 bytes of attributes.
pub const LONGEST_FRAME: usize = 20 + 65_532;

impl TurnFramer {
    /// A framer that refuses frames longer than `max_frame` bytes, padding included.
    #[must_use]
    pub const fn new(max_frame: usize) -> Self {
        Self {
            pending: Vec::new(),
            max_frame,
        }
    }

    /// Appends the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, without its padding.
    pub fn next_frame(&mut self) -> Option<Result<Vec<u8>, NotTurn>> {
        let [kind, _, high, low] = *self.pending.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let frame = match kind >> 6 {
            0 if length.is_multiple_of(4) => 20 + length,
            1 => 4 + length,
            _ => return Some(Err(NotTurn)),
        };
        let padded = frame.next_multiple_of(4);
        if padded > self.max_frame {
            return Some(Err(NotTurn));
        }
        if self.pending.len() < padded {
            return None;
        }
        let mut whole: Vec<u8> = self.pending.drain(..padded).collect();
        whole.truncate(frame);
        Some(Ok(whole))
    }
}

/// Pads a frame for a stream: ChannelData to a multiple of four bytes, which a STUN message is already.
pub fn pad(frame: &mut Vec<u8>) {
    frame.resize(frame.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The limit of a server in these tests.
    const MAX_FRAME: usize = 4096;

    fn channel_data(length: usize) -> Vec<u8> {
        let mut frame = vec![0x40, 0x00];
        frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        frame.resize(4 + length, 7);
        frame
    }

    #[test]
    fn something_else_than_turn_breaks_the_stream() {
        let mut framer = TurnFramer::new(LONGEST_FRAME);
        framer.push(b"HTTP/1.1 400 Bad Request");
        framer.pending[0] = 0x80;
        assert_eq!(framer.next_frame(), Some(Err(NotTurn)));
        let mut framer = TurnFramer::new(LONGEST_FRAME);
        framer.push(&[0, 1, 0, 3]);
        assert_eq!(framer.next_frame(), Some(Err(NotTurn)));
    }

    #[test]
    fn only_the_limit_given_refuses_a_frame_of_turn() {
        for (header, longest) in [
            ([0, 1, 0xff, 0xfc], LONGEST_FRAME),
            ([0x40, 0, 0xff, 0xff], 65_540),
        ] {
            let mut framer = TurnFramer::new(LONGEST_FRAME);
            framer.push(&header);
            framer.push(&vec![0; longest - 4]);
            assert!(matches!(framer.next_frame(), Some(Ok(_))));
            let mut framer = TurnFramer::new(MAX_FRAME);
            framer.push(&header);
            assert_eq!(framer.next_frame(), Some(Err(NotTurn)));
        }
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
            let mut framer = TurnFramer::new(LONGEST_FRAME);
            let mut out = Vec::new();
            for chunk in stream.chunks(cut) {
                framer.push(chunk);
                while let Some(frame) = framer.next_frame() {
                    out.push(frame.unwrap());
                }
            }
            prop_assert_eq!(out, frames);
        }

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
            let mut stream = Vec::new();
            for frame in &frames {
                let mut padded = frame.clone();
                pad(&mut padded);
                stream.extend(padded);
            }
            let (mut framer, mut out) = (TurnFramer::new(MAX_FRAME), Vec::new());
            for chunk in stream.chunks(cut) {
                framer.push(chunk);
                while let Some(frame) = framer.next_frame() {
                    out.push(frame.unwrap());
                }
            }
            prop_assert_eq!(out, frames);
        }

        #[test]
        fn no_bytes_make_the_framer_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut framer = TurnFramer::new(LONGEST_FRAME);
            framer.push(&bytes);
            while let Some(Ok(_)) = framer.next_frame() {}
        }

        #[test]
        fn no_bytes_make_it_panic_or_hold_more_than_a_frame(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20)) {
            let mut framer = TurnFramer::new(MAX_FRAME);
            for chunk in chunks {
                framer.push(&chunk);
                let broken = loop {
                    match framer.next_frame() {
                        Some(Ok(_)) => {}
                        Some(Err(NotTurn)) => break true,
                        None => break false,
                    }
                };
                if broken {
                    break;
                }
                prop_assert!(framer.pending.len() <= MAX_FRAME);
            }
        }
    }
}
