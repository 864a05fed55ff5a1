//! The Nostr relay and the TURN server of a self-call: embedded ones, or the real ones of the user's settings.

use std::collections::BTreeMap;

use rand::RngExt;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::relay::EmbeddedRelay;
use ringfence_box::turn::service::EmbeddedTurn;

use super::{NetworkServers, StackError, StackOptions};
use crate::config::{TurnLogin, TurnSettings};
use crate::net::outbound::Outbound;
use crate::state::secret::Secret;
use crate::turn::{TurnEndpoint, Wire};

/// The servers of a stack, and those of them that it runs itself.
pub(super) struct Around {
    pub(super) servers: NetworkServers,
    pub(super) relay: Option<EmbeddedRelay>,
    pub(super) turn: Option<EmbeddedTurn>,
}

impl Around {
    pub(super) fn real(servers: NetworkServers) -> Self {
        Self {
            servers,
            relay: None,
            turn: None,
        }
    }

    pub(super) async fn start(options: &StackOptions) -> Result<Self, StackError> {
        let (relay, relay_url) = start_relay(options).await?;
        let (turn, endpoint, secret) = start_turn(options).await?;
        let usual = ringfence_phonebook::config::Config::default();
        let servers = NetworkServers {
            relays: vec![relay_url],
            turn: TurnSettings {
                urls: vec![endpoint],
                login: TurnLogin::Shared(secret),
                secrets: BTreeMap::new(),
                memory: None,
                allow_private: true,
            },
            outbound: Outbound::direct(),
            work_bits: usual.work_bits,
            bucket_bits: usual.bucket_bits,
        };
        Ok(Self {
            servers,
            relay,
            turn,
        })
    }
}

pub(super) fn listed(servers: &[TurnEndpoint]) -> String {
    let texts: Vec<String> = servers.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

async fn start_relay(
    options: &StackOptions,
) -> Result<(Option<EmbeddedRelay>, String), StackError> {
    match &options.relay {
        Some(url) => Ok((None, url.clone())),
        None => {
            let relay = EmbeddedRelay::start(options.any_port()).await?;
            let url = relay.url();
            Ok((Some(relay), url))
        }
    }
}

async fn start_turn(
    options: &StackOptions,
) -> Result<(Option<EmbeddedTurn>, TurnEndpoint, Secret), StackError> {
    match &options.turn {
        Some((endpoint, secret)) => Ok((None, endpoint.clone(), secret.clone())),
        None => {
            let secret = hex::encode(rand::rng().random::<[u8; 16]>());
            let shared = TurnSecret::new(secret.clone());
            let turn = EmbeddedTurn::start(options.any_port(), shared, true).await?;
            let addr = turn.local_addr();
            let endpoint = TurnEndpoint {
                host: addr.ip().to_string(),
                port: addr.port(),
                wire: Wire::Udp,
            };
            Ok((Some(turn), endpoint, Secret::new(secret)))
        }
    }
}
