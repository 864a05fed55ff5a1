//! Any responses to a download of the book, with any roots that the book signed: what is accepted matches the last root, and
//! every download ends.

#![no_main]

use ed25519_dalek::SigningKey;
use libfuzzer_sys::fuzz_target;
use ringfence_book::root::{RootHash, Statement, TilesHash};
use ringfence_book::{BookKey, Fetch, NumberPlan, Root, VerifiedBook, Want};

/// More responses than an honest download of this size has.
const MOST: usize = 300;

/// One response: the content of a signed root, or any bytes.
type Answer<'a> = (u32, u8, [u8; 3], Option<&'a [u8]>);

fn root(key: &SigningKey, (epoch, tiles, marks): (u32, u8, [u8; 3])) -> Option<Root> {
    let [previous, content, delta] = marks;
    let states = Statement {
        epoch: epoch.max(1),
        genesis: 0,
        closed: 300 * u64::from(epoch.max(1) - 1),
        period: 300,
        plan: NumberPlan::new(20_000, u16::from(tiles % 4)).ok()?,
        changes: 16,
        previous: RootHash([previous; 32]),
        boundary: RootHash::NONE,
        tiles: TilesHash([content; 32]),
        delta: [delta; 32],
        network: [0; 32],
    };
    Some(Root::sign(key, states))
}

fuzz_target!(|answers: Vec<Answer<'_>>| {
    let key = SigningKey::from_bytes(&[1; 32]);
    let book = BookKey::from(&key);
    let mut answers = answers.into_iter();
    let last = answers
        .next()
        .and_then(|(e, t, m, _)| root(&key, (e, t, m)));
    let mut fetch = Fetch::new(book, None, None, u64::MAX).after(last);
    for _ in 0..MOST {
        let (Some(want), Some((epoch, tiles, marks, bytes))) = (fetch.wants(), answers.next())
        else {
            break;
        };
        let signed = root(&key, (epoch, tiles, marks)).map(|root| root.encode().to_vec());
        let answer = match (want, bytes, signed) {
            (Want::Tile(_), None, _) => vec![marks[0]; 49_152],
            (_, None, Some(signed)) => signed,
            (_, bytes, _) => bytes.unwrap_or_default().to_vec(),
        };
        if fetch.handle_answer(&answer).is_err() {
            return;
        }
    }
    if let Ok(Some(fetched)) = fetch.finish() {
        let root = *fetched.copy.root();
        let tiles = fetched.copy.tiles().to_vec();
        assert!(VerifiedBook::settle(tiles, &[root], &[]).is_ok());
    }
});
