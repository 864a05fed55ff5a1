//! Plug and play (experimental): a new desk phone multicasts a SUBSCRIBE for `ua-profile` (RFC 6080) to 224.0.1.75, and gets a NOTIFY with
//! the URL of its settings if the engine's settings name it. This file has no socket: it turns a datagram into the answer.
//!
//! A phone is not notified of later changes of its settings. It fetches them at every start.

use std::net::SocketAddr;

use ringfence_sip::message::{Message, Method, Name, Request, Response, Uri, parse};

use super::desk_phones::DeskPhones;
use crate::config::Mac;
use crate::state::secret::Secret;

/// The response and the NOTIFY for a phone.
pub(crate) struct PnpAnswer {
    pub(crate) accepted: Vec<u8>,
    pub(crate) notice: Vec<u8>,
}

/// Answers a phone that the settings name; `None` for every other datagram. `local` is the sender of the answer, `base` the URL before
/// the path, `mark` a random word.
pub(crate) fn answer(
    datagram: &[u8],
    desk_phones: &DeskPhones,
    (local, base): (SocketAddr, &str),
    mark: &str,
) -> Option<PnpAnswer> {
    let Ok(Message::Request(request)) = parse(datagram) else {
        return None;
    };
    request.validate().ok()?;
    let (mac, maker) = asks(&request)?;
    let path = desk_phones.path(mac, &maker)?;
    let url = Secret::new(format!("{base}{}", path.expose()));
    let mut accepted = Response::to(&request, 200);
    let to = format!("{};tag={mark}", request.headers.text(&Name::To)?);
    accepted.headers.replace(Name::To, to.as_str());
    accepted
        .headers
        .push(Name::Contact, format!("<sip:{local}>"));
    accepted.headers.push(Name::Expires, "0");
    Some(PnpAnswer {
        accepted: accepted.to_bytes(),
        notice: notice(&request, &to, (local, &url), mark)?.to_bytes(),
    })
}

/// The hardware address and the vendor of the phone that asks.
fn asks(request: &Request) -> Option<(Mac, String)> {
    if request.method != Method::Subscribe {
        return None;
    }
    let event = request.headers.text(&Name::Event)?;
    let mut parts = event.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("ua-profile") {
        return None;
    }
    let maker = parts.find_map(|part| part.strip_prefix("vendor="));
    let maker = maker.unwrap_or_default().trim_matches('"').to_owned();
    let user = request.headers.from()?.uri.user()?;
    let mac = user
        .get(..4)
        .filter(|head| head.eq_ignore_ascii_case("mac:"))
        .and_then(|_| user.get(4..))?;
    Some((mac.parse().ok()?, maker))
}

/// The only notification, which ends the subscription (RFC 6665 section 4.1.3).
fn notice(
    request: &Request,
    to: &str,
    (local, url): (SocketAddr, &Secret),
    mark: &str,
) -> Option<Request> {
    let contact = request.headers.contacts()?.into_iter().next()?.uri;
    let mut notice = Request::new(Method::Notify, &contact);
    let headers = &mut notice.headers;
    headers.push(
        Name::Via,
        format!("SIP/2.0/UDP {local};branch=z9hG4bK{mark};rport"),
    );
    headers.push(Name::MaxForwards, "1");
    headers.push(Name::From, to);
    headers.push(Name::To, request.headers.get(&Name::From)?);
    headers.push(Name::CallId, request.headers.get(&Name::CallId)?);
    headers.push(Name::CSeq, "1 NOTIFY");
    headers.push(Name::Contact, format!("<{}>", Uri::sip(None, local)));
    headers.push(Name::Event, "ua-profile");
    headers.push(Name::SubscriptionState, "terminated;reason=timeout");
    headers.push(Name::ContentType, "application/url");
    notice.body = url.expose().as_bytes().to_vec();
    Some(notice)
}

#[cfg(test)]
mod tests {
    use ringfence_book::Number;

    use super::*;

    const LOCAL: &str = "192.168.1.10:5081";

    fn subscribe(mac: &str, event: &str) -> String {
        format!(
            "SUBSCRIBE sip:MAC%3a{mac}@224.0.1.75 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:1033;rport;branch=z9hG4bK1\r\n\
             From: <sip:MAC%3A{mac}@224.0.1.75>;tag=f1\r\nTo: <sip:MAC%3a{mac}@224.0.1.75>\r\nCall-ID: c1@phone\r\n\
             CSeq: 7 SUBSCRIBE\r\nMax-Forwards: 70\r\nEvent: {event}\r\nExpires: 0\r\nAccept: application/url\r\n\
             Contact: <sip:192.168.1.20:1033>\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn told(message: &str) -> Option<(String, String)> {
        let desk_phones = DeskPhones::new(
            Secret::new("s".repeat(64)),
            vec![("001565aabbcc".parse().unwrap(), Number::new(20_417))],
        );
        let answer = answer(
            message.as_bytes(),
            &desk_phones,
            (LOCAL.parse().unwrap(), "http://192.168.1.10:5081"),
            "m1",
        )?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Some((text(answer.accepted), text(answer.notice)))
    }

    #[test]
    fn a_named_phone_is_told_where_its_settings_are() {
        let event =
            "ua-profile;profile-type=\"device\";vendor=\"snom\";model=\"D735\";version=\"10.1\"";
        let (accepted, notice) = told(&subscribe("001565AABBCC", event)).unwrap();
        assert!(
            accepted.starts_with("SIP/2.0 200 ") && accepted.contains(";tag=m1"),
            "{accepted}"
        );
        assert!(accepted.contains("CSeq: 7 SUBSCRIBE"), "{accepted}");
        assert!(
            notice.starts_with("NOTIFY sip:192.168.1.20:1033 SIP/2.0\r\n"),
            "{notice}"
        );
        assert!(
            notice.contains("To: <sip:MAC%3A001565AABBCC@224.0.1.75>;tag=f1\r\n"),
            "{notice}"
        );
        let url = format!(
            "\r\n\r\nhttp://192.168.1.10:5081/p/{}/snom-001565aabbcc.htm",
            "s".repeat(64)
        );
        assert!(notice.ends_with(&url), "{notice}");
        assert!(matches!(parse(notice.as_bytes()), Ok(Message::Request(_))));
    }

    #[test]
    fn unknown_phones_and_other_requests_get_no_answer() {
        let profile = "ua-profile;vendor=\"yealink\"";
        assert!(told(&subscribe("001565aabbcc", profile)).is_some());
        for message in [
            subscribe("001565aabbcd", profile),
            subscribe("", profile),
            subscribe("001565aabbcc", "presence"),
            subscribe("001565aabbcc", profile).replace("SUBSCRIBE", "OPTIONS"),
            subscribe("001565aabbcc", profile).replace("MAC%3A", "usr%3A"),
            "SUBSCRIBE".to_owned(),
        ] {
            assert!(told(&message).is_none(), "{message}");
        }
    }
}
