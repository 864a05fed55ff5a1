//! The SIP socket of a phone of the fault lab: a UDP socket, or a TCP connection that can be reset. Nothing blocks.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use ringfence_sip::{Frame, Framer, Transport};
use rustix::net::sockopt::set_socket_linger;

use crate::networks::{Place, inside};

/// A phone's path to its line.
#[derive(Debug)]
pub(crate) enum SipWire {
    Udp(UdpSocket),
    Tcp(TcpStream, Framer),
    /// Gone: what is sent is lost.
    Closed,
}

impl SipWire {
    /// A socket that talks to `server` alone.
    pub(crate) fn open(transport: Transport, server: SocketAddr, place: Option<&Place>) -> Self {
        inside(place, || Self::open_here(transport, server))
    }

    fn open_here(transport: Transport, server: SocketAddr) -> Self {
        if transport == Transport::Udp {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            socket.connect(server).expect("loopback is reachable");
            socket
                .set_nonblocking(true)
                .expect("a socket need not wait");
            return Self::Udp(socket);
        }
        let stream = TcpStream::connect(server).expect("the line takes connections");
        stream
            .set_nonblocking(true)
            .expect("a socket need not wait");
        Self::Tcp(stream, Framer::new())
    }

    /// Its own address.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
            Self::Closed => return (Ipv4Addr::LOCALHOST, 0).into(),
        };
        address.expect("it is bound")
    }

    /// Whether messages go over a connection.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self, Self::Tcp(..))
    }

    /// Something if it is gone.
    pub(crate) const fn closed(&self) -> Option<()> {
        match self {
            Self::Closed => Some(()),
            Self::Udp(_) | Self::Tcp(..) => None,
        }
    }

    /// The messages that have arrived. A connection that the other side closes is closed here too.
    pub(crate) fn receive(&mut self) -> Vec<Vec<u8>> {
        let (mut buffer, mut messages) = ([0; 65_536], Vec::new());
        match self {
            // An error is an ICMP message about an earlier datagram.
            Self::Udp(socket) => {
                while let Ok(length) = socket.recv(&mut buffer) {
                    messages.extend(buffer.get(..length).map(<[u8]>::to_vec));
                }
            }
            Self::Tcp(stream, framer) => loop {
                match stream.read(&mut buffer) {
                    Ok(0) => {
                        *self = Self::Closed;
                        break;
                    }
                    Ok(length) => framer.push(buffer.get(..length).unwrap_or_default()),
                    Err(_) => break,
                }
                while let Some(Ok(frame)) = framer.next_frame() {
                    if let Frame::Message(message) = frame {
                        messages.push(message);
                    }
                }
            },
            Self::Closed => {}
        }
        messages
    }

    /// Sends a message. What cannot be sent is lost: the SIP client sends it again.
    pub(crate) fn send(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(message)),
            Self::Tcp(stream, _) => drop(stream.write_all(message)),
            Self::Closed => {}
        }
    }

    /// Resets the connection (a RST instead of a FIN).
    pub(crate) fn reset(&mut self) {
        if let Self::Tcp(stream, _) = self {
            set_socket_linger(stream, Some(Duration::ZERO)).expect("an option of TCP sockets");
        }
        *self = Self::Closed;
    }
}
