//! Cuts a TCP stream into SIP messages and keep-alives (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

/// One piece of a stream.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message: give it to [`Agent::handle_packet`](crate::Agent::handle_packet).
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

/// Why a stream can't be cut any further. Close it: where the next message begins is unknown.
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

/// The cutter of one stream.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
}

impl Framer {
    /// A cutter at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole piece, or `None` until more bytes have come.
    pub fn next_frame(&mut self) -> Option<Result<Frame, FramingError>> {
        None
    }
}
