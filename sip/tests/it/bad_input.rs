//! What is broken, unknown or hostile: an answer where the protocol has one, silence otherwise, never a panic.

use proptest::prelude::*;
use ringfence_sip::message::{Message, Method, Name, parse};
use ringfence_sip::{CallLimits, Refusal};

use crate::world::{OFFER, World, phone, tcp_phone};

fn status_of(world: &mut World, text: &str) -> Vec<u16> {
    let alice = phone("alice", 40001);
    world.push(alice.flow, text.replace('\n', "\r\n").as_bytes());
    world.statuses(alice.flow)
}

const HEAD: &str = "Via: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bKx
From: <sip:alice@127.0.0.1>;tag=1
To: <sip:1@127.0.0.1>
Call-ID: c1
";

#[test]
fn broken_requests_that_can_be_answered_are_answered_400() {
    let mut world = World::new();
    let cases = [
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}\n"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 INVITE\n\n"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\nCSeq: 1 OPTIONS\n\n"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\nContent-Length: 9\n\nx"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\nContent-Length: -1\n\nx"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\nContent-Length: 1\nl: 1\n\nx"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\nno colon\n\n"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 4294967296 OPTIONS\n\n"),
        format!("OPTIONS <sip:1@h> SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\n\n"),
        format!("OPTIONS sip:1@h; lr SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\n\n"),
        format!("OPTIONS  sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\n\n"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\nMax-Forwards: 256\n\n"),
        format!("OPTIONS sip:1@h SIP/2.0\n{HEAD}CSeq: 1 OPTIONS\n"),
    ];
    for text in cases {
        assert_eq!(status_of(&mut world, &text), [400], "{text}");
    }
    assert_eq!(world.agent.counters().rejected, 13);
}

#[test]
fn hopeless_bytes_are_met_with_silence() {
    let mut world = World::new();
    for text in [
        "GET / HTTP/1.1\n\n",
        "hello",
        "OPTIONS sip:1@h SIP/2.0\n\n",
        "\0\0\0\0",
        "SIP/2.0 99 x\n\n",
    ] {
        assert_eq!(status_of(&mut world, text), Vec::<u16>::new(), "{text}");
    }
    assert_eq!(world.agent.counters().malformed, 5);
    assert_eq!(status_of(&mut world, "\n\n"), Vec::<u16>::new());
    assert_eq!(world.agent.counters().malformed, 5);
}

#[test]
fn a_stream_that_is_out_of_step_is_closed() {
    let (mut world, alice) = (World::new(), tcp_phone("alice", 40001));
    world.push(alice.flow, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(world.closed, [alice.flow]);
}

#[test]
fn a_broken_ack_is_never_answered() {
    let mut world = World::new();
    let text = format!("ACK sip:1@h SIP/2.0\n{HEAD}CSeq: 1 INVITE\n\n");
    assert_eq!(status_of(&mut world, &text), Vec::<u16>::new());
}

#[test]
fn unknown_things_have_answers_of_their_own() {
    let mut world = World::new();
    let cases = [
        ("OPTIONS", "sip:1@h", "SIP/3.0", "", 505),
        ("FOO", "sip:1@h", "SIP/2.0", "", 501),
        ("MESSAGE", "sip:1@h", "SIP/2.0", "", 401),
        ("MESSAGE", "sip:1@h", "SIP/2.0", "Max-Forwards: 0\n", 483),
        ("SUBSCRIBE", "sip:1@h", "SIP/2.0", "Event: dialog\n", 401),
        ("SUBSCRIBE", "urn:x:y", "SIP/2.0", "Event: dialog\n", 416),
        ("NOTIFY", "sip:1@h", "SIP/2.0", "", 481),
        ("REFER", "sip:1@h", "SIP/2.0", "", 403),
        ("PUBLISH", "sip:1@h", "SIP/2.0", "", 405),
        (
            "INVITE",
            "sip:1@h",
            "SIP/2.0",
            "Require: 100rel, Timer\n",
            401,
        ),
        (
            "INVITE",
            "sip:1@h",
            "SIP/2.0",
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1, SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK2\n",
            482,
        ),
        ("OPTIONS", "sip:1@h", "SIP/2.0", "Require: nope\n", 420),
        ("INVITE", "sip:1@h", "SIP/2.0", "Max-Forwards: 0\n", 483),
        ("INVITE", "urn:isbn:1", "SIP/2.0", "", 416),
        ("INVITE", "urn:service:sos", "SIP/2.0", "", 401),
        ("INVITE", "sip:1@h", "SIP/2.0", "", 401),
        ("REGISTER", "sip:h", "SIP/2.0", "", 401),
        ("OPTIONS", "sip:h", "SIP/2.0", "Max-Forwards: 0\n", 200),
        (
            "INVITE",
            "sip:1@h",
            "SIP/2.0",
            "Content-Type: text/plain\n",
            415,
        ),
    ];
    for (index, (method, uri, version, extra, status)) in cases.into_iter().enumerate() {
        let body = if status == 415 { "x" } else { "" };
        let head = HEAD.replace("z9hG4bKx", &format!("z9hG4bKx{index}"));
        let text = format!("{method} {uri} {version}\n{head}CSeq: 1 {method}\n{extra}\n{body}");
        assert_eq!(status_of(&mut world, &text), [status], "{text}");
    }
}

#[test]
fn answers_to_repeats_without_state_are_the_same() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let invite = alice.request(&mut world, Method::Options, "sip:1@127.0.0.1");
    let first = alice.ask(&mut world, &invite);
    assert_eq!(alice.ask(&mut world, &invite), first);
    assert!(first.headers.to().unwrap().tag().is_some());
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn an_answer_goes_to_the_port_of_the_via_unless_rport_asks_otherwise() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut options = alice.request(&mut world, Method::Options, "sip:1@127.0.0.1");
    options
        .headers
        .replace(Name::Via, "SIP/2.0/UDP 10.1.2.3:5099;branch=z9hG4bKv");
    world.push(alice.flow, &options.to_bytes());
    let mut elsewhere = alice.flow;
    elsewhere.peer.set_port(5099);
    let response = world.responses(elsewhere).remove(0);
    assert_eq!(
        response
            .headers
            .via()
            .unwrap()
            .params
            .get("received")
            .unwrap(),
        "127.0.0.1"
    );
}

#[test]
fn with_rport_an_answer_goes_to_where_the_request_came_from() {
    let (mut world, alice) = (World::new(), phone("alice", 40001));
    let mut options = alice.request(&mut world, Method::Options, "sip:1@127.0.0.1");
    options
        .headers
        .replace(Name::Via, "SIP/2.0/UDP 10.1.2.3:5099;rport;branch=z9hG4bKv");
    let response = alice.ask(&mut world, &options);
    assert_eq!(
        response.headers.via().unwrap().params.get("rport").unwrap(),
        "40001"
    );
}

#[test]
fn unknown_senders_cost_no_memory() {
    let mut world = World::new();
    for port in 1..5000 {
        let stranger = phone("nobody", port);
        let invite = stranger.request(&mut world, Method::Invite, "sip:1@127.0.0.1");
        assert_eq!(stranger.ask(&mut world, &invite).status, 401);
    }
    assert_eq!(world.agent.next_timeout(), None);
}

#[test]
fn calls_beyond_the_limit_are_turned_away() {
    let mut world = World::new();
    let (alice, bob) = (phone("alice", 40001), phone("bob", 40002));
    // Each line has its half, whatever the other one does.
    for phone in [&alice, &bob] {
        for _ in 0..128 {
            phone.dial(&mut world, "1", OFFER);
        }
        let invite = phone.request(&mut world, Method::Invite, "sip:1@127.0.0.1");
        assert_eq!(phone.ask_proved(&mut world, &invite).status, 503);
    }
    assert_eq!(world.agent.counters().overloaded, 2);
}

#[test]
fn the_limits_on_calls_can_be_set() {
    let mut world = World::new();
    let limits = CallLimits {
        calls: 3,
        calls_per_line: 2,
    };
    world.agent = world.agent.with_limits(limits);
    let (alice, bob) = (phone("alice", 40001), phone("bob", 40002));
    for (phone, calls) in [(&alice, 2), (&bob, 1)] {
        for _ in 0..calls {
            phone.dial(&mut world, "1", OFFER);
        }
        let invite = phone.request(&mut world, Method::Invite, "sip:1@127.0.0.1");
        assert_eq!(phone.ask_proved(&mut world, &invite).status, 503);
    }
}

#[test]
fn the_limits_do_not_apply_to_numbers_that_are_refused_with_words() {
    let mut world = World::new();
    let limits = CallLimits {
        calls: 1,
        calls_per_line: 1,
    };
    let agent = world.agent.with_limits(limits);
    world.agent = agent.with_unlimited(vec!["112".to_owned()]);
    let alice = phone("alice", 40001);
    alice.dial(&mut world, "1", OFFER);
    let (_, leg) = alice.dial(&mut world, "112", OFFER);
    let refusal = Refusal {
        status: 503,
        text: "no",
    };
    world.agent.refuse_with(leg, refusal, world.now);
    assert_eq!(world.agent.counters().overloaded, 0);
}

const SAMPLE: &str = "INVITE sip:5550199@127.0.0.1;user=phone SIP/2.0
v: SIP/2.0/UDP 127.0.0.1:40001;rport;branch=z9hG4bKx, SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bKy
f: \"A \\\"q\\\" <sip:x@y>\" <sip:alice@127.0.0.1>;tag=1
t: tel:+1-555-0199
i: c1@h
CSeq: 7 INVITE
Contact: <sip:alice@127.0.0.1:40001;ob>;+sip.instance=\"<urn:uuid:1>\";q=0.7
Subject: folded
 twice
\tover
Authorization:  Digest username=\"alice\", realm=\"ringfence\", nonce=\"00\", uri=\"sip:5550199@127.0.0.1\", response=\"00\", qop=auth, nc=0000000a, cnonce=\"x\", algorithm=MD5
Route: <sip:127.0.0.1;lr>
Max-Forwards: 70
Content-Type: application/sdp
l: 5

v=0
";

#[test]
fn a_rich_message_is_read_and_written_and_read_the_same() {
    let message = parse(SAMPLE.replace('\n', "\r\n").as_bytes()).unwrap();
    let Message::Request(request) = &message else {
        panic!("a request")
    };
    let (uri, essentials) = request.validate().unwrap();
    assert_eq!(uri.user().unwrap(), "5550199");
    assert_eq!(essentials.from.uri.as_str(), "sip:alice@127.0.0.1");
    assert_eq!(essentials.to.uri.user().unwrap(), "+15550199");
    assert_eq!(
        request.headers.text(&Name::Subject),
        Some("folded twice over")
    );
    assert_eq!(request.body, b"v=0\r\n");
    assert_eq!(parse(&message.to_bytes()).unwrap(), message);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let sample = SAMPLE.replace('\n', "\r\n").into_bytes();
    let length = sample.len();
    let edit = (
        0..length,
        prop_oneof![any::<u8>().prop_map(Some), Just(None)],
        0..6_usize,
    );
    proptest::collection::vec(edit, 1..6).prop_map(move |edits| {
        let mut bytes = sample.clone();
        for (at, byte, cut) in edits {
            let at = at.min(bytes.len().saturating_sub(1));
            match byte {
                Some(byte) => bytes
                    .splice(at..at, std::iter::repeat_n(byte, cut))
                    .for_each(drop),
                None => bytes.drain(at..(at + cut).min(bytes.len())).for_each(drop),
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_agent_panic(bytes in prop_oneof![mutated(), proptest::collection::vec(any::<u8>(), 0..400)]) {
        let mut world = World::new();
        world.push(phone("alice", 40001).flow, &bytes);
        world.push(tcp_phone("alice", 40001).flow, &bytes);
    }

    #[test]
    fn what_is_printed_is_read_the_same(bytes in mutated()) {
        let whole = match parse(&bytes) {
            Ok(Message::Request(request)) if request.validate().is_ok() => Message::Request(request),
            Ok(Message::Response(response)) if response.validate().is_ok() => Message::Response(response),
            _ => return Ok(()),
        };
        let printed = whole.to_bytes();
        let again = parse(&printed).unwrap();
        prop_assert_eq!(again.to_bytes(), printed);
        prop_assert!(again == whole);
    }
}
