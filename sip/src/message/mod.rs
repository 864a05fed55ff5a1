//! SIP messages: read, checked, built, written (RFC 3261 sections 7, 20 and 25).
//!
//! [`parse`] reads all that can be answered; `validate` checks it against the RFC; typed headers are read on demand from
//! [`Headers`]; `to_bytes` writes. A body is bytes.

mod escape;
mod headers;
mod host;
mod method;
mod multipart;
mod name_addr;
mod params;
mod parse;
mod replaces;
mod scan;
mod status;
mod uri;
mod validate;
mod via;

pub use headers::{Headers, Name};
pub use host::Host;
pub use method::{CSeq, Method};
pub use name_addr::NameAddr;
pub use params::Params;
pub use parse::{MAX_HEADERS, MAX_LINE, MAX_MESSAGE, ParseError, parse};
pub use replaces::Replaces;
pub use status::phrase;
pub use uri::{Scheme, Uri};
pub use validate::{Defect, Essentials, Field};
pub use via::Via;

pub(crate) use headers::seconds;
pub(crate) use multipart::{is_sdp, take_sdp};
pub(crate) use parse::content_lengths;
pub(crate) use scan::{Scan, number, quote};
pub(crate) use via::{MAGIC_COOKIE, with_source};

use std::fmt;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// The message on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }

    /// The header fields.
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }
}

/// A request. Made by [`parse`] it may be defective: see [`Request::validate`].
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI as written.
    pub uri: String,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    pub(crate) defect: Option<Defect>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: &Uri) -> Self {
        Self {
            method,
            uri: uri.to_string(),
            headers: Headers::new(),
            body: Vec::new(),
            defect: None,
        }
    }

    /// The request on the wire, Content-Length added.
    pub fn to_bytes(&self) -> Vec<u8> {
        let first = format!("{} {} SIP/2.0", self.method, self.uri);
        write(first.as_bytes(), &self.headers, &self.body)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {:?})", self.method, self.headers)
    }
}

/// A response. Made by [`parse`] it may be defective: see [`Response::validate`].
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// 100 to 699.
    pub status: u16,
    /// The reason phrase; may be empty, may be no UTF-8.
    pub reason: Vec<u8>,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    pub(crate) defect: Option<Defect>,
}

impl Response {
    /// The answer to a request, with the headers that every answer copies (RFC 3261 section 8.2.6.2). The To tag is
    /// the caller's business, as are `received` and `rport`.
    pub fn to(request: &Request, status: u16) -> Self {
        let mut headers = Headers::new();
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for value in request.headers.all(&name) {
                headers.push(name.clone(), value);
            }
        }
        Self {
            status,
            reason: phrase(status).into(),
            headers,
            body: Vec::new(),
            defect: None,
        }
    }

    /// The response on the wire, Content-Length added.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut first = format!("SIP/2.0 {} ", self.status).into_bytes();
        first.extend_from_slice(&self.reason);
        write(&first, &self.headers, &self.body)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} {:?})", self.status, self.headers)
    }
}

fn write(first: &[u8], headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len().saturating_add(1024));
    bytes.extend_from_slice(first);
    bytes.extend_from_slice(b"\r\n");
    for (name, value) in headers.iter() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
