//! The connection of a [`TurnSocket`] without a runtime: for a thread that waits for many of them at once.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::socket::{ConnectionEnds, Path, says_unreachable};
use super::stream::StreamState;
use super::{SendOutcome, TurnSocket};
use crate::net::network::is_own;

/// A connection to a TURN server that never blocks and that no runtime knows.
#[derive(Debug)]
pub(crate) struct TurnWire {
    ends: ConnectionEnds,
    path: BarePath,
}

#[derive(Debug)]
enum BarePath {
    Datagrams(UdpSocket),
    Stream(TcpStream, StreamState),
}

/// What a read of a [`TurnWire`] gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireRead {
    /// So many bytes: one datagram, or whatever the stream had.
    Bytes(usize),
    /// Nothing is there now.
    Nothing,
    /// An error that may pass: the next read is to wait a moment.
    Trouble,
    /// The stream has ended.
    Closed,
}

impl TurnSocket {
    /// Takes the connection out of the runtime.
    ///
    /// # Errors
    /// The system's; the connection is closed then.
    pub(crate) fn into_wire(self) -> io::Result<TurnWire> {
        let path = match self.path {
            Path::Datagrams(socket) => BarePath::Datagrams(socket.into_std()?),
            Path::Stream(socket, state) => BarePath::Stream(socket.into_std()?, state),
            #[cfg(test)]
            Path::Memory(_) => return Err(ErrorKind::Unsupported.into()),
        };
        let ends = self.ends;
        Ok(TurnWire { ends, path })
    }
}

impl TurnWire {
    /// Gives the connection to the runtime of the caller.
    ///
    /// # Errors
    /// The system's; the connection is closed then.
    pub(crate) async fn into_socket(self) -> io::Result<TurnSocket> {
        let path = match self.path {
            BarePath::Datagrams(socket) => {
                let socket = tokio::net::UdpSocket::from_std(socket)?;
                socket.writable().await?;
                Path::Datagrams(socket)
            }
            BarePath::Stream(socket, state) => {
                Path::Stream(tokio::net::TcpStream::from_std(socket)?, state)
            }
        };
        let ends = self.ends;
        Ok(TurnSocket { ends, path })
    }

    /// The server's end of the connection.
    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.ends.peer
    }

    /// As [`TurnSocket::has_own_address`].
    pub(crate) fn has_own_address(&self) -> bool {
        is_own(self.ends.local.ip())
    }

    /// As [`TurnSocket::send`].
    pub(crate) fn send(&mut self, message: &[u8], now: Instant) -> SendOutcome {
        match &mut self.path {
            BarePath::Datagrams(socket) => self.ends.outcome(socket.send(message)),
            BarePath::Stream(socket, state) => state.send(socket, message, now),
        }
    }

    /// Sends what waits, as far as the connection takes it now.
    pub(crate) fn flush(&mut self) {
        if let BarePath::Stream(socket, state) = &mut self.path {
            state.flush(socket);
        }
    }

    /// Whether messages wait until the connection can be written to.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(&self.path, BarePath::Stream(_, state) if state.is_waiting())
    }

    /// Whether the connection has accepted nothing for too long.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(&self.path, BarePath::Stream(_, state) if state.is_dead())
    }

    /// Whether a read has left bytes of which the system knows nothing any more, so that it would not tell of them.
    pub(crate) fn keeps_bytes(&self) -> bool {
        matches!(&self.path, BarePath::Stream(_, state) if state.keeps_bytes())
    }

    /// Reads what has come.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> WireRead {
        match &mut self.path {
            BarePath::Datagrams(socket) => match socket.recv(buffer) {
                Ok(length) => WireRead::Bytes(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => WireRead::Nothing,
                Err(error) => {
                    // The server may be back in a moment, and the far leg has its own timeouts.
                    self.ends.is_unreachable |= says_unreachable(error.kind());
                    WireRead::Trouble
                }
            },
            BarePath::Stream(socket, state) => match state.read(socket, buffer) {
                Ok(length) if length > 0 => WireRead::Bytes(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => WireRead::Nothing,
                _ => WireRead::Closed,
            },
        }
    }

    /// Tells the server that nothing more comes, and closes.
    pub(crate) fn close(mut self) {
        if let BarePath::Stream(socket, state) = &mut self.path {
            state.end(socket);
        }
    }
}

#[cfg(test)]
impl TurnWire {
    /// To a port of this machine at which nothing answers.
    #[expect(
        clippy::disallowed_methods,
        reason = "a socket that reaches itself alone"
    )]
    pub(crate) fn to_nowhere() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let own = socket.local_addr().unwrap();
        socket.connect(own).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            ends: ConnectionEnds::new(own, own),
            path: BarePath::Datagrams(socket),
        }
    }
}

impl AsFd for TurnWire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.path {
            BarePath::Datagrams(socket) => socket.as_fd(),
            BarePath::Stream(socket, _) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::clock;
    use crate::net::test_tls::TlsEcho;
    use crate::turn::TurnEndpoint;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A connection to a TLS server that sends back what it gets.
    async fn echoed_over_tls() -> (TlsEcho, TurnSocket) {
        let server = TlsEcho::start("127.0.0.1").await;
        let tls = crate::net::tls::client(Some(server.ca_file())).unwrap();
        let endpoint: TurnEndpoint = format!("turns:{}", server.addr).parse().unwrap();
        let target = endpoint.resolve(&tls).await.unwrap();
        let socket = TurnSocket::dial(&target).await.unwrap();
        (server, socket)
    }

    /// Reads until so many bytes are there, as a thread does.
    async fn read(wire: &mut TurnWire, count: usize) -> Vec<u8> {
        let (mut got, mut buffer) = (Vec::new(), [0; 1_000]);
        let reading = async {
            while got.len() < count {
                match wire.read(&mut buffer) {
                    WireRead::Bytes(length) => got.extend_from_slice(&buffer[..length]),
                    WireRead::Nothing => {
                        assert!(!wire.keeps_bytes());
                        wire.flush();
                        sleep(Duration::from_millis(1)).await;
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        timeout(LIMIT, reading).await.unwrap();
        got
    }

    #[tokio::test]
    async fn a_connection_over_tls_leaves_the_runtime_and_comes_back() {
        let (_server, mut socket) = echoed_over_tls().await;
        assert_eq!(socket.send(b"one"), SendOutcome::Sent);
        let mut got = Vec::new();
        assert!(timeout(LIMIT, socket.recv(&mut got)).await.unwrap());
        assert_eq!(got, b"one");

        let mut wire = socket.into_wire().unwrap();
        let message: Vec<u8> = (0..=255).cycle().take(30_000).collect();
        for _ in 0..20 {
            assert_eq!(wire.send(&message, clock::now()), SendOutcome::Sent);
        }
        assert_eq!(
            read(&mut wire, 20 * message.len()).await,
            message.repeat(20)
        );

        let mut socket = wire.into_socket().await.unwrap();
        assert_eq!(socket.send(b"two"), SendOutcome::Sent);
        assert!(timeout(LIMIT, socket.recv(&mut got)).await.unwrap());
        assert_eq!(got, b"two");
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_is_dead_after_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("turn:{}?transport=tcp", listener.local_addr().unwrap());
        let tls = crate::net::tls::client(None).unwrap();
        let endpoint: TurnEndpoint = url.parse().unwrap();
        let target = endpoint.resolve(&tls).await.unwrap();
        let mut wire = TurnSocket::dial(&target)
            .await
            .unwrap()
            .into_wire()
            .unwrap();
        let (message, mut now) = (vec![0; 60_000], clock::now());
        while wire.send(&message, now) == SendOutcome::Sent {}
        assert!(!wire.is_dead());
        now += crate::turn::stream::WRITE_LIMIT + Duration::from_millis(1);
        assert_eq!(wire.send(&message, now), SendOutcome::Dropped);
        assert!(wire.is_dead());
        assert_eq!(wire.read(&mut [0; 10]), WireRead::Closed);
    }
}
