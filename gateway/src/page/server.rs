//! The user's page of a running engine: opens it, saves its key for commands, and serves `GET /api/status`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use ringfence_daemon::page::{Page, PageError, PageListener};
use tokio::task::spawn_blocking;

use super::access::{AccessGuard, guard};
use super::key::{self, PageKey};
use super::report::report;
use super::routes;
use super::view::PageContext;
use crate::clock;
use crate::provisioning::OneTimeLinks;
use crate::provisioning::desk_phones::{DeskPhones, secret_path};
use crate::provisioning::network_server::NetworkServer;
use crate::provisioning::registrar::RegistrarInfo;
use crate::provisioning::service::{ProvisioningService, link_routes};
use crate::run::handle::GatewayHandle;
use crate::state::folder::StateFolder;
use crate::state::keystore::{EvidenceFile, EvidenceFolder, KeystoreError};
use crate::state::secret::Secret;
use crate::stats::snapshot::Snapshot;

/// Why the page could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusPageError {
    /// It cannot be opened.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The socket for new phones cannot be opened.
    #[error("cannot listen for new phones on the network: {0}")]
    PlugAndPlay(std::io::Error),
    /// Its key cannot be saved.
    #[error(transparent)]
    Key(#[from] KeystoreError),
}

/// The open page. Dropping it closes it and removes its key.
#[derive(Debug)]
pub struct StatusPage {
    key: PageKey,
    state: StateFolder,
    _page: Page,
    _network_server: Option<NetworkServer>,
}

/// The state that handlers share.
#[derive(Debug)]
pub(super) struct StatusPageState {
    pub(super) handle: GatewayHandle,
    pub(super) provisioning: Arc<ProvisioningService>,
    opened: Instant,
}

/// The state in the form that handlers take.
pub(super) type SharedState = State<Arc<StatusPageState>>;

impl StatusPage {
    /// Opens the page; at a free port if that of `address` is taken.
    ///
    /// # Errors
    /// [`StatusPageError`].
    pub async fn open(
        address: SocketAddr,
        registrar: RegistrarInfo,
        handle: GatewayHandle,
    ) -> Result<Self, StatusPageError> {
        let bound = bind(address).await?;
        let key = PageKey::draw(bound.address());
        let state = registrar.state.clone();
        let (provisioning, network_server) = open_provisioning(&bound, registrar).await?;
        let page_state = Arc::new(StatusPageState {
            handle,
            provisioning,
            opened: clock::now(),
        });
        let guard = Arc::new(AccessGuard::new(bound.address(), key.token.clone()));
        let page = bound.serve(routes(page_state, guard));
        key.write(&state)?;
        Ok(Self {
            key,
            state,
            _page: page,
            _network_server: network_server,
        })
    }

    /// The state folder, where its key is.
    #[must_use]
    pub fn state(&self) -> &StateFolder {
        &self.state
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.key.address
    }

    /// The URL that opens it.
    #[must_use]
    pub fn url(&self) -> Secret {
        self.key.url()
    }
}

/// Binds the address, or a free port if it is taken.
async fn bind(address: SocketAddr) -> Result<PageListener, PageError> {
    match Page::bind(address).await {
        Err(PageError::Listen { cause, .. }) if cause.kind() == ErrorKind::AddrInUse => {
            tracing::warn!(
                port = address.port(),
                "the port of the status page is taken, perhaps by another ringfence: the page is at a free one. To do: set page.listen"
            );
            Page::bind(SocketAddr::new(address.ip(), 0)).await
        }
        bound => bound,
    }
}

/// Sets up provisioning: for this machine on the page, and for the network if the settings ask for it.
async fn open_provisioning(
    page: &PageListener,
    mut registrar: RegistrarInfo,
) -> Result<(Arc<ProvisioningService>, Option<NetworkServer>), StatusPageError> {
    let service = |registrar: RegistrarInfo, desk_phones| {
        Arc::new(ProvisioningService {
            links: OneTimeLinks::default(),
            here: format!("http://{}", page.address()),
            lan: registrar.lan_base(),
            desk_phones,
            registrar,
        })
    };
    let Some(network) = registrar.provisioning.clone() else {
        return Ok((service(registrar, None), None));
    };
    let bound = PageListener::on_network(network.listen).await?;
    registrar.lan = Some(bound.address());
    let desk_phones = DeskPhones::new(secret_path(&registrar.state)?, network.desks);
    let service = service(registrar, Some(desk_phones));
    let server = NetworkServer::open(bound, network.plug_and_play, Arc::clone(&service)).await;
    Ok((service, Some(server.map_err(StatusPageError::PlugAndPlay)?)))
}

impl Drop for StatusPage {
    fn drop(&mut self) {
        // A file that stays behind opens nothing.
        drop(std::fs::remove_file(key::file(&self.state)));
    }
}

fn routes(page_state: Arc<StatusPageState>, access: Arc<AccessGuard>) -> Router {
    let phones = link_routes(Arc::clone(&page_state.provisioning));
    routes::routes()
        .route("/api/status", get(status))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(middleware::from_fn_with_state(access, guard))
        .with_state(page_state)
        .merge(phones)
}

async fn status(State(page_state): SharedState) -> Response {
    match page_state.look().await {
        Some((snapshot, evidence)) => {
            let uptime = page_state.opened.elapsed().as_secs();
            Json(report(&snapshot, page_state.registrar(), &evidence, uptime)).into_response()
        }
        None => away(),
    }
}

/// The answer when the engine stops or is too busy to answer.
pub(super) fn away() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "The engine does not answer.\n",
    )
        .into_response()
}

impl StatusPageState {
    /// A snapshot of the engine, and the evidence on the disk.
    pub(super) async fn look(&self) -> Option<(Box<Snapshot>, Vec<EvidenceFile>)> {
        let snapshot = self.handle.snapshot().await?;
        let folder = EvidenceFolder::of(self.registrar().state.clone());
        let evidence = spawn_blocking(move || folder.list()).await;
        // `ringfence evidence` reports files that cannot be read.
        let evidence = evidence.ok().and_then(Result::ok).unwrap_or_default();
        Some((snapshot, evidence))
    }

    pub(super) fn registrar(&self) -> &RegistrarInfo {
        &self.provisioning.registrar
    }

    pub(super) fn context<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        evidence: &'a [EvidenceFile],
    ) -> PageContext<'a> {
        PageContext {
            snapshot,
            registrar: self.registrar(),
            evidence,
        }
    }
}
