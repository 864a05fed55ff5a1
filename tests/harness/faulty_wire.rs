//! A wire between a program and its server in user space, for UDP and TCP at one port: it loses, delays and stops what passes, resets
//! connections, and forgets mappings as a NAT does (RFC 4787 section 4.3). The kernel need not be able to do any of that.
//!
//! A thread carries what passes, so a test may block. Its turns add up to a millisecond each way.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::wire_chance::Chance;
pub use crate::wire_chance::WireRate;

const TURN: Duration = Duration::from_millis(1);
/// The longest datagram or piece of a stream.
const LONGEST: usize = 65_536;
/// Bytes of one direction of a connection that may be under way; further ones wait at the sender.
const UNDER_WAY: usize = 1 << 20;

/// What befalls what passes. Nothing does by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireFaults {
    /// Whether all datagrams to the server, or back, are lost, as behind a firewall that lets TCP pass only.
    pub no_udp: [bool; 2],
    /// Share of datagrams that are lost, each way.
    pub loss: f64,
    /// How many of them are lost in a row in the mean, where that is more than one: the simple model of Gilbert, of each client and way.
    pub burst: f64,
    /// Whether each burst has exactly that length.
    pub is_burst_exact: bool,
    /// How fast it is; as fast as can be without one.
    pub rate: Option<WireRate>,
    /// How long everything takes: to the server, and back.
    pub delay: [Duration; 2],
    /// How much later each datagram is in the mean, each way: the exponential distribution.
    pub jitter: Duration,
    /// Whether bytes of connections stand still: nothing is lost, and nothing arrives.
    pub stalls: bool,
    /// Whether connections are reset and refused, and datagrams are lost.
    pub is_cut: bool,
}

/// A wire to one server.
#[derive(Debug)]
pub struct FaultyWire {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    runs: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    faults: WireFaults,
    /// Packets and pieces that came from the server.
    passed: u64,
    forget: bool,
}

impl FaultyWire {
    /// A wire to `server` that listens at an address of loopback.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(server: SocketAddr, ip: Ipv4Addr) -> Self {
        let (udp, tcp) = listeners(ip);
        let address = udp.local_addr().expect("it is bound");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let runs = Arc::new(AtomicBool::new(true));
        let mut carrier = Carrier {
            server,
            udp,
            tcp,
            shared: Arc::clone(&shared),
            mappings: BTreeMap::new(),
            datagrams: VecDeque::new(),
            connections: Vec::new(),
            chances: BTreeMap::new(),
        };
        let running = Arc::clone(&runs);
        let thread = thread::spawn(move || {
            while running.load(Ordering::Relaxed) {
                carrier.turn();
                thread::sleep(TURN);
            }
        });
        Self {
            address,
            shared,
            runs,
            thread: Some(thread),
        }
    }

    /// Where the program finds its server, by UDP and by TCP.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what befalls what passes from now on.
    pub fn set(&self, faults: WireFaults) {
        lock(&self.shared).faults = faults;
    }

    /// Forgets all mappings of UDP: the next datagram of each client comes from another port, and nothing comes back to the old one.
    pub fn forget_mappings(&self) {
        lock(&self.shared).forget = true;
    }

    /// Packets and pieces of streams that have come from the server so far.
    pub fn passed(&self) -> u64 {
        lock(&self.shared).passed
    }
}

impl Drop for FaultyWire {
    fn drop(&mut self) {
        self.runs.store(false, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

struct Carrier {
    server: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    shared: Arc<Mutex<Shared>>,
    /// The socket to the server, by the client's address.
    mappings: BTreeMap<SocketAddr, UdpSocket>,
    /// Datagrams under way: when they arrive, the client, and whether they go to the server.
    datagrams: VecDeque<(Instant, SocketAddr, bool, Vec<u8>)>,
    connections: Vec<Connection>,
    /// Of each client's datagrams to the server, and back.
    chances: BTreeMap<(SocketAddr, bool), Chance>,
}

impl Carrier {
    fn turn(&mut self) {
        let now = Instant::now();
        let faults = {
            let mut shared = lock(&self.shared);
            if std::mem::take(&mut shared.forget) {
                self.mappings.clear();
            }
            shared.faults
        };
        self.take_datagrams(faults, now);
        self.deliver_datagrams(now);
        self.accept(faults);
        if faults.is_cut {
            self.connections.clear();
        }
        if !faults.stalls {
            let mut passed = 0;
            self.connections.retain_mut(|connection| {
                connection.carry(faults.delay, now, &mut passed).is_some()
            });
            lock(&self.shared).passed += passed;
        }
    }

    fn take_datagrams(&mut self, faults: WireFaults, now: Instant) {
        let mut buffer = vec![0; LONGEST];
        let mut taken = Vec::new();
        while let Ok((length, client)) = self.udp.recv_from(&mut buffer) {
            taken.push((client, true, buffer[..length].to_vec()));
        }
        for (client, socket) in &self.mappings {
            while let Ok(length) = socket.recv(&mut buffer) {
                taken.push((*client, false, buffer[..length].to_vec()));
            }
        }
        for (client, is_up, bytes) in taken {
            if !is_up {
                lock(&self.shared).passed += 1;
            }
            let seed = self.chances.len() as u64;
            let chance = self.chances.entry((client, is_up));
            let chance = chance.or_insert_with(|| Chance::new(seed));
            let late = chance.next(faults, bytes.len(), now);
            let is_stopped = faults.no_udp[usize::from(!is_up)] || faults.is_cut;
            if let (Some(late), false) = (late, is_stopped) {
                let at = now + faults.delay[usize::from(!is_up)] + late;
                self.datagrams.push_back((at, client, is_up, bytes));
            }
        }
    }

    fn deliver_datagrams(&mut self, now: Instant) {
        for (at, client, is_up, bytes) in std::mem::take(&mut self.datagrams) {
            if at > now {
                self.datagrams.push_back((at, client, is_up, bytes));
            } else if is_up {
                // An error here is the answer to a datagram before: the server was away.
                let _ = self.mapping(client).send(&bytes);
            } else {
                let _ = self.udp.send_to(&bytes, client);
            }
        }
    }

    fn mapping(&mut self, client: SocketAddr) -> &UdpSocket {
        let server = self.server;
        self.mappings.entry(client).or_insert_with(|| {
            let socket = UdpSocket::bind((server.ip(), 0)).expect("a free port");
            socket.connect(server).expect("loopback is reachable");
            socket
                .set_nonblocking(true)
                .expect("a socket need not wait");
            socket
        })
    }

    fn accept(&mut self, faults: WireFaults) {
        while !faults.stalls
            && let Ok((client, _)) = self.tcp.accept()
        {
            if faults.is_cut {
                continue;
            }
            if let Ok(server) = TcpStream::connect(self.server) {
                self.connections.push(Connection::between(client, server));
            }
        }
    }
}

/// A connection of the program, and the one to the server in its name.
struct Connection {
    /// The program's end and the server's.
    ends: [TcpStream; 2],
    /// What is under way from each end to the other, and when it arrives.
    under_way: [VecDeque<(Instant, Vec<u8>)>; 2],
}

impl Connection {
    fn between(client: TcpStream, server: TcpStream) -> Self {
        for end in [&client, &server] {
            end.set_nonblocking(true).expect("a socket need not wait");
            end.set_nodelay(true).expect("a socket need not wait");
        }
        Self {
            ends: [client, server],
            under_way: Default::default(),
        }
    }

    /// Carries what there is, both ways; `None` once an end is closed.
    fn carry(&mut self, delay: [Duration; 2], now: Instant, passed: &mut u64) -> Option<()> {
        let mut buffer = vec![0; LONGEST];
        for from in [0, 1] {
            let waiting: usize = self.under_way[from]
                .iter()
                .map(|(_, bytes)| bytes.len())
                .sum();
            if waiting < UNDER_WAY {
                match self.ends[from].read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(length) => {
                        let at = now + delay[from];
                        self.under_way[from].push_back((at, buffer[..length].to_vec()));
                        *passed += from as u64;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return None,
                }
            }
            self.deliver(from, now)?;
        }
        Some(())
    }

    fn deliver(&mut self, from: usize, now: Instant) -> Option<()> {
        while let Some((at, bytes)) = self.under_way[from].front_mut()
            && *at <= now
        {
            match self.ends[1 - from].write(bytes) {
                Ok(length) if length < bytes.len() => drop(bytes.drain(..length)),
                Ok(_) => drop(self.under_way[from].pop_front()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        Some(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// A UDP socket and a listener at one port of `ip`.
fn listeners(ip: Ipv4Addr) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let tcp = TcpListener::bind((IpAddr::from(ip), 0)).expect("a free port");
        let address = tcp.local_addr().expect("it is bound");
        if let Ok(udp) = UdpSocket::bind(address) {
            tcp.set_nonblocking(true).expect("a socket need not wait");
            udp.set_nonblocking(true).expect("a socket need not wait");
            return (udp, tcp);
        }
    }
    panic!("no port of {ip} is free for UDP and TCP");
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_loses_its_share_and_delays_the_rest_in_both_directions() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let wire = FaultyWire::to(
            server.local_addr().expect("it is bound"),
            Ipv4Addr::LOCALHOST,
        );
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        for socket in [&server, &client] {
            let patience = Some(Duration::from_millis(300));
            socket.set_read_timeout(patience).expect("it can");
        }
        let delay = Duration::from_millis(50);
        wire.set(WireFaults {
            loss: 0.5,
            delay: [delay; 2],
            ..WireFaults::default()
        });
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
