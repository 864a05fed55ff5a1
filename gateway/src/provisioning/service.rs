//! Hands settings to phones over HTTP: by one-time links, and to desk phones below a secret path.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{DeskPhones, LinkOutcome, OneTimeLinks, PhoneLocation, RegistrarInfo, SetupRequest};
use crate::clock;
use crate::state::secret::Secret;

/// Serves settings to phones, on the page and on the network.
#[derive(Debug)]
pub(crate) struct ProvisioningService {
    pub(crate) registrar: RegistrarInfo,
    pub(crate) links: OneTimeLinks,
    /// The URL before the path of links for this machine.
    pub(crate) here: String,
    /// The same for the network; `None` if phones on the network are not provisioned.
    pub(crate) lan: Option<String>,
    /// The desk phones on the network.
    pub(crate) desk_phones: Option<DeskPhones>,
}

impl ProvisioningService {
    /// A new link; `None` if the request cannot be fulfilled.
    pub(crate) fn link(&self, request: SetupRequest) -> Option<Secret> {
        self.registrar.phone_setup(&request)?;
        let base = match request.location {
            PhoneLocation::Here => &self.here,
            PhoneLocation::Lan => self.lan.as_ref()?,
        };
        let token = self.links.issue(request, clock::now());
        Some(Secret::new(format!("{base}/p/{}", token.expose())))
    }

    /// The file of settings as an HTTP response; `None` if the request cannot be fulfilled.
    pub(crate) fn file(&self, request: &SetupRequest) -> Option<Response> {
        let setup = self.registrar.phone_setup(request)?;
        let text = request.model.write(&setup);
        let head = [
            (CONTENT_TYPE, request.model.kind()),
            (CACHE_CONTROL, "no-store"),
        ];
        Some((head, text.to_string()).into_response())
    }
}

/// The route of one-time links, which need no key but the token in the link. Every link that is not valid gets the same answer.
pub(crate) fn link_routes(service: Arc<ProvisioningService>) -> Router {
    Router::new()
        .route("/p/{token}", get(fetch_by_link))
        .with_state(service)
}

async fn fetch_by_link(
    State(service): State<Arc<ProvisioningService>>,
    method: Method,
    Path(token): Path<String>,
) -> Response {
    if method != Method::GET {
        // HEAD, as programs send to preview a link, must not use it up.
        return StatusCode::NOT_FOUND.into_response();
    }
    match service.links.redeem(&token, clock::now()) {
        LinkOutcome::Good(request) => {
            tracing::info!("a phone fetched the settings of a line");
            let file = service.file(&request);
            file.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
        }
        LinkOutcome::Unknown => StatusCode::NOT_FOUND.into_response(),
        LinkOutcome::Later => StatusCode::TOO_MANY_REQUESTS.into_response(),
    }
}

/// Serves a desk phone its file, below the secret path and under the name that its maker uses. The phone checks the engine's
/// certificate when it registers.
pub(super) async fn fetch_by_desk_phone(
    State(service): State<Arc<ProvisioningService>>,
    Path((secret, file)): Path<(String, String)>,
) -> Response {
    let now = clock::now();
    if service.links.is_throttled(now) {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let found = service
        .desk_phones
        .as_ref()
        .and_then(|phones| phones.find(&secret, &file));
    let file = found.and_then(|(model, number)| {
        let location = PhoneLocation::Lan;
        service.file(&SetupRequest {
            number,
            model,
            location,
            transport: location.default_transport(),
        })
    });
    match file {
        Some(file) => {
            tracing::info!("a desk phone fetched the settings of a line");
            file
        }
        None => {
            service.links.miss(now);
            StatusCode::NOT_FOUND.into_response()
        }
    }
}
