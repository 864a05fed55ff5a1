//! Any payload of a frame between engines: reading never panics, takes up every byte, and gives what a writer of such a frame had.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_media::frame::blocks::{FILL_PAYLOAD_TYPE, FrameBlocks, MOST_BLOCKS, PressBlock, write};

fuzz_target!(|bytes: &[u8]| {
    let Some(blocks) = FrameBlocks::read(bytes) else {
        return;
    };
    let blocks: Vec<_> = blocks.collect();
    assert!((1..=MOST_BLOCKS).contains(&blocks.len()));
    let bodies: usize = blocks.iter().map(|block| block.payload.len()).sum();
    assert_eq!(4 * (blocks.len() - 1) + 1 + bodies, bytes.len());
    let [first, repeats @ .., last] = &blocks[..] else { return };
    let press = (first.payload_type != FILL_PAYLOAD_TYPE).then(|| PressBlock::read(first)).flatten();
    let sound = (last.payload_type != FILL_PAYLOAD_TYPE).then_some((last.payload_type, last.payload));
    let lost = u8::try_from(first.age).unwrap_or(u8::MAX);
    if let Some(written) = write(bytes.len(), (lost, press), repeats, sound) {
        let again: Vec<_> = FrameBlocks::read(&written).expect("a frame").collect();
        assert_eq!(written.len(), bytes.len());
        assert_eq!(press.and_then(|_| PressBlock::read(&again[0])), press);
        assert_eq!(again[0].age, lost.into());
        assert_eq!(again[1..again.len() - 1], *repeats);
        let again = again[again.len() - 1];
        assert_eq!((again.payload_type, sound.map(|_| again.payload)), (sound.map_or(FILL_PAYLOAD_TYPE, |sound| sound.0), sound.map(|sound| sound.1)));
    }
});
