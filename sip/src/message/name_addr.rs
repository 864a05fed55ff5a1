//! Name and address: the values of From, To, Contact and the like (RFC 3261 section 20.10).

use std::fmt;

use super::params::Params;
use super::scan::{Scan, is_space, is_token, quote, trim, unquote};
use super::uri::Uri;

/// `"Name" <uri>;params`, or a bare `uri;params`.
#[derive(Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name without quotes and escapes.
    pub name: Option<String>,
    /// The address.
    pub uri: Uri,
    /// The parameters of the header, such as `tag`; those inside the brackets belong to the URI.
    pub params: Params,
}

impl NameAddr {
    /// Reads the only value of a header. `None` if it is no name-addr, or if something follows it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut scan = Scan::new(value);
        let one = Self::read(&mut scan)?;
        scan.skip_space();
        scan.is_done().then_some(one)
    }

    /// Reads a comma-separated list. An empty value gives an empty list.
    pub fn parse_list(value: &[u8]) -> Option<Vec<Self>> {
        let mut scan = Scan::new(trim(value));
        let mut list = Vec::new();
        if scan.is_done() {
            return Some(list);
        }
        loop {
            list.push(Self::read(&mut scan)?);
            if !scan.eat_padded(b',') {
                return scan.is_done().then_some(list);
            }
        }
    }

    /// The `tag` parameter (RFC 3261 section 19.3).
    pub fn tag(&self) -> Option<String> {
        self.params.get("tag").map(|tag| tag.into_owned())
    }

    fn read(scan: &mut Scan<'_>) -> Option<Self> {
        scan.skip_space();
        let name = read_name(scan)?;
        let uri = if scan.eat(b'<') {
            Uri::parse(scan.until(b'>')?)?
        } else if name.is_some() {
            return None;
        } else {
            // Section 20: without brackets a semicolon ends the URI, and a question mark or comma may not be in it.
            let text = scan.take_while(|byte| {
                !is_space(byte) && !matches!(byte, b';' | b',' | b'<' | b'>' | b'"')
            });
            Uri::parse(text).filter(|_| !text.contains(&b'?'))?
        };
        let params = Params::read(scan)?;
        Some(Self { name, uri, params })
    }
}

/// A quoted name, or tokens in front of an angle bracket. Bytes beyond ASCII are let through: phones write them.
fn read_name(scan: &mut Scan<'_>) -> Option<Option<String>> {
    if scan.peek() == Some(b'<') {
        return Some(None);
    }
    let quoted = scan.peek() == Some(b'"');
    let start = *scan;
    let written = if quoted {
        let text = scan.quoted()?;
        scan.skip_space();
        text
    } else {
        trim(scan.take_while(|byte| is_token(byte) || is_space(byte) || byte >= 0x80))
    };
    if scan.peek() != Some(b'<') {
        *scan = start;
        return if quoted { None } else { Some(None) };
    }
    let name = String::from_utf8_lossy(&unquote(written)).into_owned();
    Some((quoted || !name.is_empty()).then_some(name))
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{} ", quote(name))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

impl fmt::Debug for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameAddr(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<NameAddr> {
        NameAddr::parse(text.as_bytes())
    }

    #[test]
    fn an_address_inside_the_name_is_not_the_address() {
        let from = parse(r#""a <sip:evil@x>" <sip:real@y>;tag=1"#).unwrap();
        assert_eq!(from.uri.as_str(), "sip:real@y");
        assert_eq!(from.name.as_deref(), Some("a <sip:evil@x>"));
    }

    #[test]
    fn without_brackets_parameters_belong_to_the_header() {
        let from = parse("sip:alice@h;tag=7").unwrap();
        assert_eq!(
            (from.uri.as_str(), from.tag().as_deref()),
            ("sip:alice@h", Some("7"))
        );
        assert_eq!(parse("sip:alice@h?Subject=x"), None);
    }

    #[test]
    fn names_may_be_tokens_quoted_empty_or_missing() {
        assert_eq!(
            parse("Alice B <sip:a@h>").unwrap().name.as_deref(),
            Some("Alice B")
        );
        assert_eq!(
            parse("caller<sip:a@h>").unwrap().name.as_deref(),
            Some("caller")
        );
        assert_eq!(parse(r#""" <sip:a@h>"#).unwrap().name.as_deref(), Some(""));
        assert_eq!(parse("<sip:a@h>").unwrap().name, None);
    }

    #[test]
    fn lists_split_at_commas_outside_quotes_and_brackets() {
        let list = NameAddr::parse_list(br#""A, B" <sip:a,b@h>;q=1 , sip:c@h"#).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(NameAddr::parse_list(b"<sip:a@h>,"), None);
    }

    #[test]
    fn broken_values_are_refused() {
        for text in [
            "",
            "\"a <sip:a@h>",
            "Bell, A <sip:a@h>",
            "<sip:a@h",
            "< sip:a@h >",
            "<sip:a@h> x",
            "\"a\" sip:a@h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn printing_escapes_what_a_name_may_hold() {
        let mut from = parse("<sip:a@h>;tag=1").unwrap();
        from.name = Some("O\"Neil\\\r\n".to_owned());
        assert_eq!(
            parse(&from.to_string()).unwrap().name.as_deref(),
            Some("O\"Neil\\  ")
        );
    }
}
