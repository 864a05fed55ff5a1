//! The sockets that phones talk to: SIP over UDP and TCP (RFC 3261 18), bytes only.
//!
//! What a message means is the engine's business. This room cuts TCP streams into messages
//! with the SIP core's framer, bounds how many connections there are, and closes the silent.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringfence_sip::{Flow, Frame, Framer, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::patience::patiently;

/// Messages of all phones that wait for the engine. Beyond it, UDP messages are dropped, as a
/// full socket buffer would (phones repeat them), and TCP connections wait.
const INBOX: usize = 1_024;

/// TCP connections at one time: every phone of a large office, with room to spare.
const MOST_CONNECTIONS: usize = 512;

/// Messages that may wait for a phone that does not read. Then the connection is closed.
const OUTBOX: usize = 64;

/// A connection that says nothing for so long is closed. Phones refresh their registration,
/// or send a keep-alive (RFC 5626 3.5.1), far more often.
const SILENCE: Duration = Duration::from_secs(3_700);

/// Largest UDP datagram.
const DATAGRAM: usize = 65_535;

/// What phones did.
#[derive(Debug)]
pub(crate) enum PhoneInput {
    /// One whole message.
    Message(Flow, Vec<u8>),
    /// A connection ended.
    Closed(Flow),
}

/// A place where SIP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for phones at {transport} {addr}: {error}")]
pub struct ListenError {
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// The address that was asked for.
    pub addr: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

/// All sockets towards phones.
#[derive(Debug)]
pub(crate) struct PhoneSockets {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    tcp: Vec<SocketAddr>,
    connections: BTreeMap<u64, mpsc::Sender<Vec<u8>>>,
    opened: mpsc::Receiver<(u64, mpsc::Sender<Vec<u8>>)>,
    inbox: mpsc::Receiver<PhoneInput>,
    tasks: Vec<JoinHandle<()>>,
}

impl PhoneSockets {
    /// Opens the sockets. A port of 0 takes a free one.
    pub(crate) async fn listen(
        udp: &[SocketAddr],
        tcp: &[SocketAddr],
    ) -> Result<Self, ListenError> {
        let (into, inbox) = mpsc::channel(INBOX);
        let (tell, opened) = mpsc::channel(MOST_CONNECTIONS);
        let mut sockets = Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            connections: BTreeMap::new(),
            opened,
            inbox,
            tasks: Vec::new(),
        };
        for addr in udp {
            let refused = |error| refused("udp", *addr, error);
            let socket = Arc::new(bind_udp(*addr).await.map_err(refused)?);
            let local = socket.local_addr().map_err(refused)?;
            let reader = read_datagrams(local, Arc::clone(&socket), into.clone());
            sockets.tasks.push(tokio::spawn(reader));
            sockets.udp.push((local, socket));
        }
        let ids = Arc::new(AtomicU64::new(1));
        for addr in tcp {
            let refused = |error| refused("tcp", *addr, error);
            let listener = bind_tcp(*addr).await.map_err(refused)?;
            sockets.tcp.push(listener.local_addr().map_err(refused)?);
            let accepting = accept(listener, into.clone(), tell.clone(), Arc::clone(&ids));
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

    /// Sends bytes to a phone. Never waits: UDP that does not fit is lost, as on any wire, and
    /// a TCP phone that does not read is cut off.
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
            Transport::Tcp => {
                let outbox = self.connections.get(&flow.connection);
                if outbox.is_some_and(|outbox| outbox.try_send(bytes).is_err()) {
                    self.close(flow);
                }
            }
        }
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
    // Tokio learns that a socket can be written to from its first event; `try_send_to` would
    // refuse before.
    socket.writable().await?;
    Ok(socket)
}

async fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

async fn read_datagrams(local: SocketAddr, socket: Arc<UdpSocket>, into: mpsc::Sender<PhoneInput>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (length, peer) = patiently(&socket, || socket.try_recv_from(&mut buffer)).await;
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

async fn accept(
    listener: TcpListener,
    into: mpsc::Sender<PhoneInput>,
    tell: mpsc::Sender<(u64, mpsc::Sender<Vec<u8>>)>,
    ids: Arc<AtomicU64>,
) {
    let mut served = JoinSet::new();
    loop {
        while served.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, mostly: give other connections time to end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(local) = stream.local_addr() else {
            continue;
        };
        if served.len() >= MOST_CONNECTIONS {
            tracing::warn!("too many connections of phones: one refused");
            continue;
        }
        let connection = ids.fetch_add(1, Ordering::Relaxed);
        let flow = Flow {
            transport: Transport::Tcp,
            local,
            peer,
            connection,
        };
        let (outbox, letters) = mpsc::channel(OUTBOX);
        if tell.send((connection, outbox)).await.is_err() {
            return;
        }
        served.spawn(serve(stream, flow, into.clone(), letters));
    }
}

/// One connection, until either side ends it.
async fn serve(
    mut stream: TcpStream,
    flow: Flow,
    into: mpsc::Sender<PhoneInput>,
    mut letters: mpsc::Receiver<Vec<u8>>,
) {
    let mut framer = Framer::new();
    let mut buffer = vec![0; 16 * 1024];
    // Losing this only costs latency.
    drop(stream.set_nodelay(true));
    loop {
        tokio::select! {
            letter = letters.recv() => {
                let Some(letter) = letter else { break };
                if stream.write_all(&letter).await.is_err() { break }
            }
            read = tokio::time::timeout(SILENCE, stream.read(&mut buffer)) => {
                let Ok(Ok(length @ 1..)) = read else { break };
                framer.push(buffer.get(..length).unwrap_or_default());
                if !pass_on(&mut framer, &mut stream, flow, &into).await { break }
            }
        }
    }
    // The engine may be gone already; then nobody needs to know.
    drop(into.send(PhoneInput::Closed(flow)).await);
}

/// Hands on every whole message of a stream. False when the stream cannot be followed.
async fn pass_on(
    framer: &mut Framer,
    stream: &mut TcpStream,
    flow: Flow,
    into: &mpsc::Sender<PhoneInput>,
) -> bool {
    while let Some(frame) = framer.next_frame() {
        let passed = match frame {
            Ok(Frame::Message(bytes)) => into.send(PhoneInput::Message(flow, bytes)).await.is_ok(),
            // RFC 5626 3.5.1: a double CRLF is answered with a single one.
            Ok(Frame::KeepAlive) => stream.write_all(b"\r\n").await.is_ok(),
            Err(_) => false,
        };
        if !passed {
            return false;
        }
    }
    true
}
