//! Rings written by hand, from PROTOCOL.md and over aws-lc's primitives, not the engine's: an honest one must
//! open, so that the two writings agree; every dishonest one must not.

use std::sync::Mutex;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use ringfence_book::Listing;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::envelope::{Envelope, EventContext};
use ringfence_engine::sealed::rejected::EnvelopeError;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use x25519_dalek::{PublicKey, StaticSecret, x25519};

use crate::scene::{CALLEE_MEDIA, CALLER_MEDIA, Scene};

/// A key whose owner says what it is and what it agrees on.
#[derive(Clone, Copy)]
struct Claimed {
    public: [u8; 32],
    agrees: Agrees,
}

#[derive(Clone, Copy)]
enum Agrees {
    Honestly([u8; 32]),
    Always([u8; 32]),
}

impl Claimed {
    fn honest(secret: [u8; 32]) -> Self {
        let public = PublicKey::from(&StaticSecret::from(secret)).to_bytes();
        Self {
            public,
            agrees: Agrees::Honestly(secret),
        }
    }
}

impl Dh for Claimed {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, _: &[u8]) {}

    fn generate(&mut self, _: &mut dyn Random) -> Result<(), snow::Error> {
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &[0; 32]
    }

    fn dh(&self, theirs: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let shared = match self.agrees {
            Agrees::Honestly(secret) => x25519(secret, theirs[..32].try_into().unwrap()),
            Agrees::Always(shared) => shared,
        };
        out[..32].copy_from_slice(&shared);
        Ok(())
    }
}

/// Gives out `s` first, then `e`: the order in which a builder asks.
struct Keys(Mutex<Vec<Claimed>>);

impl CryptoResolver for Keys {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(NoRandom))
    }

    fn resolve_dh(&self, _: &DHChoice) -> Option<Box<dyn Dh>> {
        self.0
            .lock()
            .unwrap()
            .pop()
            .map(|key| Box::new(key) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, _: &HashChoice) -> Option<Box<dyn Hash>> {
        Some(Box::new(AwsLcSha256(Context::new(&SHA256))))
    }

    fn resolve_cipher(&self, _: &CipherChoice) -> Option<Box<dyn Cipher>> {
        Some(Box::new(AwsLcChaChaPoly([0; 32])))
    }
}

struct AwsLcSha256(Context);

impl Hash for AwsLcSha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Context::new(&SHA256);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(self.0.clone().finish().as_ref());
        self.reset();
    }
}

struct AwsLcChaChaPoly([u8; 32]);

impl AwsLcChaChaPoly {
    /// The key, and the nonce as Noise writes it (section 12.3): four zero bytes and the counter, little-endian.
    fn with_nonce(&self, counter: u64) -> (LessSafeKey, Nonce) {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.0).unwrap();
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_le_bytes());
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce))
    }
}

impl Cipher for AwsLcChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = *key;
    }

    fn encrypt(&self, counter: u64, data: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let (key, nonce) = self.with_nonce(counter);
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(data), &mut sealed)
            .unwrap();
        out[..sealed.len()].copy_from_slice(&sealed);
        sealed.len()
    }

    fn decrypt(
        &self,
        counter: u64,
        data: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (key, nonce) = self.with_nonce(counter);
        let mut sealed = sealed.to_vec();
        let plain = key
            .open_in_place(nonce, Aad::from(data), &mut sealed)
            .map_err(|_| snow::Error::Decrypt)?;
        out[..plain.len()].copy_from_slice(plain);
        Ok(plain.len())
    }
}

struct NoRandom;

impl Random for NoRandom {
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), snow::Error> {
        Err(snow::Error::Rng)
    }
}

/// Everything that a writer of rings may get wrong on purpose.
struct Forger {
    scene: Scene,
    s: Claimed,
    e: Claimed,
    kind: u8,
    body: Vec<u8>,
    listing: Listing,
    fill: u8,
}

const HINT: [u8; 16] = [0x77; 16];

impl Forger {
    fn honest() -> Self {
        let scene = Scene::new();
        let stored = scene.caller.to_bytes();
        let s = Claimed::honest(stored[33..65].try_into().unwrap());
        let listing = scene.caller.listing();
        let body = ring_body(&scene, &listing);
        Self {
            scene,
            s,
            e: Claimed::honest([0x55; 32]),
            kind: 1,
            body,
            listing,
            fill: 0,
        }
    }

    fn write(&mut self) -> (HandshakeState, Envelope, EventContext) {
        let event = self.scene.event();
        let callee = self.scene.callee.listing();
        let prologue = [
            b"ringfence/2 ring IK\0\x02".as_slice(),
            &HINT,
            &event.bucket.to_be_bytes(),
            &event.event_key.0,
            callee.identity().as_bytes(),
        ]
        .concat();
        let mut state = Builder::with_resolver(
            "Noise_IK_25519_ChaChaPoly_SHA256".parse().unwrap(),
            Box::new(Keys(Mutex::new(vec![self.e, self.s]))),
        )
        .prologue(&prologue)
        .and_then(|builder| builder.local_private_key(&[0; 32]))
        .and_then(|builder| builder.remote_public_key(callee.ring_key().as_bytes()))
        .and_then(Builder::build_initiator)
        .unwrap();
        let mut payload = vec![self.kind];
        payload.extend_from_slice(&u16::try_from(self.body.len()).unwrap().to_be_bytes());
        payload.extend_from_slice(&self.body);
        payload.resize(911, self.fill);
        let mut bytes = vec![2];
        bytes.extend_from_slice(&HINT);
        bytes.resize(1024, 0);
        assert_eq!(
            state.write_message(&payload, &mut bytes[17..]).unwrap(),
            1007
        );
        (state, Envelope::from_bytes(&bytes).unwrap(), event)
    }

    fn why_not(mut self) -> EnvelopeError {
        let (_, envelope, event) = self.write();
        self.scene.why_not(&envelope, &event)
    }

    fn opens(mut self) {
        let (_, envelope, event) = self.write();
        assert_eq!(
            self.scene.open_ring(&envelope, &event).media(),
            CALLER_MEDIA
        );
    }
}

fn ring_body(scene: &Scene, listing: &Listing) -> Vec<u8> {
    [
        [0x11; 16].as_slice(),
        &scene.at.wall.millis().to_be_bytes(),
        &scene.number.value().to_be_bytes(),
        &listing.serial().to_be_bytes(),
        listing.signature(),
        &[0; 257],
        &[0; 2],
        CALLER_MEDIA,
    ]
    .concat()
}

#[test]
fn an_honest_ring_written_by_hand_opens() {
    Forger::honest().opens();
}

#[test]
fn flags_that_this_version_does_not_know_do_not_matter() {
    let mut forger = Forger::honest();
    forger.body[353..355].copy_from_slice(&[0xff, 0xff]);
    forger.opens();
}

#[test]
fn a_fill_that_is_not_zero_is_refused() {
    let forger = Forger {
        fill: 1,
        ..Forger::honest()
    };
    assert_eq!(forger.why_not(), EnvelopeError::Payload);
}

#[test]
fn kinds_that_are_no_first_message_are_refused() {
    for kind in [0, 2, 3, 5, 6, 7, 8, 9, 10, 0x7f, 0xff] {
        let forger = Forger {
            kind,
            ..Forger::honest()
        };
        assert_eq!(forger.why_not(), EnvelopeError::Kind, "kind {kind}");
    }
}

#[test]
fn bodies_that_are_too_short_or_too_long_are_refused() {
    for len in [0, 1, 354, 355 + 401] {
        let mut forger = Forger::honest();
        forger.body.resize(len, 0);
        assert_eq!(forger.why_not(), EnvelopeError::Body, "{len} bytes");
    }
}

#[test]
fn an_ephemeral_key_of_small_order_is_refused() {
    for public in SMALL_ORDER {
        let e = Claimed {
            public,
            agrees: Agrees::Always([0; 32]),
        };
        let forger = Forger {
            e,
            ..Forger::honest()
        };
        assert_eq!(forger.why_not(), EnvelopeError::WeakKey);
    }
}

#[test]
fn a_static_key_of_small_order_is_refused() {
    for public in SMALL_ORDER {
        let s = Claimed {
            public,
            agrees: Agrees::Always([0; 32]),
        };
        let forger = Forger {
            s,
            ..Forger::honest()
        };
        assert_eq!(forger.why_not(), EnvelopeError::WeakKey);
    }
}

#[test]
fn a_static_key_that_the_identity_did_not_sign_is_refused() {
    let forger = Forger {
        s: Claimed::honest([0x33; 32]),
        ..Forger::honest()
    };
    assert_eq!(forger.why_not(), EnvelopeError::NotListed);
}

#[test]
fn a_serial_made_to_be_higher_is_refused() {
    let mut forger = Forger::honest();
    let higher = forger.listing.serial() + 1;
    forger.body[28..32].copy_from_slice(&higher.to_be_bytes());
    assert_eq!(forger.why_not(), EnvelopeError::NotListed);
}

/// The known limit of a first Noise message, and what closes it.
#[test]
fn a_thief_of_the_callee_key_can_make_a_phone_ring_but_never_finish_the_call() {
    let mut forger = Forger::honest();
    let stolen: [u8; 32] = forger.scene.callee.to_bytes()[33..65].try_into().unwrap();
    let victim = *forger.listing.ring_key().as_bytes();
    forger.s = Claimed {
        public: victim,
        agrees: Agrees::Always(x25519(stolen, victim)),
    };
    let (mut thief, envelope, event) = forger.write();
    let mut scene = forger.scene;
    let verified = scene.open_ring(&envelope, &event);
    assert_eq!(verified.caller(), scene.caller.key());
    let event = scene.event();
    let (_session, answer) = verified
        .answer(CALLEE_MEDIA, BookView::NONE, &event, &mut scene.rng)
        .unwrap();
    let read = thief.read_message(&answer.as_bytes()[17..], &mut [0; 1024]);
    assert_eq!(read, Err(snow::Error::Decrypt));
}

/// Orders 1, 2, 4 and 8 (RFC 7748 section 7; values as in the Wycheproof set).
const SMALL_ORDER: [[u8; 32]; 4] = {
    let mut one = [0; 32];
    one[0] = 1;
    let eight = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    [[0; 32], one, eight, minus_one]
};
