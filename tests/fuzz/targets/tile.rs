//! Any tile of a phone book: every slot has a listing or none, and parsed listings are canonical.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::Tile;

fuzz_target!(|bytes: &[u8]| {
    // The input is repeated to the length of a tile, so the fuzzer need not find that length.
    if bytes.is_empty() {
        return;
    }
    let whole: Vec<u8> = bytes.iter().copied().cycle().take(49_152).collect();
    assert_eq!(Tile::decode(bytes).is_ok(), bytes.len() == whole.len());
    let tile = Tile::decode(&whole).expect("a tile has 49 152 bytes");
    assert_eq!(tile.as_bytes(), &whole[..]);
    for slot in [0, 1, 255] {
        if let Ok(listing) = tile.listing(slot) {
            assert_eq!(Some(&listing.encode()), tile.record(slot));
        }
    }
});
