//! Messages that are hard to read, of each kind that RFC 4475 and RFC 5118 list, in words of our own: what is legal is
//! taken and read rightly, what is not is refused for the right reason.

use ringfence_sip::message::{Defect, Field, Message, Method, Request, Response, parse};

/// Writes a message of lines, each ended by CRLF.
fn lines(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn request(text: &str) -> Request {
    match parse(&lines(text)) {
        Ok(Message::Request(request)) => request,
        other => panic!("no request: {other:?}\n{text}"),
    }
}

fn response(text: &str) -> Response {
    match parse(&lines(text)) {
        Ok(Message::Response(response)) => response,
        other => panic!("no response: {other:?}\n{text}"),
    }
}

const HEAD: &str = "Via: SIP/2.0/UDP pc.example.org;branch=z9hG4bKt
From: <sip:ann@example.org>;tag=f
To: <sip:ben@example.net>
Call-ID: torture
";

/// A request with this line and these headers behind the usual ones.
fn with(first: &str, extra: &str) -> Request {
    let method = first.split_whitespace().next().unwrap();
    request(&format!("{first}\n{HEAD}CSeq: 1 {method}\n{extra}\n"))
}

/// The defect of a request whose header `name` is this, beside good ones.
fn defect(first: &str, name: &str, value: &str) -> Option<Defect> {
    let method = first.split_whitespace().next().unwrap();
    let mut head = String::new();
    for line in HEAD.lines().chain([format!("CSeq: 1 {method}").as_str()]) {
        if !line.starts_with(&format!("{name}:")) {
            head.push_str(&format!("{line}\n"));
        }
    }
    request(&format!("{first}\n{head}{name}: {value}\n\n"))
        .validate()
        .err()
}

#[test]
fn folds_compact_names_and_odd_white_space() {
    let odd = request(
        "INVITE sip:ben@example.net;odd=1 SIP/2.0
TO :
 sip:ben@example.net ;  tag  = 7a
from   : \"A \\\\\\\"nn\" <sip:ann@example.org>
  ;
  tag = f1
MaX-fOrWaRdS: 0068
i: odd.1@h
s:
l: 4
v:  SIP  / 2.0
 / UDP
    [2001:db8::9]:7060 ; branch = z9hG4bKodd,SIP/2.0/TCP x
 ;branch=z9hG4bKtwo
cseq: 0009
  INVITE
M: \"B\" <sip:b@h;x=?> , <sip:c@h>;new=\"a,b;c\"
NewThing: x;\tsecond,,third

v=0
",
    );
    let (uri, essentials) = odd.validate().unwrap();
    assert!(uri.params().has("odd"));
    assert_eq!(essentials.to.tag().as_deref(), Some("7a"));
    assert_eq!(essentials.from_tag(), "f1");
    assert_eq!(essentials.from.name.as_deref(), Some("A \\\"nn"));
    assert_eq!(
        (essentials.cseq.number, &essentials.cseq.method),
        (9, &Method::Invite)
    );
    assert_eq!(essentials.via.branch().as_deref(), Some("z9hG4bKodd"));
    assert_eq!(essentials.via.port, Some(7060));
    assert_eq!(essentials.max_forwards, Some(68));
    assert_eq!(odd.headers.contacts().unwrap().len(), 2);
    assert_eq!(odd.body, b"v=0\r");
}

#[test]
fn methods_of_every_token_character_and_escapes_that_stay() {
    let odd = with(
        "!odd-1_*+`.%dd'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1@h SIP/2.0",
        "",
    );
    let (uri, _) = odd.validate().unwrap();
    assert_eq!(
        uri.user().unwrap(),
        "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    );
    let escaped = with("RE%47 sip:a%20b%00c@h SIP/2.0", "");
    assert_eq!(escaped.method.as_str(), "RE%47");
    assert_eq!(escaped.validate().unwrap().0.user().unwrap(), "a b\0c");
    // Escapes mean nothing outside a URI.
    let names = with(
        "OPTIONS sip:h SIP/2.0",
        "Contact: \"%Z%45\" <sip:x@h>, Bell <sip:y@h>\n",
    );
    let contacts = names.headers.contacts().unwrap();
    assert_eq!(contacts[0].name.as_deref(), Some("%Z%45"));
    assert_eq!(contacts[1].name.as_deref(), Some("Bell"));
}

#[test]
fn what_follows_the_body_and_what_is_no_text_are_left_alone() {
    let (mut double, second) = (
        lines(&format!(
            "REGISTER sip:h SIP/2.0\n{HEAD}CSeq: 8 REGISTER\nl: 0\n\n"
        )),
        b"INVITE sip:x SIP/2.0\r\n\r\n",
    );
    double.extend_from_slice(second);
    let Ok(Message::Request(first)) = parse(&double) else {
        panic!("a request")
    };
    assert_eq!((first.validate().is_ok(), first.body.len()), (true, 0));
    let mut binary = lines(&format!(
        "MESSAGE sip:h SIP/2.0\n{HEAD}CSeq: 1 MESSAGE\nContent-Type: multipart/mixed;boundary=x\nl: 6\n\n"
    ));
    binary.extend_from_slice(&[0, 1, b'\r', b'\n', 0xff, 0x80]);
    let Ok(Message::Request(binary)) = parse(&binary) else {
        panic!("a request")
    };
    assert_eq!(binary.body, [0, 1, b'\r', b'\n', 0xff, 0x80]);
}

#[test]
fn answers_without_a_phrase_or_with_one_in_any_script() {
    let bare = response(&format!("SIP/2.0 100 \n{HEAD}CSeq: 1 INVITE\n\n"));
    assert!(bare.validate().is_ok() && bare.reason.is_empty());
    let words = response(&format!(
        "SIP/2.0 200 = 2**3 \u{43d}\u{43e}\n{HEAD}CSeq: 1 INVITE\n\n"
    ));
    assert_eq!(words.reason, "= 2**3 \u{43d}\u{43e}".as_bytes());
    for first in [
        "SIP/2.0 4294967301 x",
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 2000 x",
        "SIP/2.0 -1 x",
    ] {
        assert!(
            parse(&lines(&format!("{first}\n{HEAD}CSeq: 1 INVITE\n\n"))).is_err(),
            "{first}"
        );
    }
    let broken = response(&format!(
        "SIP/2.0 503 x\n{HEAD}CSeq: 9292394834772304023312 OPTIONS\n\n"
    ));
    assert_eq!(broken.validate(), Err(Defect::Malformed(Field::CSeq)));
}

#[test]
fn every_transport_a_via_may_name() {
    let vias = "Via: SIP/2.0/SCTP b.h;branch=z9hG4bK2, SIP/2.0/TLS c.h;branch=z9hG4bK3\nVia: SIP/2.0/UNKNOWN d.h;branch=z9hG4bK4\n";
    assert!(with("OPTIONS sip:h SIP/2.0", vias).validate().is_ok());
    // A branch that is nothing but the cookie, and none at all: from before RFC 3261.
    assert_eq!(
        defect(
            "OPTIONS sip:h SIP/2.0",
            "Via",
            "SIP/2.0/UDP h;branch=z9hG4bK"
        ),
        None
    );
    assert_eq!(
        defect("OPTIONS sip:h SIP/2.0", "Via", "SIP/2.0/UDP h"),
        None
    );
    assert_eq!(
        defect("OPTIONS sip:h SIP/2.0", "Via", "SIP/2.0/UDP h;;,;,,"),
        Some(Defect::Malformed(Field::Via))
    );
}

#[test]
fn request_lines_that_are_not_obeyed() {
    let first = |line: &str| {
        request(&format!("{line}\n{HEAD}CSeq: 1 INVITE\n\n"))
            .validate()
            .err()
    };
    for (line, wanted) in [
        ("INVITE <sip:ben@h> SIP/2.0", Defect::RequestUri),
        ("INVITE sip:ben@h; lr SIP/2.0", Defect::RequestUri),
        (
            "INVITE sip:ben@h?Route=%3Csip:x%3E SIP/2.0",
            Defect::RequestUri,
        ),
        ("INVITE sip:[2001:db8:::9]:5060 SIP/2.0", Defect::RequestUri),
        ("INVITE sip:2001:db8::9 SIP/2.0", Defect::RequestUri),
        ("INVITE  sip:ben@h  SIP/2.0", Defect::RequestLine),
        ("INVITE sip:ben@h SIP/2.0 ", Defect::RequestLine),
        ("INVITE sip:ben@h SIP/7.0", Defect::Version),
    ] {
        assert_eq!(first(line), Some(wanted), "{line}");
    }
    // Unknown schemes are well-formed: what they mean is another question.
    assert_eq!(first("INVITE nobodyKnowsThis:at.all SIP/2.0"), None);
    assert_eq!(first("INVITE soap.beep://192.0.2.1:3002 SIP/2.0"), None);
}

#[test]
fn header_values_that_are_not_obeyed() {
    for (name, value, field) in [
        ("To", "\"open <sip:ben@h>", Field::To),
        ("To", "\"Watson <sip:w@h>, Bell <sip:b@h>", Field::To),
        ("From", "Bell, Alexander <sip:a@h>;tag=1", Field::From),
        ("From", "<sip:a@h", Field::From),
        ("CSeq", "36893488147419103232 INVITE", Field::CSeq),
        ("CSeq", "1", Field::CSeq),
        ("Max-Forwards", "300", Field::MaxForwards),
        ("Max-Forwards", "-1", Field::MaxForwards),
        ("Contact", "sip:a@h?Route=%3Csip:x%3E", Field::Contact),
        ("Contact", "<sip:a@h>, <", Field::Contact),
        ("Expires", "soon", Field::Expires),
        ("Call-ID", "two words", Field::CallId),
        ("Via", "SIP/2.0/UDP ;branch=z9hG4bK1", Field::Via),
        ("Via", "SIP/2.0/UDP h:99999;branch=z9hG4bK1", Field::Via),
    ] {
        assert_eq!(
            defect("INVITE sip:b@h SIP/2.0", name, value),
            Some(Defect::Malformed(field)),
            "{name}: {value}"
        );
    }
    // Beyond any clock, and still a number: as long as may be.
    assert_eq!(
        defect("INVITE sip:b@h SIP/2.0", "Expires", "1000000000000000000"),
        None
    );
}

#[test]
fn headers_that_must_be_there_once_are_there_once() {
    for name in ["From", "To", "Call-ID", "CSeq", "Via"] {
        let head: String = HEAD
            .lines()
            .chain(["CSeq: 1 INVITE"])
            .filter(|line| !line.starts_with(name))
            .fold(String::new(), |text, line| text + line + "\n");
        let missing = request(&format!("INVITE sip:b@h SIP/2.0\n{head}\n"))
            .validate()
            .err();
        assert!(
            matches!(missing, Some(Defect::Missing(_))),
            "{name}: {missing:?}"
        );
    }
    for line in [
        "From: <sip:x@h>;tag=2",
        "To: <sip:x@h>",
        "Call-ID: other",
        "CSeq: 2 INVITE",
        "Max-Forwards: 5\nMax-Forwards: 6",
    ] {
        let twice = with("INVITE sip:b@h SIP/2.0", &format!("{line}\n"))
            .validate()
            .err();
        assert!(matches!(twice, Some(Defect::Twice(_))), "{line}: {twice:?}");
    }
    let mismatch = request(&format!(
        "OPTIONS sip:b@h SIP/2.0\n{HEAD}CSeq: 1 INVITE\n\n"
    ));
    assert_eq!(mismatch.validate().err(), Some(Defect::CSeqMethod));
    let unknown = request(&format!(
        "NEWMETHOD sip:b@h SIP/2.0\n{HEAD}CSeq: 1 INVITE\n\n"
    ));
    assert_eq!(unknown.validate().err(), Some(Defect::CSeqMethod));
}

#[test]
fn lengths_that_do_not_fit() {
    for (line, wanted) in [
        ("Content-Length: 9999", Defect::BodyShort),
        ("Content-Length: -999", Defect::ContentLength),
        (
            "Content-Length: 18446744073709551616",
            Defect::ContentLength,
        ),
        (
            "Content-Length: 1\nl: 2",
            Defect::Twice(Field::ContentLength),
        ),
    ] {
        assert_eq!(
            with("INVITE sip:b@h SIP/2.0", &format!("{line}\n"))
                .validate()
                .err(),
            Some(wanted),
            "{line}"
        );
    }
}

#[test]
fn addresses_of_the_sixth_version() {
    for (first, host) in [
        ("OPTIONS sip:[2001:db8::10] SIP/2.0", "2001:db8::10"),
        (
            "OPTIONS sip:u@[2001:db8::10:5070] SIP/2.0",
            "2001:db8::10:5070",
        ),
        (
            "OPTIONS sip:[::ffff:192.0.2.1]:5070 SIP/2.0",
            "::ffff:192.0.2.1",
        ),
    ] {
        let (uri, _) = with(first, "").validate().unwrap();
        assert_eq!(uri.host().unwrap().ip(), host.parse().ok(), "{first}");
    }
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas");
        assert_eq!(
            defect("BYE sip:[2001:db8::10] SIP/2.0", "Via", &via),
            None,
            "{received}"
        );
    }
}

#[test]
fn long_values_of_many_kinds() {
    let long = "a".repeat(1500);
    let text = format!(
        "INVITE sip:ben@h SIP/2.0
To: \"{long}\" <sip:ben@h:5060;{long}={long};x>
F: sip:{long}@h;tag={long};{long};x=%31
Call-ID: {long}
CSeq: 3882340 INVITE
Unknown-{long}: x; a=%{long}
Via: SIP/2.0/TCP {long}.h;branch=z9hG4bK{long}
Via: SIP/2.0/TCP h;branch=1, SIP/2.0/TCP h;branch=2
{}
",
        "Via: SIP/2.0/UDP h;branch=z9hG4bK3\n".repeat(60)
    );
    let long_one = request(&text);
    let (_, essentials) = long_one.validate().unwrap();
    assert_eq!(essentials.from_tag().len(), 1500);
    assert_eq!(essentials.to.name.unwrap().len(), 1500);
}
