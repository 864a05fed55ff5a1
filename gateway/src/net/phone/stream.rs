//! Connections of phones, plain and inside TLS: accepted, cut into messages, answered, closed.
//!
//! Each is a task of its own. The SIP core's framer cuts streams; a keep-alive (RFC 5626 section 3.5.1) is answered here. Their number,
//! and the time for which one may be silent, are bounded.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_sip::{Flow, Frame, Framer, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::PhoneInput;
use super::connection_limiter::{ConnectionLimiter, ConnectionSlot};

/// Messages that may wait for a phone that does not read. Then the connection is closed.
const OUTBOX: usize = 64;

/// A connection without input for so long is closed. Phones refresh their registration, or send a keep-alive, far more often.
const SILENCE: Duration = Duration::from_secs(3_700);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What all listeners share.
#[derive(Clone, Debug)]
pub(super) struct StreamAcceptor {
    pub(super) into: mpsc::Sender<PhoneInput>,
    /// Where to write to each new connection.
    pub(super) tell: mpsc::Sender<(u64, mpsc::Sender<Vec<u8>>)>,
    pub(super) limiter: Arc<ConnectionLimiter>,
}

impl StreamAcceptor {
    /// Serves connections, inside TLS if there is an acceptor, until the engine is gone.
    pub(super) async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
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
            let Some(slot) = self.limiter.take(peer.ip()) else {
                tracing::warn!("too many connections of phones: one refused");
                continue;
            };
            // Without it, only latency is lost.
            drop(stream.set_nodelay(true));
            match &tls {
                None => {
                    served.spawn(
                        self.clone()
                            .greet(stream, slot, Transport::Tcp, (local, peer)),
                    )
                }
                Some(acceptor) => {
                    let acceptor = acceptor.clone();
                    served.spawn(
                        self.clone()
                            .shake_hands(acceptor, stream, slot, (local, peer)),
                    )
                }
            };
        }
    }

    async fn shake_hands(
        self,
        acceptor: TlsAcceptor,
        stream: TcpStream,
        mut slot: ConnectionSlot,
        ends: (SocketAddr, SocketAddr),
    ) {
        let accepted = tokio::select! {
            accepted = timeout(HANDSHAKE, acceptor.accept(stream)) => accepted,
            () = slot.lost() => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.greet(stream, slot, Transport::Tls, ends).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a phone does not agree on TLS; does it trust our certificate?");
            }
            Err(_) => tracing::debug!("a phone did not finish its TLS handshake"),
        }
    }

    /// Reports a connection and serves it.
    async fn greet(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        slot: ConnectionSlot,
        transport: Transport,
        (local, peer): (SocketAddr, SocketAddr),
    ) {
        let flow = Flow {
            transport,
            local,
            peer,
            connection: slot.number,
        };
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        if self.tell.send((flow.connection, outbox)).await.is_ok() {
            serve(stream, (flow, slot), self.into, outgoing).await;
        }
    }
}

/// One connection, until either side ends it.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    (flow, mut slot): (Flow, ConnectionSlot),
    into: mpsc::Sender<PhoneInput>,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
) {
    let mut framer = Framer::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            () = slot.lost() => {
                tracing::debug!("a connection without a registered phone is closed for another one");
                break;
            }
            packet = outgoing.recv() => {
                let Some(packet) = packet else { break };
                if !write(&mut stream, &packet).await { break }
            }
            read = timeout(SILENCE, stream.read(&mut buffer)) => {
                let Ok(Ok(length @ 1..)) = read else { break };
                framer.push(buffer.get(..length).unwrap_or_default());
                if !pass_on(&mut framer, &mut stream, flow, &into).await { break }
            }
        }
    }
    // Phone and engine may be gone already.
    drop(timeout(HANDSHAKE, stream.shutdown()).await);
    drop(into.send(PhoneInput::Closed(flow)).await);
}

/// Writes everything at once: TLS holds back what is not flushed.
async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
}

/// Passes on every complete message of a stream. False when the stream cannot be parsed any further.
async fn pass_on(
    framer: &mut Framer,
    stream: &mut (impl AsyncWrite + Unpin),
    flow: Flow,
    into: &mpsc::Sender<PhoneInput>,
) -> bool {
    while let Some(frame) = framer.next_frame() {
        let passed = match frame {
            Ok(Frame::Message(bytes)) => into.send(PhoneInput::Message(flow, bytes)).await.is_ok(),
            // RFC 5626 3.5.1: a double CRLF is answered with a single one.
            Ok(Frame::KeepAlive) => write(stream, b"\r\n").await,
            Err(_) => false,
        };
        if !passed {
            return false;
        }
    }
    true
}
