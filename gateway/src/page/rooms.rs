//! The user's pages by their addresses, and the files that they need.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use ringfence_book::Number;

use super::front::{Counter, Shared, away};
use super::view::{self, Scene};
use super::{act, hand_out};

const STYLE: &str = include_str!("files/page.css");
const SCRIPT: &str = include_str!("files/page.js");
const ICON: &str = include_str!("files/icon.svg");

/// All of them.
pub(super) fn routes() -> Router<Arc<Counter>> {
    Router::new()
        .route(
            "/",
            get(async |counter: Shared| show(counter, view::home::home).await),
        )
        .route(
            "/calls",
            get(async |counter: Shared| show(counter, view::calls::calls).await),
        )
        .route(
            "/contacts",
            get(async |counter: Shared| show(counter, view::contact::contacts).await),
        )
        .route(
            "/help",
            get(async |counter: Shared| show(counter, view::home::help).await),
        )
        .route("/contacts/{number}", get(contact))
        .route("/contacts/{number}/accept", get(accept))
        .route("/contacts/{number}/edit", post(act::edit))
        .route("/lines/{number}", get(line))
        .route("/lines/{number}/wish", post(act::wish))
        .route("/lines/{number}/provision", post(hand_out::link))
        .route("/lines/{number}/file", get(hand_out::file))
        .route(
            "/api/lines/{number}/provision",
            post(hand_out::link_for_programs),
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

async fn show(State(counter): Shared, page: fn(&Scene<'_>) -> String) -> Response {
    counter.show(|scene| Some(page(scene))).await
}

async fn contact(State(counter): Shared, Path(number): Path<u32>) -> Response {
    let page = |scene: &Scene<'_>| {
        let contact = scene.picture.contacts.get(Number::new(number))?;
        Some(view::contact::contact(scene, contact))
    };
    counter.show(page).await
}

async fn accept(State(counter): Shared, Path(number): Path<u32>) -> Response {
    let page = |scene: &Scene<'_>| {
        let contact = scene.picture.contacts.get(Number::new(number))?;
        Some(view::contact::accept(scene, contact, contact.other?))
    };
    counter.show(page).await
}

async fn line(State(counter): Shared, Path(number): Path<u32>) -> Response {
    let page = |scene: &Scene<'_>| {
        let number = Number::new(number);
        let line = scene
            .picture
            .lines
            .iter()
            .find(|line| line.number == number)?;
        Some(view::line::line(scene, line, scene.board.line(number)?))
    };
    counter.show(page).await
}

impl Counter {
    /// A page of this moment; 404 if it shows nothing.
    pub(super) async fn show(&self, page: impl FnOnce(&Scene<'_>) -> Option<String>) -> Response {
        let Some((picture, evidence)) = self.look().await else {
            return away();
        };
        match page(&self.scene(&picture, &evidence)) {
            Some(html) => Html(html).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}
