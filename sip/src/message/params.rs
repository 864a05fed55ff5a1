//! Parameters: `;name=value` behind an address or a Via, `name=value, ..` behind `Digest` (RFC 3261 section 25.1,
//! generic-param and auth-param). Values keep their written form, so that what is printed is what was read.

use std::borrow::Cow;
use std::fmt;

use super::scan::{Scan, is_space, unquote};

/// Bytes that the parameters of most headers take.
const USUAL: usize = 48;

/// A list of parameters in written order. Names compare without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// `;name=value;name`, without white space around the separators; a value as written, quotes included.
    text: String,
}

/// The parameters of [`Params::text`], from first to last.
struct ParamIter<'a>(&'a str);

impl<'a> Iterator for ParamIter<'a> {
    /// A name, and its value.
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.strip_prefix(';')?;
        let is_end = |byte: &u8| matches!(byte, b'=' | b';');
        let end = rest.bytes().position(|byte| is_end(&byte));
        let (name, tail) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        let Some(value) = tail.strip_prefix('=') else {
            self.0 = tail;
            return Some((name, None));
        };
        let end = if value.starts_with('"') {
            Scan::new(value.as_bytes()).quoted()?.len()
        } else {
            value
                .bytes()
                .position(|byte| byte == b';')
                .unwrap_or(value.len())
        };
        let (value, tail) = value.split_at_checked(end)?;
        self.0 = tail;
        Some((name, Some(value)))
    }
}

impl Params {
    /// The value of the first parameter of this name, without quotes and escapes. A parameter without a value gives "".
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let written = self.find(name)?.unwrap_or_default();
        if !written.starts_with('"') {
            return Some(Cow::Borrowed(written));
        }
        let plain = unquote(written.as_bytes());
        Some(Cow::Owned(String::from_utf8_lossy(&plain).into_owned()))
    }

    /// True if there is a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<Option<&str>> {
        let mut params = ParamIter(&self.text);
        let found = params.find(|(each, _)| each.eq_ignore_ascii_case(name));
        found.map(|(_, written)| written)
    }

    /// Gives a parameter a value that needs no quotes, in its place or at the end.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let before = std::mem::take(&mut self.text);
        let mut is_new = true;
        for (each, written) in ParamIter(&before) {
            if is_new && each.eq_ignore_ascii_case(name) {
                is_new = false;
                self.push(each, Some(value));
            } else {
                self.push(each, written);
            }
        }
        if is_new {
            self.push(name, Some(value));
        }
    }

    fn push(&mut self, name: &str, written: Option<&str>) {
        self.text.push(';');
        self.text.push_str(name);
        if let Some(written) = written {
            self.text.push('=');
            self.text.push_str(written);
        }
    }

    /// Reads `;a=b;c` as far as it goes. `None` if a separator is followed by no parameter.
    pub(crate) fn read(scan: &mut Scan<'_>) -> Option<Self> {
        let mut params = Self::default();
        while scan.eat_padded(b';') {
            params.read_one(scan)?;
        }
        Some(params)
    }

    /// Reads `a=b, c="d"` to the end, the form of challenges and credentials (RFC 3261 section 25.1, auth-param).
    pub(crate) fn read_comma_list(scan: &mut Scan<'_>) -> Option<Self> {
        let mut params = Self::default();
        scan.skip_space();
        loop {
            params.read_one(scan)?;
            if !scan.eat_padded(b',') {
                break;
            }
        }
        scan.skip_space();
        scan.is_done().then_some(params)
    }

    fn read_one(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        let name = scan.token()?;
        if self.text.is_empty() {
            self.text.reserve(USUAL);
        }
        if !scan.eat_padded(b'=') {
            self.push(name, None);
            return Some(());
        }
        let written = if scan.peek() == Some(b'"') {
            scan.quoted()?
        } else {
            scan.take_while(is_plain_value)
        };
        self.push(name, Some(&String::from_utf8_lossy(written)));
        Some(())
    }
}

/// A token or a host (RFC 3261 gen-value), read leniently: an IPv6 address may lack its brackets (RFC 5118 section 4.5),
/// and base64 or a URI may lack its quotes.
fn is_plain_value(byte: u8) -> bool {
    !is_space(byte)
        && byte > b' '
        && byte != 0x7f
        && !matches!(byte, b';' | b',' | b'"' | b'<' | b'>')
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Params> {
        let mut scan = Scan::new(text.as_bytes());
        Params::read(&mut scan).filter(|_| scan.is_done())
    }

    #[test]
    fn spaces_around_separators_do_not_hide_a_value() {
        let params = read(" ;  tag = x1 ; lr").unwrap();
        assert_eq!(params.get("TAG").unwrap(), "x1");
        assert_eq!(params.get("lr").unwrap(), "");
        assert_eq!(params.to_string(), ";tag=x1;lr");
    }

    #[test]
    fn quoted_values_may_hold_separators() {
        let params = read(r#";+sip.instance="<urn:uuid:1;2>";q=0.5"#).unwrap();
        assert_eq!(params.get("+sip.instance").unwrap(), "<urn:uuid:1;2>");
        assert_eq!(
            params.to_string(),
            r#";+sip.instance="<urn:uuid:1;2>";q=0.5"#
        );
    }

    #[test]
    fn a_separator_without_a_parameter_is_refused() {
        assert_eq!(read(";;a"), None);
        assert_eq!(read(";a;"), None);
    }

    #[test]
    fn an_address_without_brackets_is_one_value() {
        assert_eq!(
            read(";received=2001:db8::9")
                .unwrap()
                .get("received")
                .unwrap(),
            "2001:db8::9"
        );
    }

    #[test]
    fn digest_lists_are_separated_by_commas() {
        let mut scan = Scan::new(br#"  username="a,b" ,algorithm=MD5, nc=0000000a"#);
        let params = Params::read_comma_list(&mut scan).unwrap();
        assert_eq!(params.get("username").unwrap(), "a,b");
        assert_eq!(params.get("nc").unwrap(), "0000000a");
    }
}
