//! The ports to which a phone sends its audio and video.
//!
//! Each is even and has an odd neighbour for RTCP (RFC 3550 section 11): there a phone reports reception and requests keyframes.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};

use ringfence_engine::NearPort;
use tokio::net::UdpSocket;

use super::resilient_recv::recv_resilient;

/// Tries for an even RTP port whose odd neighbour is free too.
const PORT_TRIES: usize = 64;

/// The ports of one call at one address.
#[derive(Debug)]
pub(crate) struct RtpPorts {
    local: SocketAddr,
    pub(crate) audio: PortPair,
    pub(crate) video: Option<PortPair>,
}

/// An RTP port and its neighbour for RTCP.
#[derive(Debug)]
pub(crate) struct PortPair {
    port: u16,
    pub(crate) rtp: UdpSocket,
    /// Absent when nearly all ports are taken.
    pub(crate) rtcp: Option<UdpSocket>,
}

impl RtpPorts {
    /// Binds ports at each of these addresses. An address that this machine has lost is left out: phones there cannot be reached
    /// in any case. Without a port for video the call has audio alone.
    pub(crate) async fn open(at: &[IpAddr], video: bool) -> Vec<Self> {
        let mut opened = Vec::with_capacity(at.len());
        for ip in at {
            let Ok(audio) = PortPair::bind(*ip).await else {
                continue;
            };
            let video = match video {
                true => PortPair::bind(*ip).await.ok(),
                false => None,
            };
            opened.push(Self {
                local: SocketAddr::new(*ip, audio.port),
                audio,
                video,
            });
        }
        opened
    }

    /// Where audio is received.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The same for the engine.
    pub(crate) fn describe(&self) -> NearPort {
        NearPort {
            audio: self.local,
            video: self.video.as_ref().map(|video| video.port),
        }
    }
}

impl PortPair {
    #[expect(
        clippy::disallowed_methods,
        reason = "the phone's own port, on the address it registers at"
    )]
    async fn bind(ip: IpAddr) -> io::Result<Self> {
        for _ in 0..PORT_TRIES {
            let rtp = UdpSocket::bind((ip, 0)).await?;
            let port = rtp.local_addr()?.port();
            if port % 2 == 0
                && let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await
            {
                return Self::ready(rtp, Some(rtcp)).await;
            }
        }
        // Nearly all ports are taken: audio matters more than a port for RTCP.
        Self::ready(UdpSocket::bind((ip, 0)).await?, None).await
    }

    async fn ready(rtp: UdpSocket, rtcp: Option<UdpSocket>) -> io::Result<Self> {
        rtp.writable().await?;
        let port = rtp.local_addr()?.port();
        Ok(Self { port, rtp, rtcp })
    }
}

/// The next packet of a socket; never, without a socket.
pub(crate) async fn recv(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    match socket {
        Some(socket) => recv_resilient(socket, || socket.try_recv_from(buffer), |_| {}).await,
        None => pending().await,
    }
}
