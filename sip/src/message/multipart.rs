//! Bodies of several parts (RFC 2046 section 5.1, RFC 5621): the SDP among them is the body, and the rest is not read.
//!
//! Phones send a location, a picture of the caller or a copy of the certificate beside their SDP. A part that is neither SDP nor marked as
//! required (`handling=required`, RFC 5621 section 3.3) is passed over; one that is leaves the body as it came, for a 415.

use super::headers::{Headers, Name};
use super::params::Params;
use super::parse::read_part;
use super::scan::{Scan, trim};

/// More parts than any phone sends; the others are not looked at.
const MAX_PARTS: usize = 8;
/// The longest boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Puts the SDP of a multipart body in place of the whole. Without one nothing changes.
pub(crate) fn take_sdp(headers: &mut Headers, body: &mut Vec<u8>) {
    let Some(boundary) = boundary(headers) else {
        return;
    };
    let parts = Parts::new(body, &boundary).take(MAX_PARTS);
    let (described, others): (Vec<_>, Vec<_>) = parts
        .map(read_part)
        .partition(|(part, _)| is_sdp(part) && is_as_it_is(part));
    let is_read = !others.iter().any(|(part, _)| is_required(part));
    let sdp = described.first().filter(|_| is_read);
    if let Some(sdp) = sdp.map(|(_, sdp)| sdp.to_vec()) {
        *body = sdp;
        headers.replace(Name::ContentType, "application/sdp");
    }
}

/// True if the body is SDP, whatever parameters follow the type.
pub(crate) fn is_sdp(headers: &Headers) -> bool {
    let is_plain = headers
        .get(&Name::ContentEncoding)
        .is_none_or(|coding| coding.eq_ignore_ascii_case(b"identity"));
    let kind = headers
        .text(&Name::ContentType)
        .and_then(|value| value.split(';').next());
    is_plain && kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/sdp"))
}

/// The boundary of a multipart body.
fn boundary(headers: &Headers) -> Option<String> {
    let mut scan = Scan::new(headers.get(&Name::ContentType)?);
    let is_multipart = scan.token()?.eq_ignore_ascii_case("multipart") && scan.eat_padded(b'/');
    scan.token().filter(|_| is_multipart)?;
    let params = Params::read(&mut scan)?;
    let boundary = params.get("boundary")?;
    (1..=MAX_BOUNDARY)
        .contains(&boundary.len())
        .then(|| boundary.into_owned())
}

/// SIP is a binary transport, so base64 and the like are of no use (RFC 5621 section 3.2); no phone was seen to write them.
fn is_as_it_is(part: &Headers) -> bool {
    let coding = field(part, "Content-Transfer-Encoding");
    coding.is_none_or(|coding| {
        ["binary", "8bit", "7bit"]
            .iter()
            .any(|plain| coding.eq_ignore_ascii_case(plain.as_bytes()))
    })
}

fn is_required(part: &Headers) -> bool {
    let handling = |disposition: &[u8]| {
        let mut scan = Scan::new(disposition);
        scan.token()?;
        let params = Params::read(&mut scan)?;
        let handling = params.get("handling")?;
        Some(handling.eq_ignore_ascii_case("required"))
    };
    let disposition = field(part, "Content-Disposition");
    disposition.and_then(handling).unwrap_or(false)
}

fn field<'a>(part: &'a Headers, name: &str) -> Option<&'a [u8]> {
    let mut fields = part.iter();
    let (_, value) = fields.find(|(each, _)| each.as_str().eq_ignore_ascii_case(name))?;
    Some(trim(value))
}

/// The parts of a body, without the delimiter lines between them.
struct Parts<'a> {
    delimiter: Vec<u8>,
    /// What follows a delimiter line; `None` after the last one.
    rest: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn new(body: &'a [u8], boundary: &str) -> Self {
        let delimiter = [b"--", boundary.as_bytes()].concat();
        // What stands before the first delimiter is no part.
        let rest = split(body, &delimiter).and_then(|(_, rest)| rest);
        Self { delimiter, rest }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let all = self.rest?;
        // Without a last delimiter the body ends the part.
        let (part, rest) = split(all, &self.delimiter).unwrap_or((all, None));
        self.rest = rest;
        Some(part)
    }
}

/// Splits at the next delimiter line. The line end before it belongs to the delimiter. `None` behind a last one: the body ends.
fn split<'a>(bytes: &'a [u8], delimiter: &[u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let mut lines = memchr::memmem::find_iter(bytes, delimiter);
    let at = lines.find(|at| {
        at.checked_sub(1)
            .is_none_or(|before| bytes.get(before) == Some(&b'\n'))
    })?;
    let (before, rest) = bytes.split_at(at);
    let before = before.strip_suffix(b"\n").unwrap_or(before);
    let before = before.strip_suffix(b"\r").unwrap_or(before);
    let rest = rest.get(delimiter.len()..).unwrap_or_default();
    if rest.starts_with(b"--") {
        return Some((before, None));
    }
    let line_end = memchr::memchr(b'\n', rest);
    let next = line_end.and_then(|end| rest.get(end.saturating_add(1)..));
    Some((before, Some(next.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\ns=-\r\n";

    /// The type and the body that are left of a body of these parts.
    fn left(kind: &str, body: &str) -> (String, String) {
        let mut headers = Headers::new();
        headers.push(Name::ContentType, kind);
        let mut bytes = body.as_bytes().to_vec();
        take_sdp(&mut headers, &mut bytes);
        let kind = headers.text(&Name::ContentType).unwrap().to_owned();
        (kind, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_sdp_is_found_wherever_it_stands() {
        let sdp = format!("Content-Type: application/sdp\r\n\r\n{SDP}");
        let place = "content-type: application/pidf+xml\r\nContent-ID: <1@h>\r\n\r\n<presence/>";
        let bare = "\r\nplain text";
        for (kind, body) in [
            (
                "multipart/mixed;boundary=b1",
                format!("--b1\r\n{sdp}\r\n--b1\r\n{place}\r\n--b1--\r\n"),
            ),
            (
                "Multipart/Mixed ; boundary=\"b 1\"",
                format!("--b 1 \r\n{place}\r\n--b 1\r\n{sdp}\r\n--b 1--"),
            ),
            (
                "multipart/related;type=\"application/sdp\";boundary=x",
                format!("not a part\r\n--x\r\n{bare}\r\n--x\r\n{sdp}\r\n--x--"),
            ),
            (
                "multipart/alternative;boundary=x",
                format!("--x\n{sdp}\n--x--"),
            ),
            (
                "multipart/mixed;boundary=x",
                format!("--x\r\n{bare}\r\n--x\r\n{sdp}"),
            ),
        ] {
            let found = ("application/sdp".to_owned(), SDP.to_owned());
            assert_eq!(left(kind, &body), found, "{body}");
        }
    }

    #[test]
    fn a_body_without_sdp_that_we_may_take_stays_as_it_is() {
        let sdp = format!("Content-Type: application/sdp\r\n\r\n{SDP}");
        let coded = format!(
            "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\n{SDP}"
        );
        let needed = "Content-Type: application/x\r\nContent-Disposition: signal; handling=required\r\n\r\nx";
        for (kind, body) in [
            (
                "multipart/mixed;boundary=b",
                "--b\r\n\r\nx\r\n--b--".to_owned(),
            ),
            (
                "multipart/mixed;boundary=b",
                format!("--b\r\n{coded}\r\n--b--"),
            ),
            (
                "multipart/mixed;boundary=b",
                format!("--b\r\n{sdp}\r\n--b\r\n{needed}\r\n--b--"),
            ),
            (
                "multipart/mixed;boundary=other",
                format!("--b\r\n{sdp}\r\n--b--"),
            ),
            ("multipart/mixed", format!("--b\r\n{sdp}\r\n--b--")),
            ("multipart/mixed;boundary=", format!("--\r\n{sdp}\r\n----")),
            ("text/plain;boundary=b", format!("--b\r\n{sdp}\r\n--b--")),
        ] {
            assert_eq!(left(kind, &body), (kind.to_owned(), body.clone()), "{body}");
        }
    }
}
