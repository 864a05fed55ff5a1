//! Cuts a TCP stream into SIP messages and keep-alives (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

use crate::message::{MAX_MESSAGE, content_lengths, number};

/// One piece of a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message: give it to [`UserAgent::handle_packet`](crate::UserAgent::handle_packet).
    Message(Vec<u8>),
    /// A double CRLF: write one CRLF back (RFC 5626 section 4.4.1).
    KeepAlive,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message({} bytes)", bytes.len()),
            Self::KeepAlive => f.write_str("KeepAlive"),
        }
    }
}

/// Why a stream can't be cut any further. The start of the next message is unknown, so close the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// No end of the header part within the limit.
    #[error("the header part does not end")]
    HeadTooLong,
    /// The body is longer than this core takes.
    #[error("the body is too long")]
    BodyTooLong,
    /// Content-Length is no number, or is there twice with different values.
    #[error("Content-Length is unreadable")]
    BadContentLength,
}

/// Cuts one stream. Push what was read, take frames until `None`, and only then read again: the buffer then holds at most one
/// message and one read.
#[derive(Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where the search for the end of the header part continues.
    searched: usize,
    broken: Option<FramingError>,
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was read from the stream. Ignored after an error.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole frame, or `None` until more bytes have arrived. An error is final.
    pub fn next_frame(&mut self) -> Option<Result<Frame, FramingError>> {
        if let Some(error) = self.broken {
            return Some(Err(error));
        }
        let stray = stray_bytes(&self.buffer);
        if stray > 0 {
            self.cut(stray);
        }
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.cut(4);
            return Some(Ok(Frame::KeepAlive));
        }
        match self.message_length() {
            Ok(length) => length.map(|length| Ok(Frame::Message(self.cut(length)))),
            Err(error) => {
                self.broken = Some(error);
                self.buffer = Vec::new();
                Some(Err(error))
            }
        }
    }

    /// The length of the message at the front, once all of it is here.
    fn message_length(&mut self) -> Result<Option<usize>, FramingError> {
        let unseen = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = unseen.windows(4).position(|window| window == b"\r\n\r\n") else {
            self.searched = self.buffer.len().saturating_sub(3);
            let is_too_long = self.buffer.len() > MAX_HEAD;
            return if is_too_long {
                Err(FramingError::HeadTooLong)
            } else {
                Ok(None)
            };
        };
        let head_length = self.searched.saturating_add(end).saturating_add(4);
        self.searched = self.searched.saturating_add(end);
        if head_length > MAX_HEAD {
            return Err(FramingError::HeadTooLong);
        }
        let body_length = body_length(self.buffer.get(..head_length).unwrap_or_default())?;
        let length = head_length.saturating_add(body_length);
        if length > MAX_MESSAGE {
            return Err(FramingError::BodyTooLong);
        }
        Ok((self.buffer.len() >= length).then_some(length))
    }

    fn cut(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length.min(self.buffer.len()));
        self.searched = 0;
        std::mem::replace(&mut self.buffer, rest)
    }
}

impl std::fmt::Debug for Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Framer({} bytes)", self.buffer.len())
    }
}

/// The longest header part: ten times the longest that was seen from a phone.
const MAX_HEAD: usize = 32 * 1024;

/// How many bytes stand in front of the next message or keep-alive and belong to neither. A lone CRLF is the answer to a keep-alive, or
/// stands in front of a message (RFC 3261 section 7.5); some phones end a message with a NUL, or with a line end that Content-Length
/// does not count.
fn stray_bytes(buffer: &[u8]) -> usize {
    let mut rest = buffer;
    loop {
        rest = match rest {
            [b'\0' | b'\n', rest @ ..] => rest,
            [b'\r', b'\n', next, ..] if *next != b'\r' => rest.get(2..).unwrap_or_default(),
            [b'\r', next, ..] if *next != b'\n' => rest.get(1..).unwrap_or_default(),
            _ => return buffer.len().saturating_sub(rest.len()),
        };
    }
}

/// Section 18.3: over a stream Content-Length says where the body ends. Linphone leaves it out where there is no body.
fn body_length(head: &[u8]) -> Result<usize, FramingError> {
    let lengths = content_lengths(head).ok_or(FramingError::HeadTooLong)?;
    let mut found = None;
    for value in &lengths {
        let length = number::<usize>(value).ok_or(FramingError::BadContentLength)?;
        if found.is_some_and(|before| before != length) {
            return Err(FramingError::BadContentLength);
        }
        found = Some(length);
    }
    Ok(found.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer) -> Vec<Result<Frame, FramingError>> {
        let mut frames = Vec::new();
        while let Some(frame) = framer.next_frame() {
            let is_error = frame.is_err();
            frames.push(frame);
            if is_error {
                break;
            }
        }
        frames
    }

    const TWO: &[u8] =
        b"OPTIONS sip:a SIP/2.0\r\nl : 3\r\n\r\nabc\r\n\r\n\r\nBYE sip:a SIP/2.0\r\nX: y\r\n\r\n";

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_frames() {
        for cut in 0..TWO.len() {
            let (one, two) = TWO.split_at(cut);
            let mut framer = Framer::new();
            framer.push(one);
            let mut got = frames(&mut framer);
            framer.push(two);
            got.extend(frames(&mut framer));
            let messages: Vec<_> = got
                .iter()
                .filter(|frame| matches!(frame, Ok(Frame::Message(_))))
                .collect();
            assert_eq!(messages.len(), 2, "cut at {cut}: {got:?}");
            assert!(got.iter().all(Result::is_ok));
        }
    }

    #[test]
    fn a_double_line_end_is_a_keep_alive() {
        let mut framer = Framer::new();
        framer.push(b"\r\n\r\n");
        assert_eq!(frames(&mut framer), [Ok(Frame::KeepAlive)]);
    }

    /// Section 7.5 asks for CRLF; a NUL, or another line end, is what some phones and proxies let slip.
    #[test]
    fn what_strays_between_two_messages_is_skipped() {
        for stray in [
            "\0",
            "\0\0\0\0",
            "\n",
            "\r",
            "\r\n",
            "\r\n\0",
            "\0\r\n",
            "\n\n\r\n\n",
        ] {
            let text = format!(
                "{stray}OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabc{stray}BYE sip:a SIP/2.0\r\nX: y\r\n\r\n{stray}"
            );
            for cut in 0..text.len() {
                let (one, two) = text.as_bytes().split_at(cut);
                let mut framer = Framer::new();
                framer.push(one);
                let mut got = frames(&mut framer);
                framer.push(two);
                got.extend(frames(&mut framer));
                let message = |text: &str| Ok(Frame::Message(text.into()));
                let expected = [
                    message("OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabc"),
                    message("BYE sip:a SIP/2.0\r\nX: y\r\n\r\n"),
                ];
                assert_eq!(got, expected, "{stray:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_keep_alive_behind_a_nul_is_answered() {
        let mut framer = Framer::new();
        framer.push(b"\0\r\n\r\n");
        assert_eq!(frames(&mut framer), [Ok(Frame::KeepAlive)]);
    }

    #[test]
    fn doubtful_lengths_end_the_stream_for_good() {
        for lengths in [
            "-1",
            "nan",
            "1\r\nContent-Length: 2",
            "18446744073709551616",
        ] {
            let mut framer = Framer::new();
            framer.push(
                format!("BYE sip:a SIP/2.0\r\nContent-Length: {lengths}\r\n\r\nxx").as_bytes(),
            );
            assert_eq!(
                frames(&mut framer),
                [Err(FramingError::BadContentLength)],
                "{lengths}"
            );
            framer.push(TWO);
            assert_eq!(
                frames(&mut framer),
                [Err(FramingError::BadContentLength)],
                "{lengths}"
            );
        }
    }

    #[test]
    fn a_stream_without_an_end_is_not_kept() {
        let mut framer = Framer::new();
        let mut results = Vec::new();
        for _ in 0..100 {
            framer.push(&[b'a'; 1024]);
            results.extend(frames(&mut framer));
        }
        assert_eq!(results.first(), Some(&Err(FramingError::HeadTooLong)));
        assert!(framer.buffer.is_empty());
    }

    #[test]
    fn a_folded_length_is_read_as_the_parser_reads_it() {
        let mut framer = Framer::new();
        framer.push(b"BYE sip:a SIP/2.0\r\nContent-Length:\r\n  2\r\n\r\nhi");
        assert!(
            matches!(frames(&mut framer).as_slice(), [Ok(Frame::Message(bytes))] if bytes.ends_with(b"hi"))
        );
    }
}
