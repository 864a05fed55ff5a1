//! The table of transactions as a whole: all transactions end, and nothing grows beyond its bound.

use super::*;
use crate::event::LegId;
use crate::message::{Essentials, Message, Request, Response, parse};
use crate::timers::{TRANSACTION_TIMEOUT, some_instant};

/// The table of the user agent.
type Table = Transactions<LegId>;

fn flow() -> Flow {
    Flow {
        transport: crate::flow::Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        peer: "127.0.0.1:40001".parse().unwrap(),
        connection: 0,
    }
}

fn request(method: &str) -> Request {
    let text = format!(
        "{method} sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKq\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:1@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContact: <sip:a@h>\r\n\r\n"
    );
    match parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => unreachable!("a request was written"),
    }
}

/// Runs all timers; gives how often something was sent meanwhile.
fn wait(table: &mut Table, now: Instant) -> usize {
    while let Some((at, _)) = table
        .next_timeout()
        .filter(|(at, _)| *at <= now + TRANSACTION_TIMEOUT)
    {
        table.handle_timeout(at);
    }
    std::iter::from_fn(|| table.poll()).count()
}

#[test]
fn every_way_to_answer_a_phone_ends_with_an_empty_table() {
    for (method, status) in [("INVITE", 200), ("INVITE", 486), ("OPTIONS", 200)] {
        let (mut table, now) = (Table::new(), some_instant());
        let request = request(method);
        let (_, essentials) = request.validate().unwrap();
        let id = table.open(&request, &essentials, flow()).unwrap();
        assert_eq!(table.absorb(&request, &essentials, now), Absorbed::Yes);
        table.respond(id, &Response::to(&request, status), now);
        wait(&mut table, now);
        assert!(
            table.entries.is_empty() && table.by_key.is_empty() && table.finished.len() == 0,
            "{method} {status}"
        );
        assert_eq!(table.next_timeout(), None);
    }
}

#[test]
fn every_way_a_phone_answers_ends_with_an_empty_table() {
    for (method, status) in [
        ("INVITE", 200),
        ("INVITE", 486),
        ("BYE", 200),
        ("BYE", 0),
        ("INVITE", 0),
    ] {
        let (mut table, now) = (Table::new(), some_instant());
        let request = request(method);
        table.start(request.clone(), flow(), None, now).unwrap();
        if status > 0 {
            let response = Response::to(&request, status);
            let essentials = response.validate().unwrap();
            assert_eq!(
                table.receive(&response, &essentials, now),
                ResponseMatch::Absorbed
            );
        }
        wait(&mut table, now);
        assert!(
            table.entries.is_empty() && table.by_key.is_empty() && table.finished.len() == 0,
            "{method} {status}"
        );
        assert_eq!(table.next_timeout(), None);
    }
}

#[test]
fn repeats_follow_the_schedule_of_the_rfc() {
    // An INVITE doubles its pause: 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s. Others stop doubling at 4 s.
    for (method, times) in [("INVITE", 7), ("BYE", 11)] {
        let (mut table, now) = (Table::new(), some_instant());
        table.start(request(method), flow(), None, now).unwrap();
        assert_eq!(wait(&mut table, now), times, "{method}");
    }
}

fn numbered(number: usize) -> (Request, Essentials) {
    let mut request = request("OPTIONS");
    let via = format!("SIP/2.0/UDP h;branch=z9hG4bK{number}");
    request.headers.replace(crate::message::Name::Via, via);
    let (_, essentials) = request.validate().unwrap();
    (request, essentials)
}

fn flow_of(machine: usize) -> Flow {
    Flow {
        peer: format!("192.0.2.{machine}:5060").parse().unwrap(),
        ..flow()
    }
}

#[test]
fn a_full_table_takes_nothing_more_and_forgets_nothing() {
    let mut table = Table::new();
    for number in 0..=MAX_SERVER {
        let (request, essentials) = numbered(number);
        let source = flow_of(number / (MAX_SERVER_PER_SOURCE / 2));
        let is_open = table.open(&request, &essentials, source).is_some();
        assert_eq!(is_open, number < MAX_SERVER);
    }
    assert_eq!(table.entries.len(), MAX_SERVER);
    for number in 0..=MAX_CLIENT {
        let (request, _) = numbered(number);
        let is_open = table.start(request, flow(), None, some_instant()).is_some();
        assert_eq!(is_open, number < MAX_CLIENT);
    }
}

#[test]
fn a_source_with_its_share_leaves_room_for_others_and_gets_it_back() {
    let (mut table, now) = (Table::new(), some_instant());
    let mut open = Vec::new();
    for number in 0..=MAX_SERVER_PER_SOURCE {
        let (request, essentials) = numbered(number);
        open.extend(table.open(&request, &essentials, flow_of(7)));
        assert_eq!(open.len(), (number + 1).min(MAX_SERVER_PER_SOURCE));
    }
    let (request, essentials) = numbered(MAX_SERVER_PER_SOURCE + 1);
    assert!(table.open(&request, &essentials, flow_of(8)).is_some());
    table.respond(open[0], &Response::to(&request, 200), now);
    let (request, essentials) = numbered(MAX_SERVER_PER_SOURCE + 2);
    assert!(table.open(&request, &essentials, flow_of(7)).is_some());
}

#[test]
fn what_is_kept_is_bounded_and_the_fullest_source_loses_its_oldest() {
    let (mut table, now) = (Table::new(), some_instant());
    let mut answer = Response::to(&numbered(0).0, 200);
    answer.body = vec![b'x'; 60_000];
    let serve = |table: &mut Table, number, source| {
        let (request, essentials) = numbered(number);
        let id = table.open(&request, &essentials, source).unwrap();
        table.respond(id, &answer, now);
        table.poll().unwrap()
    };
    let quiet = serve(&mut table, 0, flow_of(7));
    for number in 1..2_000 {
        serve(&mut table, number, flow_of(8));
    }
    assert!(table.finished.len() < completed::MAX_BYTES / 60_000);
    let mut repeat = |number| {
        let (request, essentials) = numbered(number);
        (table.absorb(&request, &essentials, now), table.poll())
    };
    assert_eq!(repeat(0), (Absorbed::Yes, Some(quiet)));
    assert_eq!(repeat(1), (Absorbed::No, None));
    assert_eq!(repeat(1_999).0, Absorbed::Yes);
    wait(&mut table, now);
    assert_eq!((table.finished.len(), table.next_timeout()), (0, None));
}
