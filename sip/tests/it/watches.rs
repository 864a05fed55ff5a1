//! Subscriptions (RFC 6665): lamps, busy keys, presence.

use std::time::Duration;

use ringfence_sip::message::{Method, Name, Request, Response};
use ringfence_sip::{Body, Event, Package, SubscriptionId, UnsolicitedPolicy};

use crate::world::{Call, Phone, World, phone, tcp_phone, user};

fn state(text: &str) -> Body {
    Body {
        content_type: "application/simple-message-summary".to_owned(),
        bytes: text.into(),
    }
}

fn subscribe(world: &mut World, phone: &Phone, event: &str, expires: &str) -> Request {
    let mut request = phone.request(world, Method::Subscribe, "sip:alice@127.0.0.1");
    request.headers.push(Name::Event, event);
    request.headers.push(Name::Expires, expires);
    let challenge = phone.ask(world, &request);
    assert_eq!(challenge.status, 401);
    phone.prove(world, &request, &challenge, 1)
}

/// Subscribes and receives the first state.
fn subscribed(
    world: &mut World,
    phone: &Phone,
    expires: &str,
) -> (Call, SubscriptionId, Response, Request) {
    let request = subscribe(world, phone, "message-summary", expires);
    phone.send(world, &request);
    let Event::Subscribed {
        subscription,
        user,
        package,
        about,
    } = world.event()
    else {
        panic!("no subscription")
    };
    assert_eq!(
        (user.as_str(), package, about.as_str()),
        ("alice", Package::MessageSummary, "alice")
    );
    assert_eq!(world.inbox(phone.flow), []);
    tell(world, subscription, "Messages-Waiting: no\r\n");
    let mut inbox = world.inbox(phone.flow).into_iter();
    let (Some(first), Some(second), None) = (inbox.next(), inbox.next(), inbox.next()) else {
        panic!("200 and NOTIFY")
    };
    let ringfence_sip::message::Message::Response(ok) = first else {
        panic!("200 first")
    };
    let ringfence_sip::message::Message::Request(notify) = second else {
        panic!("then NOTIFY")
    };
    (Call::of(&request, &ok), subscription, ok, notify)
}

fn tell(world: &mut World, subscription: SubscriptionId, text: &str) {
    world.agent.notify(subscription, state(text), world.now);
    world.drain();
}

fn standing(notify: &Request) -> &str {
    assert_eq!(notify.method, Method::Notify);
    notify.headers.text(&Name::SubscriptionState).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_phone_is_told_at_once_and_at_every_change() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, subscription, ok, notify) = subscribed(&mut world, &alice, "600");
    assert_eq!((ok.status, ok.headers.expires()), (200, Some(600)));
    assert_eq!(standing(&notify), "active;expires=600");
    assert_eq!(notify.headers.text(&Name::Event), Some("message-summary"));
    // A change meanwhile waits for the response, and only the last one is sent.
    tell(&mut world, subscription, "1");
    tell(&mut world, subscription, "2");
    assert_eq!(world.inbox(alice.flow), []);
    world.advance(seconds(10));
    let again = world.requests(alice.flow);
    assert!(again.iter().all(|each| each.body == notify.body));
    alice.answer(&mut world, &notify, 200);
    let newer = world.requests(alice.flow).remove(0);
    assert_eq!(
        (standing(&newer), newer.body.as_slice()),
        ("active;expires=590", &b"2"[..])
    );
    alice.answer(&mut world, &newer, 200);
    assert_eq!(world.inbox(alice.flow), []);
    assert_eq!(world.events(), []);
}

#[test]
fn a_refresh_prolongs_and_tells_the_state_again_and_zero_ends() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (mut call, subscription, _, notify) = subscribed(&mut world, &alice, "60");
    alice.answer(&mut world, &notify, 200);
    for _ in 0..3 {
        world.advance(seconds(50));
        let mut refresh = call.request(&alice, &mut world, Method::Subscribe);
        refresh.headers.push(Name::Event, "message-summary");
        refresh.headers.push(Name::Expires, "60");
        alice.send(&mut world, &refresh);
        let again = world.requests(alice.flow).remove(0);
        assert_eq!(
            (standing(&again), &again.body),
            ("active;expires=60", &notify.body)
        );
        alice.answer(&mut world, &again, 200);
    }
    let mut brief = call.request(&alice, &mut world, Method::Subscribe);
    brief.headers.push(Name::Expires, "5");
    assert_eq!(alice.ask(&mut world, &brief).status, 423);
    let mut end = call.request(&alice, &mut world, Method::Subscribe);
    end.headers.push(Name::Expires, "0");
    alice.send(&mut world, &end);
    assert_eq!(world.event(), Event::SubscriptionEnded { subscription });
    let last = world.requests(alice.flow).remove(0);
    assert_eq!(standing(&last), "terminated;reason=timeout");
    alice.answer(&mut world, &last, 200);
    let mut late = call.request(&alice, &mut world, Method::Subscribe);
    late.headers.push(Name::Expires, "60");
    assert_eq!(alice.ask(&mut world, &late).status, 481);
    world.advance(seconds(60));
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn a_subscription_ends_by_time_by_silence_and_with_its_stream() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (_, by_time, _, notify) = subscribed(&mut world, &alice, "60");
    alice.answer(&mut world, &notify, 200);
    world.advance(seconds(61));
    assert_eq!(
        world.event(),
        Event::SubscriptionEnded {
            subscription: by_time
        }
    );
    assert_eq!(
        standing(&world.requests(alice.flow)[0]),
        "terminated;reason=timeout"
    );

    let (_, by_silence, ..) = subscribed(&mut world, &alice, "600");
    world.advance(seconds(33));
    assert_eq!(
        world.event(),
        Event::SubscriptionEnded {
            subscription: by_silence
        }
    );
    world.inbox(alice.flow);

    let (_, by_word, _, notify) = subscribed(&mut world, &alice, "600");
    alice.answer(&mut world, &notify, 481);
    assert_eq!(
        world.event(),
        Event::SubscriptionEnded {
            subscription: by_word
        }
    );

    let tcp = tcp_phone("alice", 40005);
    let (_, by_stream, ..) = subscribed(&mut world, &tcp, "600");
    world.agent.handle_flow_closed(tcp.flow, world.now);
    world.drain();
    assert_eq!(
        world.event(),
        Event::SubscriptionEnded {
            subscription: by_stream
        }
    );
}

#[test]
fn zero_seconds_ask_once() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let (.., ok, notify) = subscribed(&mut world, &alice, "0");
    assert_eq!(
        (ok.headers.expires(), standing(&notify)),
        (Some(0), "terminated;reason=timeout")
    );
    assert_eq!(notify.body, b"Messages-Waiting: no\r\n");
}

#[test]
fn our_side_may_refuse_or_end_it() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let request = subscribe(&mut world, &alice, "presence;id=7", "600");
    alice.send(&mut world, &request);
    let Event::Subscribed {
        subscription: refused,
        package,
        ..
    } = world.event()
    else {
        panic!("no subscription")
    };
    assert_eq!(package, Package::Presence);
    world.agent.refuse_subscription(refused, 404, world.now);
    world.drain();
    assert_eq!(world.statuses(alice.flow), [404]);
    let (_, subscription, _, notify) = subscribed(&mut world, &alice, "600");
    alice.answer(&mut world, &notify, 200);
    world.agent.end_subscription(subscription, world.now);
    world.drain();
    assert_eq!(
        standing(&world.requests(alice.flow)[0]),
        "terminated;reason=noresource"
    );
    assert_eq!(world.events(), []);
}

#[test]
fn unknown_packages_are_refused_with_the_known_ones() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    for event in ["call-info", "refer", ""] {
        let request = subscribe(&mut world, &alice, event, "600");
        let refused = alice.ask(&mut world, &request);
        assert_eq!(refused.status, 489, "{event}");
        assert!(refused.headers.lists(&Name::AllowEvents, "message-summary"));
    }
    let brief = subscribe(&mut world, &alice, "dialog", "30");
    let refused = alice.ask(&mut world, &brief);
    assert_eq!(
        (refused.status, refused.headers.text(&Name::MinExpires)),
        (423, Some("60"))
    );
}

#[test]
fn a_subscription_without_an_answer_ends() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let request = subscribe(&mut world, &alice, "dialog", "600");
    alice.send(&mut world, &request);
    world.events();
    world.advance(seconds(21));
    assert!(matches!(world.event(), Event::SubscriptionEnded { .. }));
    assert_eq!(world.statuses(alice.flow), [480]);
}

/// Registers a phone that lists these packages.
fn register_listing(world: &mut World, phone: &Phone, packages: &str) {
    let mut register = phone.register_request(world, 300);
    register.headers.push(Name::AllowEvents, packages);
    assert_eq!(phone.ask_proved(world, &register).status, 200);
    world.events();
}

fn notify_unsolicited(world: &mut World, policy: UnsolicitedPolicy) {
    let word = state("Messages-Waiting: yes\r\n");
    let package = (Package::MessageSummary, &word);
    world
        .agent
        .notify_unsolicited(&user("alice"), package, policy, world.now);
    world.drain();
}

#[test]
fn a_phone_that_lists_a_package_is_told_of_it_without_a_subscription() {
    let (mut world, desk, plain) = (World::new(), phone("alice", 40001), phone("alice", 40002));
    register_listing(&mut world, &desk, "talk, message-summary");
    plain.register(&mut world);
    notify_unsolicited(&mut world, UnsolicitedPolicy::AllowEvents);
    assert_eq!(world.inbox(plain.flow), []);
    let notify = world.requests(desk.flow).remove(0);
    assert_eq!(standing(&notify), "terminated;reason=noresource");
    assert_eq!(notify.headers.text(&Name::Event), Some("message-summary"));
    assert_eq!(notify.headers.to().unwrap().uri.user().unwrap(), "alice");
    assert_eq!(notify.body, b"Messages-Waiting: yes\r\n");
    desk.answer(&mut world, &notify, 200);
    notify_unsolicited(&mut world, UnsolicitedPolicy::All);
    assert_eq!(world.requests(plain.flow).len(), 1);
    assert_eq!(world.requests(desk.flow).len(), 1);
}

#[test]
fn a_phone_that_refuses_what_it_did_not_ask_for_is_told_no_more_but_may_still_ask() {
    for status in [405, 481, 489, 501] {
        let (mut world, alice) = (World::new(), phone("alice", 40001));
        register_listing(&mut world, &alice, "message-summary");
        notify_unsolicited(&mut world, UnsolicitedPolicy::AllowEvents);
        let notify = world.requests(alice.flow).remove(0);
        alice.answer(&mut world, &notify, status);
        // A renewed registration is no change of mind.
        register_listing(&mut world, &alice, "message-summary");
        world.inbox(alice.flow);
        notify_unsolicited(&mut world, UnsolicitedPolicy::All);
        assert_eq!(world.inbox(alice.flow), [], "{status}");
        subscribed(&mut world, &alice, "300");
    }
}

#[test]
fn a_phone_that_is_busy_or_silent_is_told_again_and_one_that_watches_is_not() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    register_listing(&mut world, &alice, "message-summary");
    notify_unsolicited(&mut world, UnsolicitedPolicy::AllowEvents);
    let notify = world.requests(alice.flow).remove(0);
    alice.answer(&mut world, &notify, 480);
    notify_unsolicited(&mut world, UnsolicitedPolicy::AllowEvents);
    assert!(!world.requests(alice.flow).is_empty());
    world.advance(seconds(33));
    world.inbox(alice.flow);
    subscribed(&mut world, &alice, "300");
    notify_unsolicited(&mut world, UnsolicitedPolicy::AllowEvents);
    assert_eq!(world.inbox(alice.flow), []);
}

#[test]
fn what_a_phone_publishes_of_itself_is_not_taken() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut publish = alice.request(&mut world, Method::Publish, "sip:alice@127.0.0.1");
    publish.headers.push(Name::Event, "presence");
    let refused = alice.ask(&mut world, &publish);
    assert_eq!(refused.status, 405);
    assert!(!refused.headers.lists(&Name::Allow, "PUBLISH"));
}
