//! The engine as a registrar: where phones register, the names and SIP accounts of the lines, and how phones on the network are set
//! up. All of it is fixed when the engine starts.

use std::net::SocketAddr;
use std::sync::Arc;

use ringfence_book::Number;
use ringfence_media::Srtp;
use tokio_rustls::rustls::ServerConfig;

use crate::config::{Config, Provisioning};
use crate::net::outbound::Outbound;
use crate::net::phone::certificate;
use crate::run::gateway::Gateway;
use crate::state::folder::StateFolder;
use crate::state::keystore::{LineFile, SipAccount};

/// What phones must know to register, and the names and accounts of the lines.
#[derive(Clone, Debug)]
pub struct RegistrarInfo {
    /// The state folder.
    pub state: StateFolder,
    /// The lines.
    pub lines: Vec<LineAccount>,
    /// Where phones register over UDP, TCP and TLS.
    pub sip: [Vec<SocketAddr>; 3],
    /// Whether media between phones and this machine are encrypted.
    pub srtp: Srtp,
    /// The user's own certificate, if there is one; phones may trust it without the engine's authority.
    pub certificate: Option<Arc<ServerConfig>>,
    /// The way to relays and phone book, perhaps through a proxy.
    pub outbound: Outbound,
    /// Host names of this machine that phones register at.
    pub names: Vec<String>,
    /// Where phones on the network fetch their settings; `None` if that is off.
    pub lan: Option<SocketAddr>,
    /// The settings of `[provisioning]`.
    pub provisioning: Option<Provisioning>,
}

/// A line's name and SIP account.
#[derive(Clone, Debug)]
pub struct LineAccount {
    /// Its number.
    pub number: Number,
    /// What the owner calls it.
    pub name: Option<String>,
    /// The SIP account.
    pub account: SipAccount,
}

impl RegistrarInfo {
    /// Of a gateway that was started with these settings and lines.
    #[must_use]
    pub fn of(config: &Config, lines: &[LineFile], gateway: &Gateway) -> Self {
        let line = |line: &LineFile| LineAccount {
            number: Number::new(line.number),
            name: line.name.clone(),
            account: line.account.clone(),
        };
        Self {
            state: config.state.clone(),
            lines: lines.iter().map(line).collect(),
            sip: [gateway.udp(), gateway.tcp(), gateway.tls()].map(<[SocketAddr]>::to_vec),
            srtp: config.sip.srtp,
            certificate: own_certificate(config),
            outbound: gateway.outbound().clone(),
            names: config.sip.names.clone(),
            lan: config.provisioning.as_ref().map(|network| network.listen),
            provisioning: config.provisioning.clone(),
        }
    }

    /// The host name in the user's own certificate.
    pub(crate) fn own_name(&self) -> Option<&str> {
        self.names
            .first()
            .filter(|_| self.certificate.is_some())
            .map(String::as_str)
    }

    /// The line with this number.
    #[must_use]
    pub fn line(&self, number: Number) -> Option<&LineAccount> {
        self.lines.iter().find(|line| line.number == number)
    }
}

/// The gateway has read it before, so a failure here is not expected.
fn own_certificate(config: &Config) -> Option<Arc<ServerConfig>> {
    config.sip.certificate.as_ref()?;
    certificate::server(&config.certificate()).ok()
}
