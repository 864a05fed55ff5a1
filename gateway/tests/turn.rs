//! The way to the TURN server, against the embedded one, on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ringfence::config::TurnLogin;
use ringfence::net::tls;
use ringfence::state::secret::Secret;
use ringfence::turn::probe::{TurnProbeError, probe};
use ringfence::turn::servers::TurnServers;
use ringfence::turn::{TurnEndpoint, TurnTarget};
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_media::far::FarLegError;
use tokio::net::TcpListener;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn target(url: &str) -> TurnTarget {
    let endpoint: TurnEndpoint = url.parse().unwrap();
    endpoint.resolve(&tls::client(None).unwrap()).await.unwrap()
}

async fn servers(url: &str, secret: &str, private: bool) -> TurnServers {
    let login = TurnLogin::Shared(Secret::new(secret.to_owned()));
    TurnServers::new(vec![target(url).await], login, private)
}

async fn turn() -> EmbeddedTurn {
    EmbeddedTurn::start(ANY_PORT, TurnSecret::new("right".to_owned()), true)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_right_secret_gets_a_relayed_address_over_udp_and_tcp() {
    let turn = turn().await;
    for transport in ["udp", "tcp"] {
        let url = format!("turn:{}?transport={transport}", turn.local_addr());
        let took = probe(&servers(&url, "right", true).await).await.unwrap();
        assert!(took < Duration::from_secs(5));
    }
    turn.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_final_and_says_what_to_do() {
    let turn = turn().await;
    let url = format!("turn:{}", turn.local_addr());
    let fault = probe(&servers(&url, "wrong", true).await)
        .await
        .unwrap_err();
    assert!(fault.is_final(), "{fault:?}");
    assert!(fault.remedy().contains("turn.secret"));
}

#[tokio::test]
async fn a_private_relayed_address_is_refused_unless_allowed() {
    let turn = turn().await;
    let url = format!("turn:{}", turn.local_addr());
    let fault = probe(&servers(&url, "right", false).await)
        .await
        .unwrap_err();
    assert_eq!(fault, TurnProbeError::Refused(FarLegError::RelayedAddress));
    assert!(!fault.is_final());
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let url = format!("turn:{}?transport=tcp", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(
        probe(&servers(&url, "right", true).await).await,
        Err(TurnProbeError::Unreachable {
            all: 1,
            why: "connection refused".to_owned()
        })
    );
}
