//! The provisioning server for phones on the local network. It serves only settings by one-time links, settings of desk phones below a
//! secret path, and the certificate to trust. If the settings ask for it, it also answers phones that search the network by multicast
//! (`pnp`, experimental).
//!
//! With the user's own certificate it speaks only HTTPS. Otherwise it speaks plain HTTP, because a new phone does not trust the engine's
//! certificate authority yet: another machine in the network can then read the password of a line while a phone fetches it. The log says so.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rand::RngExt;
use ringfence_daemon::page::{Page, PageListener};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::pnp::answer;
use super::service::{ProvisioningService, fetch_by_desk_phone, link_routes};
use crate::net::phone::authority::authority_file;

/// The multicast group that new phones ask (IANA: "sip.mcast.net"), at SIP's port.
const SIP_MULTICAST: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 75);
const SIP_PORT: u16 = 5_060;

/// Largest datagram that is read; a phone's SUBSCRIBE is below 1 kB.
const DATAGRAM: usize = 4_096;

/// The open server. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct NetworkServer {
    _page: Page,
    pnp: Option<JoinHandle<()>>,
}

impl NetworkServer {
    /// Serves phones on the network.
    pub(crate) async fn open(
        bound: PageListener,
        plug_and_play: bool,
        service: Arc<ProvisioningService>,
    ) -> std::io::Result<Self> {
        let (registrar, at) = (&service.registrar, bound.address().ip());
        let certificate = registrar.certificate.clone();
        let base = registrar.lan_base().unwrap_or_default();
        warn_exposed(plug_and_play, certificate.is_some());
        let pnp = if plug_and_play {
            let sockets = PnpSockets::open(at).await?;
            Some(tokio::spawn(sockets.serve(Arc::clone(&service), base)))
        } else {
            None
        };
        let routes = routes(service);
        let page = match certificate {
            Some(certificate) => bound.serve_secured(routes, certificate),
            None => bound.serve(routes),
        };
        Ok(Self { _page: page, pnp })
    }
}

impl Drop for NetworkServer {
    fn drop(&mut self) {
        if let Some(pnp) = &self.pnp {
            pnp.abort();
        }
    }
}

/// Warns in the log of what other machines can fetch.
fn warn_exposed(plug_and_play: bool, is_secured: bool) {
    if is_secured {
        tracing::warn!("phones on the network can fetch their settings, with passwords, over TLS");
    } else {
        tracing::warn!(
            "phones on the network can fetch their settings, with passwords, unencrypted: another machine that listens meanwhile can use their lines"
        );
    }
    if plug_and_play {
        tracing::warn!(
            "a machine that sends the hardware address of a desk phone in the settings is told where its password is. To do: switch plug_and_play off when all phones are set up"
        );
    }
}

fn routes(service: Arc<ProvisioningService>) -> Router {
    let phones = link_routes(Arc::clone(&service));
    Router::new()
        .route("/p/{secret}/{file}", get(fetch_by_desk_phone))
        .route("/ca.pem", get(authority))
        .with_state(service)
        .merge(phones)
}

/// The certificate authority that phones must trust. It is public.
async fn authority(State(service): State<Arc<ProvisioningService>>) -> Response {
    let pem = tokio::fs::read(authority_file(&service.registrar.state)).await;
    match pem {
        Ok(pem) => ([(CONTENT_TYPE, "application/x-pem-file")], pem).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The socket of the multicast group, and the one that answers.
struct PnpSockets {
    multicast: UdpSocket,
    own: UdpSocket,
}

impl PnpSockets {
    #[expect(
        clippy::disallowed_methods,
        reason = "sockets towards phones on the network, when the user has switched that on"
    )]
    async fn open(at: IpAddr) -> std::io::Result<Self> {
        let IpAddr::V4(interface) = at else {
            let why = "plug and play needs an IPv4 address in provisioning.listen";
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, why));
        };
        let multicast = UdpSocket::bind((SIP_MULTICAST, SIP_PORT)).await?;
        multicast.join_multicast_v4(SIP_MULTICAST, interface)?;
        let own = UdpSocket::bind((at, 0)).await?;
        Ok(Self { multicast, own })
    }

    async fn serve(self, service: Arc<ProvisioningService>, base: String) {
        let Self { multicast, own } = self;
        let Ok(local) = own.local_addr() else {
            return;
        };
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let Ok((length, phone)) = multicast.recv_from(&mut datagram).await else {
                continue;
            };
            let mark = hex::encode(rand::rng().random::<[u8; 8]>());
            let found = service
                .desk_phones
                .as_ref()
                .and_then(|phones| answer(datagram.get(..length)?, phones, (local, &base), &mark));
            if let Some(found) = found {
                tracing::info!("told a new desk phone where its settings are");
                // A phone that gets no answer asks again, so a failed send needs no handling.
                let _ = own.send_to(&found.accepted, phone).await;
                let _ = own.send_to(&found.notice, phone).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::Request;
    use hyper::header::HOST;

    use super::*;
    use crate::net::http::HttpConnection;
    use crate::net::outbound::{Destination, Outbound};
    use crate::net::phone::certificate::{CertificateNames, CertificateSource, server};
    use crate::net::socks::Circuit;
    use crate::net::tls;

    #[tokio::test]
    async fn with_a_certificate_nothing_is_served_unencrypted() {
        let folder = tempfile::tempdir().unwrap();
        let source = CertificateSource::Own {
            folder: folder.path().into(),
            names: CertificateNames::default(),
        };
        let config = server(&source).unwrap();
        let bound = PageListener::on_network(([127, 0, 0, 1], 0).into())
            .await
            .unwrap();
        let address = bound.address();
        let routes = Router::new().route("/", get(async || "well"));
        let _page = bound.serve_secured(routes, config);
        let authority = authority_file(folder.path());
        let outbound = Outbound::new(tls::client(Some(&authority)).unwrap(), None);
        let ask = async |is_tls| {
            let to = Destination {
                host: address.ip().to_string(),
                port: address.port(),
                is_tls,
            };
            let stream = outbound.connect(&to, &Circuit::random()).await.unwrap();
            let mut connection = HttpConnection::over(stream).await.unwrap();
            let request = Request::get("/").header(HOST, address.to_string());
            let request = request.body(Full::default()).unwrap();
            connection.ask(request, 1_024).await
        };
        assert_eq!(ask(true).await.unwrap().body, b"well");
        assert!(ask(false).await.is_err());
    }
}
