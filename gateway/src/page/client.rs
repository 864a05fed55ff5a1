//! The client of the user's page, for commands that ask the running engine. It reads address and key from the state folder.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use ringfence_book::Number;
use ringfence_engine::line::command::LineCommandError;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::form_urlencoded;

use super::forms::PLAIN_TEXT;
use super::key::PageKey;
use super::phone_setup::SetupLink;
use crate::net::http::{HttpAnswer, HttpConnection};
use crate::net::outbound::OutboundStream;
use crate::state::folder::StateFolder;
use crate::state::keystore::KeystoreError;
use crate::stats::status::StatusReport;

/// Time for an answer; the engine is on this machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer: a status with many lines and calls.
const MOST_BYTES: usize = 16 << 20;

/// Why the running engine gives no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageClientError {
    /// The file of the key cannot be read.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// No engine runs on this state folder, or its page is turned off.
    #[error("no engine runs on this state folder, or its page is turned off")]
    NotRunning,
    /// It does not carry a command for a line out.
    #[error(transparent)]
    Line(#[from] LineCommandError),
    /// It refuses the request.
    #[error("the engine answered {0}")]
    Refused(StatusCode),
    /// Its answer cannot be read.
    #[error("the answer of the engine's page cannot be read")]
    Unreadable,
}

impl PageClientError {
    /// What the user can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Keystore(error) => error.remedy(),
            Self::Line(error) => remedy(*error).to_owned(),
            Self::NotRunning => "start it: ringfence run; or set page.listen".to_owned(),
            Self::Refused(StatusCode::NOT_FOUND) => "check the number: ringfence lines".to_owned(),
            Self::Refused(_) | Self::Unreadable => "restart the engine, and see its log".to_owned(),
        }
    }
}

/// What the user can do when a command for a line changed nothing.
#[must_use]
pub fn remedy(error: LineCommandError) -> &'static str {
    match error {
        LineCommandError::NoSuchLine => "check the number: ringfence lines",
        LineCommandError::TooMany => "unblock one: `ringfence contacts` lists the blocked numbers",
        LineCommandError::NoPhone => {
            "set a phone up: `ringfence status --page` prints the page that does it, or look whether it is switched on"
        }
        LineCommandError::NoSuchNumber => {
            "check the number, or wait two minutes if it was activated just now"
        }
        LineCommandError::Emergency => "use another phone now",
        LineCommandError::KeyChanged => {
            "see what has changed: ringfence contacts; once you have asked the person: ringfence contacts accept NUMBER"
        }
        LineCommandError::Unavailable => "see what is wrong: ringfence status",
        LineCommandError::NotAText => "write less, or more",
        LineCommandError::NoSuchCall | LineCommandError::NoSuchText => {
            "look again: ringfence status"
        }
        _ => "update ringfence",
    }
}

/// The status of the engine that runs on this state folder (`GET /api/status`).
///
/// # Errors
/// [`PageClientError`].
pub async fn status(state: impl Into<StateFolder>) -> Result<StatusReport, PageClientError> {
    ask(state, Method::GET, "/api/status").await
}

/// A link from which a phone on this machine can fetch the settings of a line, once and within ten minutes.
///
/// # Errors
/// [`PageClientError`]; 404 if there is no such line.
pub async fn provision(
    state: impl Into<StateFolder>,
    line: Number,
) -> Result<SetupLink, PageClientError> {
    ask(state, Method::POST, &format!("/api/lines/{line}/provision")).await
}

/// Sends a command for a line, as the buttons of the page do: `block`, `unblock` or `call`.
///
/// # Errors
/// [`PageClientError`], with the engine's reason if it has one.
pub async fn line_command(
    state: impl Into<StateFolder>,
    line: Number,
    act: &str,
    number: Number,
) -> Result<(), PageClientError> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("act", act)
        .append_pair("number", &number.to_string())
        .finish();
    let path = format!("/lines/{line}/command");
    send(state, Method::POST, &path, Some(form)).await.map(drop)
}

/// Why the engine did not do it, as the page says it to programs.
fn reason(answer: &HttpAnswer) -> Option<LineCommandError> {
    let said = str::from_utf8(&answer.body).ok()?;
    let mut errors = LineCommandError::ALL.into_iter();
    errors.find(|error| error.to_string() == said)
}

async fn ask<T: DeserializeOwned>(
    state: impl Into<StateFolder>,
    method: Method,
    path: &str,
) -> Result<T, PageClientError> {
    let answer = send(state, method, path, None).await?;
    serde_json::from_slice(&answer.body).map_err(|_| PageClientError::Unreadable)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the engine's page, on this machine"
)]
async fn send(
    state: impl Into<StateFolder>,
    method: Method,
    path: &str,
    form: Option<String>,
) -> Result<HttpAnswer, PageClientError> {
    let key = PageKey::read(state)?.ok_or(PageClientError::NotRunning)?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, key.address.to_string())
        .header(ACCEPT, PLAIN_TEXT)
        .header(AUTHORIZATION, format!("Bearer {}", key.token.expose()));
    // The page refuses a body of any other kind.
    if form.is_some() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let request = request
        .body(Full::new(Bytes::from(form.unwrap_or_default())))
        .map_err(|_| PageClientError::Unreadable)?;
    let exchange = async {
        // The engine is on this machine: a proxy could only read the key.
        let stream = TcpStream::connect(key.address).await;
        let stream = stream.map_err(|_| PageClientError::NotRunning)?;
        let connection = HttpConnection::over(OutboundStream::Plain(stream)).await;
        let mut connection = connection.map_err(|_| PageClientError::Unreadable)?;
        let answer = connection.ask(request, MOST_BYTES).await;
        answer.map_err(|_| PageClientError::Unreadable)
    };
    let answer = timeout(TIMEOUT, exchange).await;
    match answer.map_err(|_| PageClientError::Unreadable)? {
        // The page answers a form as it answers a browser's: see there.
        Ok(answer) if answer.status.is_success() || answer.status.is_redirection() => Ok(answer),
        Ok(answer) => Err(reason(&answer).map_or(
            PageClientError::Refused(answer.status),
            PageClientError::Line,
        )),
        Err(error) => Err(error),
    }
}
