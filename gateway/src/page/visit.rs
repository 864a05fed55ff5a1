//! How commands beside the engine ask it: over its page, with the key from the state folder.

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use ringfence_book::Number;
use serde_json::Value;

use super::key::Key;
use crate::state::keystore::KeystoreError;

/// The engine is on this machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the running engine says nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisitFault {
    /// The file of the key cannot be read.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// No engine runs on this state folder, or its page is turned off.
    #[error("no engine runs on this state folder, or its page is turned off")]
    NobodyHome,
    /// It runs, and what it answers is no use.
    #[error("the engine answered {0}")]
    Refused(StatusCode),
    /// It does not answer in a way that can be read.
    #[error("the engine's page does not answer as it should")]
    Garbled,
}

impl VisitFault {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Keystore(fault) => fault.remedy(),
            Self::NobodyHome => "start it: ringfence run; or set page.listen".to_owned(),
            Self::Refused(StatusCode::NOT_FOUND) => "check the number: ringfence lines".to_owned(),
            Self::Refused(_) | Self::Garbled => "restart the engine, and see its log".to_owned(),
        }
    }
}

/// The picture of the engine that runs on this state folder, as `GET /api/status` tells it.
///
/// # Errors
/// [`VisitFault`].
pub async fn status(state: &Path) -> Result<Value, VisitFault> {
    ask(state, Method::GET, "/api/status").await
}

/// A link from which a phone on this machine gets the settings of a line, once and within ten minutes: `{"url", "expires_in_seconds"}`.
///
/// # Errors
/// [`VisitFault`]; 404 if there is no such line.
pub async fn provision(state: &Path, line: Number) -> Result<Value, VisitFault> {
    ask(state, Method::POST, &format!("/api/lines/{line}/provision")).await
}

/// Something is wanted of a line, as by the buttons of the page: `block`, `unblock`. It is on the disk when this returns.
///
/// # Errors
/// [`VisitFault`].
pub async fn wish(state: &Path, line: Number, act: &str, number: Number) -> Result<(), VisitFault> {
    let form = [("act", act.to_owned()), ("number", number.to_string())];
    let path = format!("/lines/{line}/wish");
    let build = |request: RequestBuilder| request.form(&form);
    send(state, Method::POST, &path, build).await.map(drop)
}

async fn ask(state: &Path, method: Method, path: &str) -> Result<Value, VisitFault> {
    let answer = send(state, method, path, |request| request).await?;
    answer.json().await.map_err(|_| VisitFault::Garbled)
}

async fn send(
    state: &Path,
    method: Method,
    path: &str,
    build: impl FnOnce(RequestBuilder) -> RequestBuilder,
) -> Result<Response, VisitFault> {
    let key = Key::read(state)?.ok_or(VisitFault::NobodyHome)?;
    // A proxy has no business with it.
    let client = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(PATIENCE)
        .build();
    let client = client.map_err(|_| VisitFault::Garbled)?;
    let request = client
        .request(method, format!("http://{}{path}", key.address))
        .bearer_auth(key.token.expose());
    let answer: Response = build(request).send().await.map_err(|fault| {
        if fault.is_connect() {
            VisitFault::NobodyHome
        } else {
            VisitFault::Garbled
        }
    })?;
    if !answer.status().is_success() && !answer.status().is_redirection() {
        return Err(VisitFault::Refused(answer.status()));
    }
    Ok(answer)
}
