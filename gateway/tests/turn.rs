//! The way to the TURN server, against the embedded one, on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rcgen::generate_simple_self_signed;
use ringfence::config::TurnLogin;
use ringfence::net::tls;
use ringfence::state::secret::Secret;
use ringfence::turn::probe::{TurnProbeError, probe};
use ringfence::turn::servers::TurnServers;
use ringfence::turn::{TurnEndpoint, TurnTarget};
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::settings::{RelayTable, TurnProgram, TurnTable};
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_box::{BoxPlan, CommunityBox};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "a client of the server under test"
)]
async fn the_box_gives_relayed_addresses_over_tls_with_either_server() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut programs = vec![TurnProgram::Embedded];
    if ringfence_box::turn::coturn::Coturn::is_installed() {
        programs.push(TurnProgram::Coturn);
    } else {
        assert!(std::env::var_os("CI").is_none(), "coturn is not installed");
    }
    for program in programs {
        let tls_port = {
            let listener = TcpListener::bind(ANY_PORT).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let community = CommunityBox::start(BoxPlan {
            relay: RelayTable::default(),
            work_bits: 0,
            turn_server: TurnTable {
                serve: true,
                program,
                listen: ANY_PORT,
                tls_port,
                tls_certificate: certificate.clone(),
                tls_key: key.clone(),
                allow_private: true,
                ..TurnTable::default()
            },
            turn_secret: Some(TurnSecret::new("right".to_owned())),
            secret_file: None,
            public_name: "localhost".to_owned(),
        })
        .await
        .unwrap();
        let url = format!("turns:localhost:{tls_port}");
        assert!(community.turn_urls().contains(&url), "{program:?}");
        let login = TurnLogin::Shared(Secret::new("right".to_owned()));
        let endpoint: TurnEndpoint = url.parse().unwrap();
        let client = tls::client(Some(&certificate)).unwrap();
        let target = endpoint.resolve(&client).await.unwrap();
        let servers = TurnServers::new(vec![target], login, true);
        probe(&servers).await.unwrap();
        // A client that says nothing keeps no other away.
        let _silent = tokio::net::TcpStream::connect(("127.0.0.1", tls_port)).await;
        probe(&servers).await.unwrap();
        community.stop().await;
    }
}
