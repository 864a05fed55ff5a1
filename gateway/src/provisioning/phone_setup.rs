//! What a phone must know to register: its account, and the server as it is reached from where the phone is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ringfence_media::Srtp;

use super::{Order, Place, Wire};
use crate::net::phone::certificate::authority_file;
use crate::provisioning::registrar::{Board, BoardLine};

/// A server as a phone's settings name it.
pub(crate) struct Server {
    /// A name, or an address; IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Everything that a phone must know.
pub(crate) struct Setup<'a> {
    pub(crate) line: &'a BoardLine,
    /// Where it registers.
    pub(crate) server: Server,
    /// Whether it is on this machine.
    pub(crate) is_here: bool,
    pub(crate) wire: Wire,
    pub(crate) srtp: Srtp,
    pub(crate) realm: String,
    /// What the certificate of the engine is checked with: a file on this machine, or nothing but what the phone trusts anyhow.
    pub(crate) authority: Option<PathBuf>,
    /// Whether the phone can check the certificate at all.
    pub(crate) checks: bool,
    /// Where the phone fetches the authority's certificate, if it can.
    pub(crate) authority_url: Option<String>,
    /// Other lines of this engine, for lamps.
    pub(crate) others: Vec<&'a BoardLine>,
}

impl Board {
    /// Where phones in this place register over this wire.
    pub(crate) fn server(&self, place: Place, wire: Wire) -> Option<SocketAddr> {
        let addresses = match wire {
            Wire::Udp => &self.sip[0],
            Wire::Tcp => &self.sip[1],
            Wire::Tls => &self.sip[2],
        };
        let mut fitting = addresses.iter().filter(|address| match place {
            Place::Here => address.ip().is_loopback(),
            Place::Lan => !address.ip().is_loopback(),
        });
        let lan = self.lan.map(|lan| lan.ip());
        let best = fitting.clone().find(|address| Some(address.ip()) == lan);
        best.or_else(|| fitting.next()).copied()
    }

    /// What a phone must know for this order; `None` if there is no such line, or nothing listens in that place.
    pub(crate) fn setup(&self, order: &Order) -> Option<Setup<'_>> {
        let line = self.line(order.number)?;
        let is_here = order.place == Place::Here;
        Some(Setup {
            line,
            server: self.named(self.server(order.place, order.wire)?, order),
            is_here,
            wire: order.wire,
            srtp: self.srtp,
            realm: ringfence_engine::Config::default().realm,
            authority: (is_here && self.certificate.is_none()).then(|| authority_file(&self.state)),
            checks: is_here || self.certificate.is_some(),
            authority_url: self
                .lan
                .filter(|_| !is_here && self.certificate.is_none())
                .map(|lan| format!("http://{lan}/ca.pem")),
            others: self
                .lines
                .iter()
                .filter(|other| other.number != line.number)
                .collect(),
        })
    }
}

impl Board {
    /// As a phone is to write an address: by name where the certificate is the user's own, since it hardly names an address.
    fn named(&self, address: SocketAddr, order: &Order) -> Server {
        let is_named = order.place == Place::Lan && order.wire == Wire::Tls;
        let name = self.own_name().filter(|_| is_named);
        let host = name.map_or_else(
            || match address {
                SocketAddr::V4(v4) => v4.ip().to_string(),
                SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            },
            str::to_owned,
        );
        Server {
            host,
            port: address.port(),
        }
    }

    /// What stands before the path of a link for the network.
    pub(crate) fn lan_base(&self) -> Option<String> {
        let lan = self.lan?;
        Some(match (&self.certificate, self.own_name()) {
            (None, _) => format!("http://{lan}"),
            (Some(_), None) => format!("https://{lan}"),
            (Some(_), Some(name)) => format!("https://{name}:{}", lan.port()),
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Setup<'_> {
    /// Whether the phone's sound is to be encrypted: keys that travel in the clear (RFC 4568) are of use only where they must be.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self.srtp {
            Srtp::Off => false,
            Srtp::Optional => self.wire == Wire::Tls,
            Srtp::Required => true,
        }
    }

    /// Whether the phone may take sound in the clear.
    pub(crate) fn must_encrypt(&self) -> bool {
        self.srtp == Srtp::Required
    }

    /// What the phone shows as its own name.
    pub(crate) fn title(&self) -> String {
        self.line
            .name
            .clone()
            .unwrap_or_else(|| self.line.number.to_string())
    }
}
