//! Validation of a parsed message against RFC 3261, and the status that refuses a defective one.
//!
//! [`Essentials`] is the proof: only `validate` creates it, so code that has one need not check these headers again.

use std::fmt;

use super::headers::{Name, seconds};
use super::method::CSeq;
use super::name_addr::NameAddr;
use super::uri::Uri;
use super::via::Via;
use super::{Request, Response};

/// What is wrong with a message that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// Not SIP/2.0: answered 505.
    #[error("Version Not Supported")]
    Version,
    /// White space where none may be in the request line.
    #[error("Malformed Request Line")]
    RequestLine,
    /// The Request-URI is no URI, or has headers.
    #[error("Malformed Request-URI")]
    RequestUri,
    /// A line without a colon or with a bad name.
    #[error("Malformed Header Line")]
    HeaderLine,
    /// A CR or LF alone: two programs could disagree about where the header ends.
    #[error("Bare Line End In Header")]
    BareLineEnd,
    /// More than [`MAX_HEADERS`](super::MAX_HEADERS) fields.
    #[error("Too Many Headers")]
    TooManyHeaders,
    /// A line beyond [`MAX_LINE`](super::MAX_LINE).
    #[error("Header Line Too Long")]
    LineTooLong,
    /// The header part does not end.
    #[error("Missing Empty Line")]
    NoEmptyLine,
    /// Content-Length is no number.
    #[error("Malformed Content-Length")]
    ContentLength,
    /// The body is shorter than Content-Length.
    #[error("Body Shorter Than Content-Length")]
    BodyShort,
    /// A header that must be there is missing.
    #[error("Missing {0}")]
    Missing(Field),
    /// A header that must be there once is there twice.
    #[error("Duplicate {0}")]
    Twice(Field),
    /// A header that can't be read.
    #[error("Malformed {0}")]
    Malformed(Field),
    /// CSeq names another method than the request line.
    #[error("CSeq Method Mismatch")]
    CSeqMethod,
}

impl Defect {
    /// The status for it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// The headers that validation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the header of the same name")]
pub enum Field {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Contact,
    ContentLength,
    ContentType,
    Expires,
    Other,
}

const FIELDS: [(Field, Name); 10] = [
    (Field::Via, Name::Via),
    (Field::From, Name::From),
    (Field::To, Name::To),
    (Field::CallId, Name::CallId),
    (Field::CSeq, Name::CSeq),
    (Field::MaxForwards, Name::MaxForwards),
    (Field::Contact, Name::Contact),
    (Field::ContentLength, Name::ContentLength),
    (Field::ContentType, Name::ContentType),
    (Field::Expires, Name::Expires),
];

impl From<Name> for Field {
    fn from(name: Name) -> Self {
        FIELDS
            .iter()
            .find(|(_, each)| *each == name)
            .map_or(Self::Other, |(field, _)| *field)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            FIELDS
                .iter()
                .find(|(field, _)| field == self)
                .map_or("Header", |(_, name)| name.as_str()),
        )
    }
}

/// Headers of which a message has at most one (RFC 3261 section 7.3.1: no comma list, so no second line).
const SINGLE: [Name; 7] = [
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::MaxForwards,
    Name::ContentType,
    Name::Expires,
];

/// The headers that every message has, read (RFC 3261 section 8.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Essentials {
    /// The topmost Via.
    pub via: Via,
    /// From.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: String,
    /// CSeq, its method equal to the request's.
    pub cseq: CSeq,
    /// Max-Forwards; RFC 2543 phones leave it out.
    pub max_forwards: Option<u8>,
}

impl Essentials {
    /// The tag of From; "" for an RFC 2543 phone that has none (RFC 3261 section 12.1.1).
    pub fn from_tag(&self) -> String {
        self.from.tag().unwrap_or_default()
    }
}

impl Request {
    /// Checks the form of the whole request.
    ///
    /// # Errors
    /// The first [`Defect`]; answer it with its status.
    pub fn validate(&self) -> Result<(Uri, Essentials), Defect> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        let uri = Uri::parse(self.uri.as_bytes())
            .filter(|uri| !uri.has_headers())
            .ok_or(Defect::RequestUri)?;
        let essentials = read_essentials(&self.headers)?;
        if essentials.cseq.method != self.method {
            return Err(Defect::CSeqMethod);
        }
        if self.headers.contacts().is_none() {
            return Err(Defect::Malformed(Field::Contact));
        }
        if self
            .headers
            .get(&Name::Expires)
            .is_some_and(|value| seconds(value).is_none())
        {
            return Err(Defect::Malformed(Field::Expires));
        }
        Ok((uri, essentials))
    }
}

impl Response {
    /// Checks the form of the whole response.
    ///
    /// # Errors
    /// The first [`Defect`]; such a response is dropped.
    pub fn validate(&self) -> Result<Essentials, Defect> {
        match self.defect {
            Some(defect) => Err(defect),
            None => read_essentials(&self.headers),
        }
    }
}

fn read_essentials(headers: &super::Headers) -> Result<Essentials, Defect> {
    if let Some(name) = SINGLE
        .iter()
        .find(|name| headers.all(name).nth(1).is_some())
    {
        return Err(Defect::Twice(name.clone().into()));
    }
    let field = |name: &Name| match headers.get(name) {
        None => Defect::Missing(name.clone().into()),
        Some(_) => Defect::Malformed(name.clone().into()),
    };
    let max_forwards = match headers.text(&Name::MaxForwards) {
        Some(text) => {
            Some(super::scan::number(text.as_bytes()).ok_or_else(|| field(&Name::MaxForwards))?)
        }
        None => None,
    };
    Ok(Essentials {
        via: headers.via().ok_or_else(|| field(&Name::Via))?,
        from: headers.from().ok_or_else(|| field(&Name::From))?,
        to: headers.to().ok_or_else(|| field(&Name::To))?,
        call_id: headers
            .call_id()
            .ok_or_else(|| field(&Name::CallId))?
            .to_owned(),
        cseq: headers.cseq().ok_or_else(|| field(&Name::CSeq))?,
        max_forwards,
    })
}
