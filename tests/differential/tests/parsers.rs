//! Three parsers parse the same messages, which are combined at random from parts that phones write: all that accept a message
//! must read the same in it. A message that another parser refuses proves nothing; one that ours refuses must be refused by
//! design.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::cell::Cell;

use proptest::prelude::*;
use ringfence_sip::message::{Message, parse};

/// What is compared.
#[derive(Debug, PartialEq, Eq)]
struct View {
    /// Method, or status.
    first: String,
    call_id: String,
    cseq: (u32, String),
    from: (Option<String>, Option<String>),
    to: (Option<String>, Option<String>),
    /// The branch of the topmost Via.
    branch: Option<String>,
    body: Vec<u8>,
}

fn ours(bytes: &[u8]) -> Option<View> {
    let message = parse(bytes).ok()?;
    let (first, essentials, body) = match &message {
        Message::Request(request) => {
            let (_, essentials) = request.validate().ok()?;
            (request.method.to_string(), essentials, &request.body)
        }
        Message::Response(response) => {
            let essentials = response.validate().ok()?;
            (response.status.to_string(), essentials, &response.body)
        }
    };
    Some(View {
        first,
        call_id: essentials.call_id.clone(),
        cseq: (essentials.cseq.number, essentials.cseq.method.to_string()),
        from: (essentials.from.uri.user(), essentials.from.tag()),
        to: (essentials.to.uri.user(), essentials.to.tag()),
        branch: essentials.via.branch(),
        body: body.clone(),
    })
}

/// The other two have the same names, because one is derived from the other.
macro_rules! theirs {
    ($name:ident, $lib:ident :: $($path:ident)::*, $code:expr) => {
        fn $name(bytes: &[u8]) -> Option<View> {
            #[allow(unused_imports, reason = "one of them needs fewer")]
            use $lib::$($path)::*::{HasHeaders, HeadersExt, ToTypedHeader, UntypedHeader};
            let message = theirs!(@message $lib bytes)?;
            let user = |uri: theirs!(@uri $lib)| uri.auth.map(|auth| auth.user.to_string());
            let (from, to) = (message.from_header().ok()?, message.to_header().ok()?);
            let via = message.via_header().ok()?.typed().ok()?;
            let cseq = message.cseq_header().ok()?.typed().ok()?;
            let first = theirs!(@first $lib &message);
            Some(View {
                first,
                call_id: message.call_id_header().ok()?.value().to_string(),
                cseq: (cseq.seq, cseq.method.to_string()),
                from: (user(from.uri().ok()?), from.tag().ok()?.map(|tag| tag.value().to_string())),
                to: (user(to.uri().ok()?), to.tag().ok()?.map(|tag| tag.value().to_string())),
                branch: via.branch().map(|branch| branch.value().to_string()),
                body: theirs!(@body $lib message),
            })
        }
    };
    (@message rsip $bytes:ident) => { rsip::SipMessage::try_from($bytes).ok() };
    (@message rsipstack $bytes:ident) => { rsipstack::sip::SipMessage::try_from($bytes).ok() };
    (@uri rsip) => { rsip::Uri };
    (@uri rsipstack) => { rsipstack::sip::Uri };
    (@first rsip $message:expr) => {
        match $message {
            rsip::SipMessage::Request(request) => request.method.to_string(),
            rsip::SipMessage::Response(response) => response.status_code.code().to_string(),
        }
    };
    (@first rsipstack $message:expr) => {
        match $message {
            rsipstack::sip::SipMessage::Request(request) => request.method.to_string(),
            rsipstack::sip::SipMessage::Response(response) => response.status_code.code().to_string(),
        }
    };
    (@body rsip $message:ident) => {
        match $message {
            rsip::SipMessage::Request(request) => request.body,
            rsip::SipMessage::Response(response) => response.body,
        }
    };
    (@body rsipstack $message:ident) => {
        match $message {
            rsipstack::sip::SipMessage::Request(request) => request.body,
            rsipstack::sip::SipMessage::Response(response) => response.body,
        }
    };
}

theirs!(rsip_view, rsip::prelude, code);
theirs!(rsipstack_view, rsipstack::sip::prelude, code);

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

/// A From or To value. Quoted names contain no angle bracket, because rsipstack would take the address from it. Users are plain
/// words, because rsip finds none in `a.b-c_d`.
fn address() -> impl Strategy<Value = String> {
    let name = one_of(&["", "\"Ann B.\" ", "Ann ", "\"\" ", "\"gr\u{fc}n\" "]);
    let user = one_of(&["alice", "5550199", "bob2"]);
    let host = one_of(&[
        "127.0.0.1",
        "example.org",
        "example.org:5070",
        "h.example.org;transport=tcp",
    ]);
    (name, user, host).prop_map(|(name, user, host)| format!("{name}<sip:{user}@{host}>"))
}

fn tag() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-zA-Z0-9.~-]{1,20}".prop_map(|tag| format!(";tag={tag}"))
    ]
}

fn first_line() -> impl Strategy<Value = (String, String)> {
    let methods = [
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "INFO",
        "UPDATE",
        "PRACK",
        "REFER",
        "NOTIFY",
        "SUBSCRIBE",
        "MESSAGE",
    ];
    let uri = one_of(&[
        "sip:5550199@127.0.0.1",
        "sip:bob@example.org:5070;transport=tcp",
        "sip:127.0.0.1",
    ]);
    let request = (prop::sample::select(methods.to_vec()), uri)
        .prop_map(|(method, uri)| (format!("{method} {uri} SIP/2.0"), method.to_owned()));
    let status = one_of(&[
        "100 Trying",
        "180 Ringing",
        "200 OK",
        "401 Unauthorized",
        "486 Busy Here",
        "603 Decline",
    ]);
    let response = (status, prop::sample::select(methods.to_vec()))
        .prop_map(|(status, method)| (format!("SIP/2.0 {status}"), method.to_owned()));
    prop_oneof![3 => request, 2 => response]
}

fn extras() -> impl Strategy<Value = Vec<String>> {
    let line = one_of(&[
        "Max-Forwards: 70",
        "Contact: <sip:alice@127.0.0.1:40001;ob>",
        "Allow: INVITE, ACK, BYE",
        "Supported: 100rel, timer",
        "User-Agent: Linphonec/5.1.65",
        "Subject: hello",
        "Expires: 300",
        "X-Odd: ;;,=\"",
        "Record-Route: <sip:127.0.0.1;lr>",
    ]);
    prop::collection::hash_set(line, 0..6).prop_map(|lines| lines.into_iter().collect())
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let ids = (
        "[a-zA-Z0-9@.-]{1,30}",
        0..0x7fff_ffff_u32,
        "[a-zA-Z0-9.-]{1,30}",
    );
    let via = one_of(&[
        "UDP 127.0.0.1:40001",
        "TCP pc.example.org",
        "UDP 10.0.0.7;rport",
    ]);
    let body = prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 1..60)];
    (
        first_line(),
        address(),
        tag(),
        address(),
        tag(),
        ids,
        via,
        extras(),
        body,
    )
        .prop_map(
            |(
                (first, method),
                from,
                from_tag,
                to,
                to_tag,
                (call_id, number, branch),
                via,
                extras,
                body,
            )| {
                let mut lines = vec![
                    format!("Via: SIP/2.0/{via};branch=z9hG4bK{branch}"),
                    format!("From: {from}{from_tag}"),
                    format!("To: {to}{to_tag}"),
                    format!("Call-ID: {call_id}"),
                    format!("CSeq: {number} {method}"),
                ];
                lines.extend(extras);
                lines.push(format!("Content-Length: {}", body.len()));
                let mut bytes = format!("{first}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes();
                bytes.extend_from_slice(&body);
                bytes
            },
        )
}

#[test]
fn all_who_take_a_message_read_the_same_in_it() {
    let (rsip, rsipstack, all) = (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let config = ProptestConfig::with_cases(4_000);
    proptest!(config, |(bytes in message())| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let view = ours(&bytes);
        prop_assert!(view.is_some(), "ours refuses:\n{text}");
        all.set(all.get() + 1);
        for (name, count, other) in [("rsip", &rsip, rsip_view(&bytes)), ("rsipstack", &rsipstack, rsipstack_view(&bytes))] {
            if let Some(other) = other {
                count.set(count.get() + 1);
                prop_assert_eq!(view.as_ref(), Some(&other), "{}:\n{}", name, text);
            }
        }
    });
    // A comparison without the other parsers would prove nothing.
    assert!(
        rsip.get() > all.get() / 4 && rsipstack.get() > all.get() / 4,
        "{rsip:?} {rsipstack:?} of {all:?}"
    );
}
