//! The ports to which a phone sends its audio and video.
//!
//! Each is even and has an odd neighbour for RTCP (RFC 3550 section 11): there a phone reports reception and requests keyframes.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use ringfence_engine::NearPort;

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
    pub(crate) fn open(at: &[IpAddr], video: bool) -> Vec<Self> {
        let mut opened = Vec::with_capacity(at.len());
        for ip in at {
            let Ok(audio) = PortPair::bind(*ip) else {
                continue;
            };
            let video = match video {
                true => PortPair::bind(*ip).ok(),
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
    fn bind(ip: IpAddr) -> io::Result<Self> {
        for _ in 0..PORT_TRIES {
            let rtp = UdpSocket::bind((ip, 0))?;
            let port = rtp.local_addr()?.port();
            if port % 2 == 0
                && let Ok(rtcp) = UdpSocket::bind((ip, port + 1))
            {
                return Self::unblocked(rtp, Some(rtcp));
            }
        }
        // Nearly all ports are taken: audio matters more than a port for RTCP.
        Self::unblocked(UdpSocket::bind((ip, 0))?, None)
    }

    fn unblocked(rtp: UdpSocket, rtcp: Option<UdpSocket>) -> io::Result<Self> {
        for socket in [Some(&rtp), rtcp.as_ref()].into_iter().flatten() {
            socket.set_nonblocking(true)?;
        }
        let port = rtp.local_addr()?.port();
        Ok(Self { port, rtp, rtcp })
    }
}
