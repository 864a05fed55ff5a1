//! The sockets that phones talk to: SIP over UDP, TCP and TLS (RFC 3261 18), bytes only.
//!
//! The engine interprets messages. This folder opens the sockets and sends bytes on the right flow; `stream` serves connections,
//! `connection_limiter` counts them, `certificate` is what phones see over TLS.

pub(crate) mod authority;
pub mod certificate;
mod connection_limiter;
mod stream;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ringfence_sip::{Flow, Transport};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::resilient_recv::recv_resilient;
use connection_limiter::{ConnectionLimiter, MOST_CONNECTIONS};
use stream::StreamAcceptor;

/// Messages of all phones that wait for the engine. Further UDP messages are dropped, as by a full socket buffer (phones repeat
/// them), and TCP connections wait.
const INBOX: usize = 1_024;

/// Largest UDP datagram.
const DATAGRAM: usize = 65_535;

/// An input from a phone.
#[derive(Debug)]
pub(crate) enum PhoneInput {
    /// One whole message.
    Message(Flow, Vec<u8>),
    /// A connection ended.
    Closed(Flow),
}

/// An address at which SIP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for phones at {transport} {addr}: {error}")]
pub struct ListenError {
    /// `udp`, `tcp` or `tls`.
    pub transport: &'static str,
    /// The address that was asked for.
    pub addr: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl ListenError {
    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self.error.kind() {
            io::ErrorKind::AddrInUse => "another program (perhaps another ringfence) uses this port: stop it, or set sip.udp_port, sip.tcp_port and sip.tls_port to others",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address: correct sip.listen",
            io::ErrorKind::PermissionDenied => "ports below 1024 need special rights: choose a higher one",
            _ => "check the [sip] settings",
        }
        .to_owned()
    }
}

/// Where to listen. A port of 0 takes a free one.
#[derive(Clone, Debug)]
pub struct Listen {
    /// For datagrams.
    pub udp: Vec<SocketAddr>,
    /// For streams.
    pub tcp: Vec<SocketAddr>,
    /// For encrypted streams.
    pub tls: Vec<SocketAddr>,
    /// The certificate that phones see over TLS.
    pub certificate: Arc<ServerConfig>,
}

/// All sockets towards phones.
#[derive(Debug)]
pub(crate) struct PhoneSockets {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    tcp: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    connections: BTreeMap<u64, mpsc::Sender<Vec<u8>>>,
    limiter: Arc<ConnectionLimiter>,
    opened: mpsc::Receiver<(u64, mpsc::Sender<Vec<u8>>)>,
    inbox: mpsc::Receiver<PhoneInput>,
    tasks: Vec<JoinHandle<()>>,
}

impl PhoneSockets {
    /// Opens the sockets.
    pub(crate) async fn listen(listen: &Listen) -> Result<Self, ListenError> {
        let (into, inbox) = mpsc::channel(INBOX);
        let (tell, opened) = mpsc::channel(MOST_CONNECTIONS);
        let mut sockets = Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: Vec::new(),
            connections: BTreeMap::new(),
            limiter: Arc::default(),
            opened,
            inbox,
            tasks: Vec::new(),
        };
        for addr in &listen.udp {
            let refused = |error| refused("udp", *addr, error);
            let socket = Arc::new(bind_udp(*addr).await.map_err(refused)?);
            let local = socket.local_addr().map_err(refused)?;
            let reader = read_datagrams(local, Arc::clone(&socket), into.clone());
            sockets.tasks.push(tokio::spawn(reader));
            sockets.udp.push((local, socket));
        }
        let reception = StreamAcceptor {
            into,
            tell,
            limiter: Arc::clone(&sockets.limiter),
        };
        for addr in &listen.tcp {
            let refused = |error| refused("tcp", *addr, error);
            let listener = bind_tcp(*addr).await.map_err(refused)?;
            sockets.tcp.push(listener.local_addr().map_err(refused)?);
            let accepting = reception.clone().accept(listener, None);
            sockets.tasks.push(tokio::spawn(accepting));
        }
        for addr in &listen.tls {
            let refused = |error| refused("tls", *addr, error);
            let listener = bind_tcp(*addr).await.map_err(refused)?;
            sockets.tls.push(listener.local_addr().map_err(refused)?);
            let acceptor = TlsAcceptor::from(Arc::clone(&listen.certificate));
            let accepting = reception.clone().accept(listener, Some(acceptor));
            sockets.tasks.push(tokio::spawn(accepting));
        }
        Ok(sockets)
    }

    /// Where phones register over UDP.
    pub(crate) fn udp_addrs(&self) -> Vec<SocketAddr> {
        self.udp.iter().map(|(addr, _)| *addr).collect()
    }

    /// Where phones register over TCP.
    pub(crate) fn tcp_addrs(&self) -> Vec<SocketAddr> {
        self.tcp.clone()
    }

    /// Where phones register over TLS.
    pub(crate) fn tls_addrs(&self) -> Vec<SocketAddr> {
        self.tls.clone()
    }

    /// The next message of any phone. May be cancelled without loss.
    pub(crate) async fn recv(&mut self) -> Option<PhoneInput> {
        loop {
            tokio::select! {
                biased;
                Some((id, outbox)) = self.opened.recv() => {
                    self.connections.insert(id, outbox);
                }
                input = self.inbox.recv() => {
                    if let Some(PhoneInput::Closed(flow)) = &input {
                        self.connections.remove(&flow.connection);
                    }
                    return input;
                }
            }
        }
    }

    /// Sends bytes to a phone. Never waits: a datagram that does not fit is lost, and a TCP phone that does not read is disconnected.
    pub(crate) fn send(&mut self, flow: Flow, bytes: Vec<u8>) {
        match flow.transport {
            Transport::Udp => {
                let socket = self.udp.iter().find(|(local, _)| *local == flow.local);
                if let Some((_, socket)) = socket
                    && let Err(error) = socket.try_send_to(&bytes, flow.peer)
                {
                    tracing::debug!(kind = ?error.kind(), "a datagram to a phone was lost");
                }
            }
            Transport::Tcp | Transport::Tls => {
                let outbox = self.connections.get(&flow.connection);
                if outbox.is_some_and(|outbox| outbox.try_send(bytes).is_err()) {
                    self.close(flow);
                }
            }
        }
    }

    /// Records whether a phone is registered over a flow: then its connection is the last to be closed for another.
    pub(crate) fn note(&self, flow: Flow, is_registered: bool) {
        self.limiter.note(flow.connection, is_registered);
    }

    /// Closes a phone's connection. Dropping its outbox ends the task that serves it.
    pub(crate) fn close(&mut self, flow: Flow) {
        self.connections.remove(&flow.connection);
    }
}

impl Drop for PhoneSockets {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn refused(transport: &'static str, addr: SocketAddr, error: io::Error) -> ListenError {
    ListenError {
        transport,
        addr,
        error,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a socket towards phones, not towards the world"
)]
async fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr).await?;
    // Before its first event, tokio takes a socket for not writable, and `try_send_to` would refuse.
    socket.writable().await?;
    Ok(socket)
}

async fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

async fn read_datagrams(local: SocketAddr, socket: Arc<UdpSocket>, into: mpsc::Sender<PhoneInput>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, peer) =
            recv_resilient(&socket, || socket.try_recv_from(&mut buffer), |_| {}).await;
        let Some(bytes) = buffer.get(..length) else {
            continue;
        };
        let flow = Flow {
            transport: Transport::Udp,
            local,
            peer,
            connection: 0,
        };
        let full = into.try_send(PhoneInput::Message(flow, bytes.to_vec()));
        match full {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::debug!("too many messages from phones: one dropped");
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::pki_types::ServerName;

    use super::*;
    use crate::net::phone::authority::authority_file;
    use crate::net::phone::certificate::{CertificateNames, CertificateSource, server};
    use crate::net::tls;

    const SOON: Duration = Duration::from_secs(10);

    /// Sockets on both loopbacks, and the folder of the authority.
    async fn sockets() -> (PhoneSockets, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let source = CertificateSource::Own {
            folder: folder.path().into(),
            names: CertificateNames::default(),
        };
        let at = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        let listen = Listen {
            udp: at.clone(),
            tcp: at.clone(),
            tls: at,
            certificate: server(&source).unwrap(),
        };
        (PhoneSockets::listen(&listen).await.unwrap(), folder)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the phone's end of a connection, not the engine's"
    )]
    async fn dial(addr: SocketAddr) -> TcpStream {
        TcpStream::connect(addr).await.unwrap()
    }

    /// A phone that trusts the authority and dials by this name.
    async fn phone(
        folder: &tempfile::TempDir,
        addr: SocketAddr,
        name: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let trust = tls::client(Some(&authority_file(folder.path()))).unwrap();
        let stream = dial(addr).await;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(trust).connect(name, stream).await
    }

    async fn next(sockets: &mut PhoneSockets) -> PhoneInput {
        timeout(SOON, sockets.recv()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_phone_over_tls_is_heard_and_answered_on_its_own_flow() {
        let (mut sockets, folder) = sockets().await;
        for (addr, name) in sockets.tls_addrs().into_iter().zip(["127.0.0.1", "::1"]) {
            let mut phone = phone(&folder, addr, name).await.unwrap();
            phone.write_all(b"\r\n\r\n").await.unwrap();
            let mut pong = [0; 2];
            phone.read_exact(&mut pong).await.unwrap();
            assert_eq!(&pong, b"\r\n");
            phone
                .write_all(b"OPTIONS sip:a SIP/2.0\r\n\r\n")
                .await
                .unwrap();
            let PhoneInput::Message(flow, _) = next(&mut sockets).await else {
                panic!("a message is expected");
            };
            assert_eq!((flow.transport, flow.local), (Transport::Tls, addr));
            sockets.send(flow, b"SIP/2.0 200 OK\r\n\r\n".to_vec());
            let mut answer = [0; 18];
            phone.read_exact(&mut answer).await.unwrap();
            drop(phone);
            assert!(matches!(next(&mut sockets).await, PhoneInput::Closed(gone) if gone == flow));
        }
    }

    #[tokio::test]
    async fn the_certificate_is_for_loopback_and_nothing_else() {
        let (sockets, folder) = sockets().await;
        let addr = sockets.tls_addrs()[0];
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(phone(&folder, addr, name).await.is_ok(), "{name}");
        }
        for name in ["example.org", "192.0.2.1"] {
            assert!(phone(&folder, addr, name).await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn every_address_is_served_and_told() {
        let (mut sockets, _folder) = sockets().await;
        for addr in sockets.tcp_addrs() {
            let mut phone = dial(addr).await;
            phone
                .write_all(b"OPTIONS sip:a SIP/2.0\r\n\r\n")
                .await
                .unwrap();
            let PhoneInput::Message(flow, _) = next(&mut sockets).await else {
                panic!("a message is expected");
            };
            assert_eq!((flow.transport, flow.local), (Transport::Tcp, addr));
            drop(phone);
            next(&mut sockets).await;
        }
        assert_eq!(sockets.udp_addrs().len(), 2);
    }
}
