//! What a phone needs to register: its account, and the engine's address as the phone can reach it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ringfence_media::Srtp;

use super::{PhoneLocation, PhoneTransport, SetupRequest};
use crate::net::phone::authority::authority_file;
use crate::provisioning::registrar::{LineAccount, RegistrarInfo};

/// A server as a phone's settings name it.
pub(crate) struct RegistrarAddress {
    /// A name, or an address; IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Everything that a phone's settings contain.
pub(crate) struct PhoneSetup<'a> {
    pub(crate) line: &'a LineAccount,
    /// Where it registers.
    pub(crate) server: RegistrarAddress,
    /// Whether it is on this machine.
    pub(crate) is_here: bool,
    pub(crate) transport: PhoneTransport,
    pub(crate) srtp: Srtp,
    pub(crate) realm: &'static str,
    /// The file of the engine's certificate authority on this machine; `None` if the phone must use the authorities that it trusts.
    pub(crate) authority: Option<PathBuf>,
    /// Whether the phone can check the certificate at all.
    pub(crate) checks: bool,
    /// The URL of the authority's certificate; `None` if the phone needs none.
    pub(crate) authority_url: Option<String>,
    /// The other lines of this engine, for busy lamps.
    pub(crate) others: Vec<&'a LineAccount>,
}

impl RegistrarInfo {
    /// Where phones at this location register over this transport.
    pub(crate) fn server(
        &self,
        location: PhoneLocation,
        transport: PhoneTransport,
    ) -> Option<SocketAddr> {
        let addresses = match transport {
            PhoneTransport::Udp => &self.sip[0],
            PhoneTransport::Tcp => &self.sip[1],
            PhoneTransport::Tls => &self.sip[2],
        };
        let mut fitting = addresses.iter().filter(|address| match location {
            PhoneLocation::Here => address.ip().is_loopback(),
            PhoneLocation::Lan => !address.ip().is_loopback(),
        });
        let lan = self.lan.map(|lan| lan.ip());
        let best = fitting.clone().find(|address| Some(address.ip()) == lan);
        best.or_else(|| fitting.next()).copied()
    }

    /// The settings for a phone; `None` if there is no such line, or the engine does not listen where the phone is.
    pub(crate) fn phone_setup(&self, request: &SetupRequest) -> Option<PhoneSetup<'_>> {
        let line = self.line(request.number)?;
        let is_here = request.location == PhoneLocation::Here;
        Some(PhoneSetup {
            line,
            server: self.named(self.server(request.location, request.transport)?, request),
            is_here,
            transport: request.transport,
            srtp: self.srtp,
            realm: ringfence_engine::REALM,
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

impl RegistrarInfo {
    /// The server as a phone must write it: by name with the user's own certificate over TLS, which rarely contains an address.
    fn named(&self, address: SocketAddr, request: &SetupRequest) -> RegistrarAddress {
        let is_named =
            request.location == PhoneLocation::Lan && request.transport == PhoneTransport::Tls;
        let name = self.own_name().filter(|_| is_named);
        let host = name.map_or_else(
            || match address {
                SocketAddr::V4(v4) => v4.ip().to_string(),
                SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
            },
            str::to_owned,
        );
        RegistrarAddress {
            host,
            port: address.port(),
        }
    }

    /// The URL before the path of links for the network.
    pub(crate) fn lan_base(&self) -> Option<String> {
        let lan = self.lan?;
        Some(match (&self.certificate, self.own_name()) {
            (None, _) => format!("http://{lan}"),
            (Some(_), None) => format!("https://{lan}"),
            (Some(_), Some(name)) => format!("https://{name}:{}", lan.port()),
        })
    }
}

impl fmt::Display for RegistrarAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl PhoneSetup<'_> {
    /// Whether the phone encrypts media. Without TLS, SRTP keys (RFC 4568) travel unencrypted, so SRTP is used then only if required.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self.srtp {
            Srtp::Off => false,
            Srtp::Optional => self.transport == PhoneTransport::Tls,
            Srtp::Required => true,
        }
    }

    /// Whether the phone must refuse unencrypted media.
    pub(crate) fn must_encrypt(&self) -> bool {
        self.srtp == Srtp::Required
    }

    /// The name that the phone displays for the line.
    pub(crate) fn title(&self) -> String {
        self.line
            .name
            .clone()
            .unwrap_or_else(|| self.line.number.to_string())
    }
}
