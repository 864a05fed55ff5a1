//! Streams of TURN clients: TCP, and TLS over it (RFC 8656 section 3.1). A client that takes longer than ten seconds for the handshake of
//! TLS is left, and no more than 64 are in it at a time: further ones are closed, so that who opens connections and says nothing keeps the
//! others away for ten seconds at most.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_daemon::tls::ReloadedCertificate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ClientFlow;
use super::service::{DATAGRAM, ServerInput};

const HANDSHAKE: Duration = Duration::from_secs(10);
const MOST_HANDSHAKES: usize = 64;

/// How long no connection is accepted after the system had no handle for one more.
const PAUSE: Duration = Duration::from_millis(100);

/// The bytes of a client, whatever carries them.
pub(super) trait ClientStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ClientStream for T {}

/// Accepts TCP until the server is gone.
pub(super) async fn accept(listener: TcpListener, sender: mpsc::Sender<ServerInput>) {
    loop {
        let (stream, addr) = next(&listener).await;
        let input = ServerInput::Stream(Box::new(stream), addr);
        if sender.send(input).await.is_err() {
            return;
        }
    }
}

/// Accepts TLS until the server is gone.
pub(super) async fn accept_tls(
    listener: TcpListener,
    certificate: Arc<ReloadedCertificate>,
    sender: mpsc::Sender<ServerInput>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        let (stream, addr) = tokio::select! {
            accepted = next(&listener) => accepted,
            Some(_) = handshakes.join_next() => continue,
            () = sender.closed() => return,
        };
        if handshakes.len() >= MOST_HANDSHAKES {
            continue;
        }
        let (acceptor, sender) = (certificate.acceptor(), sender.clone());
        handshakes.spawn(async move {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                let input = ServerInput::Stream(Box::new(stream), addr);
                sender.send(input).await.ok();
            }
        });
    }
}

async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                // Sound must not wait for the next packet.
                stream.set_nodelay(true).ok();
                return (stream, addr);
            }
            // Out of file handles, most likely: give the others time to end.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Hands over what a client says.
pub(super) async fn read_stream(
    client: ClientFlow,
    mut read: ReadHalf<Box<dyn ClientStream>>,
    sender: mpsc::Sender<ServerInput>,
) {
    let mut buffer = [0; DATAGRAM];
    while let Ok(length @ 1..) = read.read(&mut buffer).await {
        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
        if sender
            .send(ServerInput::TurnClient(client, bytes))
            .await
            .is_err()
        {
            return;
        }
    }
    let _ = sender.send(ServerInput::StreamEnded(client)).await;
}

/// Writes what a client is told.
pub(super) async fn write_stream(
    mut write: WriteHalf<Box<dyn ClientStream>>,
    mut queue: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(bytes) = queue.recv().await {
        if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
}
