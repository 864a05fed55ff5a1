//! Any record of a phone book: what parses is canonical.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::Listing;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(listing) = Listing::decode(bytes) {
        assert_eq!(&listing.encode()[..], bytes);
    }
});
