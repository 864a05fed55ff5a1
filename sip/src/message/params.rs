//! Parameters: `;name=value` behind an address or a Via, `name=value, ..` behind `Digest` (RFC 3261 section 25.1,
//! generic-param and auth-param). Values keep their written form, so that what is printed is what was read.

use std::borrow::Cow;
use std::fmt;

use super::scan::{Scan, is_space, unquote};

/// A list of parameters in written order. Names compare without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    list: Vec<Param>,
}

/// One parameter: its name, and its value as written, quotes included.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Param {
    name: String,
    written: Option<String>,
}

impl Params {
    /// The value of the first parameter of this name, without quotes and escapes. A parameter without a value gives "".
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let param = self
            .list
            .iter()
            .find(|param| param.name.eq_ignore_ascii_case(name))?;
        let written = param.written.as_deref().unwrap_or_default();
        if !written.starts_with('"') {
            return Some(Cow::Borrowed(written));
        }
        let plain = unquote(written.as_bytes());
        Some(Cow::Owned(String::from_utf8_lossy(&plain).into_owned()))
    }

    /// True if there is a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        self.list
            .iter()
            .any(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// Gives a parameter a value that needs no quotes, in its place or at the end.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        match self
            .list
            .iter_mut()
            .find(|param| param.name.eq_ignore_ascii_case(name))
        {
            Some(param) => param.written = Some(value),
            None => self.list.push(Param {
                name: name.to_owned(),
                written: Some(value),
            }),
        }
    }

    /// Reads `;a=b;c` as far as it goes. `None` if a separator is followed by no parameter.
    pub(crate) fn read(scan: &mut Scan<'_>) -> Option<Self> {
        let mut list = Vec::new();
        while scan.eat_padded(b';') {
            list.push(read_param(scan)?);
        }
        Some(Self { list })
    }

    /// Reads `a=b, c="d"` to the end, the form of challenges and credentials (RFC 3261 section 25.1, auth-param).
    pub(crate) fn read_comma_list(scan: &mut Scan<'_>) -> Option<Self> {
        let mut list = Vec::new();
        scan.skip_space();
        loop {
            list.push(read_param(scan)?);
            if !scan.eat_padded(b',') {
                break;
            }
        }
        scan.skip_space();
        scan.is_done().then_some(Self { list })
    }
}

fn read_param(scan: &mut Scan<'_>) -> Option<Param> {
    let name = scan.token()?.to_owned();
    if !scan.eat_padded(b'=') {
        return Some(Param {
            name,
            written: None,
        });
    }
    let written = if scan.peek() == Some(b'"') {
        scan.quoted()?
    } else {
        scan.take_while(is_plain_value)
    };
    Some(Param {
        name,
        written: Some(String::from_utf8_lossy(written).into_owned()),
    })
}

/// A token or a host (RFC 3261 gen-value), read generously: an IPv6 address may lack its brackets (RFC 5118 section 4.5),
/// and base64 or a URI may lack its quotes.
fn is_plain_value(byte: u8) -> bool {
    !is_space(byte)
        && byte > b' '
        && byte != 0x7f
        && !matches!(byte, b';' | b',' | b'"' | b'<' | b'>')
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.list {
            write!(f, ";{}", param.name)?;
            if let Some(written) = &param.written {
                write!(f, "={written}")?;
            }
        }
        Ok(())
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
