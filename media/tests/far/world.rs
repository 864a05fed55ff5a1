//! Two far legs, their TURN servers and the wires between them, in simulated time. Everything that leaves a leg is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_box::turn::{
    AllocationId, ClientFlow, ClientTransport, TurnLimits, TurnMachine, TurnMachineConfig,
    TurnOutput,
};
use ringfence_media::far::{
    FarConfig, FarEvent, FarLeg, FarOutput, FarPacket, Role, TurnAccess, TurnPassword,
    TurnTransport, TurnWay, WayOutput,
};
use ringfence_media::{Codec, Description, LocalEndpoint, VideoDescription, VideoFormat};

/// The first leg calls the second.
pub(crate) const ROLES: [Role; 2] = [Role::Caller, Role::Callee];

/// The time of day in the simulated world, in seconds since 1970.
pub(crate) const UNIX: u64 = 1_800_000_000;

/// The addresses that must never appear outside.
pub(crate) const LOCALS: [&str; 2] = ["192.168.77.10:40001", "192.168.78.20:40002"];

/// How a world is made.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u8,
    /// One way, between a client and its server.
    pub(crate) delay: Duration,
    /// Packets lost between clients and servers, in thousandths.
    pub(crate) loss: u32,
    pub(crate) transport: TurnTransport,
    /// The server of each leg; two addresses or the same twice.
    pub(crate) servers: [&'static str; 2],
    pub(crate) password: Option<&'static str>,
    /// Whether the legs, not the servers, accept private relays.
    pub(crate) private: bool,
    /// The addresses whose datagrams pass at any time.
    pub(crate) permitted: Vec<IpAddr>,
    /// Whether both sides have video.
    pub(crate) video: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            delay: Duration::ZERO,
            loss: 0,
            transport: TurnTransport::Udp,
            servers: ["9.9.9.9:3478", "9.9.9.9:3478"],
            password: None,
            private: false,
            permitted: Vec::new(),
            video: false,
        }
    }
}

/// A leg's socket to a server.
#[derive(Clone, Copy)]
struct Socket {
    leg: usize,
    server: SocketAddr,
}

/// A way out that no leg has: it is being asked for, or released.
struct OtherWay {
    socket: Socket,
    local: SocketAddr,
    way: TurnWay,
}

enum Delivery {
    Server {
        local: SocketAddr,
        bytes: Vec<u8>,
    },
    Client {
        local: SocketAddr,
        bytes: Vec<u8>,
    },
    Peer {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
}

/// Where simulated time starts; what time it is does not matter.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to make an Instant"
)]
pub(crate) fn any_instant() -> Instant {
    Instant::now()
}

/// A packet of sound, a control message, or anything else that a leg said, and when.
pub(crate) type Said = (Instant, FarEvent);

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) legs: [FarLeg; 2],
    pub(crate) said: [Vec<Said>; 2],
    /// Every frame that left a leg.
    pub(crate) frames: [Vec<(Instant, Vec<u8>)>; 2],
    pub(crate) machines: BTreeMap<SocketAddr, TurnMachine>,
    pub(crate) cut: bool,
    /// Servers that neither take nor send anything.
    pub(crate) down: BTreeSet<SocketAddr>,
    /// The servers that a leg asks which has lost its way out.
    pub(crate) asks: [Vec<&'static str>; 2],
    sockets: BTreeMap<SocketAddr, Socket>,
    at: [SocketAddr; 2],
    others: Vec<OtherWay>,
    secret: TurnSecret,
    /// Whether the first encrypted record behind the next ServerHello is altered on its way.
    pub(crate) alters_flight: bool,
    /// Whether DTLS between the servers is lost, and all the rest is not.
    pub(crate) loses_dtls: bool,
    /// Clients whose logins are over.
    pub(crate) logins_over: BTreeSet<SocketAddr>,
    /// The next datagram of this length between the servers is kept.
    pub(crate) keeps: Option<usize>,
    kept: Option<Delivery>,
    setup: Setup,
    relays: BTreeMap<SocketAddr, (SocketAddr, AllocationId)>,
    next_port: u16,
    wire: BTreeMap<(Instant, u64), Delivery>,
    sent: u64,
    rng: ChaCha20Rng,
}

fn machine(listen: SocketAddr, secret: &TurnSecret, start: Instant) -> TurnMachine {
    let settings = TurnMachineConfig {
        listen,
        secret: secret.clone(),
        allow_private: false,
        // Tests speak every millisecond while they wait for the first sound, which no phone does.
        limits: TurnLimits {
            bytes_per_second: 1_000_000,
            ..TurnLimits::DEFAULT
        },
    };
    TurnMachine::new(settings, start, UNIX)
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let start = any_instant();
        let mut rng = ChaCha20Rng::from_seed([setup.seed; 32]);
        let secret = TurnSecret::new("the operator's secret".into());
        let machines = setup
            .servers
            .iter()
            .map(|server| {
                let listen = server.parse().unwrap();
                (listen, machine(listen, &secret, start))
            })
            .collect();
        let mut leg = |index: usize| {
            let (username, password) =
                rest_credentials(&secret, Duration::from_secs(7200), UNIX, &mut rng);
            let password = setup.password.map_or(password, str::to_owned);
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let turn = TurnAccess {
                addr: setup.servers[index].parse().unwrap(),
                transport: setup.transport,
                username,
                password: TurnPassword::new(password),
            };
            let config = FarConfig {
                turn,
                local: LOCALS[index].parse().unwrap(),
                allow_private_addresses: setup.private,
                permitted: setup.permitted.clone(),
                relays_ipv6: false,
            };
            FarLeg::new(TurnWay::new(config, start), seed, start)
        };
        let legs = [leg(0), leg(1)];
        let at: [SocketAddr; 2] = LOCALS.map(|local| local.parse().unwrap());
        let sockets = [0, 1].map(|leg| {
            let server = setup.servers[leg].parse().unwrap();
            (at[leg], Socket { leg, server })
        });
        Self {
            now: start,
            start,
            legs,
            said: Default::default(),
            frames: Default::default(),
            machines,
            cut: false,
            down: BTreeSet::new(),
            asks: Default::default(),
            sockets: BTreeMap::from(sockets),
            at,
            others: Vec::new(),
            secret,
            alters_flight: false,
            loses_dtls: false,
            logins_over: BTreeSet::new(),
            keeps: None,
            kept: None,
            setup,
            relays: BTreeMap::new(),
            next_port: 50_000,
            wire: BTreeMap::new(),
            sent: 0,
            rng,
        }
    }

    /// Both legs allocated and connected to each other.
    pub(crate) fn connected(setup: Setup) -> Self {
        let mut world = Self::new(setup);
        world.allocate();
        world.connect();
        world.run_until(Duration::from_secs(10), |world| {
            world.both(|event| *event == FarEvent::Connected)
        });
        world
    }

    pub(crate) fn allocate(&mut self) {
        self.run_until(Duration::from_secs(10), |world| {
            world.both(|event| matches!(event, FarEvent::Allocated(_)))
        });
    }

    /// Tells each leg about the other at the same moment.
    pub(crate) fn connect(&mut self) {
        for leg in [0, 1] {
            self.connect_leg(leg);
        }
    }

    /// Tells one leg about the other.
    pub(crate) fn connect_leg(&mut self, leg: usize) {
        let remote = self.description(1 - leg);
        self.legs[leg]
            .connect(&remote, ROLES[leg], self.now)
            .unwrap();
    }

    pub(crate) fn local(&self, leg: usize) -> LocalEndpoint {
        let found = self.said[leg].iter().find_map(|(_, event)| match event {
            FarEvent::Allocated(local) => Some((**local).clone()),
            _ => None,
        });
        found.expect("the leg has a relay")
    }

    pub(crate) fn description(&self, leg: usize) -> Description {
        let local = self.local(leg);
        let video = self.setup.video.then(|| VideoDescription {
            ssrc: local.video_ssrc,
            formats: vec![VideoFormat::Vp8],
        });
        Description {
            ufrag: local.ufrag,
            pwd: local.pwd,
            fingerprint: local.fingerprint,
            ssrc: local.ssrc,
            relayed_addresses: vec![local.relayed_address],
            codecs: vec![Codec::Pcmu, Codec::Events8k],
            video,
        }
    }

    pub(crate) fn speak(&mut self, leg: usize, sequence: u16) {
        let packet = FarPacket {
            payload_type: 0,
            marker: sequence == 0,
            sequence,
            timestamp: u32::from(sequence) * 160,
            payload: vec![0x55; 160],
        };
        self.legs[leg].write_rtp(packet, self.now);
    }

    pub(crate) fn heard(&self, leg: usize) -> Vec<FarPacket> {
        let packets = self.said[leg].iter().filter_map(|(_, event)| match event {
            FarEvent::Rtp(packet) => Some(packet.clone()),
            _ => None,
        });
        packets.collect()
    }

    pub(crate) fn has(&self, leg: usize, wanted: impl Fn(&FarEvent) -> bool) -> bool {
        self.said[leg].iter().any(|(_, event)| wanted(event))
    }

    pub(crate) fn both(&self, wanted: impl Fn(&FarEvent) -> bool) -> bool {
        self.has(0, &wanted) && self.has(1, &wanted)
    }

    /// When a leg first said something, from the start of the world.
    pub(crate) fn when(&self, leg: usize, wanted: impl Fn(&FarEvent) -> bool) -> Duration {
        let said = self.said[leg].iter().find(|(_, event)| wanted(event));
        said.unwrap_or_else(|| panic!("never said; it said {:?}", self.said[leg]))
            .0
            - self.start
    }

    /// Relays open on all servers.
    pub(crate) fn open_relays(&self) -> usize {
        self.machines.values().map(TurnMachine::allocations).sum()
    }

    /// Bytes from a stranger at the socket of a leg, as if the server had sent them.
    pub(crate) fn change_network(&mut self, leg: usize) {
        self.legs[leg].handle_network_change(self.now);
        self.drain();
    }

    pub(crate) fn inject(&mut self, leg: usize, bytes: &[u8]) {
        self.legs[leg].handle_turn(bytes, self.now);
        self.drain();
    }

    /// A datagram from anywhere to a relay.
    pub(crate) fn inject_peer(&mut self, to: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        self.post(
            Duration::ZERO,
            Delivery::Peer {
                to,
                from,
                bytes: bytes.to_vec(),
            },
        );
    }

    /// What was kept arrives after all.
    pub(crate) fn deliver_kept(&mut self) {
        let kept = self.kept.take().expect("something was kept");
        self.post(Duration::ZERO, kept);
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`, at most for `limit`; panics if that is not enough.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        self.drain();
        while !done(self) {
            assert!(self.step(end), "not done after {limit:?}: {:?}", self.said);
        }
    }

    /// Does the next thing, if it comes before `end`.
    fn step(&mut self, end: Instant) -> bool {
        self.drain();
        let legs = self.legs.iter().filter_map(FarLeg::next_timeout);
        let others = self
            .others
            .iter()
            .filter_map(|other| other.way.next_timeout());
        let servers = self.machines.values().filter_map(TurnMachine::next_timeout);
        let alarm = legs
            .chain(others)
            .map(|(at, _)| at)
            .chain(servers.map(|(at, _)| at))
            .min();
        let delivery = self.wire.keys().next().copied();
        let next = [alarm, delivery.map(|(at, _)| at)]
            .into_iter()
            .flatten()
            .min();
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = self.now.max(next);
        match delivery {
            Some(key) if key.0 <= next => {
                let delivery = self.wire.remove(&key).unwrap();
                self.deliver(delivery);
            }
            _ => self.ring_alarms(),
        }
        self.drain();
        true
    }

    fn ring_alarms(&mut self) {
        let now = self.now;
        for leg in &mut self.legs {
            if leg.next_timeout().is_some_and(|(at, _)| at <= now) {
                leg.handle_timeout(now);
                assert!(leg.next_timeout().is_none_or(
                    |(at, why)| at > now || panic!("{why:?} is due for ever {:?}", leg)
                ));
            }
        }
        for other in &mut self.others {
            if other.way.next_timeout().is_some_and(|(at, _)| at <= now) {
                other.way.handle_timeout(now);
            }
        }
        for machine in self.machines.values_mut() {
            machine.handle_timeout(now);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.now;
        match delivery {
            Delivery::Server { local, bytes } => {
                if self.logins_over.contains(&local)
                    && let [0, method @ (4 | 8 | 9), ..] = bytes[..]
                {
                    // 401 to a request of an allocation that stands (RFC 8489 sections 6.3.4 and 14.8).
                    let head = [1, 0x10 | method, 0, 8];
                    let code = [0, 9, 0, 4, 0, 0, 4, 1];
                    let bytes = [&head, &bytes[4..20], &code].concat();
                    self.post(self.setup.delay, Delivery::Client { local, bytes });
                    return;
                }
                let (flow, server) = (self.flow(local), self.sockets[&local].server);
                if !self.down.contains(&server) {
                    let machine = self.machines.get_mut(&server).unwrap();
                    machine.handle_client(flow, &bytes, now);
                }
            }
            Delivery::Client { local, bytes } => {
                let leg = self.sockets[&local].leg;
                if self.at[leg] == local {
                    self.legs[leg].handle_turn(&bytes, now);
                } else if let Some(other) = self.others.iter_mut().find(|way| way.local == local) {
                    other.way.handle_turn(&bytes, now);
                }
            }
            Delivery::Peer { to, from, bytes } => {
                if let Some((server, relay)) = self.relays.get(&to).copied() {
                    self.machines
                        .get_mut(&server)
                        .unwrap()
                        .handle_peer(relay, from, &bytes, now);
                }
            }
        }
    }

    fn flow(&self, addr: SocketAddr) -> ClientFlow {
        let transport = match self.setup.transport {
            TurnTransport::Udp => ClientTransport::Datagram,
            TurnTransport::Stream => ClientTransport::Stream,
        };
        ClientFlow { transport, addr }
    }

    /// The server of a leg accepts the login no more with which the leg has got its way out.
    pub(crate) fn end_login(&mut self, leg: usize) {
        self.logins_over.insert(self.at[leg]);
    }

    pub(crate) fn set_loss(&mut self, thousandths: u32) {
        self.setup.loss = thousandths;
    }

    /// Whether a frame of a leg is for this peer: in a Send indication, or on a channel that was bound to it.
    pub(crate) fn goes_to(&self, leg: usize, frame: &[u8], peer: SocketAddr) -> bool {
        let xor = |port: u16| (port ^ 0x2112).to_be_bytes();
        let names = |bytes: &[u8]| {
            let SocketAddr::V4(peer) = peer else {
                return false;
            };
            let mut address = peer.ip().octets();
            for (byte, cookie) in address.iter_mut().zip([0x21, 0x12, 0xa4, 0x42]) {
                *byte ^= cookie;
            }
            let wanted = [&[0, 1][..], &xor(peer.port()), &address].concat();
            bytes.windows(wanted.len()).any(|window| window == wanted)
        };
        if frame.starts_with(&[0x00, 0x16]) {
            return names(frame);
        }
        // ChannelBind (RFC 8656 section 12): its first attribute is the channel's number.
        let binds = self.frames[leg].iter();
        let mut binds = binds.filter(|(_, frame)| frame.starts_with(&[0x00, 0x09]));
        frame[0] >> 6 == 1
            && binds
                .any(|(_, bind)| names(bind) && bind.windows(2).any(|number| number == &frame[..2]))
    }

    /// A server starts again and has forgotten everything.
    pub(crate) fn restart(&mut self, server: &str) {
        let server: SocketAddr = server.parse().unwrap();
        self.relays.retain(|_, (of, _)| *of != server);
        let machine = machine(server, &self.secret, self.now);
        self.machines.insert(server, machine);
        self.down.remove(&server);
    }

    /// A server is gone, and what it had.
    pub(crate) fn stop(&mut self, server: &str) {
        self.restart(server);
        self.down.insert(server.parse().unwrap());
    }

    /// Where a leg is now.
    pub(crate) fn relayed(&self, leg: usize) -> SocketAddr {
        let moved = self.said[leg]
            .iter()
            .rev()
            .find_map(|(_, event)| match event {
                FarEvent::WayFound(address) => Some(*address),
                _ => None,
            });
        moved.unwrap_or_else(|| self.local(leg).relayed_address)
    }

    /// A leg asks a server for another way out.
    pub(crate) fn ask(&mut self, leg: usize, server: &str) {
        let server: SocketAddr = server.parse().unwrap();
        if !self.machines.contains_key(&server) {
            let machine = machine(server, &self.secret, self.now);
            self.machines.insert(server, machine);
        }
        self.next_port += 1;
        let local = SocketAddr::new(self.at[leg].ip(), self.next_port);
        let (username, password) =
            rest_credentials(&self.secret, Duration::from_secs(7200), UNIX, &mut self.rng);
        let config = FarConfig {
            turn: TurnAccess {
                addr: server,
                transport: self.setup.transport,
                username,
                password: TurnPassword::new(password),
            },
            local,
            allow_private_addresses: self.setup.private,
            permitted: self.setup.permitted.clone(),
            relays_ipv6: false,
        };
        let way = TurnWay::new(config, self.now);
        let socket = Socket { leg, server };
        self.sockets.insert(local, socket);
        self.others.push(OtherWay { socket, local, way });
    }

    /// Drives the ways out that no leg has; does what the shell does.
    fn drain_others(&mut self) {
        let now = self.now;
        for mut other in std::mem::take(&mut self.others) {
            let Socket { leg, server } = other.socket;
            let (mut stands, mut lost) = (false, false);
            while let Some(output) = other.way.poll() {
                match output {
                    WayOutput::ToServer(bytes) => {
                        let local = other.local;
                        self.post(self.setup.delay, Delivery::Server { local, bytes });
                    }
                    WayOutput::Standing(_) => stands = true,
                    WayOutput::Lost(_) => lost = true,
                    WayOutput::From { .. } | WayOutput::Gone => {}
                }
            }
            if lost && self.legs[leg].wants_way() {
                self.ask(leg, &server.to_string());
            }
            if stands {
                match self.legs[leg].adopt(other.way, now) {
                    Ok(old) => {
                        other.way = old;
                        std::mem::swap(&mut other.local, &mut self.at[leg]);
                    }
                    Err(refused) => other.way = *refused,
                }
                other.way.release(now);
            }
            if other.way.next_timeout().is_some() {
                self.others.push(other);
            }
        }
    }

    fn drain(&mut self) {
        for leg in [0, 1] {
            while let Some(output) = self.legs[leg].poll() {
                match output {
                    FarOutput::ToServer(bytes) => {
                        self.frames[leg].push((self.now, bytes.clone()));
                        let local = self.at[leg];
                        self.post(self.setup.delay, Delivery::Server { local, bytes });
                    }
                    FarOutput::Event(event) => {
                        if event == FarEvent::WayLost {
                            for server in self.asks[leg].clone() {
                                self.ask(leg, server);
                            }
                        }
                        // As its owner does.
                        if event == FarEvent::GivenUp {
                            self.legs[leg].close(self.now);
                        }
                        self.said[leg].push((self.now, event));
                    }
                }
            }
        }
        self.drain_others();
        let servers: Vec<SocketAddr> = self.machines.keys().copied().collect();
        for server in servers {
            while let Some(output) = self.machines.get_mut(&server).unwrap().poll() {
                self.act(server, output);
            }
        }
    }

    fn act(&mut self, server: SocketAddr, output: TurnOutput) {
        match output {
            TurnOutput::ToClient { client, bytes } => {
                let local = client.addr;
                self.post(self.setup.delay, Delivery::Client { local, bytes });
            }
            TurnOutput::ToPeer {
                allocation: relay,
                peer,
                mut bytes,
            } => {
                // First bytes of DTLS (RFC 7983).
                if self.loses_dtls && matches!(bytes.first(), Some(20..=63)) {
                    return;
                }
                // A handshake record (RFC 9147 section 4) whose first message is a ServerHello.
                if self.alters_flight && bytes.first() == Some(&22) && bytes.get(13) == Some(&2) {
                    self.alters_flight = false;
                    let next = 13 + usize::from(u16::from_be_bytes([bytes[11], bytes[12]]));
                    bytes[next + 12] ^= 0xff;
                }
                let (from, _) = self
                    .relays
                    .iter()
                    .find(|(_, open)| **open == (server, relay))
                    .unwrap();
                let (from, length) = (*from, bytes.len());
                let delivery = Delivery::Peer {
                    to: peer,
                    from,
                    bytes,
                };
                if self.keeps.take_if(|kept| *kept == length).is_some() {
                    self.kept = Some(delivery);
                    return;
                }
                self.post(Duration::ZERO, delivery);
            }
            TurnOutput::OpenSocket {
                allocation: relay, ..
            } => {
                self.next_port += 1;
                let addr = SocketAddr::new(server.ip(), self.next_port);
                self.relays.insert(addr, (server, relay));
                self.machines
                    .get_mut(&server)
                    .unwrap()
                    .handle_socket_opened(relay, Some(addr), self.now);
            }
            TurnOutput::CloseSocket { allocation: relay } => {
                self.relays.retain(|_, open| *open != (server, relay))
            }
            TurnOutput::CloseClient { .. } => {}
        }
    }

    fn post(&mut self, delay: Duration, delivery: Delivery) {
        let lossy = !matches!(delivery, Delivery::Peer { .. })
            && self.setup.transport == TurnTransport::Udp;
        if lossy && (self.cut || self.rng.next_u32() % 1000 < self.setup.loss) {
            return;
        }
        self.sent += 1;
        self.wire.insert((self.now + delay, self.sent), delivery);
    }
}
