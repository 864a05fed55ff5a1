//! Two far legs on real loopback sockets, through coturn (Debian's `turnserver`), with time-limited credentials.
//!
//! Skipped, loudly, where coturn is not installed.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "this test is the shell: real sockets, real time"
)]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_media::far::{
    FarConfig, FarEvent, FarLeg, FarLegError, FarOutput, FarPacket, Role, TurnAccess, TurnPassword,
    TurnTransport, TurnWay,
};
use ringfence_media::{Codec, Description, LocalEndpoint};

/// A coturn of our own; it ends with the test.
struct Coturn {
    process: Child,
    addr: SocketAddr,
}

impl Coturn {
    /// Starts one, if it is installed.
    fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Option<Self> {
        // A port that nothing has over TCP may be another test's over UDP.
        let free = || {
            let tcp = TcpListener::bind("127.0.0.1:0").ok()?;
            let addr = tcp.local_addr().ok()?;
            UdpSocket::bind(addr).is_ok().then_some(addr)
        };
        let addr = std::iter::repeat_with(free).take(100).flatten().next();
        Self::start_at(addr.expect("a port is free"), more)
    }

    fn start_at(addr: SocketAddr, more: &[&str]) -> Option<Self> {
        let port = addr.port().to_string();
        let spawned = Command::new("turnserver")
            .args([
                "-n",
                "--listening-ip",
                "127.0.0.1",
                "--relay-ip",
                "127.0.0.1",
                "--listening-port",
                &port,
            ])
            .args([
                "--use-auth-secret",
                "--static-auth-secret",
                "north-sea",
                "--realm",
                "ringfence.test",
            ])
            .args([
                "--allow-loopback-peers",
                "--no-cli",
                "--no-tls",
                "--no-dtls",
                "--no-multicast-peers",
            ])
            .args([
                "--log-file",
                "stdout",
                "--pidfile",
                "",
                "--min-port",
                "49152",
                "--max-port",
                "65535",
            ])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = spawned else {
            eprintln!(
                "SKIPPED: coturn (turnserver) is not installed; the far leg was not tried against it"
            );
            return None;
        };
        let coturn = Self { process, addr };
        let limit = Instant::now() + Duration::from_secs(10);
        while !coturn.answers() {
            assert!(Instant::now() < limit, "coturn does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(coturn)
    }

    /// Whether it listens over TCP and answers a Binding request (RFC 8489 section 3) over UDP: it opens one after the other.
    fn answers(&self) -> bool {
        let mut request = [0; 20];
        request[..2].copy_from_slice(&[0, 1]);
        request[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        TcpStream::connect(self.addr).is_ok()
            && socket.send_to(&request, self.addr).is_ok()
            && socket.recv(&mut [0; 200]).is_ok()
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Socket {
    fn open(server: SocketAddr, transport: TurnTransport) -> (Self, SocketAddr) {
        match transport {
            TurnTransport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(server).unwrap();
                socket.set_nonblocking(true).unwrap();
                let local = socket.local_addr().unwrap();
                (Self::Udp(socket), local)
            }
            TurnTransport::Stream => {
                let socket = TcpStream::connect(server).unwrap();
                socket.set_nodelay(true).unwrap();
                socket.set_nonblocking(true).unwrap();
                let local = socket.local_addr().unwrap();
                (Self::Tcp(socket), local)
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(bytes)),
            Self::Tcp(socket) => socket.write_all(bytes).unwrap(),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let received = match self {
            Self::Udp(socket) => socket.recv(buffer),
            Self::Tcp(socket) => socket.read(buffer),
        };
        match received {
            Ok(length) => Some(length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("the socket to coturn: {error}"),
        }
    }
}

struct Call {
    legs: [(FarLeg, Socket, Vec<FarEvent>); 2],
}

impl Call {
    fn new(server: SocketAddr, transport: TurnTransport, secret: &str) -> Self {
        Self::with_logins_for(Duration::from_secs(600), server, transport, secret)
    }

    fn with_logins_for(
        time: Duration,
        server: SocketAddr,
        transport: TurnTransport,
        secret: &str,
    ) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = unix.as_nanos().to_le_bytes();
        let mut rng =
            ChaCha20Rng::from_seed(std::array::from_fn(|index| seed[index % 16] ^ index as u8));
        let secret = TurnSecret::new(secret.into());
        let mut leg = || {
            let (username, password) = rest_credentials(&secret, time, unix.as_secs(), &mut rng);
            let (socket, local) = Socket::open(server, transport);
            let turn = TurnAccess {
                addr: server,
                transport,
                username,
                password: TurnPassword::new(password),
            };
            let config = FarConfig {
                turn,
                local,
                allow_private_addresses: true,
                permitted: Vec::new(),
                relays_ipv6: false,
            };
            let mut seed = [0; 32];
            rand_core::Rng::fill_bytes(&mut rng, &mut seed);
            (
                FarLeg::new(TurnWay::new(config, Instant::now()), seed, Instant::now()),
                socket,
                Vec::new(),
            )
        };
        Self {
            legs: [leg(), leg()],
        }
    }

    /// Runs until `done`; panics after ten seconds.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + Duration::from_secs(10);
        let mut buffer = [0; 4096];
        loop {
            let mut quiet = true;
            for (leg, socket, events) in &mut self.legs {
                if let Some(length) = socket.receive(&mut buffer) {
                    quiet = false;
                    leg.handle_turn(&buffer[..length], Instant::now());
                }
                if leg
                    .next_timeout()
                    .is_some_and(|(at, _)| at <= Instant::now())
                {
                    leg.handle_timeout(Instant::now());
                }
                while let Some(output) = leg.poll() {
                    quiet = false;
                    match output {
                        FarOutput::ToServer(bytes) => socket.send(&bytes),
                        FarOutput::Event(event) => events.push(event),
                    }
                }
            }
            if done(self) {
                return;
            }
            assert!(
                Instant::now() < limit,
                "not done: {:?} {:?}",
                self.legs[0].2,
                self.legs[1].2
            );
            if quiet {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    fn has(&self, leg: usize, wanted: impl Fn(&FarEvent) -> bool) -> bool {
        self.legs[leg].2.iter().any(wanted)
    }

    fn both(&self, wanted: impl Fn(&FarEvent) -> bool) -> bool {
        self.has(0, &wanted) && self.has(1, &wanted)
    }

    fn local(&self, leg: usize) -> LocalEndpoint {
        let locals = self.legs[leg].2.iter().find_map(|event| match event {
            FarEvent::Allocated(local) => Some((**local).clone()),
            _ => None,
        });
        locals.unwrap()
    }

    fn description(&self, leg: usize) -> Description {
        let LocalEndpoint {
            ufrag,
            pwd,
            fingerprint,
            ssrc,
            relayed_address,
            ..
        } = self.local(leg);
        Description {
            ufrag,
            pwd,
            fingerprint,
            ssrc,
            relayed_addresses: vec![relayed_address],
            codecs: vec![Codec::Opus],
            video: None,
        }
    }

    fn speak(&mut self, sequence: u16) {
        for (leg, ..) in &mut self.legs {
            let timestamp = u32::from(sequence) * 960;
            let packet = FarPacket {
                payload_type: 111,
                marker: false,
                sequence,
                timestamp,
                payload: vec![7; 81],
            };
            leg.write_rtp(packet, Instant::now());
        }
    }

    fn sounds(&self, leg: usize) -> usize {
        self.legs[leg]
            .2
            .iter()
            .filter(|event| matches!(event, FarEvent::Rtp(_)))
            .count()
    }
}

fn whole_call(coturn: &Coturn, transport: TurnTransport) {
    let start = Instant::now();
    let mut call = Call::new(coturn.addr, transport, "north-sea");
    call.run_until(|call| call.both(|event| matches!(event, FarEvent::Allocated(_))));
    let allocated = start.elapsed();
    let settle = Instant::now() + Duration::from_millis(20);
    call.run_until(|_| Instant::now() >= settle);
    let connect = Instant::now();
    for (leg, role) in [(0, Role::Caller), (1, Role::Callee)] {
        let remote = call.description(1 - leg);
        call.legs[leg]
            .0
            .connect(&remote, role, Instant::now())
            .unwrap();
    }
    call.run_until(|call| call.both(|event| *event == FarEvent::Connected));
    call.speak(0);
    call.run_until(|call| call.sounds(0) > 0 && call.sounds(1) > 0);
    let sound = connect.elapsed();
    for sequence in 1..50 {
        call.speak(sequence);
        let next = Instant::now() + Duration::from_millis(2);
        call.run_until(|_| Instant::now() >= next);
    }
    call.run_until(|call| call.sounds(0) == 50 && call.sounds(1) == 50);
    call.run_until(|call| call.both(|event| *event == FarEvent::ControlOpen));
    assert!(call.legs[1].0.send_control(b"hold", Instant::now()));
    call.run_until(|call| call.has(0, |event| *event == FarEvent::Control(b"hold".to_vec())));
    call.legs[0].0.close(Instant::now());
    call.run_until(|call| call.both(|event| *event == FarEvent::Closed));
    assert!(!call.has(0, |event| matches!(event, FarEvent::Failed(_))));
    eprintln!(
        "coturn, {transport:?}: allocated after {allocated:?}, sound both ways {sound:?} after connect"
    );
    assert!(allocated < Duration::from_secs(1) && sound < Duration::from_secs(1));
}

#[test]
fn a_call_through_coturn_over_datagrams() {
    let Some(coturn) = Coturn::start() else {
        return;
    };
    for _ in 0..3 {
        whole_call(&coturn, TurnTransport::Udp);
    }
}

#[test]
fn a_call_through_coturn_over_streams() {
    let Some(coturn) = Coturn::start() else {
        return;
    };
    for _ in 0..3 {
        whole_call(&coturn, TurnTransport::Stream);
    }
}

#[test]
fn coturn_confirms_waiting_legs_also_when_its_nonces_are_stale() {
    // Each check finds the nonce of the one before it too old.
    let Some(coturn) = Coturn::start_with(&["--stale-nonce=1"]) else {
        return;
    };
    let call = Call::new(coturn.addr, TurnTransport::Udp, "north-sea");
    is_confirmed_again_and_again(call);
}

#[test]
fn coturn_does_not_look_at_a_login_again_once_an_allocation_stands() {
    let Some(coturn) = Coturn::start_with(&["--stale-nonce=1"]) else {
        return;
    };
    let (time, transport) = (Duration::from_secs(2), TurnTransport::Udp);
    let call = Call::with_logins_for(time, coturn.addr, transport, "north-sea");
    is_confirmed_again_and_again(call);
}

/// Waits for more than seven seconds with checks.
fn is_confirmed_again_and_again(mut call: Call) {
    call.run_until(|call| call.both(|event| matches!(event, FarEvent::Allocated(_))));
    for _ in 0..6 {
        let next = Instant::now() + Duration::from_millis(1_200);
        call.run_until(|_| Instant::now() >= next);
        for (leg, ..) in &mut call.legs {
            leg.check(Instant::now());
            assert!(!leg.is_ready());
        }
        let asked = Instant::now();
        call.run_until(|call| call.legs.iter().all(|(leg, ..)| leg.is_ready()));
        assert!(asked.elapsed() < Duration::from_millis(200));
    }
}

#[test]
fn a_check_finds_out_that_coturn_has_restarted() {
    let Some(coturn) = Coturn::start() else {
        return;
    };
    let addr = coturn.addr;
    let mut call = Call::new(addr, TurnTransport::Udp, "north-sea");
    call.run_until(|call| call.both(|event| matches!(event, FarEvent::Allocated(_))));
    let settle = Instant::now() + Duration::from_millis(200);
    call.run_until(|_| Instant::now() >= settle);
    drop(coturn);
    let _again = Coturn::start_at(addr, &[]).unwrap();
    for (leg, ..) in &mut call.legs {
        leg.check(Instant::now());
    }
    call.run_until(|call| call.both(|event| *event == FarEvent::WayLost));
}

#[test]
fn coturn_refuses_a_wrong_password_at_once() {
    let Some(coturn) = Coturn::start() else {
        return;
    };
    let start = Instant::now();
    let mut call = Call::new(coturn.addr, TurnTransport::Udp, "south-sea");
    call.run_until(|call| call.both(|event| *event == FarEvent::Closed));
    assert!(
        call.has(0, |event| *event
            == FarEvent::Failed(FarLegError::Allocation { code: 401 })),
        "{:?}",
        call.legs[0].2
    );
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}
