//! The user's page of a running engine: opens it, writes its key down, and answers programs.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use ringfence_phonebook::duty::page::{Page, PageError, Place};
use tokio::task::spawn_blocking;

use crate::provisioning::registrar::Board;
use super::access::{Gate, guard};
use super::phone_setup::{self, Provisioner};
use super::key::{self, Key};
use crate::provisioning::network_server::Lan;
use super::report::report;
use super::routes;
use super::view::Scene;
use crate::clock;
use crate::provisioning::{Desks, Office};
use crate::run::handle::GatewayHandle;
use crate::state::keystore::{EvidenceFile, EvidenceFolder, KeystoreError};
use crate::state::secret::Secret;
use crate::stats::snapshot::Snapshot;

/// Why the page is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// It cannot be opened.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The network cannot be asked for its new phones.
    #[error("cannot listen for new phones on the network: {0}")]
    Plug(std::io::Error),
    /// Its key cannot be written down.
    #[error(transparent)]
    Key(#[from] KeystoreError),
}

/// The open page. Dropping it closes it, and its key is gone.
#[derive(Debug)]
pub struct Front {
    key: Key,
    state: PathBuf,
    _page: Page,
    _lan: Option<Lan>,
}

/// What every answer is made from.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) enquiry: GatewayHandle,
    pub(super) provisioner: Arc<Provisioner>,
    opened: Instant,
}

/// The counter, as handlers get it.
pub(super) type Shared = State<Arc<Counter>>;

impl Front {
    /// Opens it; at a free port if the one of `address` is taken.
    ///
    /// # Errors
    /// [`FrontError`].
    pub async fn open(
        address: SocketAddr,
        board: Board,
        enquiry: GatewayHandle,
    ) -> Result<Self, FrontError> {
        let place = take_place(address).await?;
        let key = Key::draw(place.address());
        let state = board.state.clone();
        let (provisioner, lan) = open_office(&place, board).await?;
        let counter = Arc::new(Counter {
            enquiry,
            provisioner,
            opened: clock::now(),
        });
        let gate = Arc::new(Gate::new(place.address(), key.token.clone()));
        let page = place.serve(routes(counter, gate));
        key.write(&state)?;
        Ok(Self {
            key,
            state,
            _page: page,
            _lan: lan,
        })
    }

    /// The state folder, where its key is.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.key.address
    }

    /// The address that opens it.
    #[must_use]
    pub fn url(&self) -> Secret {
        self.key.url()
    }
}

/// The place of the page, or another one if that is taken.
async fn take_place(address: SocketAddr) -> Result<Place, PageError> {
    match Page::bind(address).await {
        Err(PageError::Listen { cause, .. }) if cause.kind() == ErrorKind::AddrInUse => {
            tracing::warn!(
                port = address.port(),
                "the port of the status page is taken, perhaps by another ringfence: the page is at a free one. To do: set page.listen"
            );
            Page::bind(SocketAddr::new(address.ip(), 0)).await
        }
        place => place,
    }
}

/// What hands settings to phones: on the page, and on the network if that is switched on.
async fn open_office(
    page: &Place,
    mut board: Board,
) -> Result<(Arc<Provisioner>, Option<Lan>), FrontError> {
    let provisioner = |board: Board, desks| {
        Arc::new(Provisioner {
            office: Office::default(),
            here: format!("http://{}", page.address()),
            lan: board.lan_base(),
            desks,
            board,
        })
    };
    let Some(network) = board.provisioning.clone() else {
        return Ok((provisioner(board, None), None));
    };
    let place = Place::on_network(network.listen).await?;
    board.lan = Some(place.address());
    let desks = Desks::new(key::lasting(&board.state)?, network.desks);
    let provisioner = provisioner(board, Some(desks));
    let lan = Lan::open(place, network.plug_and_play, Arc::clone(&provisioner)).await;
    Ok((provisioner, Some(lan.map_err(FrontError::Plug)?)))
}

impl Drop for Front {
    fn drop(&mut self) {
        // Left behind, it opens nothing.
        drop(std::fs::remove_file(key::file(&self.state)));
    }
}

fn routes(counter: Arc<Counter>, gate: Arc<Gate>) -> Router {
    let phones = phone_setup::counter(Arc::clone(&counter.provisioner));
    routes::routes()
        .route("/api/status", get(status))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(middleware::from_fn_with_state(gate, guard))
        .with_state(counter)
        .merge(phones)
}

async fn status(State(counter): Shared) -> Response {
    match counter.look().await {
        Some((picture, evidence)) => {
            let uptime = counter.opened.elapsed().as_secs();
            Json(report(&picture, counter.board(), &evidence, uptime)).into_response()
        }
        None => away(),
    }
}

/// The engine stops, or is too busy to answer.
pub(super) fn away() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "The engine does not answer.\n",
    )
        .into_response()
}

impl Counter {
    /// The engine, and the evidence on the disk.
    pub(super) async fn look(&self) -> Option<(Box<Snapshot>, Vec<EvidenceFile>)> {
        let picture = self.enquiry.picture().await?;
        let folder = EvidenceFolder::of(&self.board().state);
        let evidence = spawn_blocking(move || folder.list()).await;
        // What cannot be read is said by `ringfence evidence`.
        let evidence = evidence.ok().and_then(Result::ok).unwrap_or_default();
        Some((picture, evidence))
    }

    pub(super) fn board(&self) -> &Board {
        &self.provisioner.board
    }

    pub(super) fn scene<'a>(
        &'a self,
        picture: &'a Snapshot,
        evidence: &'a [EvidenceFile],
    ) -> Scene<'a> {
        Scene {
            picture,
            board: self.board(),
            evidence,
        }
    }
}
