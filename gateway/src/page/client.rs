//! The client of the user's page, for commands that ask the running engine. It reads address and key from the state folder.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use ringfence_book::Number;
use serde::de::DeserializeOwned;

use super::key::PageKey;
use super::phone_setup::SetupLink;
use crate::state::keystore::KeystoreError;
use crate::stats::status::StatusReport;

/// Time for an answer; the engine is on this machine.
const TIMEOUT: Duration = Duration::from_secs(10);

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
            Self::NotRunning => "start it: ringfence run; or set page.listen".to_owned(),
            Self::Refused(StatusCode::NOT_FOUND) => "check the number: ringfence lines".to_owned(),
            Self::Refused(_) | Self::Unreadable => "restart the engine, and see its log".to_owned(),
        }
    }
}

/// The status of the engine that runs on this state folder (`GET /api/status`).
///
/// # Errors
/// [`PageClientError`].
pub async fn status(state: &Path) -> Result<StatusReport, PageClientError> {
    ask(state, Method::GET, "/api/status").await
}

/// A link from which a phone on this machine can fetch the settings of a line, once and within ten minutes.
///
/// # Errors
/// [`PageClientError`]; 404 if there is no such line.
pub async fn provision(state: &Path, line: Number) -> Result<SetupLink, PageClientError> {
    ask(state, Method::POST, &format!("/api/lines/{line}/provision")).await
}

/// Sends a command for a line, as the buttons of the page do: `block` or `unblock`.
///
/// # Errors
/// [`PageClientError`].
pub async fn line_command(
    state: &Path,
    line: Number,
    act: &str,
    number: Number,
) -> Result<(), PageClientError> {
    let form = [("act", act.to_owned()), ("number", number.to_string())];
    let path = format!("/lines/{line}/wish");
    let build = |request: RequestBuilder| request.form(&form);
    send(state, Method::POST, &path, build).await.map(drop)
}

async fn ask<T: DeserializeOwned>(
    state: &Path,
    method: Method,
    path: &str,
) -> Result<T, PageClientError> {
    let answer = send(state, method, path, |request| request).await?;
    answer.json().await.map_err(|_| PageClientError::Unreadable)
}

async fn send(
    state: &Path,
    method: Method,
    path: &str,
    build: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Result<Response, PageClientError> {
    let key = PageKey::read(state)?.ok_or(PageClientError::NotRunning)?;
    // The engine is on this machine: a proxy could only read the key.
    let client = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .build();
    let client = client.map_err(|_| PageClientError::Unreadable)?;
    let request = client
        .request(method, format!("http://{}{path}", key.address))
        .bearer_auth(key.token.expose());
    let answer: Response = build(request).send().await.map_err(|error| {
        if error.is_connect() {
            PageClientError::NotRunning
        } else {
            PageClientError::Unreadable
        }
    })?;
    if !answer.status().is_success() && !answer.status().is_redirection() {
        return Err(PageClientError::Refused(answer.status()));
    }
    Ok(answer)
}
