//! The way of rtpengine's encrypted sound through coturn, so that it crosses as many processes as that of engines: phone, rtpengine,
//! coturn, this forwarder, rtpengine, phone. Engines' sound crosses coturn twice instead, and needs no forwarder, because they speak TURN
//! themselves (RFC 8656).
//!
//! One thread forwards for all calls, between ChannelData and plain UDP. The TURN client has what an allocation and a channel need; the
//! server lets both live for an hour, so nothing is refreshed.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use mio::{Events, Interest, Poll, Registry, Token};
use ringfence_tests::coturn::CoturnServer;
use sha1::Sha1;

const CHANNEL: [u8; 2] = [0x40, 0];
const FRAME_HEADER: usize = 4;
const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const ALLOCATE: u16 = 0x0003;
const REFRESH: u16 = 0x0004;
const CHANNEL_BIND: u16 = 0x0009;
const SUCCESS: u16 = 0x0100;
/// Attributes.
const USERNAME: u16 = 0x0006;
const INTEGRITY: u16 = 0x0008;
const CHANNEL_NUMBER: u16 = 0x000c;
const LIFETIME: u16 = 0x000d;
const PEER: u16 = 0x0012;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const RELAYED: u16 = 0x0016;
const TRANSPORT: u16 = 0x0019;
const HOUR: u32 = 3_600;
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// All calls' ways through one coturn.
#[derive(Debug)]
pub(crate) struct TurnHops {
    coturn: CoturnServer,
    /// Where the forwarder finds it.
    entry: SocketAddr,
    hops: Arc<Mutex<BTreeMap<usize, Hop>>>,
    registry: Registry,
    made: usize,
    runs: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A call's way: the socket to coturn, and the one to the second rtpengine.
#[derive(Debug)]
struct Hop {
    turn: mio::net::UdpSocket,
    plain: mio::net::UdpSocket,
    /// The request that gives the allocation back.
    release: Vec<u8>,
}

/// A way that is half made.
#[derive(Debug)]
pub(crate) struct OpenHop {
    turn: TurnClient,
    plain: UdpSocket,
    /// Where the first rtpengine sends.
    pub(crate) relayed: SocketAddr,
    /// Where the second one sends.
    pub(crate) forwarder: SocketAddr,
}

#[derive(Debug)]
struct TurnClient {
    socket: UdpSocket,
    username: String,
    password: String,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    sent: u8,
}

impl TurnHops {
    pub(crate) fn start() -> Self {
        Self::start_through(|coturn| coturn)
    }

    /// Starts coturn, which the forwarder finds at the address that `wire` makes of its own.
    pub(crate) fn start_through(wire: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let lifetimes = ["channel-lifetime=3600", "permission-lifetime=3600"].map(str::to_owned);
        let coturn = CoturnServer::start_at(Ipv4Addr::LOCALHOST, &lifetimes);
        let entry = wire(coturn.address());
        let poll = Poll::new().expect("the kernel has epoll");
        let registry = poll.registry().try_clone().expect("it can be shared");
        let hops = Arc::default();
        let runs = Arc::new(AtomicBool::new(true));
        let (shared, running) = (Arc::clone(&hops), Arc::clone(&runs));
        let thread = thread::spawn(move || forward(poll, &shared, &running));
        Self {
            coturn,
            entry,
            hops,
            registry,
            made: 0,
            runs,
            thread: Some(thread),
        }
    }

    /// Process id of coturn.
    pub(crate) fn coturn(&self) -> u32 {
        self.coturn.id()
    }

    /// Allocates an address.
    pub(crate) fn open(&self) -> OpenHop {
        let mut turn = TurnClient::connect(&self.coturn, self.entry);
        let relayed = turn.allocate();
        let plain = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let forwarder = plain.local_addr().expect("it is bound");
        OpenHop {
            turn,
            plain,
            relayed,
            forwarder,
        }
    }

    /// Lets a call's packets pass between the two rtpengines. Returns the number of the way.
    pub(crate) fn join(&mut self, mut open: OpenHop, [first, second]: [SocketAddr; 2]) -> usize {
        open.turn.bind(first);
        open.plain.connect(second).expect("loopback is reachable");
        let release = [(LIFETIME, vec![0; 4])];
        let mut hop = Hop {
            release: open.turn.request(REFRESH, &release),
            turn: polled(open.turn.socket),
            plain: polled(open.plain),
        };
        let number = self.made;
        self.made += 1;
        for (socket, side) in [(&mut hop.turn, 0), (&mut hop.plain, 1)] {
            let token = Token(2 * number + side);
            self.registry
                .register(socket, token, Interest::READABLE)
                .expect("a socket can be waited for");
        }
        lock(&self.hops).insert(number, hop);
        number
    }

    /// Ends a way.
    pub(crate) fn close(&self, number: usize) {
        if let Some(hop) = lock(&self.hops).remove(&number) {
            // What is lost here ends with its lifetime.
            let _ = hop.turn.send(&hop.release);
        }
    }
}

impl Drop for TurnHops {
    fn drop(&mut self) {
        self.runs.store(false, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Forwards until it is to end.
fn forward(mut poll: Poll, hops: &Mutex<BTreeMap<usize, Hop>>, runs: &AtomicBool) {
    let mut events = Events::with_capacity(64);
    let mut frame = [0; 2_048];
    while runs.load(Ordering::Relaxed) {
        if poll.poll(&mut events, Some(POLL_INTERVAL)).is_err() {
            continue;
        }
        let hops = lock(hops);
        for event in &events {
            let Token(token) = event.token();
            let Some(hop) = hops.get(&(token / 2)) else {
                continue;
            };
            // A packet that cannot be sent is lost.
            if token % 2 == 0 {
                while let Ok(length) = hop.turn.recv(&mut frame) {
                    if frame.starts_with(&CHANNEL) {
                        let _ = hop.plain.send(&frame[FRAME_HEADER..length]);
                    }
                }
            } else {
                while let Ok(length) = hop.plain.recv(&mut frame[FRAME_HEADER..]) {
                    let field = u16::try_from(length).unwrap_or_default().to_be_bytes();
                    frame[..2].copy_from_slice(&CHANNEL);
                    frame[2..FRAME_HEADER].copy_from_slice(&field);
                    let _ = hop.turn.send(&frame[..FRAME_HEADER + length]);
                }
            }
        }
    }
}

impl TurnClient {
    fn connect(coturn: &CoturnServer, entry: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let patience = Some(Duration::from_secs(1));
        socket.set_read_timeout(patience).expect("it can");
        socket.connect(entry).expect("loopback is reachable");
        let (username, password) = coturn.credentials("bench");
        Self {
            socket,
            username,
            password,
            realm: Vec::new(),
            nonce: Vec::new(),
            sent: 0,
        }
    }

    /// Returns the relayed address.
    fn allocate(&mut self) -> SocketAddr {
        let asked = [
            (TRANSPORT, vec![17, 0, 0, 0]),
            (LIFETIME, HOUR.to_be_bytes().to_vec()),
        ];
        let answer = self.ask(ALLOCATE, &asked);
        let address = attribute(&answer, RELAYED).expect("an allocation has an address");
        let port = u16::from_be_bytes([address[2] ^ COOKIE[0], address[3] ^ COOKIE[1]]);
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn bind(&mut self, peer: SocketAddr) {
        let [high, low] = peer.port().to_be_bytes();
        let mut address = vec![0, 1, high ^ COOKIE[0], low ^ COOKIE[1]];
        let ip = Ipv4Addr::LOCALHOST.octets();
        address.extend(ip.iter().zip(COOKIE).map(|(byte, mask)| byte ^ mask));
        let channel = [CHANNEL[0], CHANNEL[1], 0, 0].to_vec();
        self.ask(CHANNEL_BIND, &[(CHANNEL_NUMBER, channel), (PEER, address)]);
    }

    /// Asks until the server accepts the request: the first answer brings realm and nonce (RFC 8489 section 9.2).
    fn ask(&mut self, method: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        for _ in 0..3 {
            let request = self.request(method, attributes);
            let answer = self.exchange(&request);
            if answer.starts_with(&(method | SUCCESS).to_be_bytes()) {
                return answer;
            }
            let copy = |kind| attribute(&answer, kind).map(<[u8]>::to_vec);
            self.nonce = copy(NONCE).expect("a refusal has a nonce");
            self.realm = copy(REALM).expect("a refusal has a realm");
        }
        panic!("coturn refuses {method:#x}")
    }

    /// Sends a request until it is answered: with hundreds of calls one may be lost.
    fn exchange(&self, request: &[u8]) -> Vec<u8> {
        for _ in 0..5 {
            self.socket.send(request).expect("coturn listens");
            let mut answer = vec![0; 1_500];
            while let Ok(length) = self.socket.recv(&mut answer) {
                // An answer to an earlier transmission of another request is late.
                if answer.get(8..20) == request.get(8..20) {
                    answer.truncate(length);
                    return answer;
                }
            }
        }
        panic!("coturn does not answer")
    }

    fn request(&mut self, method: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        self.sent += 1;
        let mut bytes = method.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(COOKIE);
        bytes.extend([self.sent; 12]);
        for (kind, value) in attributes {
            append(&mut bytes, *kind, value);
        }
        if !self.nonce.is_empty() {
            append(&mut bytes, USERNAME, self.username.as_bytes());
            append(&mut bytes, REALM, &self.realm);
            append(&mut bytes, NONCE, &self.nonce);
            let realm = String::from_utf8_lossy(&self.realm);
            let key = Md5::digest(format!("{}:{realm}:{}", self.username, self.password));
            set_length(&mut bytes, 24);
            let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("HMAC takes any key");
            mac.update(&bytes);
            let sum = mac.finalize().into_bytes();
            append(&mut bytes, INTEGRITY, &sum);
        }
        set_length(&mut bytes, 0);
        bytes
    }
}

/// The length of a message, which `further` bytes will follow.
fn set_length(bytes: &mut [u8], further: usize) {
    let length = u16::try_from(bytes.len() - HEADER + further).expect("a short message");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(kind.to_be_bytes());
    let length = u16::try_from(value.len()).expect("a short attribute");
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(HEADER..)?;
    loop {
        let (head, after) = rest.split_at_checked(4)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if head[..2] == wanted.to_be_bytes() {
            return after.get(..length);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
}

fn polled(socket: UdpSocket) -> mio::net::UdpSocket {
    let nonblocking = socket.set_nonblocking(true);
    nonblocking.expect("a socket need not wait");
    mio::net::UdpSocket::from_std(socket)
}

fn lock(hops: &Mutex<BTreeMap<usize, Hop>>) -> MutexGuard<'_, BTreeMap<usize, Hop>> {
    hops.lock().unwrap_or_else(PoisonError::into_inner)
}
