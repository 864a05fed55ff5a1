//! Addresses: `sip:`, `sips:` and `tel:` URIs (RFC 3261 section 19.1, RFC 3966), `urn:service:` (RFC 5031), any other scheme as opaque
//! text.
//!
//! A URI keeps its written form, since a Contact must be sent back exactly as it came. Phones drop ports and
//! parameters at will, so nothing here offers textual comparison as "the same address".

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use super::escape::{escape, has_whole_escapes, unescape};
use super::host::Host;
use super::params::Params;
use super::scan::Scan;

/// The kind of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// `urn:service:`, which a phone's emergency key may send: `urn:service:sos` (RFC 5031 section 4.2). The service is the user part.
    Service,
    /// Anything else, kept but not understood (answered 416 in a Request-URI).
    Other,
}

/// A URI in its written form, with its parts read. Equality is textual; see [`Uri::is_same_contact`].
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    text: String,
    scheme: Scheme,
    /// Where in the text the user part is, with its escapes or visual separators.
    user: Option<Range<usize>>,
    host: Option<Host>,
    port: Option<u16>,
    params: Params,
    has_headers: bool,
}

impl Uri {
    /// `sip:user@address`, the user part escaped. `None` as user gives `sip:address`.
    pub fn sip(user: Option<&str>, address: SocketAddr) -> Self {
        let user = user.map(escape);
        let text = match &user {
            Some(user) => format!("sip:{user}@{address}"),
            None => format!("sip:{address}"),
        };
        Self {
            text,
            scheme: Scheme::Sip,
            user: user.map(|user| range("sip:".len(), &user)),
            host: Some(Host::of(address.ip())),
            port: Some(address.port()),
            params: Params::default(),
            has_headers: false,
        }
    }

    /// Reads a whole URI. `None` if it is none: white space, angle brackets, a bad host, port or escape.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if !text.bytes().all(is_uri_byte) || !has_whole_escapes(text) {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let starts_well = scheme.bytes().next()?.is_ascii_alphabetic();
        if !starts_well
            || !scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            return None;
        }
        let is = |name| scheme.eq_ignore_ascii_case(name);
        if is("sip") {
            Self::parse_sip(text, Scheme::Sip, rest)
        } else if is("sips") {
            Self::parse_sip(text, Scheme::Sips, rest)
        } else if is("tel") {
            Self::parse_tel(text, rest)
        } else if is("urn")
            && let Some(service) = Self::parse_service(text, rest)
        {
            Some(service)
        } else {
            (!rest.is_empty()).then(|| Self::bare(text, Scheme::Other))
        }
    }

    fn bare(text: &str, scheme: Scheme) -> Self {
        Self {
            text: text.to_owned(),
            scheme,
            user: None,
            host: None,
            port: None,
            params: Params::default(),
            has_headers: false,
        }
    }

    fn parse_sip(text: &str, scheme: Scheme, rest: &str) -> Option<Self> {
        let before = text.len().checked_sub(rest.len())?;
        let (user, rest) = match rest.split_once('@') {
            Some((info, rest)) => (Some(range(before, info.split(':').next()?)), rest),
            None => (None, rest),
        };
        if user.as_ref().is_some_and(Range::is_empty) {
            return None;
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let mut scan = Scan::new(rest.as_bytes());
        let (host, port) = Host::read(&mut scan)?;
        let params = Params::read(&mut scan)?;
        let has_headers = headers.is_some();
        let is_whole = scan.is_done() && headers.is_none_or(|headers| !headers.contains('@'));
        is_whole.then(|| Self {
            user,
            host: Some(host),
            port,
            params,
            has_headers,
            ..Self::bare(text, scheme)
        })
    }

    fn parse_tel(text: &str, rest: &str) -> Option<Self> {
        let mut scan = Scan::new(rest.as_bytes());
        let written =
            scan.take_while(|byte| byte.is_ascii_hexdigit() || b"+*#-.()".contains(&byte));
        let has_digits = !written.iter().all(|byte| SEPARATORS.contains(byte));
        let before = text.len().checked_sub(rest.len())?;
        let end = before.checked_add(written.len())?;
        let params = Params::read(&mut scan)?;
        let is_whole = scan.is_done() && has_digits;
        is_whole.then(|| Self {
            user: Some(before..end),
            params,
            ..Self::bare(text, Scheme::Tel)
        })
    }

    fn parse_service(text: &str, rest: &str) -> Option<Self> {
        const PREFIX: &str = "service:";
        let prefix = rest.get(..PREFIX.len())?;
        let service = rest.get(PREFIX.len()..)?;
        let is_one = prefix.eq_ignore_ascii_case(PREFIX) && !service.is_empty();
        let begin = text.len().checked_sub(service.len())?;
        is_one.then(|| Self {
            user: Some(begin..text.len()),
            ..Self::bare(text, Scheme::Service)
        })
    }

    /// The kind.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user part without escapes (bytes that are no UTF-8 become U+FFFD); of a `tel:` URI the number without
    /// visual separators.
    pub fn user(&self) -> Option<String> {
        let written = self.written_user()?;
        if self.scheme != Scheme::Tel {
            return Some(unescape(written));
        }
        let is_digit = |character: &char| {
            !SEPARATORS
                .iter()
                .any(|&each| char::from(each) == *character)
        };
        Some(written.chars().filter(is_digit).collect())
    }

    fn written_user(&self) -> Option<&str> {
        self.text.get(self.user.clone()?)
    }

    fn has_user_of(&self, other: &Self) -> bool {
        self.written_user() == other.written_user() && self.scheme == other.scheme
            || self.user() == other.user()
    }

    /// The host part, absent from `tel:` and unknown schemes.
    pub const fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The port, if written.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// True if `?header=value` follows, which a Request-URI must not have (RFC 3261 section 19.1.1).
    pub const fn has_headers(&self) -> bool {
        self.has_headers
    }

    /// The value of a header that the URI carries (`?name=value&..`), without escapes (RFC 3261 section 19.1.1). Only a
    /// Refer-To has a use for one: `Replaces` (RFC 3891 section 7).
    pub fn header(&self, name: &str) -> Option<String> {
        let behind_user = self
            .text
            .split_once('@')
            .map_or(self.text.as_str(), |(_, rest)| rest);
        let (_, headers) = behind_user.split_once('?').filter(|_| self.has_headers)?;
        let mut fields = headers.split('&').filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(each, _)| each.eq_ignore_ascii_case(name))?;
        Some(unescape(value))
    }

    /// The URI as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds a parameter at the end.
    #[must_use]
    pub(crate) fn with_param(mut self, name: &str, value: &str) -> Self {
        self.text.push_str(&format!(";{name}={value}"));
        self.params.set(name, value);
        self
    }

    /// Whether both are the same phone: user, host, port and transport agree. This is looser than RFC 3261 section 19.1.4, by
    /// which a phone that adds a parameter would be another one.
    pub fn is_same_contact(&self, other: &Self) -> bool {
        let hosts_agree = match (&self.host, &other.host) {
            (Some(one), Some(two)) => one.is_same(two),
            (None, None) => self.text == other.text,
            _ => false,
        };
        let transport = |uri: &Self| {
            uri.params
                .get("transport")
                .map(|name| name.to_ascii_lowercase())
        };
        hosts_agree
            && self.has_user_of(other)
            && self.port == other.port
            && transport(self) == transport(other)
    }

    /// User and host agree; port and parameters may differ.
    pub(crate) fn is_same_resource(&self, other: &Self) -> bool {
        let hosts_agree = match (&self.host, &other.host) {
            (Some(one), Some(two)) => one.is_same(two),
            (None, None) => true,
            _ => false,
        };
        hosts_agree && self.has_user_of(other)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uri(..)")
    }
}

/// The visual separators of a telephone number (RFC 3966 section 3).
const SEPARATORS: &[u8] = b"-.()";

fn range(start: usize, part: &str) -> Range<usize> {
    start..start.saturating_add(part.len())
}

fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'<' | b'>' | b'"' | b'\\' | b'^' | b'{' | b'}' | b'|')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Uri> {
        Uri::parse(text.as_bytes())
    }

    #[test]
    fn parts_are_read_and_the_text_is_kept() {
        let text = "sip:al%20ice:pw@[2001:db8::1]:5070;transport=tcp;ob?Subject=x";
        let uri = parse(text).unwrap();
        assert_eq!(uri.to_string(), text);
        assert_eq!(uri.user().unwrap(), "al ice");
        assert_eq!(uri.host().unwrap().ip().unwrap().to_string(), "2001:db8::1");
        assert_eq!(uri.port(), Some(5070));
        assert!(uri.params().has("ob") && uri.has_headers());
    }

    #[test]
    fn users_may_hold_semicolons_and_question_marks() {
        let uri = parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!(uri.user().unwrap(), "user;par=u@example.net");
        assert_eq!(parse("sip:1?2@h").unwrap().user().unwrap(), "1?2");
    }

    #[test]
    fn headers_behind_the_question_mark_are_read_by_name() {
        let uri =
            parse("sip:7@h;x=1?Subject=a%20b&replaces=c%40h%3Bto-tag%3D1%3Bfrom-tag%3D2").unwrap();
        assert_eq!(uri.header("Replaces").unwrap(), "c@h;to-tag=1;from-tag=2");
        assert_eq!(uri.header("subject").unwrap(), "a b");
        assert_eq!(uri.header("Route"), None);
        assert_eq!(parse("sip:1?a=b@h").unwrap().header("a"), None);
        assert_eq!(parse("sip:1?a=b@h?a=c").unwrap().header("a").unwrap(), "c");
    }

    #[test]
    fn telephone_numbers_lose_their_separators() {
        assert_eq!(
            parse("tel:+1-(201).555;phone-context=x")
                .unwrap()
                .user()
                .unwrap(),
            "+1201555"
        );
    }

    #[test]
    fn broken_addresses_are_refused() {
        for text in [
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@h:99999",
            "sip:a@h:",
            "sip:a@h:1x",
            "sip:a%4@h",
            "sip:a b@h",
            "<sip:a@h>",
            "sip:a@[::1",
            "sip:a@2001:db8::1",
            "alice",
            ":x",
            "sip:a@b@c",
            "sip:a@h;",
            "tel:",
            "urn:",
        ] {
            assert_eq!(parse(text).map(|uri| uri.text), None, "{text}");
        }
    }

    #[test]
    fn a_user_part_is_escaped_so_that_it_comes_back() {
        let uri = Uri::sip(Some("a b;c@d%"), "[::1]:5060".parse().unwrap());
        let again = parse(uri.as_str()).unwrap();
        assert_eq!(again.user().unwrap(), "a b;c@d%");
        assert_eq!(again, uri);
    }

    #[test]
    fn a_phone_is_known_again_by_more_than_its_text() {
        let one = parse("sip:alice@127.0.0.1:5070;transport=TCP;ob").unwrap();
        assert!(one.is_same_contact(&parse("sip:%61lice@127.0.0.1:5070;transport=tcp").unwrap()));
        assert!(!one.is_same_contact(&parse("sip:alice@127.0.0.1:5071;transport=tcp").unwrap()));
    }
}
