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

    /// Sends what waits, as far as the connection takes it now. True if the rest waits until it can be written to.
    pub(crate) fn flush(&mut self) -> bool {
        match &mut self.path {
            BarePath::Datagrams(_) => false,
            BarePath::Stream(socket, state) => {
                state.flush(socket);
                state.is_waiting()
            }
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

    /// Whether to read until nothing is there: what one read leaves may be unknown to the system.
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

impl AsFd for TurnWire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.path {
            BarePath::Datagrams(socket) => socket.as_fd(),
            BarePath::Stream(socket, _) => socket.as_fd(),
        }
    }
}
