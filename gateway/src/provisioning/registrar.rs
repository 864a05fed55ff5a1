//! What stands when the engine starts and what its page must know besides the engine's own state: where phones register, the names
//! and accounts of the lines, and where evidence lies.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ringfence_media::Srtp;
use ringfence_phonebook::Number;
use tokio_rustls::rustls::ServerConfig;

use crate::config::{Config, Provisioning};
use crate::net::phone::certificate;
use crate::run::gateway::Gateway;
use crate::state::keystore::{LineFile, SipAccount};

/// The facts of a running engine.
#[derive(Clone, Debug)]
pub struct Board {
    /// The state folder.
    pub state: PathBuf,
    /// The lines.
    pub lines: Vec<BoardLine>,
    /// Where phones register over UDP, TCP and TLS.
    pub sip: [Vec<SocketAddr>; 3],
    /// Whether sound between phones and this machine is encrypted.
    pub srtp: Srtp,
    /// A certificate of the user's own, which phones may trust by themselves.
    pub certificate: Option<Arc<ServerConfig>>,
    /// Host names of this machine that phones dial.
    pub names: Vec<String>,
    /// Where phones on the network fetch their settings, if they may.
    pub lan: Option<SocketAddr>,
    /// How they do.
    pub provisioning: Option<Provisioning>,
}

/// What a line is called, and what a phone must know to register.
#[derive(Clone, Debug)]
pub struct BoardLine {
    /// Its number.
    pub number: Number,
    /// What the owner calls it.
    pub name: Option<String>,
    /// The SIP account.
    pub account: SipAccount,
}

impl Board {
    /// The board of a gateway that was started with these settings and lines.
    #[must_use]
    pub fn of(config: &Config, lines: &[LineFile], gateway: &Gateway) -> Self {
        let line = |line: &LineFile| BoardLine {
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
            names: config.sip.names.clone(),
            lan: config.provisioning.as_ref().map(|network| network.listen),
            provisioning: config.provisioning.clone(),
        }
    }

    /// The name for which the user's own certificate is.
    pub(crate) fn own_name(&self) -> Option<&str> {
        self.names
            .first()
            .filter(|_| self.certificate.is_some())
            .map(String::as_str)
    }

    /// The line with this number.
    #[must_use]
    pub fn line(&self, number: Number) -> Option<&BoardLine> {
        self.lines.iter().find(|line| line.number == number)
    }
}

/// It was read when phones were first listened to, so that it can be read.
fn own_certificate(config: &Config) -> Option<Arc<ServerConfig>> {
    config.sip.certificate.as_ref()?;
    certificate::server(&config.certificate()).ok()
}
