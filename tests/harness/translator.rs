//! What a translator of addresses (NAT) does to the datagrams of a client (RFC 4787): each client has a port of its own towards one server,
//! and gets another one whenever the translator forgets.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Between two turns of the thread.
const TURN: Duration = Duration::from_micros(500);

type Ports = BTreeMap<SocketAddr, UdpSocket>;

/// A translator between clients and a server.
#[derive(Debug)]
pub struct Translator {
    address: SocketAddr,
    ports: Arc<Mutex<Ports>>,
    runs: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Translator {
    /// Starts it; clients send to `address`.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn start(address: SocketAddr, server: SocketAddr) -> Self {
        let inside = UdpSocket::bind(address).expect("the address is free");
        inside
            .set_nonblocking(true)
            .expect("a socket need not wait");
        let (ports, runs) = (
            Arc::new(Mutex::new(Ports::new())),
            Arc::new(AtomicBool::new(true)),
        );
        let (known, running) = (Arc::clone(&ports), Arc::clone(&runs));
        let thread = thread::spawn(move || {
            while running.load(Ordering::Relaxed) {
                let mut ports = known.lock().unwrap_or_else(PoisonError::into_inner);
                turn(&inside, server, &mut ports);
                drop(ports);
                thread::sleep(TURN);
            }
        });
        Self {
            address,
            ports,
            runs,
            thread: Some(thread),
        }
    }

    /// Where clients send to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets all clients: what the server sends to their ports is lost, and their next datagrams come from others.
    pub fn forget(&self) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.clear();
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        self.runs.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic is in the output.
            drop(thread.join());
        }
    }
}

/// Passes on what waits, both ways. What cannot be sent is lost.
fn turn(inside: &UdpSocket, server: SocketAddr, ports: &mut Ports) {
    let mut buffer = [0; 2_048];
    while let Ok((length, client)) = inside.recv_from(&mut buffer) {
        if !ports.contains_key(&client)
            && let Ok(port) = open(inside, server)
        {
            ports.insert(client, port);
        }
        if let Some(port) = ports.get(&client) {
            drop(port.send(buffer.get(..length).unwrap_or_default()));
        }
    }
    for (client, port) in ports {
        while let Ok(length) = port.recv(&mut buffer) {
            drop(inside.send_to(buffer.get(..length).unwrap_or_default(), *client));
        }
    }
}

fn open(inside: &UdpSocket, server: SocketAddr) -> io::Result<UdpSocket> {
    let port = UdpSocket::bind((inside.local_addr()?.ip(), 0))?;
    port.connect(server)?;
    port.set_nonblocking(true)?;
    Ok(port)
}
