//! From bytes to a message, within limits (RFC 3261 section 7).
//!
//! There are two kinds of failure. Bytes that are not SIP give a [`ParseError`] and get no response. A broken SIP message is
//! returned with its first [`Defect`], so that a request can still be answered; [`Request::validate`] reports the defect. Line ends are CRLF only: reading a bare LF as one would let two
//! programs disagree about where a header ends.

use super::headers::{Headers, Name};
use super::method::Method;
use super::scan::{is_space, is_token, number, trim};
use super::validate::Defect;
use super::{Message, Request, Response};

/// The longest message: the size of a datagram. No message of a phone comes near it.
pub const MAX_MESSAGE: usize = 65_535;
/// The greatest number of header fields. Phones send 10 to 25; every field costs an allocation.
pub const MAX_HEADERS: usize = 128;
/// The greatest length of one line, unfolded. Long Record-Route or Identity values stay far below it.
pub const MAX_LINE: usize = 8 * 1024;

/// Why bytes are no SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing, or only line ends: a keep-alive (RFC 5626 section 4.4.1).
    #[error("no message, only line ends")]
    KeepAlive,
    /// The first line is neither a request line nor a status line.
    #[error("the first line is not SIP")]
    NotSip,
    /// Longer than [`MAX_MESSAGE`].
    #[error("the message is too long")]
    TooLong,
}

/// Reads one message from one datagram, or from one frame of a stream.
///
/// # Errors
/// [`ParseError`] if the bytes are no SIP at all. A message that is merely broken is returned, with its defect.
pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(ParseError::TooLong);
    }
    // Section 7.5: line ends in front of the first line are skipped.
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .ok_or(ParseError::KeepAlive)?;
    let bytes = bytes.get(start..).unwrap_or_default();
    let (first, rest) = split_line(bytes).ok_or(ParseError::NotSip)?;
    let mut message = read_first_line(first).ok_or(ParseError::NotSip)?;
    let mut reading = Reading {
        headers: Headers::roomy(),
        lengths: Vec::new(),
        defect: None,
    };
    let body = reading.read_headers(rest);
    let body = reading.cut_body(body);
    match &mut message {
        Message::Request(request) => {
            request.headers = reading.headers;
            request.body = body;
            request.defect = request.defect.or(reading.defect);
        }
        Message::Response(response) => {
            response.headers = reading.headers;
            response.body = body;
            response.defect = reading.defect;
        }
    }
    Ok(message)
}

/// The Content-Length values of a header part, read exactly as [`parse`] reads them. `None` if a limit is passed.
pub(crate) fn content_lengths(head: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (_, rest) = split_line(head)?;
    let mut reading = Reading {
        headers: Headers::roomy(),
        lengths: Vec::new(),
        defect: None,
    };
    reading.read_headers(rest);
    let is_cut = matches!(
        reading.defect,
        Some(Defect::TooManyHeaders | Defect::LineTooLong)
    );
    (!is_cut).then_some(reading.lengths)
}

/// A part of a multipart body: its header fields, and what follows them (RFC 2046 section 5.1).
pub(super) fn read_part(part: &[u8]) -> (Headers, &[u8]) {
    let mut reading = Reading {
        headers: Headers::new(),
        lengths: Vec::new(),
        defect: None,
    };
    let body = reading.read_headers(part);
    (reading.headers, body)
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr_iter(b'\n', bytes)
        .filter_map(|at| at.checked_sub(1))
        .find(|at| bytes.get(*at) == Some(&b'\r'))?;
    Some((bytes.get(..end)?, bytes.get(end.checked_add(2)?..)?))
}

fn read_first_line(line: &[u8]) -> Option<Message> {
    if line.len() > MAX_LINE {
        return None;
    }
    let is_status = line
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    if is_status {
        read_status_line(line).map(Message::Response)
    } else {
        read_request_line(line).map(Message::Request)
    }
}

fn read_status_line(line: &[u8]) -> Option<Response> {
    let rest = line.get(4..)?.strip_prefix(b"2.0 ")?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let status = number::<u16>(digits).filter(|status| (100..700).contains(status))?;
    let reason = match reason.split_first() {
        None => &[],
        Some((b' ', reason)) if !reason.iter().any(u8::is_ascii_control) => reason,
        Some(_) => return None,
    };
    Some(Response {
        status,
        reason: reason.to_vec(),
        headers: Headers::new(),
        body: Vec::new(),
        defect: None,
    })
}

/// Reads `METHOD anything SIP/x.y` as a request; `validate` checks whether `anything` is a URI.
fn read_request_line(line: &[u8]) -> Option<Request> {
    let trimmed = trim(line);
    let method_end = trimmed.iter().position(|byte| *byte == b' ')?;
    let (method, rest) = trimmed.split_at(method_end);
    let version_start = rest
        .iter()
        .rposition(|byte| *byte == b' ')?
        .checked_add(1)?;
    let (target, version) = rest.split_at_checked(version_start)?;
    let version = version
        .get(..4)
        .filter(|name| name.eq_ignore_ascii_case(b"SIP/"))
        .and(version.get(4..))?;
    let is_version = version
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && !version.is_empty();
    if method.is_empty() || !method.iter().copied().all(is_token) || !is_version {
        return None;
    }
    let uri = trim(target);
    let is_exact = trimmed.len() == line.len() && target.len() == uri.len().saturating_add(2);
    let defect = if version != b"2.0" {
        Some(Defect::Version)
    } else if !is_exact {
        Some(Defect::RequestLine)
    } else {
        None
    };
    let method = Method::from_token(std::str::from_utf8(method).ok()?);
    let uri = String::from_utf8_lossy(uri).into_owned();
    Some(Request {
        method,
        uri,
        headers: Headers::new(),
        body: Vec::new(),
        defect,
    })
}

struct Reading {
    headers: Headers,
    lengths: Vec<Vec<u8>>,
    defect: Option<Defect>,
}

impl Reading {
    /// Keeps the first defect, which the response names.
    fn note(&mut self, defect: Defect) {
        self.defect.get_or_insert(defect);
    }

    /// Reads fields up to the empty line, and gives back what follows it.
    fn read_headers<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        loop {
            let Some((line, next)) = split_line(rest) else {
                self.note(Defect::NoEmptyLine);
                return &[];
            };
            if line.is_empty() {
                return next;
            }
            rest = self.read_field(line, next);
        }
    }

    /// Reads one field, with the lines folded into it (section 7.3.1), and gives back what follows it.
    fn read_field<'a>(&mut self, line: &[u8], mut rest: &'a [u8]) -> &'a [u8] {
        let mut unfolded = Vec::new();
        while rest.first().copied().is_some_and(is_space) {
            let Some((more, next)) = split_line(rest) else {
                break;
            };
            if unfolded.is_empty() {
                unfolded.extend_from_slice(line);
            }
            if unfolded.len().saturating_add(more.len()) <= MAX_LINE {
                unfolded.push(b' ');
                unfolded.extend_from_slice(trim(more));
            } else {
                self.note(Defect::LineTooLong);
            }
            rest = next;
        }
        self.take_field(if unfolded.is_empty() { line } else { &unfolded });
        rest
    }

    fn take_field(&mut self, line: &[u8]) {
        if line.len() > MAX_LINE {
            return self.note(Defect::LineTooLong);
        }
        let Some((name, value)) = split_field(line) else {
            return self.note(Defect::HeaderLine);
        };
        // Other control characters may stand behind a backslash in a quoted string (section 25.1, quoted-pair).
        if memchr::memchr2(b'\r', b'\n', value).is_some() {
            return self.note(Defect::BareLineEnd);
        }
        if self.headers.len().saturating_add(self.lengths.len()) >= MAX_HEADERS {
            return self.note(Defect::TooManyHeaders);
        }
        match Name::from_token(name) {
            Name::ContentLength => self.lengths.push(value.to_vec()),
            name => self.headers.push_clean(name, value),
        }
    }

    /// Section 18.3: without Content-Length the body ends with the datagram; one that is longer than what came is an
    /// error; one that is shorter cuts the rest off.
    fn cut_body(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(first) = self.lengths.first() else {
            return bytes.to_vec();
        };
        let length = number::<usize>(first);
        if self.lengths.len() > 1 {
            self.note(Defect::Twice(Name::ContentLength.into()));
        }
        match length {
            None => self.note(Defect::ContentLength),
            Some(length) if length > bytes.len() => self.note(Defect::BodyShort),
            Some(length) => return bytes.get(..length).unwrap_or_default().to_vec(),
        }
        bytes.to_vec()
    }
}

fn split_field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    let name_end = name
        .iter()
        .rposition(|byte| !is_space(*byte))?
        .checked_add(1)?;
    let name = name.get(..name_end)?;
    let is_name = name.iter().copied().all(is_token);
    if is_name {
        Some((std::str::from_utf8(name).ok()?, trim(value.get(1..)?)))
    } else {
        None
    }
}
