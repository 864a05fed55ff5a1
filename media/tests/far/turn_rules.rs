//! The TURN machine's own rules, seen from its clients.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_box::turn::{
    ClientFlow, ClientTransport, TurnLimits, TurnMachine, TurnMachineConfig, TurnOutput,
};
use ringfence_media::far::{
    FarConfig, FarEvent, FarLeg, FarLegError, FarOutput, TurnAccess, TurnPassword, TurnTransport,
    TurnWay,
};

use crate::world::{UNIX, any_instant};

struct Server {
    machine: TurnMachine,
    now: Instant,
    credentials: (String, String),
    ports: u16,
    relay_ip: &'static str,
}

impl Server {
    fn new(ttl: Duration) -> Self {
        let secret = TurnSecret::new("secret".into());
        let credentials =
            rest_credentials(&secret, ttl, UNIX, &mut ChaCha20Rng::from_seed([3; 32]));
        let now = any_instant();
        let settings = TurnMachineConfig {
            listen: "9.9.9.9:3478".parse().unwrap(),
            secret,
            allow_private: false,
            limits: TurnLimits::DEFAULT,
        };
        Self {
            machine: TurnMachine::new(settings, now, UNIX),
            now,
            credentials,
            ports: 0,
            relay_ip: "9.9.9.9",
        }
    }

    fn leg(&self, port: u16) -> (FarLeg, ClientFlow) {
        self.leg_at(&format!("192.168.0.5:{port}"))
    }

    fn leg_at(&self, addr: &str) -> (FarLeg, ClientFlow) {
        let addr: std::net::SocketAddr = addr.parse().unwrap();
        let turn = TurnAccess {
            addr: "9.9.9.9:3478".parse().unwrap(),
            transport: TurnTransport::Udp,
            username: self.credentials.0.clone(),
            password: TurnPassword::new(self.credentials.1.clone()),
        };
        let config = FarConfig {
            turn,
            local: addr,
            allow_private_addresses: false,
            permitted: Vec::new(),
            relays_ipv6: false,
        };
        let leg = FarLeg::new(
            TurnWay::new(config, self.now),
            [addr.port() as u8; 32],
            self.now,
        );
        (
            leg,
            ClientFlow {
                transport: ClientTransport::Datagram,
                addr,
            },
        )
    }

    /// Lets a leg and the machine talk until both are quiet.
    fn settle(&mut self, leg: &mut FarLeg, flow: ClientFlow) -> Vec<FarEvent> {
        let mut events = Vec::new();
        loop {
            let mut quiet = true;
            while let Some(output) = leg.poll() {
                quiet = false;
                match output {
                    FarOutput::ToServer(bytes) => {
                        self.machine.handle_client(flow, &bytes, self.now)
                    }
                    FarOutput::Event(event) => events.push(event),
                }
            }
            while let Some(output) = self.machine.poll() {
                quiet = false;
                match output {
                    TurnOutput::ToClient { client, bytes } if client == flow => {
                        leg.handle_turn(&bytes, self.now)
                    }
                    TurnOutput::OpenSocket {
                        allocation: relay, ..
                    } => {
                        self.ports += 1;
                        let addr = format!("{}:{}", self.relay_ip, 50_000 + self.ports)
                            .parse()
                            .unwrap();
                        self.machine
                            .handle_socket_opened(relay, Some(addr), self.now);
                    }
                    _ => {}
                }
            }
            if quiet {
                return events;
            }
        }
    }
}

#[test]
fn one_user_name_holds_a_bounded_number_of_relays() {
    let mut turn = Server::new(Duration::from_secs(60));
    let mut legs = Vec::new();
    for port in 0..TurnLimits::DEFAULT.allocations_per_user {
        let (mut leg, flow) = turn.leg(1000 + port as u16);
        assert!(matches!(
            turn.settle(&mut leg, flow)[..],
            [FarEvent::Allocated(_)]
        ));
        legs.push((leg, flow));
    }
    let (mut leg, flow) = turn.leg(2000);
    assert_eq!(
        turn.settle(&mut leg, flow)[0],
        FarEvent::Failed(FarLegError::Allocation { code: 486 })
    );
    let (mut last, flow) = legs.pop().unwrap();
    last.close(turn.now);
    assert_eq!(turn.settle(&mut last, flow), [FarEvent::Closed]);
    let (mut leg, flow) = turn.leg(2001);
    assert!(matches!(
        turn.settle(&mut leg, flow)[..],
        [FarEvent::Allocated(_)]
    ));
}

#[test]
fn credentials_that_are_over_give_no_relay_but_end_none() {
    let mut turn = Server::new(Duration::from_secs(60));
    let (mut leg, flow) = turn.leg(1000);
    assert!(matches!(
        turn.settle(&mut leg, flow)[..],
        [FarEvent::Allocated(_)]
    ));
    turn.now += Duration::from_secs(61);
    let (mut late, late_flow) = turn.leg(1001);
    assert_eq!(
        turn.settle(&mut late, late_flow)[0],
        FarEvent::Failed(FarLegError::Allocation { code: 401 })
    );
    for _ in 0..3600 {
        turn.now += Duration::from_secs(1);
        turn.machine.handle_timeout(turn.now);
        leg.handle_timeout(turn.now);
        assert_eq!(turn.settle(&mut leg, flow), []);
    }
    assert_eq!(turn.machine.allocations(), 1);
}

#[test]
fn a_relay_address_that_tells_something_is_not_used() {
    // Our own address, as the socket or the server knows it, and one from a private network.
    for relay_ip in ["192.168.0.5", "10.0.0.1", "127.0.0.1", "0.0.0.0"] {
        let mut turn = Server::new(Duration::from_secs(60));
        turn.relay_ip = relay_ip;
        let (mut leg, flow) = turn.leg(1000);
        let events = turn.settle(&mut leg, flow);
        assert_eq!(
            events,
            [
                FarEvent::Failed(FarLegError::RelayedAddress),
                FarEvent::Closed
            ],
            "{relay_ip}"
        );
        assert_eq!(turn.machine.allocations(), 0);
    }
    let mut turn = Server::new(Duration::from_secs(60));
    turn.relay_ip = "5.5.5.5";
    let (mut leg, flow) = turn.leg_at("5.5.5.5:1000");
    assert_eq!(
        turn.settle(&mut leg, flow)[0],
        FarEvent::Failed(FarLegError::RelayedAddress)
    );
}

#[test]
fn a_forgotten_relay_is_closed() {
    let mut turn = Server::new(Duration::from_secs(60));
    let (mut leg, flow) = turn.leg(1000);
    turn.settle(&mut leg, flow);
    assert_eq!(turn.machine.allocations(), 1);
    drop(leg);
    while let Some((at, _)) = turn.machine.next_timeout() {
        turn.now = turn.now.max(at);
        turn.machine.handle_timeout(turn.now);
        while turn.machine.poll().is_some() {}
    }
    assert_eq!(turn.machine.allocations(), 0);
}
