//! Every single bit of a ring, an answer and a session envelope: turn it, and the envelope is refused.

use crate::scene::{CALLEE_MEDIA, Scene, flipped};
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::envelope::{ENVELOPE_LEN, Envelope, Outside};
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::sealed::session::{Say, Session};

const BITS: usize = ENVELOPE_LEN * 8;

fn answered(scene: &mut Scene) -> (OutgoingRing, Session, Envelope, Outside) {
    let (ring, envelope, outside) = scene.ring();
    let verified = scene.open_ring(&envelope, &outside);
    let outside = scene.outside();
    let (session, answer) = verified
        .answer(CALLEE_MEDIA, BookView::NONE, &outside, &mut scene.rng)
        .unwrap();
    (ring, session, answer, outside)
}

#[test]
fn no_ring_opens_with_a_bit_turned() {
    let mut scene = Scene::new();
    let (_, envelope, outside) = scene.ring();
    for bit in 0..BITS {
        if let Ok(envelope) = flipped(&envelope, bit) {
            assert!(scene.open(&envelope, &outside).is_err(), "bit {bit}");
        }
    }
    scene.open_ring(&envelope, &outside);
}

#[test]
fn no_answer_opens_with_a_bit_turned() {
    let mut scene = Scene::new();
    let (ring, _, answer, outside) = answered(&mut scene);
    for bit in 0..BITS {
        if let Ok(answer) = flipped(&answer, bit) {
            assert!(ring.open_answer(&answer, &outside).is_err(), "bit {bit}");
        }
    }
    assert!(ring.open_answer(&answer, &outside).is_ok());
}

#[test]
fn no_session_message_opens_with_a_bit_turned() {
    let mut scene = Scene::new();
    let (ring, mut callee, answer, outside) = answered(&mut scene);
    let (_, mut caller) = ring.open_answer(&answer, &outside).unwrap();
    let confirm = caller.seal(Say::Confirm, &outside, &mut scene.rng);
    for bit in 0..BITS {
        if let Ok(confirm) = flipped(&confirm, bit) {
            assert!(callee.open(&confirm, &outside).is_err(), "bit {bit}");
        }
    }
    assert_eq!(callee.open(&confirm, &outside), Ok(Say::Confirm));
}
