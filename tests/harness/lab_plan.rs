//! Where the parts of a fault lab are, and the TURN servers and wires that follow from it.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{coturn::CoturnServer, faulty_wire::FaultyWire, networks::Place};

/// Where the parts of a lab are. Everything is on loopback by default.
#[derive(Clone, Copy, Debug)]
pub struct LabPlan<'a> {
    /// The address of the servers.
    pub servers: Ipv4Addr,
    /// A further address of the TURN servers, which relay IPv4 alone. No wire is before it.
    pub turn_ipv6: Option<Ipv6Addr>,
    /// Whether an engine's settings name the other engine's TURN server too, and both over TCP as well; on loopback only. Each engine
    /// uses one of the two by lot. Otherwise they name its own over UDP.
    pub names_both: bool,
    /// Whether engines reach their TURN servers over TLS alone.
    pub is_tls: bool,
    /// Further settings of the TURN servers.
    pub turn_settings: &'a [&'a str],
    /// Where the first engine and its phones are, if not in the place of all others.
    pub first: Option<&'a Place>,
}

impl Default for LabPlan<'_> {
    fn default() -> Self {
        Self {
            servers: Ipv4Addr::LOCALHOST,
            turn_ipv6: None,
            names_both: false,
            is_tls: false,
            turn_settings: &[],
            first: None,
        }
    }
}

impl LabPlan<'_> {
    /// Starts the engines' TURN servers.
    pub(crate) fn start_turn(&self) -> [CoturnServer; 2] {
        if self.is_tls {
            return [(); 2].map(|()| CoturnServer::start_with_tls(self.servers));
        }
        let further = self.turn_settings.iter().map(|line| (*line).to_owned());
        let ipv6 = self.turn_ipv6.map(|ip| format!("listening-ip={ip}"));
        let settings: Vec<_> = further.chain(ipv6).collect();
        [(); 2].map(|()| CoturnServer::start_at(self.servers, &settings))
    }

    /// An engine's wires. Settings tell servers apart by host, so each of two has an address of its own.
    pub(crate) fn turn_wires(&self, own: usize, coturns: &[CoturnServer; 2]) -> Vec<FaultyWire> {
        let servers = [own, 1 - own]
            .into_iter()
            .take(1 + usize::from(self.names_both));
        let wires = servers.map(|server| {
            let host = u8::try_from(10 + 2 * own + server).expect("there are two engines");
            let ip = match self.names_both {
                true => Ipv4Addr::new(127, 0, 0, host),
                false => self.servers,
            };
            FaultyWire::to(coturns[server].address(), ip)
        });
        wires.collect()
    }

    /// The TURN settings of an engine.
    pub(crate) fn turn_section(
        &self,
        own: usize,
        wires: &[FaultyWire],
        coturns: &[CoturnServer; 2],
    ) -> String {
        let (mut urls, mut secrets) = (Vec::new(), Vec::new());
        let ipv6 = self
            .turn_ipv6
            .map(|ip| (ip, coturns[own].address().port()).into());
        let ends = wires.iter().map(FaultyWire::address).zip([own, 1 - own]);
        for (end, server) in ends.chain(ipv6.map(|end| (end, own))) {
            urls.push(match self.is_tls {
                true => format!("\"turns:{end}?transport=tcp\""),
                false => format!("\"turn:{end}?transport=udp\""),
            });
            if self.names_both {
                urls.push(format!("\"turn:{end}?transport=tcp\""));
            }
            secrets.push(format!(
                "\"{}\" = \"{}\"",
                end.ip(),
                coturns[server].secret()
            ));
        }
        let (urls, secrets) = (urls.join(", "), secrets.join(", "));
        format!("urls = [{urls}]\nsecrets = {{ {secrets} }}")
    }

    /// The settings' line with the certificate of an engine's TURN server.
    pub(crate) fn trust(&self, coturn: &CoturnServer) -> String {
        match self.is_tls {
            true => format!("ca_file = \"{}\"", coturn.certificate().display()),
            false => String::new(),
        }
    }
}
