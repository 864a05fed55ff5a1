//! What the shell exchanges with neighbours other than TURN servers: phones, Nostr relays, the phone book. Each file here is the
//! only one that knows its library. TURN clients are in [`crate::turn`], the status page's server in `page`.

pub mod audit;
pub mod book;
pub mod certificate_fault;
pub(crate) mod http;
pub(crate) mod network;
pub mod outbound;
pub mod phone;
pub mod ports;
pub mod relay;
pub(crate) mod resilient_recv;
pub(crate) mod rtp_ports;
pub mod socks;
#[cfg(test)]
pub(crate) mod test_proxy;
#[cfg(test)]
pub(crate) mod test_tls;
pub mod tls;
