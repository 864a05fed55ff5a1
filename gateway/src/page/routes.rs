//! The routes of the user's page, and its static files.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use ringfence_book::Number;

use super::server::{SharedState, StatusPageState, away};
use super::view::{self, PageContext};
use super::{forms, phone_setup};

const STYLE: &str = include_str!("files/page.css");
const SCRIPT: &str = include_str!("files/page.js");
const ICON: &str = include_str!("files/icon.svg");

/// Every route behind the key.
pub(super) fn routes() -> Router<Arc<StatusPageState>> {
    Router::new()
        .route(
            "/",
            get(async |page_state: SharedState| show(page_state, view::home::home).await),
        )
        .route(
            "/calls",
            get(async |page_state: SharedState| show(page_state, view::calls::calls).await),
        )
        .route(
            "/contacts",
            get(async |page_state: SharedState| show(page_state, view::contact::contacts).await),
        )
        .route(
            "/help",
            get(async |page_state: SharedState| show(page_state, view::help::help).await),
        )
        .route("/contacts/{number}", get(contact))
        .route("/contacts/{number}/accept", get(accept))
        .route("/contacts/add", post(forms::add))
        .route("/contacts/{number}/edit", post(forms::edit))
        .route("/write", post(forms::write))
        .route("/lines/{number}", get(line))
        .route("/lines/{number}/command", post(forms::command))
        .route("/lines/{number}/provision", post(phone_setup::link))
        .route("/lines/{number}/file", get(phone_setup::file))
        .route(
            "/api/lines/{number}/provision",
            post(phone_setup::link_for_programs),
        )
        .route(
            "/page.css",
            get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)),
        )
        .route(
            "/page.js",
            get(async || ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)),
        )
        .route(
            "/icon.svg",
            get(async || ([(CONTENT_TYPE, "image/svg+xml")], ICON)),
        )
}

async fn show(State(page_state): SharedState, page: fn(&PageContext<'_>) -> String) -> Response {
    page_state.show(|context| Some(page(context))).await
}

async fn contact(State(page_state): SharedState, Path(number): Path<u32>) -> Response {
    let page = |context: &PageContext<'_>| {
        let contact = context.snapshot.contacts.get(Number::new(number))?;
        Some(view::contact::contact(context, contact))
    };
    page_state.show(page).await
}

async fn accept(State(page_state): SharedState, Path(number): Path<u32>) -> Response {
    let page = |context: &PageContext<'_>| {
        let contact = context.snapshot.contacts.get(Number::new(number))?;
        Some(view::contact::accept(context, contact, contact.other?))
    };
    page_state.show(page).await
}

async fn line(State(page_state): SharedState, Path(number): Path<u32>) -> Response {
    let page = |context: &PageContext<'_>| {
        let number = Number::new(number);
        let line = context
            .snapshot
            .lines
            .iter()
            .find(|line| line.number == number)?;
        Some(view::line::line(
            context,
            line,
            context.registrar.line(number)?,
        ))
    };
    page_state.show(page).await
}

impl StatusPageState {
    /// Renders a page from a fresh snapshot; 404 if `page` returns none.
    pub(super) async fn show(
        &self,
        page: impl FnOnce(&PageContext<'_>) -> Option<String>,
    ) -> Response {
        let Some((snapshot, evidence)) = self.look().await else {
            return away();
        };
        match page(&self.context(&snapshot, &evidence)) {
            Some(html) => Html(html).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}
