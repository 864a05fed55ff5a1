//! The TURN machine on real sockets: one UDP socket, one TCP listener and perhaps one for TLS (`streams.rs`) for clients, one UDP socket for
//! each allocation.
//!
//! All state is in one task; readers hand it bytes through a bounded channel, and drop datagrams when it is full, as a
//! network does. For the demo and a small community; not a server for the open internet.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ringfence_book::turn_credentials::TurnSecret;
use ringfence_daemon::clock::{unix_now, until};
use ringfence_daemon::tls::{ReloadedCertificate, TlsError, renew};
use tokio::io::split;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::allocation_sockets::AllocationSockets;
use super::probe::ProbeFault;
use super::streams::{ClientStream, accept, accept_tls, read_stream, write_stream};
use super::{
    AllocationId, ClientFlow, ClientTransport, TurnMachine, TurnMachineConfig, TurnOutput,
    TurnPlan, TurnTls,
};

/// Packets between the readers and the machine. A second of ten calls.
const QUEUE: usize = 1024;

/// Packets between the machine and one stream's writer; when full, packets of that client are dropped.
const STREAM_QUEUE: usize = 64;

/// Longest datagram taken, and most that is read from a stream at once.
pub(super) const DATAGRAM: usize = 2048;

/// Why a TURN server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TurnStartError {
    /// Allocations get the address of the server, so it must be a certain one.
    #[error("the TURN server needs a certain address to listen on, not {0}")]
    Unspecified(IpAddr),
    /// A socket could not be opened.
    #[error(
        "the TURN server cannot listen on {addr}: {source}. Is another one running there? Choose another address"
    )]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("no TLS for the TURN server: {0}. See tls_certificate and tls_key under [turn_server]")]
    Tls(#[from] TlsError),
    /// coturn is wanted and not there.
    #[error(
        "coturn is not installed (no turnserver in PATH): install it, or set turn_server.program to \"embedded\""
    )]
    NoCoturn,
    /// The child cannot be started.
    #[error("coturn cannot be started: {0}")]
    Child(#[source] io::Error),
    /// The child ended at once.
    #[error(
        "coturn ended at once; it said: {0}. Check the addresses and ports under [turn_server]"
    )]
    Died(String),
    /// The child runs and gives no allocation.
    #[error("coturn runs, but {0}. Check the addresses and ports under [turn_server]")]
    Silent(#[source] ProbeFault),
}

/// A running TURN server; dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedTurn {
    addr: SocketAddr,
    open: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl EmbeddedTurn {
    /// Starts a server on `bind`, for UDP and TCP; port 0 takes a free one. Allocations get free ports of the same address.
    ///
    /// # Errors
    /// When the address is unspecified or taken.
    pub async fn start(
        bind: SocketAddr,
        secret: TurnSecret,
        allow_private: bool,
    ) -> Result<Self, TurnStartError> {
        Self::open(TurnPlan::new(bind, secret, allow_private)).await
    }

    /// Starts a server after a plan.
    ///
    /// # Errors
    /// When the address is unspecified or taken.
    pub async fn open(plan: TurnPlan) -> Result<Self, TurnStartError> {
        let bind = plan.listen;
        if bind.ip().is_unspecified() {
            return Err(TurnStartError::Unspecified(bind.ip()));
        }
        let failed = |source| TurnStartError::Listen { addr: bind, source };
        let (udp, tcp) = listen(bind).await.map_err(failed)?;
        let tls = match plan.tls.clone() {
            Some(tls) => Some(listen_tls(tls).await?),
            None => None,
        };
        let addr = udp.local_addr().map_err(failed)?;
        let now = Instant::now();
        let settings = TurnMachineConfig {
            listen: addr,
            secret: plan.secret.clone(),
            allow_private: plan.allow_private,
            limits: plan.limits,
        };
        let machine = TurnMachine::new(settings, now, unix_now());
        let (stop, stopped) = oneshot::channel();
        let server = Server::new(
            machine,
            AllocationSockets::new(addr, &plan),
            (udp, tcp),
            tls,
        );
        let open = Arc::clone(&server.open);
        let task = tokio::spawn(server.run(stopped));
        Ok(Self {
            addr,
            open,
            stop: Some(stop),
            task,
        })
    }

    /// Where it listens, UDP and TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Relayed addresses in use at the moment.
    pub fn allocations(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Stops it; all its sockets are closed when this returns.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        // A server that died is stopped too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for EmbeddedTurn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A UDP socket and a TCP listener on the same port; with port 0, tries until one is free for both.
async fn listen(bind: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    const ATTEMPTS: usize = 16;
    let mut attempt = 0;
    loop {
        let udp = UdpSocket::bind(bind).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if bind.port() != 0 || attempt == ATTEMPTS => return Err(error),
            Err(_) => attempt += 1,
        }
    }
}

/// A listener for TLS and its certificate, which is read again when it changes.
async fn listen_tls(
    plan: TurnTls,
) -> Result<(TcpListener, Arc<ReloadedCertificate>), TurnStartError> {
    let certificate = ReloadedCertificate::read(plan.files)?;
    let addr = plan.listen;
    match TcpListener::bind(addr).await {
        Ok(listener) => Ok((listener, Arc::new(certificate))),
        Err(source) => Err(TurnStartError::Listen { addr, source }),
    }
}

/// What the readers hand over.
pub(super) enum ServerInput {
    TurnClient(ClientFlow, Vec<u8>),
    Stream(Box<dyn ClientStream>, SocketAddr),
    StreamEnded(ClientFlow),
    Peer(AllocationId, SocketAddr, Vec<u8>),
}

struct Server {
    machine: TurnMachine,
    sockets: Arc<AllocationSockets>,
    udp: Arc<UdpSocket>,
    open: Arc<AtomicUsize>,
    allocations: BTreeMap<AllocationId, (Arc<UdpSocket>, AbortHandle)>,
    streams: BTreeMap<ClientFlow, (mpsc::Sender<Vec<u8>>, AbortHandle)>,
    tasks: JoinSet<()>,
    inputs: mpsc::Receiver<ServerInput>,
    sender: mpsc::Sender<ServerInput>,
}

impl Server {
    fn new(
        machine: TurnMachine,
        sockets: AllocationSockets,
        (udp, tcp): (UdpSocket, TcpListener),
        tls: Option<(TcpListener, Arc<ReloadedCertificate>)>,
    ) -> Self {
        let (sender, inputs) = mpsc::channel(QUEUE);
        let udp = Arc::new(udp);
        let mut tasks = JoinSet::new();
        tasks.spawn(read_clients(Arc::clone(&udp), sender.clone()));
        tasks.spawn(accept(tcp, sender.clone()));
        if let Some((listener, certificate)) = tls {
            tasks.spawn(renew(Arc::clone(&certificate)));
            tasks.spawn(accept_tls(listener, certificate, sender.clone()));
        }
        Self {
            machine,
            sockets: Arc::new(sockets),
            udp,
            open: Arc::default(),
            allocations: BTreeMap::new(),
            streams: BTreeMap::new(),
            tasks,
            inputs,
            sender,
        }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let timeout = self.machine.next_timeout().map(|(at, _)| at);
            tokio::select! {
                _ = &mut stopped => break,
                Some(input) = self.inputs.recv() => self.handle(input),
                // Ended readers are forgotten as they end.
                Some(_) = self.tasks.join_next() => {}
                () = until(timeout) => self.machine.handle_timeout(Instant::now()),
            }
            self.execute_outputs().await;
            self.open.store(self.allocations.len(), Ordering::Relaxed);
        }
        self.tasks.shutdown().await;
    }

    fn handle(&mut self, input: ServerInput) {
        let now = Instant::now();
        match input {
            ServerInput::TurnClient(from, bytes) => self.machine.handle_client(from, &bytes, now),
            ServerInput::Peer(allocation, peer, bytes) => {
                self.machine.handle_peer(allocation, peer, &bytes, now)
            }
            ServerInput::Stream(stream, addr) => self.add_stream(stream, addr),
            ServerInput::StreamEnded(client) => {
                self.streams.remove(&client);
                self.machine.handle_client_closed(client, now);
            }
        }
    }

    async fn execute_outputs(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                TurnOutput::ToClient { client, bytes } => match client.transport {
                    // A full socket loses packets, as the path behind it does.
                    ClientTransport::Datagram => drop(self.udp.try_send_to(&bytes, client.addr)),
                    ClientTransport::Stream => {
                        if let Some((writer, _)) = self.streams.get(&client) {
                            let _ = writer.try_send(bytes);
                        }
                    }
                },
                TurnOutput::ToPeer {
                    allocation,
                    peer,
                    bytes,
                } => {
                    if let Some((socket, _)) = self.allocations.get(&allocation) {
                        let _ = socket.try_send_to(&bytes, self.sockets.to_local(peer));
                    }
                }
                TurnOutput::OpenSocket { allocation, ipv6 } => {
                    self.open_allocation(allocation, ipv6).await
                }
                TurnOutput::CloseSocket { allocation } => {
                    if let Some((_, reader)) = self.allocations.remove(&allocation) {
                        reader.abort();
                    }
                }
                TurnOutput::CloseClient { client } => {
                    if let Some((_, reader)) = self.streams.remove(&client) {
                        reader.abort();
                    }
                }
            }
        }
    }

    async fn open_allocation(&mut self, allocation: AllocationId, ipv6: bool) {
        let socket = self.sockets.open(ipv6).await;
        let addr = socket.as_ref().and_then(|socket| socket.local_addr().ok());
        let addr = addr.map(|addr| self.sockets.to_external(addr));
        if let Some(socket) = socket.map(Arc::new) {
            let sockets = Arc::clone(&self.sockets);
            let reader = self.tasks.spawn(read_peers(
                allocation,
                Arc::clone(&socket),
                sockets,
                self.sender.clone(),
            ));
            self.allocations.insert(allocation, (socket, reader));
        }
        self.machine
            .handle_socket_opened(allocation, addr, Instant::now());
    }

    fn add_stream(&mut self, stream: Box<dyn ClientStream>, addr: SocketAddr) {
        let client = ClientFlow {
            transport: ClientTransport::Stream,
            addr,
        };
        if self.streams.contains_key(&client) {
            // One address and port, once over TCP and once over TLS: the first stays.
            return;
        }
        let (read, write) = split(stream);
        let (sender, writer) = mpsc::channel(STREAM_QUEUE);
        self.tasks.spawn(write_stream(write, writer));
        let reader = self
            .tasks
            .spawn(read_stream(client, read, self.sender.clone()));
        self.streams.insert(client, (sender, reader));
    }
}

async fn read_clients(socket: Arc<UdpSocket>, sender: mpsc::Sender<ServerInput>) {
    let mut buffer = [0; DATAGRAM];
    loop {
        // An error tells of an earlier packet that was not delivered; the next one may be.
        let Ok((length, addr)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let client = ClientFlow {
            transport: ClientTransport::Datagram,
            addr,
        };
        let _ = sender.try_send(ServerInput::TurnClient(
            client,
            buffer.get(..length).unwrap_or_default().to_vec(),
        ));
    }
}

async fn read_peers(
    allocation: AllocationId,
    socket: Arc<UdpSocket>,
    sockets: Arc<AllocationSockets>,
    sender: mpsc::Sender<ServerInput>,
) {
    let mut buffer = [0; DATAGRAM];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let _ = sender.try_send(ServerInput::Peer(
            allocation,
            sockets.to_external(peer),
            buffer.get(..length).unwrap_or_default().to_vec(),
        ));
    }
}
