//! One exchange at a time of HTTP/1.1 (RFC 9112) over a connection that is open already. The only file that knows the HTTP library.
//!
//! Answers are read up to a limit. A redirect is not followed, because it could carry an activation code elsewhere, and no compressed
//! answer is unpacked, because none was asked for; both are named. Deadlines are the caller's.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_ENCODING, HeaderMap, LOCATION};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::outbound::OutboundStream;

/// Largest head of an answer.
const MOST_HEAD: usize = 16 * 1024;
/// Most characters of an answer's words that are shown.
const MOST_SHOWN: usize = 200;

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl HttpAnswer {
    /// The answer, if it is one to what was asked.
    pub(crate) fn direct(self) -> Result<Self, HttpError> {
        let said = |name| {
            let value = self.headers.get(name)?;
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let printable = text.chars().filter(|character| !character.is_control());
            Some(printable.take(MOST_SHOWN).collect::<String>())
        };
        if let Some(place) = said(LOCATION).filter(|_| self.status.is_redirection()) {
            return Err(HttpError::Redirected(place));
        }
        if let Some(coding) = said(CONTENT_ENCODING).filter(|coding| coding != "identity") {
            return Err(HttpError::Compressed(coding));
        }
        Ok(self)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// The connection ended before an answer began: a server or a proxy closes one that was idle.
    #[error("the connection was closed before an answer")]
    Unanswered,
    /// The answer broke off, or is not HTTP.
    #[error("the connection broke off")]
    Broken,
    /// The answer is larger than asked for.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is compressed in this way, although none was asked for.
    #[error("the answer is compressed ({0}), although it was asked for as it is")]
    Compressed(String),
    /// The server sends the client elsewhere.
    #[error("the server redirects to {0}")]
    Redirected(String),
}

/// An open connection. Closed when dropped.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    requests: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl HttpConnection {
    /// Speaks HTTP over this stream.
    pub(crate) async fn over(stream: OutboundStream) -> Result<Self, HttpError> {
        let handshake = Builder::new()
            .max_buf_size(MOST_HEAD)
            .handshake(TokioIo::new(stream))
            .await;
        let (requests, connection) = handshake.map_err(|_| HttpError::Broken)?;
        let driver = tokio::spawn(async move {
            // The exchange that fails says it too.
            connection.await.ok();
        });
        Ok(Self { requests, driver })
    }

    /// Sends a request and reads the answer, of at most `most` bytes. After an error the connection is of no further use.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<HttpAnswer, HttpError> {
        let ready = self.requests.ready().await;
        ready.map_err(|_| HttpError::Unanswered)?;
        let sent = self.requests.send_request(request).await;
        let answer = sent.map_err(|error| {
            if error.is_parse() {
                HttpError::Broken
            } else {
                HttpError::Unanswered
            }
        })?;
        let (head, mut rest) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = rest.frame().await {
            let frame = frame.map_err(|_| HttpError::Broken)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if body.len() + data.len() > most {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&data);
        }
        Ok(HttpAnswer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
