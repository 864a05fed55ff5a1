//! What may be in a text: plain UTF-8 that can be read (RFC 3428 section 10 leaves the format to the two sides).

use ringfence_sip as sip;
use zeroize::Zeroizing;

use super::MOST_TEXT;

/// The text in a MESSAGE, or the status that refuses it.
pub(crate) fn read(written: &sip::Body) -> Result<Zeroizing<Vec<u8>>, u16> {
    let mut parts = written.content_type.split(';').map(str::trim);
    let is_plain = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("text/plain"));
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            let charset = charset.trim().trim_matches('"');
            ["utf-8", "us-ascii"]
                .iter()
                .any(|known| charset.eq_ignore_ascii_case(known))
        }
        _ => true,
    });
    if !is_plain || !is_utf8 {
        return Err(415);
    }
    if written.bytes.len() > MOST_TEXT {
        return Err(413);
    }
    let text = std::str::from_utf8(&written.bytes).map_err(|_| 400_u16)?;
    if !is_readable(text) {
        return Err(400);
    }
    Ok(Zeroizing::new(written.bytes.clone()))
}

/// Something to read, and nothing that steers a display.
pub(crate) fn is_readable(text: &str) -> bool {
    let steers = |sign: char| sign.is_control() && !matches!(sign, '\t' | '\n' | '\r');
    !text.is_empty() && !text.chars().any(steers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(kind: &str, body: &[u8]) -> Result<usize, u16> {
        let written = sip::Body {
            content_type: kind.to_owned(),
            bytes: body.to_vec(),
        };
        read(&written).map(|text| text.len())
    }

    #[test]
    fn plain_text_in_utf8_is_taken_however_phones_write_it() {
        for kind in [
            "text/plain",
            "Text/Plain ; Charset=\"utf-8\"",
            "text/plain;charset=US-ASCII;format=flowed",
        ] {
            assert_eq!(outcome(kind, "grüß\tdich\r\n".as_bytes()), Ok(13), "{kind}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_a_status_that_says_why() {
        assert_eq!(outcome("application/im-iscomposing+xml", b"<x/>"), Err(415));
        assert_eq!(outcome("text/plain;charset=latin1", b"x"), Err(415));
        assert_eq!(outcome("text/plain", b"\xff"), Err(400));
        assert_eq!(outcome("text/plain", b"\x1b[2J"), Err(400));
        assert_eq!(outcome("text/plain", b""), Err(400));
        assert_eq!(outcome("text/plain", &[b'x'; MOST_TEXT]), Ok(MOST_TEXT));
        assert_eq!(outcome("text/plain", &[b'x'; MOST_TEXT + 1]), Err(413));
    }
}
