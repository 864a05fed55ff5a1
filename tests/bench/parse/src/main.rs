//! How many SIP messages are parsed in a second and core, with the header fields that every message needs (Via, From, To,
//! Call-ID, CSeq, Contact; RFC 3261 section 8.1.1), beside rsipstack 0.7.14, in turns.

use std::{fs, hint::black_box, time::Duration};

use ringfence_sip::message::{Message, parse};
use rsipstack::sip::{HeadersExt, SipMessage, ToTypedHeader as _};

/// A register, a challenge, and a whole call.
const MESSAGES: [&[u8]; 8] = [
    include_bytes!("../messages/register"),
    include_bytes!("../messages/unauthorized"),
    include_bytes!("../messages/invite"),
    include_bytes!("../messages/ringing"),
    include_bytes!("../messages/answer"),
    include_bytes!("../messages/ack"),
    include_bytes!("../messages/bye"),
    include_bytes!("../messages/options"),
];
/// How often all of them are parsed in a round.
const TIMES: u32 = 5_000;
const ROUNDS: usize = 7;

fn main() {
    compare("alone", read, |bytes| drop(peer_reads(bytes)));
    compare("with typed header fields", read_typed, peer_reads_typed);
}

/// Measures both in turns, and prints the results.
fn compare(what: &str, read: impl Fn(&[u8]), peer_reads: impl Fn(&[u8])) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(per_second(&read));
        theirs.push(per_second(&peer_reads));
    }
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    let ratio = ours[ROUNDS / 2] / theirs[ROUNDS / 2];
    println!("\nsip: messages read per core-second, {what}, median (least-most)");
    println!("  ringfence  {}  ratio {ratio:.2}", shown(&ours));
    println!("  rsipstack  {}  ratio 1", shown(&theirs));
}

fn read(bytes: &[u8]) {
    let message = parse(black_box(bytes)).expect("a good message");
    black_box(matches!(message, Message::Request(_)));
}

fn read_typed(bytes: &[u8]) {
    let message = parse(black_box(bytes)).expect("a good message");
    let headers = message.headers();
    let essentials = (headers.via(), headers.from(), headers.to(), headers.cseq());
    let (via, from, to, cseq) = black_box(&essentials);
    assert!(via.is_some() && from.is_some() && to.is_some() && cseq.is_some());
    black_box((headers.call_id(), headers.contacts()));
}

fn peer_reads(bytes: &[u8]) -> SipMessage {
    let message = SipMessage::try_from(black_box(bytes)).expect("a good message");
    black_box(message)
}

fn peer_reads_typed(bytes: &[u8]) {
    match peer_reads(bytes) {
        SipMessage::Request(request) => peer_reads_headers(&request),
        SipMessage::Response(response) => peer_reads_headers(&response),
    }
}

fn peer_reads_headers(message: &impl HeadersExt) {
    let via = message.via_header().and_then(|header| header.typed());
    let from = message.from_header().and_then(|header| header.typed());
    let to = message.to_header().and_then(|header| header.typed());
    let cseq = message.cseq_header().and_then(|header| header.typed());
    let contact = message.contact_header().and_then(|header| header.typed());
    black_box((&via, &from, &to, &cseq, &contact));
    black_box(message.call_id_header().is_ok());
    assert!(via.is_ok() && from.is_ok() && to.is_ok() && cseq.is_ok());
}

fn per_second(read: &impl Fn(&[u8])) -> f64 {
    let before = spent();
    for _ in 0..TIMES {
        for message in MESSAGES {
            read(message);
        }
    }
    f64::from(TIMES) * MESSAGES.len() as f64 / (spent() - before).as_secs_f64()
}

/// Processor time of this thread.
fn spent() -> Duration {
    let figures = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts it");
    let nanos = figures
        .split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

fn sorted(mut rounds: Vec<f64>) -> Vec<f64> {
    rounds.sort_by(f64::total_cmp);
    rounds
}

fn shown(rounds: &[f64]) -> String {
    format!(
        "{:.0} ({:.0}-{:.0})",
        rounds[rounds.len() / 2],
        rounds[0],
        rounds[rounds.len() - 1]
    )
}
