//! Header fields in written order, found by name whatever its case and form (RFC 3261 sections 7.3 and 20).
//!
//! Values are bytes: a Latin-1 Subject must not make a message unreadable. Typed values are read on demand.

use std::fmt;

use super::method::CSeq;
use super::name_addr::NameAddr;
use super::params::Params;
use super::scan::{Scan, number, trim};
use super::via::Via;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident $text:literal $($compact:literal)?;)*) => {
        /// The name of a header field.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Name {
            $(#[doc = $text] $variant,)*
            /// A field this core does not read, in the case it was written.
            Other(String),
        }

        impl Name {
            /// Reads a name, long or compact, in any case.
            pub fn from_token(token: &str) -> Self {
                // Most are written as the RFC does.
                match token {
                    $($text $(| $compact)? => return Self::$variant,)*
                    _ => {}
                }
                $(if token.eq_ignore_ascii_case($text) $(|| token.eq_ignore_ascii_case($compact))? {
                    return Self::$variant;
                })*
                Self::Other(token.to_owned())
            }

            /// The long form.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(token) => token,
                }
            }
        }
    };
}

names! {
    Via "Via" "v";
    MaxForwards "Max-Forwards";
    From "From" "f";
    To "To" "t";
    CallId "Call-ID" "i";
    CSeq "CSeq";
    Contact "Contact" "m";
    Expires "Expires";
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthenticate "Proxy-Authenticate";
    Allow "Allow";
    Supported "Supported" "k";
    Require "Require";
    Unsupported "Unsupported";
    Route "Route";
    RecordRoute "Record-Route";
    ContentType "Content-Type" "c";
    ContentEncoding "Content-Encoding" "e";
    ContentLength "Content-Length" "l";
    Accept "Accept";
    UserAgent "User-Agent";
    Server "Server";
    Reason "Reason";
    RetryAfter "Retry-After";
    Warning "Warning";
    MinExpires "Min-Expires";
    Subject "Subject" "s";
    Event "Event" "o";
    ReferTo "Refer-To" "r";
    ReferredBy "Referred-By" "b";
    AllowEvents "Allow-Events" "u";
    SessionExpires "Session-Expires" "x";
    MinSe "Min-SE";
    ReferSub "Refer-Sub";
    Replaces "Replaces";
    RSeq "RSeq";
    RAck "RAck";
    SubscriptionState "Subscription-State";
    AssertedIdentity "P-Asserted-Identity";
    Date "Date";
    InfoPackage "Info-Package";
    RecvInfo "Recv-Info";
}

/// The header fields of one message, in order. Content-Length is not among them: it follows from the body.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(Name, Vec<u8>)>,
}

impl Headers {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// No fields, and room for those of most messages.
    pub(super) fn roomy() -> Self {
        Self {
            fields: Vec::with_capacity(16),
        }
    }

    /// Adds a field whose value has no line end and no white space at its ends.
    pub(super) fn push_clean(&mut self, name: Name, value: &[u8]) {
        self.fields.push((name, value.to_vec()));
    }

    /// Adds a field at the end. Line ends become spaces, so that no value can begin a line of its own.
    pub fn push(&mut self, name: Name, value: impl Into<Vec<u8>>) {
        let mut value = value.into();
        for byte in &mut value {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        let trimmed = trim(&value).len();
        let value = if trimmed < value.len() {
            trim(&value).to_vec()
        } else {
            value
        };
        self.fields.push((name, value));
    }

    /// Removes all fields of a name and adds one at the end.
    pub fn replace(&mut self, name: Name, value: impl Into<Vec<u8>>) {
        self.fields.retain(|(each, _)| *each != name);
        self.push(name, value);
    }

    /// Changes the first value of a name where it stands.
    pub(crate) fn rewrite_first(&mut self, name: &Name, rewrite: impl FnOnce(&[u8]) -> Vec<u8>) {
        if let Some((_, value)) = self.fields.iter_mut().find(|(each, _)| each == name) {
            *value = rewrite(value);
        }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True without fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The first value of a name.
    pub fn get(&self, name: &Name) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(each, _)| each == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of a name, if it is UTF-8.
    pub fn text(&self, name: &Name) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All values of a name, in order.
    pub fn all<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(each, _)| each == name)
            .map(|(_, value)| value.as_slice())
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name, value.as_slice()))
    }

    /// The topmost Via.
    pub fn via(&self) -> Option<Via> {
        Via::parse_first(self.get(&Name::Via)?).map(|(via, _)| via)
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr> {
        NameAddr::parse(self.get(&Name::From)?)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr> {
        NameAddr::parse(self.get(&Name::To)?)
    }

    /// Call-ID: visible ASCII.
    pub fn call_id(&self) -> Option<&str> {
        let value = self.get(&Name::CallId)?;
        let is_word = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
        if is_word {
            std::str::from_utf8(value).ok()
        } else {
            None
        }
    }

    /// CSeq.
    pub fn cseq(&self) -> Option<CSeq> {
        CSeq::parse(self.get(&Name::CSeq)?)
    }

    /// Expires, in seconds; larger numbers count as the greatest `u32` (RFC 3261 section 20.19).
    pub fn expires(&self) -> Option<u32> {
        self.get(&Name::Expires).and_then(seconds)
    }

    /// All Contact values but `*`. `None` if one of them is broken.
    pub fn contacts(&self) -> Option<Vec<NameAddr>> {
        let mut contacts = Vec::new();
        for value in self
            .all(&Name::Contact)
            .filter(|value| star(value).is_none())
        {
            contacts.extend(NameAddr::parse_list(value)?);
        }
        Some(contacts)
    }

    /// The parameters of a Contact that is `*`. RFC 3261 section 25.1 gives it none; some phones write `*;expires=0`.
    pub(crate) fn star_contact(&self) -> Option<Params> {
        self.all(&Name::Contact).find_map(star)
    }

    /// True if one of the comma-separated tokens under a name is `token`, in any case.
    pub fn lists(&self, name: &Name, token: &str) -> bool {
        self.tokens(name)
            .any(|each| each.eq_ignore_ascii_case(token))
    }

    /// The comma-separated tokens under a name.
    pub(crate) fn tokens<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a str> {
        let pieces = self
            .all(name)
            .flat_map(|value| value.split(|&byte| byte == b','));
        pieces
            .filter_map(|piece| std::str::from_utf8(trim(piece)).ok())
            .filter(|piece| !piece.is_empty())
    }
}

/// Reads `*` with parameters.
fn star(value: &[u8]) -> Option<Params> {
    let mut scan = Scan::new(value);
    let params = scan.eat(b'*').then(|| Params::read(&mut scan))??;
    scan.is_done().then_some(params)
}

/// Delta-seconds; too large a number is no error.
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    let text = trim(text);
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_digits.then(|| number(text).unwrap_or(u32::MAX))
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.fields.iter().map(|(name, _)| name.as_str()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_and_long_names_are_one() {
        assert_eq!(Name::from_token("V"), Name::Via);
        assert_eq!(Name::from_token("call-id"), Name::from_token("i"));
        assert_eq!(Name::from_token("X-Odd"), Name::Other("X-Odd".to_owned()));
    }

    #[test]
    fn a_value_can_not_begin_a_line_of_its_own() {
        let mut headers = Headers::new();
        headers.push(Name::Subject, "hello\r\nVia: evil\r\n");
        assert_eq!(headers.text(&Name::Subject), Some("hello  Via: evil"));
    }

    #[test]
    fn tokens_are_found_across_fields_and_commas() {
        let mut headers = Headers::new();
        headers.push(Name::Require, "100rel ,,timer");
        headers.push(Name::Require, "NOPE");
        assert!(headers.lists(&Name::Require, "Timer") && headers.lists(&Name::Require, "nope"));
        assert_eq!(headers.tokens(&Name::Require).count(), 3);
    }

    #[test]
    fn a_giant_expiry_is_long_and_not_an_error() {
        let mut headers = Headers::new();
        headers.push(Name::Expires, "10000000000000");
        assert_eq!(headers.expires(), Some(u32::MAX));
    }
}
