//! What phones on the network are given, and nothing else: settings by one-time links, settings of desk phones below a secret path,
//! and the certificate to trust. And, when it is switched on, the answer to phones that ask the whole network (`provision::plug`).
//!
//! With a certificate of the user's own it is HTTPS alone. Otherwise it travels as plain HTTP, since a new phone trusts no certificate of
//! the engine's making: whoever listens to the network in that moment sees the password of a line. The log says so.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rand::RngExt;
use ringfence_phonebook::duty::page::{Page, Place};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::service::{self, Provisioner};
use crate::net::phone::certificate::authority_file;
use crate::provisioning::answer;

/// Where new phones ask (IANA: "SIP", 224.0.1.75), at SIP's port.
const ALL_SIP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 75);
const SIP_PORT: u16 = 5_060;

/// A question of a phone is below 1 kB.
const DATAGRAM: usize = 4_096;

/// The open service. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Lan {
    _page: Page,
    plug: Option<JoinHandle<()>>,
}

impl Lan {
    /// Serves the network.
    pub(super) async fn open(
        place: Place,
        plug_and_play: bool,
        provisioner: Arc<Provisioner>,
    ) -> std::io::Result<Self> {
        let (board, at) = (&provisioner.board, place.address().ip());
        let certificate = board.certificate.clone();
        let base = board.lan_base().unwrap_or_default();
        tell(plug_and_play, certificate.is_some());
        let plug = if plug_and_play {
            let sockets = Sockets::open(at).await?;
            Some(tokio::spawn(sockets.serve(Arc::clone(&provisioner), base)))
        } else {
            None
        };
        let routes = routes(provisioner);
        let page = match certificate {
            Some(certificate) => place.serve_secured(routes, certificate),
            None => place.serve(routes),
        };
        Ok(Self { _page: page, plug })
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if let Some(plug) = &self.plug {
            plug.abort();
        }
    }
}

/// What is exposed, so that nobody has to guess.
fn tell(plug_and_play: bool, is_secured: bool) {
    if is_secured {
        tracing::warn!("phones on the network can fetch their settings, with passwords, over TLS");
    } else {
        tracing::warn!(
            "phones on the network can fetch their settings, with passwords, unencrypted: whoever listens there when they do can use their lines"
        );
    }
    if plug_and_play {
        tracing::warn!(
            "whoever sends the hardware address of a desk phone of the settings is told where its password is. To do: switch plug_and_play off when all phones are set up"
        );
    }
}

fn routes(provisioner: Arc<Provisioner>) -> Router {
    let phones = service::counter(Arc::clone(&provisioner));
    Router::new()
        .route("/p/{secret}/{file}", get(service::desk))
        .route("/ca.pem", get(authority))
        .with_state(provisioner)
        .merge(phones)
}

/// What phones are to trust. It is no secret.
async fn authority(State(provisioner): State<Arc<Provisioner>>) -> Response {
    let pem = tokio::fs::read(authority_file(&provisioner.board.state)).await;
    match pem {
        Ok(pem) => ([(CONTENT_TYPE, "application/x-pem-file")], pem).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// One socket that hears what is said to all, and one that answers in our own name.
struct Sockets {
    all: UdpSocket,
    own: UdpSocket,
}

impl Sockets {
    #[expect(
        clippy::disallowed_methods,
        reason = "sockets towards phones on the network, when the user has switched that on"
    )]
    async fn open(at: IpAddr) -> std::io::Result<Self> {
        let IpAddr::V4(interface) = at else {
            let why = "plug and play needs an IPv4 address in provisioning.listen";
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, why));
        };
        let all = UdpSocket::bind((ALL_SIP, SIP_PORT)).await?;
        all.join_multicast_v4(ALL_SIP, interface)?;
        let own = UdpSocket::bind((at, 0)).await?;
        Ok(Self { all, own })
    }

    async fn serve(self, provisioner: Arc<Provisioner>, base: String) {
        let Self { all, own } = self;
        let Ok(local) = own.local_addr() else {
            return;
        };
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let Ok((length, phone)) = all.recv_from(&mut datagram).await else {
                continue;
            };
            let mark = hex::encode(rand::rng().random::<[u8; 8]>());
            let told = provisioner
                .desks
                .as_ref()
                .and_then(|desks| answer(datagram.get(..length)?, desks, (local, &base), &mark));
            if let Some(told) = told {
                tracing::info!("a new desk phone was told where its settings are");
                // Only to where it asks from; a phone that hears nothing asks again.
                let _ = own.send_to(&told.accepted, phone).await;
                let _ = own.send_to(&told.notice, phone).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::phone::certificate::{CertificateNames, CertificateSource, server};

    #[tokio::test]
    async fn with_a_certificate_nothing_is_served_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let source = CertificateSource::Own {
            folder: folder.path().to_owned(),
            names: CertificateNames::default(),
        };
        let config = server(&source).unwrap();
        let place = Place::on_network(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = place.address();
        let routes = Router::new().route("/", get(async || "well"));
        let _page = place.serve_secured(routes, config);
        let pem = std::fs::read(authority_file(folder.path())).unwrap();
        let trusted = reqwest::Certificate::from_pem(&pem).unwrap();
        let client = reqwest::Client::builder().no_proxy();
        let client = client.add_root_certificate(trusted).build().unwrap();
        let answer = client.get(format!("https://{address}/")).send().await;
        assert_eq!(answer.unwrap().text().await.unwrap(), "well");
        assert!(
            client
                .get(format!("http://{address}/"))
                .send()
                .await
                .is_err()
        );
    }
}
