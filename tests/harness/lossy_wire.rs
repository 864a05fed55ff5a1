//! A wire that loses and delays datagrams between an engine and its TURN server, in each direction alike: a proxy of its own, since it needs
//! no right on the machine. What it does can be changed while it runs.

use std::{
    collections::{BTreeMap, VecDeque},
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Datagrams that are on their way at most; more are lost.
const MOST: usize = 4_096;

/// From one look at the sockets to the next.
const PAUSE: Duration = Duration::from_micros(500);

/// What the wire does to each datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WireFault {
    /// The share that is lost, 0 to 1.
    pub loss: f64,
    /// How long the others take.
    pub delay: Duration,
}

/// A running wire.
#[derive(Debug)]
pub struct LossyWire {
    address: SocketAddr,
    fault: Arc<Mutex<WireFault>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LossyWire {
    /// Lays a wire to a server; clients send to its [`address`](Self::address).
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(server: SocketAddr) -> Self {
        let ours = socket(server);
        let address = ours.local_addr().expect("it is bound");
        let (fault, is_over) = <(Arc<Mutex<WireFault>>, Arc<AtomicBool>)>::default();
        let (its_fault, its_end) = (Arc::clone(&fault), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            let seed = u64::from(address.port());
            let mut course = Course {
                ours,
                server,
                clients: BTreeMap::new(),
                under_way: VecDeque::new(),
                rng: ChaCha20Rng::seed_from_u64(seed),
            };
            while !its_end.load(Ordering::Relaxed) {
                let fault = *its_fault.lock().unwrap_or_else(PoisonError::into_inner);
                course.look(fault);
                thread::sleep(PAUSE);
            }
        });
        Self {
            address,
            fault,
            is_over,
            thread: Some(thread),
        }
    }

    /// Where clients find the server.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the wire does.
    pub fn set(&self, fault: WireFault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Drop for LossyWire {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct Course {
    ours: UdpSocket,
    server: SocketAddr,
    /// Each client has a socket to the server.
    clients: BTreeMap<SocketAddr, UdpSocket>,
    /// When each datagram arrives, at which client's side, whether at the server, and its bytes. The delay is one for all, but for those
    /// that were sent before it changed.
    under_way: VecDeque<(Instant, SocketAddr, bool, Vec<u8>)>,
    rng: ChaCha20Rng,
}

impl Course {
    fn look(&mut self, fault: WireFault) {
        let now = Instant::now();
        while let Some((client, bytes)) = receive(&self.ours) {
            let server = self.server;
            self.clients.entry(client).or_insert_with(|| socket(server));
            self.send((client, true), bytes, fault, now);
        }
        let mut answers = Vec::new();
        for (client, socket) in &self.clients {
            while let Some((_, bytes)) = receive(socket) {
                answers.push((*client, bytes));
            }
        }
        for (client, bytes) in answers {
            self.send((client, false), bytes, fault, now);
        }
        while let Some((at, ..)) = self.under_way.front()
            && *at <= now
            && let Some((_, client, is_up, bytes)) = self.under_way.pop_front()
        {
            // A server that is dead refuses what comes.
            match self.clients.get(&client).filter(|_| is_up) {
                Some(socket) => socket.send_to(&bytes, self.server).ok(),
                None => self.ours.send_to(&bytes, client).ok(),
            };
        }
    }

    fn send(
        &mut self,
        (client, is_up): (SocketAddr, bool),
        bytes: Vec<u8>,
        fault: WireFault,
        now: Instant,
    ) {
        let is_lost = f64::from(self.rng.next_u32()) < fault.loss * f64::from(u32::MAX);
        if !is_lost && self.under_way.len() < MOST {
            let arrival = (now + fault.delay, client, is_up, bytes);
            self.under_way.push_back(arrival);
        }
    }
}

fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((server.ip(), 0)).expect("a free port");
    socket.set_nonblocking(true).expect("it can");
    socket
}

fn receive(socket: &UdpSocket) -> Option<(SocketAddr, Vec<u8>)> {
    let mut bytes = [0; 2_048];
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((length, from)) => return Some((from, bytes[..length].to_vec())),
            // The answer of a machine whose server is dead (ICMP) to something sent earlier.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_loses_its_share_and_delays_the_rest_in_both_directions() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let wire = LossyWire::to(server.local_addr().expect("it is bound"));
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        for socket in [&server, &client] {
            let patience = Some(Duration::from_millis(300));
            socket.set_read_timeout(patience).expect("it can");
        }
        let delay = Duration::from_millis(50);
        wire.set(WireFault { loss: 0.5, delay });
        let began = Instant::now();
        for number in 0..200u8 {
            client
                .send_to(&[number], wire.address())
                .expect("it is sent");
        }
        let mut bytes = [0; 16];
        let mut passed = 0;
        while let Ok((_, from)) = server.recv_from(&mut bytes) {
            assert!(began.elapsed() >= delay);
            passed += 1;
            server.send_to(&bytes[..1], from).expect("it is sent");
        }
        assert!((60..140).contains(&passed), "{passed} of 200");
        let answers = std::iter::from_fn(|| client.recv_from(&mut bytes).ok()).count();
        assert!(
            (passed / 4..passed).contains(&answers),
            "{answers} of {passed}"
        );
    }
}
