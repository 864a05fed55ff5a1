//! One end of a call's sound: a phone's RTP socket that sends stamped G.711 packets of 20 ms (RFC 3550 section 5.1).
//!
//! The stamp is in the payload, which nobody between two phones may change. Arrival is the moment at which this
//! process reads the packet, so that latencies are a little longer than the path's.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Time of one packet, and its samples.
pub(crate) const PACKET_TIME: Duration = Duration::from_millis(20);
const SAMPLES: u32 = 160;
const HEADER: usize = 12;
const PACKET: usize = HEADER + SAMPLES as usize;
/// What tells a stamp from other payloads.
const MARK: [u8; 4] = *b"load";
/// Length of a stamp: mark, flow, number, time.
const STAMP: usize = 20;

/// One end of a call.
#[derive(Debug)]
pub(crate) struct End {
    socket: UdpSocket,
    packet: [u8; PACKET],
    sent: u32,
}

/// What a packet's stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) flow: u32,
    pub(crate) number: u32,
    /// Since the epoch.
    pub(crate) sent: Duration,
    /// Since the epoch.
    pub(crate) arrived: Duration,
}

impl End {
    /// Binds a socket on loopback.
    pub(crate) fn open() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket
            .set_nonblocking(true)
            .expect("a socket need not wait");
        let mut packet = [0xd5; PACKET];
        packet[..HEADER].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        // Each phone has a source of its own.
        let port = socket.local_addr().expect("it is bound").port();
        packet[10..12].copy_from_slice(&port.to_be_bytes());
        Self {
            socket,
            packet,
            sent: 0,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// Sends there from now on, and hears nothing else.
    pub(crate) fn connect(&self, remote: SocketAddr) {
        self.socket.connect(remote).expect("loopback is reachable");
    }

    /// The same socket, to be waited for.
    pub(crate) fn ear(&self) -> mio::net::UdpSocket {
        mio::net::UdpSocket::from_std(self.socket.try_clone().expect("a socket can be shared"))
    }

    /// The next stamped packet that waits here; `Err` when none waits any more.
    pub(crate) fn receive(&self) -> io::Result<Option<Stamp>> {
        receive(|bytes| self.socket.recv(bytes))
    }

    /// Sends the next packet of this flow, and gives the time in its stamp; an unsent one is a lost one.
    pub(crate) fn send(&mut self, flow: u32) -> Duration {
        self.sent = self.sent.wrapping_add(1);
        let sequence = self.sent.to_be_bytes();
        self.packet[2..4].copy_from_slice(&sequence[2..]);
        self.packet[4..8].copy_from_slice(&self.sent.wrapping_mul(SAMPLES).to_be_bytes());
        let stamp = &mut self.packet[HEADER..];
        stamp[..4].copy_from_slice(&MARK);
        stamp[4..8].copy_from_slice(&flow.to_be_bytes());
        stamp[8..12].copy_from_slice(&self.sent.to_be_bytes());
        let now = since_epoch();
        #[expect(clippy::cast_possible_truncation, reason = "good until the year 2554")]
        let nanos = now.as_nanos() as u64;
        stamp[12..STAMP].copy_from_slice(&nanos.to_be_bytes());
        let _ = self.socket.send(&self.packet);
        now
    }
}

/// The next packet that `take` gives, if it has a stamp.
pub(crate) fn receive(
    take: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Option<Stamp>> {
    let mut bytes = [0; 2_048];
    let length = take(&mut bytes)?;
    Ok(read(
        bytes.get(HEADER..length).unwrap_or_default(),
        since_epoch(),
    ))
}

fn read(payload: &[u8], arrived: Duration) -> Option<Stamp> {
    let stamp = payload.get(..STAMP)?.strip_prefix(&MARK)?;
    let word = |at: usize| Some(u32::from_be_bytes(stamp.get(at..at + 4)?.try_into().ok()?));
    let nanos = u64::from_be_bytes(stamp.get(8..16)?.try_into().ok()?);
    Some(Stamp {
        flow: word(0)?,
        number: word(4)?,
        sent: Duration::from_nanos(nanos),
        arrived,
    })
}

pub(crate) fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
