//! Any record, binding or tile of a phone book: what is read is canonical.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_phonebook::{Binding, Listing, Tile};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(listing) = Listing::decode(bytes) {
        assert_eq!(&listing.encode()[..], bytes);
    }
    if let Ok(binding) = Binding::decode(bytes) {
        assert_eq!(&binding.encode()[..], bytes);
    }
    if let Ok(tile) = Tile::decode(bytes) {
        let _ = tile.listing(0);
    }
});
