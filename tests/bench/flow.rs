//! One end of a call's media: an RTP socket of a phone that sends G.711 packets of 20 ms with time stamps (RFC 3550 section 5.1).
//!
//! The time stamp is in the payload, which is not changed between two phones. A packet arrives when this process reads it, so the
//! measured latency is a little longer than that of the path.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Duration of one packet, and its samples.
pub(crate) const PACKET_TIME: Duration = Duration::from_millis(20);
const SAMPLES: u32 = 160;
const HEADER: usize = 12;
const PACKET: usize = HEADER + SAMPLES as usize;
/// Distinguishes a time stamp from other payloads.
const MARK: [u8; 4] = *b"load";
/// Length of a time stamp: mark, flow, number, time.
const TIME_STAMP: usize = 20;

/// One end of a call.
#[derive(Debug)]
pub(crate) struct End {
    socket: UdpSocket,
    packet: [u8; PACKET],
    sent: u32,
}

/// The time stamp of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeStamp {
    pub(crate) flow: u32,
    pub(crate) number: u32,
    /// Since the Unix epoch.
    pub(crate) sent: Duration,
    /// Since the Unix epoch.
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
        // Each phone has its own SSRC.
        let port = socket.local_addr().expect("it is bound").port();
        packet[10..12].copy_from_slice(&port.to_be_bytes());
        Self {
            socket,
            packet,
            sent: 0,
        }
    }

    /// Its socket.
    pub(crate) const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The same socket, for polling.
    pub(crate) fn receiver(&self) -> mio::net::UdpSocket {
        mio::net::UdpSocket::from_std(self.socket.try_clone().expect("a socket can be shared"))
    }

    /// The next received packet with a time stamp; `Err` when there is no packet.
    pub(crate) fn receive(&self) -> io::Result<Option<TimeStamp>> {
        receive(|bytes| self.socket.recv(bytes))
    }

    /// Sends the next packet of this flow and returns its time. A packet that cannot be sent counts as lost.
    pub(crate) fn send(&mut self, flow: u32) -> Duration {
        self.sent = self.sent.wrapping_add(1);
        let sequence = self.sent.to_be_bytes();
        self.packet[2..4].copy_from_slice(&sequence[2..]);
        self.packet[4..8].copy_from_slice(&self.sent.wrapping_mul(SAMPLES).to_be_bytes());
        let time_stamp = &mut self.packet[HEADER..];
        time_stamp[..4].copy_from_slice(&MARK);
        time_stamp[4..8].copy_from_slice(&flow.to_be_bytes());
        time_stamp[8..12].copy_from_slice(&self.sent.to_be_bytes());
        let now = since_epoch();
        #[expect(clippy::cast_possible_truncation, reason = "good until the year 2554")]
        let nanos = now.as_nanos() as u64;
        time_stamp[12..TIME_STAMP].copy_from_slice(&nanos.to_be_bytes());
        let _ = self.socket.send(&self.packet);
        now
    }
}

/// The time stamp of the packet that `take` receives, if it has one.
pub(crate) fn receive(
    take: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Option<TimeStamp>> {
    let mut bytes = [0; 2_048];
    let length = take(&mut bytes)?;
    Ok(read(
        bytes.get(HEADER..length).unwrap_or_default(),
        since_epoch(),
    ))
}

fn read(payload: &[u8], arrived: Duration) -> Option<TimeStamp> {
    let time_stamp = payload.get(..TIME_STAMP)?.strip_prefix(&MARK)?;
    let word = |at: usize| {
        Some(u32::from_be_bytes(
            time_stamp.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let nanos = u64::from_be_bytes(time_stamp.get(8..16)?.try_into().ok()?);
    Some(TimeStamp {
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
