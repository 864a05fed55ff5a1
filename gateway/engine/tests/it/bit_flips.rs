//! Every single bit of a ring, an answer and a session envelope: turn it, and the envelope is refused.

use crate::scene::{CALLEE_MEDIA, Scene, flipped};
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::envelope::{ENVELOPE_LEN, Envelope, EventContext};
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::sealed::session::{CallSession, SessionMessage};

const BITS: usize = ENVELOPE_LEN * 8;

fn answered(scene: &mut Scene) -> (OutgoingRing, CallSession, Envelope, EventContext) {
    let (ring, envelope, event) = scene.ring();
    let verified = scene.open_ring(&envelope, &event);
    let event = scene.event();
    let (session, answer) = verified
        .answer(CALLEE_MEDIA, BookView::NONE, &event, &mut scene.rng)
        .unwrap();
    (ring, session, answer, event)
}

#[test]
fn no_ring_opens_with_a_bit_turned() {
    let mut scene = Scene::new();
    let (_, envelope, event) = scene.ring();
    for bit in 0..BITS {
        if let Ok(envelope) = flipped(&envelope, bit) {
            assert!(scene.open(&envelope, &event).is_err(), "bit {bit}");
        }
    }
    scene.open_ring(&envelope, &event);
}

#[test]
fn no_answer_opens_with_a_bit_turned() {
    let mut scene = Scene::new();
    let (ring, _, answer, event) = answered(&mut scene);
    for bit in 0..BITS {
        if let Ok(answer) = flipped(&answer, bit) {
            assert!(ring.open_answer(&answer, &event).is_err(), "bit {bit}");
        }
    }
    assert!(ring.open_answer(&answer, &event).is_ok());
}

#[test]
fn no_session_message_opens_with_a_bit_turned() {
    let mut scene = Scene::new();
    let (ring, mut callee, answer, event) = answered(&mut scene);
    let (_, mut caller) = ring.open_answer(&answer, &event).unwrap();
    let confirm = caller.seal(SessionMessage::Confirm, &event, &mut scene.rng);
    for bit in 0..BITS {
        if let Ok(confirm) = flipped(&confirm, bit) {
            assert!(callee.open(&confirm, &event).is_err(), "bit {bit}");
        }
    }
    assert_eq!(callee.open(&confirm, &event), Ok(SessionMessage::Confirm));
}
