//! `vectors/ring-v2.json`: fixed keys and draws, and the exact bytes that come out. A second implementation
//! that gives the same bytes speaks the protocol. Written anew by
//! `cargo test -p ringfence-engine -- --ignored write_the_vectors`.

use std::convert::Infallible;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use rand_core::{TryCryptoRng, TryRng};
use ringfence_book::{BookKey, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::contact_secret::{ContactSecret, TAGS, TagWindow};
use ringfence_engine::sealed::envelope::{Envelope, EventContext, EventKey};
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::note::TextDraft;
use ringfence_engine::sealed::presence::{self, PresenceStatus};
use ringfence_engine::sealed::proof_of_work::{self, ProofSearch};
use ringfence_engine::sealed::ring::CancelReason;
use ringfence_engine::sealed::ring::incoming::OpenedMessage;
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::sealed::session::SessionMessage;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::safety_number::{SafetyNumber, SafetyNumberParty};
use ringfence_media::{Codec, Description, VideoDescription, VideoFormat};
use serde_json::{Value, json};

use crate::scene::{CALLER, Scene, keys_of, view};

/// Gives out what was put in, in order, and nothing more.
struct Script(Vec<u8>);

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("the protocol draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("the protocol draws bytes")
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(to.len());
        to.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn script(parts: &[&[u8]]) -> Script {
    Script(parts.concat())
}

/// Recognisable bytes: `from`, `from + 1`, ...
fn run<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|at| from.wrapping_add(at as u8))
}

fn identity(seed: [u8; 32], ring_secret: [u8; 32]) -> Identity {
    let none = [0; 5 * 37];
    let parts: [&[u8]; 5] = [&[4], &seed, &ring_secret, &SERIAL.to_be_bytes(), &none];
    let stored = parts.concat();
    Identity::from_bytes(&stored).unwrap()
}

fn event(bucket: u16, key: u8) -> EventContext {
    EventContext {
        bucket,
        event_key: EventKey(run(key)),
    }
}

fn described(event: &EventContext, envelope: &Envelope) -> Value {
    json!({
        "bucket": event.bucket,
        "event_key": hex::encode(event.event_key.0),
        "hint": hex::encode(envelope.routing_tag().0),
        "envelope": hex::encode(envelope.as_bytes()),
    })
}

/// What the call leaves to the two is of this number too.
const CALLEE: Number = Number::new(20_002);
/// The serial of every listing here.
const SERIAL: u32 = 0x5eed_0001;
const NOW: UnixTime = UnixTime::from_millis(1_795_000_000_123);
/// How long a caller waits for an answer.
const WAITS: Duration = Duration::from_secs(30);
/// Work of a stamp, unless a network's settings say otherwise.
const WORK_BITS: u8 = 16;

/// The media descriptions of a caller whose phone has video, and of a callee whose phone has none.
fn media() -> [Vec<u8>; 2] {
    let of = |from: u8, relayed: &str, codecs: &[Codec]| Description {
        ufrag: format!("ufrag{from:03}"),
        pwd: format!("password-of-24-chars{from:04}").replace('-', "+"),
        fingerprint: run(from),
        ssrc: 0x0102_0300 + u32::from(from),
        relayed_addresses: vec![relayed.parse().unwrap()],
        codecs: codecs.to_vec(),
        video: None,
    };
    let [opus, g722, pcma] = [Codec::Opus, Codec::G722, Codec::Pcma];
    let video = VideoDescription {
        ssrc: 0x0a0b_0c0d,
        formats: vec![VideoFormat::Vp8],
    };
    let mut caller = of(0x11, "198.51.100.7:49170", &[opus, g722, pcma]);
    caller.video = Some(video);
    let callee = of(0x12, "[2001:db8::7]:50002", &[g722, pcma]);
    [caller, callee].map(|description| {
        let bytes = description.encode();
        assert_eq!(Description::decode(&bytes), Ok(description));
        bytes
    })
}

/// Plays one call with fixed draws and describes it. Every envelope is opened by the other side on the way.
fn vectors() -> Value {
    let book = SigningKey::from_bytes(&run(0x10));
    let caller = identity(run(0x20), run(0x30));
    let callee = identity(run(0x40), run(0x50));
    let views = [1, 2].map(|epoch| view(&book, epoch));
    let media = media();

    let at_ring = event(0, 0x60);
    let who = SealingKeys {
        identity: &caller,
        number: CALLER,
        book: views[0],
    };
    let mut draws = script(&[&run::<16>(0x70), &run::<32>(0x80), &run::<16>(0xa0)]);
    let (ring, ring_envelope) = OutgoingRing::seal(
        who,
        &keys_of(&callee),
        (&media[0], WAITS),
        &at_ring,
        NOW,
        &mut draws,
    )
    .unwrap();

    let at_cancel = event(0, 0x61);
    let mut draws = script(&[&run::<16>(0x71), &run::<32>(0x81)]);
    let reason = CancelReason::AnsweredElsewhere;
    let cancel = ring
        .seal_cancel(reason, &at_cancel, NOW, &mut draws)
        .unwrap();

    let mut scene = Scene::new();
    (scene.book, scene.callee) = (book.clone(), identity(run(0x40), run(0x50)));
    scene.at.wall = NOW;
    scene.download(&[(CALLER, caller.listing())]);
    let verified = scene.open_ring(&ring_envelope, &at_ring);
    assert!(matches!(
        scene.open(&cancel, &at_cancel),
        Ok(OpenedMessage::Cancel { .. })
    ));

    // Answer, confirm and hang-up are datagrams between relayed addresses: no event is around them.
    let no_event = EventContext::NONE;
    let mut draws = script(&[&run::<32>(0x90)]);
    let (mut callee_side, answer) = verified
        .answer(&media[1], views[1], &no_event, &mut draws)
        .unwrap();
    let (_, mut caller_side) = ring.open_answer(&answer, &no_event).unwrap();

    let confirm = caller_side.seal(
        SessionMessage::Confirm,
        &no_event,
        &mut script(&[&run::<32>(0xb0)]),
    );
    assert_eq!(
        callee_side.open(&confirm, &no_event),
        Ok(SessionMessage::Confirm)
    );
    let hang_up = callee_side.seal(
        SessionMessage::HangUp,
        &no_event,
        &mut script(&[&run::<32>(0xc0)]),
    );
    assert_eq!(
        caller_side.open(&hang_up, &no_event),
        Ok(SessionMessage::HangUp)
    );

    let secret = caller_side.contact_secret();
    assert_eq!(callee_side.contact_secret(), secret);
    let notes = notes(&caller, &callee, &ring);
    let word = word(&caller, &callee, &mut scene);

    json!({
        "protocol": "ringfence/2",
        "about": "See PROTOCOL.md. Bytes in hexadecimal. Draws are given where the sealing side draws them.",
        "book": { "ed25519_secret": hex::encode(book.to_bytes()), "ed25519_public": hex::encode(BookKey::from(&book).as_bytes()) },
        "caller": person(run(0x20), run(0x30), &caller),
        "callee": person(run(0x40), run(0x50), &callee),
        "caller_number": CALLER.value(),
        "ring": {
            "unix_ms": NOW.millis(), "waits_ms": WAITS.as_millis() as u64, "draws": { "hint": hex::encode(run::<16>(0x70)), "ephemeral_secret": hex::encode(run::<32>(0x80)), "call_id": hex::encode(run::<16>(0xa0)) },
            "book_root": hex::encode(views[0].as_bytes()), "media": hex::encode(&media[0]), "sealed": described(&at_ring, &ring_envelope),
        },
        "cancel": {
            "unix_ms": NOW.millis(), "reason": 1, "draws": { "hint": hex::encode(run::<16>(0x71)), "ephemeral_secret": hex::encode(run::<32>(0x81)) },
            "sealed": described(&at_cancel, &cancel),
        },
        "answer": {
            "draws": { "ephemeral_secret": hex::encode(run::<32>(0x90)) },
            "book_root": hex::encode(views[1].as_bytes()), "media": hex::encode(&media[1]), "sealed": described(&no_event, &answer),
        },
        "confirm": {
            "from": "caller", "counter": 1, "draws": { "decoy_secret": hex::encode(run::<32>(0xb0)) },
            "sealed": described(&no_event, &confirm),
        },
        "hang_up": {
            "from": "callee", "counter": 1, "draws": { "decoy_secret": hex::encode(run::<32>(0xc0)) },
            "sealed": described(&no_event, &hang_up),
        },
        "notes": notes,
        "presence": word,
        "contact_secret": { "of_utc_day": secret.day().count(), "secret": hex::encode(secret.as_bytes()), "tags": tags(&secret) },
        "stamp": proof(),
        "safety_numbers": safety(),
    })
}

/// A text of two pieces, and the missed-call note of an unanswered ring.
fn notes(caller: &Identity, callee: &Identity, ring: &OutgoingRing) -> Value {
    let who = SealingKeys {
        identity: caller,
        number: CALLER,
        book: BookView::NONE,
    };
    let text = zeroize::Zeroizing::new(run::<256>(0x20).map(|byte| b' ' + byte % 95).repeat(3));
    let draft = TextDraft::new(text.clone(), &mut script(&[&run::<16>(0xe0)]));
    let pieces: Vec<Value> = (0..2_u8)
        .map(|index| {
            let at = event(0, 0x65 + index);
            let (routing_tag, secret) = (run::<16>(0x72 + index), run::<32>(0x82 + index));
            let mut draws = script(&[&routing_tag, &secret]);
            let keys = keys_of(callee);
            let piece = draft.seal(index.into(), &who, &keys, &at, NOW, &mut draws);
            json!({
                "draws": { "hint": hex::encode(routing_tag), "ephemeral_secret": hex::encode(secret) },
                "sealed": described(&at, &piece.unwrap()),
            })
        })
        .collect();
    let at = event(0, 0x67);
    let (routing_tag, secret) = (run::<16>(0x74), run::<32>(0x84));
    let later = NOW.after(Duration::from_secs(30));
    let missed = ring.seal_missed(&who, &at, later, &mut script(&[&routing_tag, &secret]));
    json!({
        "text": {
            "unix_ms": NOW.millis(), "draws": { "text_id": hex::encode(run::<16>(0xe0)) },
            "text": std::str::from_utf8(&text).unwrap(), "pieces": pieces,
        },
        "missed_call": {
            "unix_ms": later.millis(), "draws": { "hint": hex::encode(routing_tag), "ephemeral_secret": hex::encode(secret) },
            "sealed": described(&at, &missed.unwrap()),
        },
    })
}

/// A word of presence, which the other side opens.
fn word(caller: &Identity, callee: &Identity, scene: &mut Scene) -> Value {
    let who = SealingKeys {
        identity: caller,
        number: CALLER,
        book: BookView::NONE,
    };
    let at = event(0, 0x68);
    let (routing_tag, secret) = (run::<16>(0x75), run::<32>(0x85));
    let mut draws = script(&[&routing_tag, &secret]);
    let says = PresenceStatus::OnThePhone;
    let word = presence::seal(&who, &keys_of(callee), says, &at, NOW, &mut draws).unwrap();
    assert!(matches!(
        scene.open(&word, &at),
        Ok(OpenedMessage::Presence { .. })
    ));
    json!({
        "unix_ms": NOW.millis(), "says": 2,
        "draws": { "hint": hex::encode(routing_tag), "ephemeral_secret": hex::encode(secret) },
        "sealed": described(&at, &word),
    })
}

/// The tags of both sides in the window of the call, and in one two days later.
fn tags(secret: &ContactSecret) -> Value {
    let windows = [NOW, NOW.after(Duration::from_secs(2 * 86_400))];
    let all = windows.into_iter().flat_map(|at| {
        [CALLER, CALLEE].map(|sender| {
            let tags = secret.tags(sender, TagWindow::at(at));
            assert_eq!(tags.len(), TAGS);
            let tags: Vec<_> = tags.iter().map(|tag| hex::encode(tag.0)).collect();
            json!({ "unix_ms": at.millis(), "sender": sender.value(), "tags": tags })
        })
    });
    all.collect()
}

fn person(seed: [u8; 32], ring_secret: [u8; 32], identity: &Identity) -> Value {
    json!({
        "ed25519_secret": hex::encode(seed),
        "x25519_secret": hex::encode(ring_secret),
        "listing": hex::encode(identity.listing().encode()),
    })
}

/// The safety numbers of the caller and the callee, and of the caller and a third.
fn safety() -> Value {
    let people = [(20_001, 0x20), (20_002, 0x40), (4_000_000_000, 0x60)];
    let people = people.map(|(number, seed)| {
        let key = identity(run(seed), run(0x30)).key();
        (Number::new(number), key)
    });
    let party = |at: usize| SafetyNumberParty {
        number: people[at].0,
        identity: &people[at].1,
    };
    let pair = |a, b| {
        let side = |at: usize| {
            json!({
                "number": people[at].0.value(),
                "ed25519_public": hex::encode(people[at].1.as_bytes()),
            })
        };
        json!({
            "sides": [side(a), side(b)],
            "safety_number": SafetyNumber::of(party(a), party(b)).to_string(),
        })
    };
    json!([pair(0, 1), pair(2, 0)])
}

fn proof() -> Value {
    let key = EventKey(run(0x60));
    let mut mint = ProofSearch::new(key, zeroize::Zeroizing::new(run(0xd0)), WORK_BITS, NOW);
    let proof = mint.search(1_000_000).unwrap();
    assert!(proof_of_work::check(&key, proof.nonce, WORK_BITS, NOW));
    json!({
        "event_key": hex::encode(key.0), "bits": WORK_BITS, "window": proof.window,
        "lowest_nonce": format!("{:016x}", proof.nonce),
    })
}

#[test]
fn the_published_vectors_come_out_to_the_byte() {
    let published = include_bytes!("../../vectors/ring-v2.json");
    let published: Value = serde_json::from_slice(published).unwrap();
    assert_eq!(published, vectors());
}

#[test]
#[ignore = "writes the published file"]
#[expect(clippy::disallowed_methods, reason = "the test writes the file")]
fn write_the_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/ring-v2.json");
    let text = serde_json::to_string_pretty(&vectors()).unwrap();
    std::fs::write(path, text + "\n").unwrap();
}
