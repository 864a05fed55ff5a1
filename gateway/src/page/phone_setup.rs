//! Setting up a phone from the page: makes one-time links, shows them, and offers files of settings to save.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use ringfence_book::Number;
use serde::{Deserialize, Serialize};

use super::server::SharedState;
use super::view;
use crate::provisioning::{LINK_LIFE, PhoneKind, PhoneLocation, PhoneTransport, SetupRequest};

/// A phone as a form or a program describes it. A missing field has its default.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SetupForm {
    phone: String,
    from: String,
    wire: String,
}

/// A one-time link, as programs get it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SetupLink {
    /// The URL, from which a phone can fetch the settings of a line once.
    pub url: String,
    /// Seconds until the link stops working.
    pub expires_in_seconds: u64,
}

/// The URL gives access to a line.
impl std::fmt::Debug for SetupLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SetupLink(..)")
    }
}

impl SetupForm {
    fn request(&self, number: u32) -> Option<SetupRequest> {
        let location = match self.from.as_str() {
            "" => PhoneLocation::Here,
            word => PhoneLocation::read(word)?,
        };
        Some(SetupRequest {
            number: Number::new(number),
            model: match self.phone.as_str() {
                "" => PhoneKind::Linphone,
                word => PhoneKind::read(word)?,
            },
            location,
            transport: match self.wire.as_str() {
                "" => location.default_transport(),
                word => PhoneTransport::read(word)?,
            },
        })
    }
}

/// Makes a link and shows it with its QR code.
pub(super) async fn link(
    State(page_state): SharedState,
    Path(number): Path<u32>,
    Form(form): Form<SetupForm>,
) -> Response {
    let made = form
        .request(number)
        .and_then(|request| Some((request, page_state.provisioning.link(request)?)));
    let page = |context: &view::PageContext<'_>| {
        let (request, url) = made?;
        let own = context.registrar.line(request.number)?;
        Some(view::line::link(context, own, &request, url.expose()))
    };
    page_state.show(page).await
}

/// Makes a link for a program. The body is JSON with `phone`, `from` and `wire`, or empty.
pub(super) async fn link_for_programs(
    State(page_state): SharedState,
    Path(number): Path<u32>,
    form: Option<Json<SetupForm>>,
) -> Response {
    let form = form.map(|Json(form)| form).unwrap_or_default();
    let url = form
        .request(number)
        .and_then(|request| page_state.provisioning.link(request));
    match url {
        Some(url) => Json(SetupLink {
            url: url.expose().to_owned(),
            expires_in_seconds: LINK_LIFE.as_secs(),
        })
        .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A file of settings for the user to save.
pub(super) async fn file(
    State(page_state): SharedState,
    Path(number): Path<u32>,
    Query(form): Query<SetupForm>,
) -> Response {
    let file = form
        .request(number)
        .and_then(|request| Some((request, page_state.provisioning.file(&request)?)));
    match file {
        Some((request, file)) => {
            let name = format!(
                "attachment; filename=\"{}\"",
                request.model.file(request.number)
            );
            ([(CONTENT_DISPOSITION, name)], file).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
