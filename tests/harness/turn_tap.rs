//! A tap between an engine and its TURN server, in user space: it forwards each datagram at once and writes down when it came, which way it
//! went, and what stands in the clear in it (`clear_header`). It needs no privileges and no payload is kept.
//!
//! The times are those at which the tap received a packet: packets up have crossed no server, packets down all of them.
//!
//! A port of the engine is a flow until it asks for an allocation after a call: the system lends a port again, sooner or later.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::{net::UdpSocket, runtime, sync::oneshot};

use crate::clear_header::{ClearHeader, Inner};

const LONGEST: usize = 2_048;
/// The message type of a request for an allocation (RFC 8656 section 7.1).
const ALLOCATE: [u8; 2] = [0, 3];

/// A tap before one server.
#[derive(Debug)]
pub struct TurnTap {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    begin: Instant,
    out: BufWriter<File>,
    /// Directions in which a flow has had RTP.
    heard: BTreeMap<u16, [bool; 2]>,
    /// Flows that had RTP both ways, in the order of that moment.
    talking: Vec<u16>,
}

impl TurnTap {
    /// A tap before `server` that writes to `file`. Times count from `begin`.
    ///
    /// # Panics
    /// When there is no free port, or the file cannot be written.
    pub fn to(server: SocketAddr, file: &Path, begin: Instant) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            begin,
            out: BufWriter::new(File::create(file).expect("the file is ours")),
            heard: BTreeMap::new(),
            talking: Vec::new(),
        }));
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let seen = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
                let socket = Arc::new(socket.expect("a free port"));
                let address = socket.local_addr().expect("it is bound");
                tell.send(address).expect("the test waits");
                tokio::select! {
                    () = carry_up(socket, server, seen) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: told.recv().expect("the tap begins"),
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where the engine finds its server.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The flows, each an allocation of the engine, that have had RTP both ways, in the order in which they began to.
    pub fn talking(&self) -> Vec<u16> {
        lock(&self.shared).talking.clone()
    }

    /// Writes what is held back, so that the file can be read.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn flush(&self) {
        let flushed = lock(&self.shared).out.flush();
        flushed.expect("the disk has room");
    }
}

impl Drop for TurnTap {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Carries datagrams of the engine to the server, each of its ports as a flow of its own. Never returns.
async fn carry_up(engine: Arc<UdpSocket>, server: SocketAddr, shared: Arc<Mutex<Shared>>) {
    let mut flows: BTreeMap<SocketAddr, (u16, Arc<UdpSocket>)> = BTreeMap::new();
    let mut count = 0_u16;
    let mut bytes = [0; LONGEST];
    loop {
        // An error is the answer to a datagram before: that port is closed.
        let Ok((length, from)) = engine.recv_from(&mut bytes).await else {
            continue;
        };
        let bytes = &bytes[..length];
        let is_known = |(number, _): &(u16, _)| {
            !bytes.starts_with(&ALLOCATE) || !lock(&shared).has_talked(*number)
        };
        if !flows.get(&from).is_some_and(is_known) {
            let number = count;
            count = number.checked_add(1).expect("fewer allocations than ports");
            let socket = UdpSocket::bind((server.ip(), 0)).await;
            let socket = Arc::new(socket.expect("a free port"));
            socket.connect(server).await.expect("loopback is reachable");
            let (wire, to) = (Arc::clone(&socket), Arc::clone(&engine));
            tokio::spawn(carry_down(number, wire, to, from, Arc::clone(&shared)));
            flows.insert(from, (number, socket));
        }
        let Some((number, socket)) = flows.get(&from) else {
            continue;
        };
        lock(&shared).note(*number, 0, bytes);
        let _ = socket.send(bytes).await;
    }
}

/// Carries what comes back for one port of the engine.
async fn carry_down(
    number: u16,
    wire: Arc<UdpSocket>,
    engine: Arc<UdpSocket>,
    to: SocketAddr,
    shared: Arc<Mutex<Shared>>,
) {
    let mut bytes = [0; LONGEST];
    loop {
        let Ok(length) = wire.recv(&mut bytes).await else {
            continue;
        };
        lock(&shared).note(number, 1, &bytes[..length]);
        let _ = engine.send_to(&bytes[..length], to).await;
    }
}

impl Shared {
    fn note(&mut self, flow: u16, direction: u8, bytes: &[u8]) {
        let since = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let header = ClearHeader::read(bytes);
        let parts: [&[u8]; 4] = [
            &since.to_le_bytes(),
            &flow.to_le_bytes(),
            &[direction],
            &header.record(),
        ];
        // A full disk shows when the file is flushed.
        let _ = self.out.write_all(&parts.concat());
        if header.inner == Inner::Rtp {
            let had_talked = self.has_talked(flow);
            self.heard.entry(flow).or_default()[usize::from(direction)] = true;
            if self.has_talked(flow) && !had_talked {
                self.talking.push(flow);
            }
        }
    }

    fn has_talked(&self, flow: u16) -> bool {
        self.heard.get(&flow) == Some(&[true; 2])
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net, time::Duration};

    #[test]
    fn a_port_that_the_system_lends_again_is_another_flow() {
        let bind = || net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let (server, engine) = (bind(), bind());
        server
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        engine
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let file = tempfile::NamedTempFile::new().expect("the disk has room");
        let tap = TurnTap::to(server.local_addr().unwrap(), file.path(), Instant::now());
        let mut bytes = [0; LONGEST];
        // There and back.
        let mut pass = |packet: &[u8]| {
            engine.send_to(packet, tap.address()).unwrap();
            let (_, from) = server.recv_from(&mut bytes).expect("the tap forwards");
            server.send_to(packet, from).unwrap();
            engine.recv_from(&mut bytes).expect("the tap forwards");
        };
        let allocate = [&[0, 3][..], &[0; 18]].concat();
        let sound = [&[0x40, 0, 0, 12, 128, 0][..], &[0; 10]].concat();
        for talking in 1..=2 {
            // The second request is that with a login.
            for packet in [&allocate, &allocate, &sound, &sound] {
                pass(packet);
            }
            assert_eq!(tap.talking().len(), talking);
        }
        let talking = tap.talking();
        assert_ne!(talking[0], talking[1]);
    }
}
