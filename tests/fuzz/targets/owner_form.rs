//! Bodies of requests of an owner, a member and the operator: what parses has a serialisation that parses to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_book::Listing;
use ringfence_book::wire::{AskChallenge, AskTurn, Deactivate, Revoke, Rotate, Verify, object};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let form: T = object(&mut serde_json::Deserializer::from_slice(bytes)).ok()?;
    let written = serde_json::to_string(&form).expect("a form has nothing that JSON lacks");
    let again: T = serde_json::from_str(&written).expect("what was written is read");
    assert_eq!(serde_json::to_string(&again).ok(), Some(written));
    Some(form)
}

fuzz_target!(|bytes: &[u8]| {
    let _ = read::<Verify>(bytes);
    let _ = read::<Deactivate>(bytes);
    let _ = (
        read::<AskChallenge>(bytes),
        read::<AskTurn>(bytes),
        read::<Revoke>(bytes),
    );
    if let Some(form) = read::<Rotate>(bytes)
        && let Ok(listing) = Listing::decode(&form.listing.0)
    {
        assert_eq!(listing.encode(), form.listing.0);
    }
});
