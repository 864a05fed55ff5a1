//! Handing settings to phones: one-time links, and files for the user to save.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Form, Json, Router};
use ringfence_book::Number;
use serde::Deserialize;
use serde_json::json;

use super::board::Board;
use super::front::Shared;
use super::view;
use crate::clock;
use crate::provisioning::{Desks, LIFE, Model, Office, Order, Place, Redeemed, Wire};
use crate::state::secret::Secret;

/// What hands settings out, on the page and on the network alike.
#[derive(Debug)]
pub(super) struct Provisioner {
    pub(super) board: Board,
    pub(super) office: Office,
    /// Where links for this machine lead to, and those for the network.
    pub(super) here: String,
    pub(super) lan: Option<String>,
    /// The desk phones of the network.
    pub(super) desks: Option<Desks>,
}

/// What a form, or a program, says of a phone. What it leaves out is the usual.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    phone: String,
    from: String,
    wire: String,
}

impl Wanted {
    fn order(&self, number: u32) -> Option<Order> {
        let or = |word: &str, usual: &str| {
            if word.is_empty() {
                usual.to_owned()
            } else {
                word.to_owned()
            }
        };
        let place = Place::read(&or(&self.from, "here"))?;
        Some(Order {
            number: Number::new(number),
            model: Model::read(&or(&self.phone, "linphone"))?,
            place,
            wire: Wire::read(&or(&self.wire, place.usual_wire().word()))?,
        })
    }
}

impl Provisioner {
    /// A new link; `None` if nothing could be handed out for the order.
    fn link(&self, order: Order) -> Option<Secret> {
        self.board.setup(&order)?;
        let base = match order.place {
            Place::Here => &self.here,
            Place::Lan => self.lan.as_ref()?,
        };
        let token = self.office.issue(order, clock::now());
        Some(Secret::new(format!("{base}/p/{}", token.expose())))
    }

    pub(super) fn hand(&self, order: &Order) -> Option<Response> {
        let setup = self.board.setup(order)?;
        let text = order.model.write(&setup);
        let head = [
            (CONTENT_TYPE, order.model.kind()),
            (CACHE_CONTROL, "no-store"),
        ];
        Some((head, text.to_string()).into_response())
    }
}

/// The link of the page, shown with its code.
pub(super) async fn link(
    State(counter): Shared,
    Path(number): Path<u32>,
    Form(wanted): Form<Wanted>,
) -> Response {
    let made = wanted
        .order(number)
        .and_then(|order| Some((order, counter.provisioner.link(order)?)));
    let page = |scene: &view::Scene<'_>| {
        let (order, url) = made?;
        let own = scene.board.line(order.number)?;
        Some(view::line::link(scene, own, &order, url.expose()))
    };
    counter.show(page).await
}

/// The same for programs; the body is JSON with `phone`, `from` and `wire`, or nothing.
pub(super) async fn link_for_programs(
    State(counter): Shared,
    Path(number): Path<u32>,
    wanted: Option<Json<Wanted>>,
) -> Response {
    let wanted = wanted.map(|Json(wanted)| wanted).unwrap_or_default();
    match wanted
        .order(number)
        .and_then(|order| counter.provisioner.link(order))
    {
        Some(url) => Json(json!({ "url": url.expose(), "expires_in_seconds": LIFE.as_secs() }))
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A file for the user to save.
pub(super) async fn file(
    State(counter): Shared,
    Path(number): Path<u32>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let handed = wanted
        .order(number)
        .and_then(|order| Some((order, counter.provisioner.hand(&order)?)));
    match handed {
        Some((order, file)) => {
            let name = format!(
                "attachment; filename=\"{}\"",
                order.model.file(order.number)
            );
            ([(CONTENT_DISPOSITION, name)], file).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What desk phones fetch: below the secret path, by their own names. They check the engine's certificate when they register.
pub(super) async fn desk(
    State(provisioner): State<Arc<Provisioner>>,
    Path((secret, file)): Path<(String, String)>,
) -> Response {
    let now = clock::now();
    if provisioner.office.is_put_off(now) {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let found = provisioner
        .desks
        .as_ref()
        .and_then(|desks| desks.find(&secret, &file));
    let handed = found.and_then(|(model, number)| {
        let (place, wire) = (Place::Lan, Place::Lan.usual_wire());
        provisioner.hand(&Order {
            number,
            model,
            place,
            wire,
        })
    });
    match handed {
        Some(file) => {
            tracing::info!("a desk phone fetched the settings of a line");
            file
        }
        None => {
            provisioner.office.miss(now);
            StatusCode::NOT_FOUND.into_response()
        }
    }
}

/// Where phones fetch, without any key but the one in the link. Whatever is no link that is good gets the same answer.
pub(super) fn counter(provisioner: Arc<Provisioner>) -> Router {
    Router::new()
        .route("/p/{token}", get(fetch))
        .with_state(provisioner)
}

async fn fetch(
    State(provisioner): State<Arc<Provisioner>>,
    method: Method,
    Path(token): Path<String>,
) -> Response {
    if method != Method::GET {
        // A look ahead uses no link up.
        return StatusCode::NOT_FOUND.into_response();
    }
    match provisioner.office.redeem(&token, clock::now()) {
        Redeemed::Good(order) => {
            tracing::info!("the settings of a line were fetched by a phone");
            let handed = provisioner.hand(&order);
            handed.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
        }
        Redeemed::Unknown => StatusCode::NOT_FOUND.into_response(),
        Redeemed::Later => StatusCode::TOO_MANY_REQUESTS.into_response(),
    }
}
