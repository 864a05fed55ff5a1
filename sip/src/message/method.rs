//! Methods and the CSeq header (RFC 3261 sections 7.1 and 20.16).

use std::fmt;

use super::scan::{Scan, number, trim};

/// A request's method. Case-sensitive: `invite` is another, unknown method.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// RFC 3261 section 17.1.1.3
    Ack,
    /// RFC 3261 section 15
    Bye,
    /// RFC 3261 section 9
    Cancel,
    /// RFC 6086
    Info,
    /// RFC 3261 section 13
    Invite,
    /// RFC 3428
    Message,
    /// RFC 6665
    Notify,
    /// RFC 3261 section 11
    Options,
    /// RFC 3262
    Prack,
    /// RFC 3903
    Publish,
    /// RFC 3515
    Refer,
    /// RFC 3261 section 10
    Register,
    /// RFC 6665
    Subscribe,
    /// RFC 3311
    Update,
    /// Any other token.
    Other(String),
}

const KNOWN: [(Method, &str); 14] = [
    (Method::Ack, "ACK"),
    (Method::Bye, "BYE"),
    (Method::Cancel, "CANCEL"),
    (Method::Info, "INFO"),
    (Method::Invite, "INVITE"),
    (Method::Message, "MESSAGE"),
    (Method::Notify, "NOTIFY"),
    (Method::Options, "OPTIONS"),
    (Method::Prack, "PRACK"),
    (Method::Publish, "PUBLISH"),
    (Method::Refer, "REFER"),
    (Method::Register, "REGISTER"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Update, "UPDATE"),
];

impl Method {
    /// Reads a method; the text must be a token, as [`parse`](super::parse) has made sure.
    pub fn from_token(token: &str) -> Self {
        let known = KNOWN.iter().find(|(_, name)| *name == token);
        known.map_or_else(
            || Self::Other(token.to_owned()),
            |(method, _)| method.clone(),
        )
    }

    /// The method as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(token) => token,
            known => KNOWN
                .iter()
                .find(|(method, _)| method == known)
                .map_or("", |(_, name)| name),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The CSeq header: a number below 2^31 and the method of the request it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 section 8.1.1.5).
    pub number: u32,
    /// The method; in a response the method that is answered.
    pub method: Method,
}

impl CSeq {
    /// Reads a value. `None` for anything but digits, white space and a token.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut scan = Scan::new(trim(value));
        let digits = scan.take_while(|byte| byte.is_ascii_digit());
        let number = number::<u32>(digits).filter(|&number| number < 1 << 31)?;
        let before = scan.rest().len();
        scan.skip_space();
        let is_spaced = scan.rest().len() < before;
        let method = Method::from_token(scan.token()?);
        (is_spaced && scan.is_done()).then_some(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_method_it_knows() {
        for (method, name) in KNOWN {
            assert_eq!(Method::from_token(name), method);
            assert_eq!(method.as_str(), name);
        }
        assert_eq!(
            Method::from_token("invite"),
            Method::Other("invite".to_owned())
        );
    }

    #[test]
    fn sequence_numbers_end_below_two_to_the_thirty_first() {
        assert_eq!(
            CSeq::parse(b" 0009 \t INVITE").unwrap(),
            CSeq {
                number: 9,
                method: Method::Invite
            }
        );
        for bad in [
            "2147483648 BYE",
            "-1 BYE",
            "1BYE",
            "BYE",
            "1",
            "1 BYE x",
            "",
        ] {
            assert_eq!(CSeq::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
