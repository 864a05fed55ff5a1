//! A whole sealed call between two engines, and everything that must not pass for one.

use std::time::Duration;

use ringfence_book::{BookKey, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::sealed::book_view::BookView;
use ringfence_engine::sealed::envelope::{Envelope, EventContext, MAX_MEDIA};
use ringfence_engine::sealed::first_message::SealError;
use ringfence_engine::sealed::first_message::SealingKeys;
use ringfence_engine::sealed::rejected::EnvelopeError;
use ringfence_engine::sealed::ring::CancelReason;
use ringfence_engine::sealed::ring::incoming::{OpenedMessage, open};
use ringfence_engine::sealed::ring::outgoing::OutgoingRing;
use ringfence_engine::sealed::session::SessionMessage;
use ringfence_engine::time::{Moment, UnixTime};
use ringfence_engine::trust::callers::Callers;
use ringfence_engine::trust::contacts::ContactUpdate;

use crate::scene::{CALLEE_MEDIA, CALLER, CALLER_MEDIA, Scene, root, view};

#[test]
fn a_call_is_rung_answered_confirmed_and_hung_up() {
    let mut scene = Scene::new();
    let (ring, envelope, event) = scene.ring();
    let verified = scene.open_ring(&envelope, &event);
    assert_eq!(verified.caller_number(), Number::new(20_001));
    assert_eq!(verified.caller(), scene.caller.key());
    assert_eq!(verified.media(), CALLER_MEDIA);
    let (book_key, shown) = (BookKey::from(&scene.book), verified.book());
    assert_eq!(shown.root(&book_key), Some(root(&scene.book, 9)));
    assert_eq!(verified.id(), ring.id());

    let event = scene.event();
    let view = view(&scene.book, 8);
    let (mut callee, answer) = verified
        .answer(CALLEE_MEDIA, view, &event, &mut scene.rng)
        .unwrap();
    assert_eq!(answer.routing_tag(), ring.answer_tag());
    let (opened, mut caller) = ring.open_answer(&answer, &event).unwrap();
    assert_eq!(&opened.media[..], CALLEE_MEDIA);
    assert_eq!(opened.book, view);

    let event = scene.event();
    let confirm = caller.seal(SessionMessage::Confirm, &event, &mut scene.rng);
    assert_eq!(callee.open(&confirm, &event), Ok(SessionMessage::Confirm));
    let event = scene.event();
    let hang_up = callee.seal(SessionMessage::HangUp, &event, &mut scene.rng);
    assert!(caller.expects(&hang_up.routing_tag()));
    assert_eq!(caller.open(&hang_up, &event), Ok(SessionMessage::HangUp));
}

#[test]
fn a_ring_taken_back_names_the_same_ring_and_only_its_caller_can_take_it_back() {
    let mut scene = Scene::new();
    let (ring, envelope, event) = scene.ring();
    let id = scene.open_ring(&envelope, &event).id();
    let (other, ..) = scene.ring();
    let wall = scene.at.wall;
    for (from, mine) in [(&ring, true), (&other, false)] {
        let event = scene.event();
        let reason = CancelReason::AnsweredElsewhere;
        let cancel = from
            .seal_cancel(reason, &event, wall, &mut scene.rng)
            .unwrap();
        let Ok(OpenedMessage::Cancel {
            line: 0,
            id: cancelled,
            reason: why,
        }) = scene.open(&cancel, &event)
        else {
            panic!("a genuine cancel opens");
        };
        assert_eq!((cancelled == id, why), (mine, reason));
    }
}

#[test]
fn a_cancel_that_overtakes_its_ring_silences_it() {
    let mut scene = Scene::new();
    let (ring, envelope, event) = scene.ring();
    let other = scene.event();
    let wall = scene.at.wall;
    let cancel = ring
        .seal_cancel(CancelReason::GaveUp, &other, wall, &mut scene.rng)
        .unwrap();
    assert!(matches!(
        scene.open(&cancel, &other),
        Ok(OpenedMessage::Cancel { .. })
    ));
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::Replay);
}

#[test]
fn a_cancel_grows_stale_like_a_ring() {
    let mut scene = Scene::new();
    let (ring, ..) = scene.ring();
    let event = scene.event();
    let wall = scene.at.wall;
    let cancel = ring
        .seal_cancel(CancelReason::GaveUp, &event, wall, &mut scene.rng)
        .unwrap();
    scene.pass(Duration::from_millis(60_001));
    assert_eq!(scene.why_not(&cancel, &event), EnvelopeError::Stale);
}

#[test]
fn a_ring_for_another_engine_does_not_open() {
    let mut scene = Scene::new();
    let (_, envelope, event) = scene.ring();
    scene.callee = Identity::generate(&mut scene.rng);
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::NotOurs);
}

#[test]
fn of_several_lines_the_one_that_is_rung_is_named() {
    let mut scene = Scene::new();
    let (_, envelope, event) = scene.ring();
    let other = Identity::generate(&mut scene.rng);
    let listeners = [&other, &scene.callee];
    let callers = Callers::new(&scene.directory, &scene.contacts);
    let seen = &mut scene.seen;
    let opened = open(&listeners, callers, &envelope, &event, seen, scene.at);
    assert!(matches!(opened, Ok(OpenedMessage::Ring { line: 1, .. })));
}

#[test]
fn a_ring_to_the_key_of_before_opens_for_seven_days() {
    let mut scene = Scene::new();
    let today = scene.today();
    let (_, early, early_outside) = scene.ring();
    let yesterday = scene.callee_keys();
    scene.callee.renew(today, &mut scene.rng);
    scene.open_ring(&early, &early_outside);
    scene.pass(Duration::from_secs(8 * 86_400));
    let event = scene.event();
    let caller = SealingKeys {
        identity: &scene.caller,
        number: scene.number,
        book: BookView::NONE,
    };
    let (_, late) = OutgoingRing::seal(
        caller,
        &yesterday,
        (b"", Duration::ZERO),
        &event,
        scene.at.wall,
        &mut scene.rng,
    )
    .unwrap();
    assert_eq!(scene.why_not(&late, &event), EnvelopeError::NotOurs);
}

#[test]
fn a_ring_moved_to_another_event_or_bucket_does_not_open() {
    let mut scene = Scene::new();
    let (_, envelope, event) = scene.ring();
    let moved = EventContext {
        event_key: scene.event().event_key,
        ..event
    };
    let bucket = EventContext { bucket: 4, ..event };
    assert_eq!(scene.why_not(&envelope, &moved), EnvelopeError::NotOurs);
    assert_eq!(scene.why_not(&envelope, &bucket), EnvelopeError::NotOurs);
    scene.open_ring(&envelope, &event);
}

#[test]
fn a_ring_opens_once() {
    let mut scene = Scene::new();
    let (_, envelope, event) = scene.ring();
    scene.open_ring(&envelope, &event);
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::Replay);
    scene.pass(Duration::from_secs(59));
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::Replay);
}

#[test]
fn a_second_envelope_under_the_same_event_key_is_refused_before_any_key_is_tried() {
    let mut scene = Scene::new();
    let (_, envelope, event) = scene.ring();
    assert_eq!(scene.seen.spend(event.event_key), Ok(()));
    scene.open_ring(&envelope, &event);
    let again = scene.seen.spend(event.event_key);
    assert_eq!(again, Err(EnvelopeError::ProofSpent));
}

#[test]
fn a_ring_is_good_for_a_minute_either_way() {
    for (ahead, good) in [(60_000, true), (60_001, false)] {
        let mut scene = Scene::new();
        scene.pass(Duration::from_secs(200));
        let (_, envelope, event) = scene.ring();
        let rung = scene.at.wall;
        scene.at.wall = UnixTime::from_millis(rung.millis() + ahead);
        assert_eq!(scene.open(&envelope, &event).is_ok(), good);
        let (_, envelope, event) = {
            scene.at.wall = rung;
            scene.ring()
        };
        scene.at.wall = UnixTime::from_millis(rung.millis() - ahead);
        let opened = scene.open(&envelope, &event);
        assert_eq!(opened.is_ok(), good);
        if !good {
            assert_eq!(opened.err(), Some(EnvelopeError::Stale));
        }
    }
}

#[test]
fn a_number_that_the_copy_of_the_book_lists_for_another_is_refused() {
    let mut scene = Scene::new();
    // Another's number, one that nobody has, and ones that no plan has.
    for number in [20_009, 20_255, 20_256, 19_999, u32::MAX] {
        scene.number = Number::new(number);
        let (_, envelope, event) = scene.ring();
        assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::NotListed);
    }
}

#[test]
fn a_ring_key_that_was_replaced_rings_until_the_next_download_and_a_newer_one_before_it() {
    let mut scene = Scene::new();
    let (today, stolen) = (scene.today(), scene.caller.to_bytes());
    scene.caller.renew(today, &mut scene.rng);
    let renewed = scene.caller.listing();
    // The copy has not been renewed for six days: both ring.
    scene.pass(Duration::from_secs(6 * 86_400));
    let (_, envelope, event) = scene.ring();
    scene.open_ring(&envelope, &event);
    let owner = std::mem::replace(&mut scene.caller, Identity::from_bytes(&stolen).unwrap());
    let (_, envelope, event) = scene.ring();
    scene.open_ring(&envelope, &event);
    scene.download(&[(CALLER, renewed)]);
    let (_, envelope, event) = scene.ring();
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::ReplacedKey);
    scene.caller = owner;
    let (_, envelope, event) = scene.ring();
    scene.open_ring(&envelope, &event);
}

#[test]
fn a_copy_older_than_seven_days_rings_contacts_alone() {
    let mut scene = Scene::new();
    scene.pass(Duration::from_secs(7 * 86_400));
    let (_, envelope, event) = scene.ring();
    scene.open_ring(&envelope, &event);
    scene.pass(Duration::from_millis(1));
    let (_, envelope, event) = scene.ring();
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::OldBook);
    let pinned = ContactUpdate::Pin {
        number: CALLER,
        identity: scene.caller.key(),
        day: scene.today(),
    };
    assert!(scene.contacts.learn(&pinned));
    scene.open_ring(&envelope, &event);
    // The same number with another identity is no contact.
    let other = Identity::generate(&mut scene.rng);
    let at = scene.at;
    scene.at = Moment {
        wall: UnixTime::from_seconds(at.wall.seconds() - 8 * 86_400),
        ..at
    };
    scene.download(&[(CALLER, other.listing())]);
    (scene.at, scene.caller) = (at, other);
    let (_, envelope, event) = scene.ring();
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::OldBook);
}

#[test]
fn a_refused_ring_leaves_no_trace_that_would_stop_the_real_one() {
    let mut scene = Scene::new();
    let (_, envelope, event) = scene.ring();
    scene.download(&[]);
    assert_eq!(scene.why_not(&envelope, &event), EnvelopeError::NotListed);
    scene.download(&[(CALLER, scene.caller.listing())]);
    scene.open_ring(&envelope, &event);
}

#[test]
fn a_moved_answer_is_refused_and_does_not_spoil_the_real_one() {
    let mut scene = Scene::new();
    let (ring, envelope, event) = scene.ring();
    let verified = scene.open_ring(&envelope, &event);
    let event = scene.event();
    let (_, answer) = verified
        .answer(CALLEE_MEDIA, BookView::NONE, &event, &mut scene.rng)
        .unwrap();
    let elsewhere = scene.event();
    assert_eq!(
        ring.open_answer(&answer, &elsewhere).err(),
        Some(EnvelopeError::Moved)
    );
    let bucket = EventContext { bucket: 9, ..event };
    assert_eq!(
        ring.open_answer(&answer, &bucket).err(),
        Some(EnvelopeError::Moved)
    );
    assert!(ring.open_answer(&answer, &event).is_ok());
}

#[test]
fn an_answer_to_one_ring_answers_no_other() {
    let mut scene = Scene::new();
    let (ring, envelope, event) = scene.ring();
    let (other, ..) = scene.ring();
    let verified = scene.open_ring(&envelope, &event);
    let event = scene.event();
    let (_, answer) = verified
        .answer(CALLEE_MEDIA, BookView::NONE, &event, &mut scene.rng)
        .unwrap();
    assert_eq!(
        other.open_answer(&answer, &event).err(),
        Some(EnvelopeError::Hint)
    );
    let mut bytes = *answer.as_bytes();
    bytes[1..17].copy_from_slice(&other.answer_tag().0);
    let relabelled = Envelope::from_bytes(&bytes).unwrap();
    assert_eq!(
        other.open_answer(&relabelled, &event).err(),
        Some(EnvelopeError::NotOurs)
    );
    assert!(ring.open_answer(&answer, &event).is_ok());
}

#[test]
fn the_largest_media_description_fits_and_one_byte_more_is_refused() {
    let mut scene = Scene::new();
    let event = scene.event();
    let callee = scene.callee_keys();
    let caller = SealingKeys {
        identity: &scene.caller,
        number: scene.number,
        book: BookView::NONE,
    };
    let wall = scene.at.wall;
    let too_long = [0; MAX_MEDIA + 1];
    let refused = OutgoingRing::seal(
        caller,
        &callee,
        (&too_long, Duration::ZERO),
        &event,
        wall,
        &mut scene.rng,
    );
    assert_eq!(refused.err(), Some(SealError::MediaTooLong));
    let (_, envelope) = OutgoingRing::seal(
        caller,
        &callee,
        (&too_long[1..], Duration::ZERO),
        &event,
        wall,
        &mut scene.rng,
    )
    .unwrap();
    let verified = scene.open_ring(&envelope, &event);
    assert_eq!(verified.media().len(), MAX_MEDIA);
    let refused = verified.answer(&too_long, BookView::NONE, &event, &mut scene.rng);
    assert_eq!(refused.err(), Some(SealError::MediaTooLong));
}

#[test]
fn no_two_envelopes_share_a_byte_range_that_could_link_them() {
    let mut scene = Scene::new();
    let (_, one, _) = scene.ring();
    let (_, two, _) = scene.ring();
    let same = one
        .as_bytes()
        .iter()
        .zip(two.as_bytes())
        .filter(|(a, b)| a == b)
        .count();
    assert!(same < 40, "{same} equal bytes of 1024");
}

#[test]
fn debug_output_of_secrets_is_empty() {
    let mut scene = Scene::new();
    let (ring, envelope, event) = scene.ring();
    let verified = scene.open_ring(&envelope, &event);
    let text = format!(
        "{ring:?} {verified:?} {envelope:?} {event:?} {:?}",
        scene.caller
    );
    assert_eq!(
        text,
        "OutgoingRing(..) VerifiedRing(..) Envelope(..) \
         EventContext { bucket: 3, event_key: EventKey(..) } Identity(..)"
    );
}
