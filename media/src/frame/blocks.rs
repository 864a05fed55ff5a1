//! The payload of a frame: blocks of RFC 2198, of which the first is a key press or fill and the last sound or fill. Those between
//! repeat earlier sound, with the timestamp offset that RFC 2198 gives them. The first block is of no time but the frame's; its offset
//! tells which share of the other side's frames was lost, in 256ths.
//!
//! ```text
//! |1| payload type 7 | timestamp offset 14 | length 10 |  ...  |0| payload type 7 |  first block | ... | last block
//! ```
//!
//! The first block takes up what the others leave of the frame. A reader takes any number of blocks up to [`MOST_BLOCKS`].

/// The payload type of fill. Its bytes are zeros, and no reader looks at them.
pub const FILL_PAYLOAD_TYPE: u8 = 97;

/// Bytes of a frame beside its sound: both headers, and a first block that has room for a key press.
pub const OVERHEAD: usize = BLOCK_HEADER + LAST_HEADER + PRESS_BYTES;

/// Bytes of a block that repeats earlier sound, beside that.
pub const REPEAT_HEADER: usize = BLOCK_HEADER;

/// Bytes of a key press: the payload of RFC 4733 section 2.3, and the RTP timestamp of its start, since the offset of RFC 2198 ends
/// after 0.3 s of a clock of 48 kHz.
pub const PRESS_BYTES: usize = 8;

/// Blocks of a frame that is read.
pub const MOST_BLOCKS: usize = 8;

const BLOCK_HEADER: usize = 4;
const LAST_HEADER: usize = 1;
/// The longest block but the last: its length has ten bits.
const LONGEST: usize = 0x3ff;

/// One block of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameBlock<'a> {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Ticks by which it is older than the frame's timestamp; of the first block, the share of lost frames.
    pub age: u16,
    /// The payload.
    pub payload: &'a [u8],
}

/// The blocks of a frame, in their order. [`FrameBlocks::read`] makes it.
#[derive(Clone, Debug)]
pub struct FrameBlocks<'a> {
    headers: &'a [u8],
    bodies: &'a [u8],
}

/// A key press as a block carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressBlock {
    /// Payload type of telephone events.
    pub payload_type: u8,
    /// The payload of RFC 4733 section 2.3.
    pub event: [u8; 4],
    /// The RTP timestamp of its start.
    pub start: u32,
}

impl<'a> FrameBlocks<'a> {
    /// Reads the headers; `None` if they reach beyond the end, or are too many.
    #[must_use]
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let (mut at, mut blocks, mut taken) = (0, 1, 0);
        while payload.get(at)? & 0x80 != 0 {
            let [_, _, high, low] = *payload.get(at..)?.first_chunk()?;
            taken += length(high, low);
            at += BLOCK_HEADER;
            blocks += 1;
            if blocks > MOST_BLOCKS {
                return None;
            }
        }
        let (headers, bodies) = payload.split_at_checked(at + LAST_HEADER)?;
        (taken <= bodies.len()).then_some(Self { headers, bodies })
    }
}

impl<'a> Iterator for FrameBlocks<'a> {
    type Item = FrameBlock<'a>;

    fn next(&mut self) -> Option<FrameBlock<'a>> {
        let first = *self.headers.first()?;
        if first & 0x80 == 0 {
            self.headers = &[];
            return Some(FrameBlock {
                payload_type: first,
                age: 0,
                payload: std::mem::take(&mut self.bodies),
            });
        }
        let ([_, age, high, low], headers) = self.headers.split_first_chunk()?;
        let (payload, bodies) = self.bodies.split_at_checked(length(*high, *low))?;
        (self.headers, self.bodies) = (headers, bodies);
        Some(FrameBlock {
            payload_type: first & 0x7f,
            age: (u16::from(*age) << 6) | u16::from(high >> 2),
            payload,
        })
    }
}

impl PressBlock {
    /// Reads a block of telephone events.
    #[must_use]
    pub fn read(block: &FrameBlock<'_>) -> Option<Self> {
        let (event, rest) = block.payload.split_first_chunk()?;
        let start = rest.first_chunk()?;
        Some(Self {
            payload_type: block.payload_type,
            event: *event,
            start: u32::from_be_bytes(*start),
        })
    }
}

/// Writes a frame of exactly so many bytes, from the share of the other side's frames that was lost, a key press, earlier sound, and sound
/// with its payload type. `None` if they do not fit, or leave more than a first block can take up.
#[must_use]
pub fn write(
    size: usize,
    (lost, press): (u8, Option<PressBlock>),
    repeats: &[FrameBlock<'_>],
    sound: Option<(u8, &[u8])>,
) -> Option<Vec<u8>> {
    let repeated = repeats.iter().map(|block| block.payload.len());
    if repeated.clone().any(|length| length > LONGEST) {
        return None;
    }
    let headers = BLOCK_HEADER * (1 + repeats.len()) + LAST_HEADER;
    let free = size.checked_sub(headers + repeated.sum::<usize>())?;
    let (last, first_bytes) = match sound {
        Some((payload_type, payload)) => (payload_type, free.checked_sub(payload.len())?),
        None => (FILL_PAYLOAD_TYPE, PRESS_BYTES),
    };
    let is_room = (PRESS_BYTES..=LONGEST).contains(&first_bytes) && first_bytes <= free;
    if !is_room {
        return None;
    }
    let mut out = Vec::with_capacity(size);
    let first = press.map_or(FILL_PAYLOAD_TYPE, |press| press.payload_type);
    put_header(&mut out, first, lost.into(), first_bytes);
    for block in repeats {
        put_header(&mut out, block.payload_type, block.age, block.payload.len());
    }
    out.push(last & 0x7f);
    if let Some(press) = press {
        out.extend_from_slice(&press.event);
        out.extend_from_slice(&press.start.to_be_bytes());
    }
    out.resize(headers + first_bytes, 0);
    for block in repeats {
        out.extend_from_slice(block.payload);
    }
    if let Some((_, payload)) = sound {
        out.extend_from_slice(payload);
    }
    out.resize(size, 0);
    Some(out)
}

/// The header of a block but the last. An age beyond its 14 bits is the highest.
fn put_header(out: &mut Vec<u8>, payload_type: u8, age: u16, length: usize) {
    let age = u32::from(age.min(0x3fff));
    let word = age << 10 | (length & LONGEST) as u32;
    let [_, high, middle, low] = word.to_be_bytes();
    out.extend_from_slice(&[0x80 | payload_type, high, middle, low]);
}

fn length(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high & 3, low]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(bytes: &[u8]) -> Vec<(u8, u16, &[u8])> {
        let blocks = FrameBlocks::read(bytes).unwrap();
        blocks
            .map(|block| (block.payload_type, block.age, block.payload))
            .collect()
    }

    #[test]
    fn blocks_are_read_as_rfc_2198_lays_them_out() {
        // Section 4's layout: a block that is 1,234 ticks older and has three bytes, one of none, and the last.
        let bytes = [0x80 | 5, 0x13, 0x48, 3, 0x80 | 7, 0, 0, 0, 8, 1, 2, 3, 4, 5];
        assert_eq!(
            blocks(&bytes),
            [(5, 1_234, &[1, 2, 3][..]), (7, 0, &[]), (8, 0, &[4, 5])]
        );
    }

    #[test]
    fn headers_beyond_the_end_or_without_end_are_refused() {
        assert!(FrameBlocks::read(&[]).is_none());
        assert!(FrameBlocks::read(&[0x80, 0, 0, 0]).is_none());
        assert!(FrameBlocks::read(&[0x80, 0, 0, 2, 0, 1]).is_none());
        let many = [&[0x80, 0, 0, 0].repeat(MOST_BLOCKS)[..], &[0]].concat();
        assert!(FrameBlocks::read(&many).is_none());
        assert!(FrameBlocks::read(&many[4..]).is_some());
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        assert!(write(OVERHEAD - 1, (0, None), &[], None).is_none());
        assert!(write(OVERHEAD + 3, (0, None), &[], Some((0, &[1; 4]))).is_none());
        assert!(write(OVERHEAD + 4, (0, None), &[], Some((0, &[1; 4]))).is_some());
        assert!(write(2_000, (0, None), &[], Some((0, &[1; 4]))).is_none());
    }

    fn press() -> impl Strategy<Value = Option<PressBlock>> {
        prop::option::of((0u8..128, any::<[u8; 4]>(), any::<u32>()).prop_map(
            |(payload_type, event, start)| PressBlock {
                payload_type,
                event,
                start,
            },
        ))
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(blocks) = FrameBlocks::read(&bytes) {
                let blocks: Vec<_> = blocks.collect();
                prop_assert!((1..=MOST_BLOCKS).contains(&blocks.len()));
                let headers = (blocks.len() - 1) * BLOCK_HEADER + LAST_HEADER;
                let bodies: usize = blocks.iter().map(|block| block.payload.len()).sum();
                prop_assert_eq!(headers + bodies, bytes.len());
            }
        }

        #[test]
        fn what_is_written_has_its_size_and_comes_back(
            lost in any::<u8>(),
            press in press(),
            sound in prop::option::of((0u8..128, prop::collection::vec(any::<u8>(), 0..300))),
            earlier in prop::collection::vec((0u8..128, 0u16..0x4000, prop::collection::vec(any::<u8>(), 0..200)), 0..4),
            more in 0usize..300,
        ) {
            let repeats: Vec<_> = earlier
                .iter()
                .map(|(payload_type, age, payload)| FrameBlock { payload_type: *payload_type, age: *age, payload })
                .collect();
            let length = sound.as_ref().map_or(0, |(_, payload)| payload.len());
            let repeated: usize = repeats.iter().map(|block| REPEAT_HEADER + block.payload.len()).sum();
            let size = OVERHEAD + repeated + length + more;
            let bytes = write(size, (lost, press), &repeats, sound.as_ref().map(|(kind, payload)| (*kind, &payload[..]))).unwrap();
            prop_assert_eq!(bytes.len(), size);
            let mut blocks: Vec<_> = FrameBlocks::read(&bytes).unwrap().collect();
            prop_assert_eq!(blocks.drain(1..=repeats.len()).collect::<Vec<_>>(), repeats);
            prop_assert_eq!(blocks.len(), 2);
            prop_assert_eq!(blocks[0].age, lost.into());
            match press {
                Some(press) => prop_assert_eq!(PressBlock::read(&blocks[0]), Some(press)),
                None => prop_assert_eq!(blocks[0].payload_type, FILL_PAYLOAD_TYPE),
            }
            match sound {
                Some((kind, payload)) => prop_assert_eq!((blocks[1].payload_type, blocks[1].payload), (kind, &payload[..])),
                None => prop_assert_eq!(blocks[1].payload_type, FILL_PAYLOAD_TYPE),
            }
        }
    }
}
