//! The one socket through which media leaves this machine: to a TURN server over UDP (RFC 8656), TCP or TLS (RFC 7065 URIs).
//!
//! `TurnSocket` is connected to exactly one server, so a stray packet from elsewhere never reaches the engine and nothing can
//! be sent anywhere else. It moves bytes only; the far leg interprets them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::credentials::LoginLease;
use super::endpoint::Wire;
use super::stream::StreamState;
use super::target::TurnTarget;
use crate::net::certificate_fault::CertificateFault;
use crate::net::network::is_own;
use crate::net::resilient_recv::recv_resilient;

/// How long a name look-up, a TCP connection and a TLS handshake may take each. Longer than three SYN retransmissions, shorter
/// than a caller waits.
pub(super) const DIAL_LIMIT: Duration = Duration::from_secs(5);
/// Bytes taken from a stream at once.
const READ_CHUNK: usize = 16 * 1024;
/// Largest datagram that is read: more than an Ethernet frame carries.
const DATAGRAM: usize = 2_048;

/// Why the TURN server cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TurnDialError {
    /// The name has no address.
    #[error("the name of the TURN server {0} has no address")]
    NoSuchName(String),
    /// Nothing answers at that address and port.
    #[error("the TURN server {server} cannot be reached: {kind}")]
    Unreachable {
        /// The server as it was configured.
        server: String,
        /// What the system said.
        kind: ErrorKind,
    },
    /// The server's certificate is refused.
    #[error("the TURN server {server}: {fault}")]
    Certificate {
        /// The server as it was configured.
        server: String,
        /// What is wrong with the certificate.
        fault: Box<CertificateFault>,
    },
    /// No secure connection for another reason: the port speaks no TLS.
    #[error("the TURN server {0} failed the TLS handshake")]
    Tls(String),
}

impl TurnDialError {
    /// What failed without naming the server: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::NoSuchName(_) => "its name has no address".to_owned(),
            Self::Unreachable { kind, .. } => kind.to_string(),
            Self::Certificate { fault, .. } => fault.unnamed(),
            Self::Tls(_) => "the TLS handshake failed".to_owned(),
        }
    }
}

/// Any port of this machine, for packets to `to`.
fn any_port(to: SocketAddr) -> SocketAddr {
    if to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    }
}

/// What happened to a message given to [`TurnSocket::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// The socket accepted it.
    Sent,
    /// The socket is full or closed; the message is lost, as a datagram may be. [`TurnSocket::recv`] reports a closed one.
    Dropped,
    /// The same, and the operating system says that datagrams do not reach the server: its machine answers that nothing listens there, or
    /// this machine has no network.
    Unreachable,
}

/// The connection to one TURN server. The only socket of the process that carries media out of this machine.
#[derive(Debug)]
pub struct TurnSocket {
    pub(super) ends: ConnectionEnds,
    pub(super) path: Path,
}

/// What is known of a connection to a TURN server beside its socket.
#[derive(Debug)]
pub(super) struct ConnectionEnds {
    /// The login of the allocation to which it belongs, in use as long as the socket.
    login: Option<LoginLease>,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Whether an earlier datagram did not reach the server, as the system has said to the receiver since the last one.
    pub(super) is_unreachable: bool,
}

#[derive(Debug)]
pub(super) enum Path {
    Datagrams(UdpSocket),
    Stream(TcpStream, StreamState),
    /// A wire whose other end is in the same runtime, for tests with a clock of their own.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// A stream as it is to be read and written without waiting.
struct Unwaiting<'a>(&'a TcpStream);

impl Read for Unwaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Unwaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl ConnectionEnds {
    pub(super) fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        Self {
            login: None,
            local,
            peer,
            is_unreachable: false,
        }
    }

    /// What became of a datagram.
    pub(super) fn outcome(&mut self, sent: std::io::Result<usize>) -> SendOutcome {
        let was_unreachable = std::mem::take(&mut self.is_unreachable);
        match sent {
            Err(error) if says_unreachable(error.kind()) => SendOutcome::Unreachable,
            _ if was_unreachable => SendOutcome::Unreachable,
            Ok(_) => SendOutcome::Sent,
            Err(_) => SendOutcome::Dropped,
        }
    }
}

impl TurnSocket {
    /// Connects. Takes at most 10 s (TCP and TLS), usually one or two round trips; UDP sends nothing.
    ///
    /// # Errors
    /// [`TurnDialError`] when the server does not accept the connection or its certificate is not trusted.
    pub async fn dial(target: &TurnTarget) -> Result<Self, TurnDialError> {
        match target.endpoint.wire {
            Wire::Udp => Self::dial_udp(target).await,
            Wire::Tcp => {
                let (stream, ends) = connect(target).await?;
                let path = Path::Stream(stream, StreamState::default());
                Ok(Self { ends, path })
            }
            Wire::Tls => {
                let (stream, ends) = connect(target).await?;
                let fault = || TurnDialError::Tls(target.endpoint.to_string());
                let name =
                    ServerName::try_from(target.endpoint.host.clone()).map_err(|_| fault())?;
                let handshake = TlsConnector::from(Arc::clone(&target.tls)).connect(name, stream);
                let secured = timeout(DIAL_LIMIT, handshake).await;
                let stream = secured.map_err(|_| fault())?.map_err(|error| {
                    CertificateFault::of(&error).map_or_else(fault, |refused| {
                        TurnDialError::Certificate {
                            server: target.endpoint.to_string(),
                            fault: Box::new(refused),
                        }
                    })
                })?;
                let (stream, tls) = stream.into_inner();
                let path = Path::Stream(stream, StreamState::over_tls(tls));
                Ok(Self { ends, path })
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that opens a media socket to a server"
    )]
    async fn dial_udp(target: &TurnTarget) -> Result<Self, TurnDialError> {
        let fault = |error: std::io::Error| unreachable_server(target, &error);
        let peer = target.addr();
        let any = any_port(peer);
        let socket = UdpSocket::bind(any).await.map_err(fault)?;
        socket.connect(peer).await.map_err(fault)?;
        // Tokio learns that a socket can be written to from its first event; `try_send` would refuse before.
        socket.writable().await.map_err(fault)?;
        let local = socket.local_addr().map_err(fault)?;
        Ok(Self {
            ends: ConnectionEnds::new(local, peer),
            path: Path::Datagrams(socket),
        })
    }

    /// A connection whose other end is in the same runtime.
    #[cfg(test)]
    pub(super) fn in_memory(
        local: SocketAddr,
        peer: SocketAddr,
        stream: tokio::io::DuplexStream,
    ) -> Self {
        Self {
            ends: ConnectionEnds::new(local, peer),
            path: Path::Memory(stream),
        }
    }

    /// Keeps a login in use until the socket is closed.
    pub(crate) fn hold(&mut self, login: LoginLease) {
        self.ends.login = Some(login);
    }

    /// Notes that the server grants no more allocations to the login of this socket. False if there is no other to be had.
    pub(super) fn note_login_full(&self) -> bool {
        self.ends.login.as_ref().is_some_and(|login| {
            login.note_full(crate::clock::unix_seconds());
            true
        })
    }

    /// This end of the connection. The far leg needs it to label its packets; it is never sent.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.ends.local
    }

    /// The server's end of the connection.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.ends.peer
    }

    /// Whether this end of the connection has an address that this machine still has: otherwise nothing comes back any more.
    pub(crate) fn has_own_address(&self) -> bool {
        is_own(self.ends.local.ip())
    }

    /// Sends one TURN message. Returns at once; a full socket drops the message, because late media is of no use. A stream may keep some
    /// messages until [`Self::recv`] or [`Self::close`] finds it ready.
    pub fn send(&mut self, message: &[u8]) -> SendOutcome {
        match &mut self.path {
            Path::Datagrams(socket) => self.ends.outcome(socket.try_send(message)),
            Path::Stream(socket, state) => {
                state.send(&mut Unwaiting(socket), message, crate::clock::now())
            }
            #[cfg(test)]
            Path::Memory(stream) => match super::memory::write(stream, message) {
                true => SendOutcome::Sent,
                false => SendOutcome::Dropped,
            },
        }
    }

    /// Waits for bytes from the server and puts them into `buffer` (cleared first): one datagram, or whatever the stream gave.
    /// Returns `false` when a stream has closed; datagrams have no end. Cancelling it loses nothing.
    pub async fn recv(&mut self, buffer: &mut Vec<u8>) -> bool {
        match &mut self.path {
            Path::Datagrams(socket) => {
                buffer.clear();
                buffer.reserve(DATAGRAM);
                // The server may be back in a moment, and the far leg has its own timeouts.
                let note = |kind| self.ends.is_unreachable |= says_unreachable(kind);
                recv_resilient(socket, || socket.try_recv_buf(buffer), note).await;
                true
            }
            Path::Stream(socket, state) => {
                buffer.resize(READ_CHUNK, 0);
                let length = recv_stream(socket, state, buffer).await;
                buffer.truncate(length);
                length > 0
            }
            #[cfg(test)]
            Path::Memory(stream) => {
                buffer.clear();
                let read = tokio::io::AsyncReadExt::read_buf(stream, buffer).await;
                read.is_ok_and(|length| length > 0)
            }
        }
    }

    /// Lets accepted messages leave, then closes. Takes at most `limit`.
    pub async fn close(self, limit: Duration) {
        let Path::Stream(socket, mut state) = self.path else {
            return;
        };
        let flushed = async {
            while state.is_waiting() && socket.writable().await.is_ok() {
                state.flush(&mut Unwaiting(&socket));
            }
        };
        timeout(limit, flushed).await.ok();
        state.end(&mut Unwaiting(&socket));
    }
}

/// Reads from a stream, and writes what waits for it; no bytes at its end.
async fn recv_stream(socket: &TcpStream, state: &mut StreamState, buffer: &mut [u8]) -> usize {
    loop {
        state.flush(&mut Unwaiting(socket));
        match state.read(&mut Unwaiting(socket), buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read.unwrap_or(0),
        }
        let ready = match state.is_waiting() {
            true => socket.ready(Interest::READABLE | Interest::WRITABLE).await,
            false => socket.ready(Interest::READABLE).await,
        };
        if ready.is_err() {
            return 0;
        }
    }
}

/// Whether an error says that datagrams do not reach their destination.
pub(super) fn says_unreachable(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            // What Linux says of IPv4 datagrams whose source address this machine has lost.
            | ErrorKind::InvalidInput
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place that opens a media socket to a server"
)]
async fn connect(target: &TurnTarget) -> Result<(TcpStream, ConnectionEnds), TurnDialError> {
    let peer = target.addr();
    let stream = timeout(DIAL_LIMIT, TcpStream::connect(peer))
        .await
        .map_err(|_| unreachable_server(target, &ErrorKind::TimedOut.into()))?
        .map_err(|error| unreachable_server(target, &error))?;
    // Media packets are small, and worthless when late: they must not wait for each other.
    stream
        .set_nodelay(true)
        .map_err(|error| unreachable_server(target, &error))?;
    let local = stream
        .local_addr()
        .map_err(|error| unreachable_server(target, &error))?;
    Ok((stream, ConnectionEnds::new(local, peer)))
}

fn unreachable_server(target: &TurnTarget, error: &std::io::Error) -> TurnDialError {
    TurnDialError::Unreachable {
        server: target.endpoint.to_string(),
        kind: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::certificate_fault::CertificateProblem;
    use crate::net::test_tls::TlsEcho;
    use crate::turn::TurnEndpoint;
    use crate::turn::stream::WRITE_QUEUE;

    async fn target(text: &str) -> TurnTarget {
        trusting(text, None).await
    }

    async fn trusting(text: &str, ca_file: Option<&std::path::Path>) -> TurnTarget {
        let tls = crate::net::tls::client(ca_file).unwrap();
        text.parse::<TurnEndpoint>()
            .unwrap()
            .resolve(&tls)
            .await
            .unwrap()
    }

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test stands in for the server"
    )]
    async fn a_datagram_from_elsewhere_never_arrives() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = target(&format!("turn:{}", server.local_addr().unwrap())).await;
        let mut socket = TurnSocket::dial(&target).await.unwrap();
        assert_eq!(socket.send(b"hello"), SendOutcome::Sent);
        let mut buffer = [0; 64];
        let (count, from) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(
            (&buffer[..count], from),
            (&b"hello"[..], socket.local_addr())
        );

        stranger.send_to(b"stray", from).await.unwrap();
        server.send_to(b"answer", from).await.unwrap();
        let mut got = Vec::new();
        assert!(socket.recv(&mut got).await);
        assert_eq!(got, b"answer");
    }

    #[tokio::test]
    async fn a_stream_carries_bytes_both_ways_and_its_end_is_told() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(&format!(
            "turn:{}?transport=tcp",
            server.local_addr().unwrap()
        ))
        .await;
        let (socket, accepted) = tokio::join!(TurnSocket::dial(&target), server.accept());
        let (mut socket, (mut stream, _)) = (socket.unwrap(), accepted.unwrap());
        assert_eq!(socket.send(b"hello"), SendOutcome::Sent);
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        stream.write_all(b"answer").await.unwrap();
        drop(stream);
        let mut got = Vec::new();
        assert!(socket.recv(&mut got).await);
        assert_eq!(got, b"answer");
        assert!(!socket.recv(&mut got).await);
    }

    #[tokio::test]
    async fn a_stream_that_is_never_read_drops_messages_instead_of_waiting() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(&format!(
            "turn:{}?transport=tcp",
            server.local_addr().unwrap()
        ))
        .await;
        let (socket, accepted) = tokio::join!(TurnSocket::dial(&target), server.accept());
        let (mut socket, _unread) = (socket.unwrap(), accepted.unwrap());
        let message = vec![0; 60_000];
        let dropped = (0..WRITE_QUEUE * 4)
            .filter(|_| socket.send(&message) == SendOutcome::Dropped)
            .count();
        assert!(dropped > 0);
    }

    #[tokio::test]
    async fn a_closed_port_and_a_server_without_tls_are_told_apart() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = server.local_addr().unwrap();
        let secure = target(&format!("turns:{addr}")).await;
        let (socket, _) = tokio::join!(TurnSocket::dial(&secure), async {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.write_all(b"220 this is not TLS\r\n").await.unwrap();
        });
        assert!(matches!(socket.unwrap_err(), TurnDialError::Tls(_)));
        drop(server);
        let plain = target(&format!("turn:{addr}?transport=tcp")).await;
        let fault = TurnSocket::dial(&plain).await.unwrap_err();
        assert!(matches!(
            fault,
            TurnDialError::Unreachable {
                kind: ErrorKind::ConnectionRefused,
                ..
            }
        ));
    }

    #[tokio::test]
    async fn bytes_cross_tls_when_the_certificate_is_trusted() {
        let server = TlsEcho::start("localhost").await;
        let url = format!("turns:localhost:{}", server.addr.port());
        let target = trusting(&url, Some(server.ca_file())).await;
        let mut socket = TurnSocket::dial(&target).await.unwrap();
        assert_eq!(socket.send(b"hello"), SendOutcome::Sent);
        let mut got = Vec::new();
        assert!(socket.recv(&mut got).await);
        assert_eq!(got, b"hello");
    }

    /// What is wrong with the certificate of this server.
    async fn refused(target: &TurnTarget) -> CertificateProblem {
        let error = TurnSocket::dial(target).await.unwrap_err();
        assert!(!error.unnamed().contains("localhost"), "{error:?}");
        match error {
            TurnDialError::Certificate { fault, .. } => fault.problem,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn an_unknown_certificate_and_a_wrong_name_are_refused() {
        let server = TlsEcho::start("localhost").await;
        let unknown = target(&format!("turns:localhost:{}", server.addr.port())).await;
        assert_eq!(refused(&unknown).await, CertificateProblem::UnknownIssuer);
        let url = format!("turns:{}", server.addr);
        let misnamed = trusting(&url, Some(server.ca_file())).await;
        let problem = refused(&misnamed).await;
        assert!(
            matches!(&problem, CertificateProblem::OtherName(names) if names.concat().contains("localhost")),
            "{problem:?}"
        );
    }
}
