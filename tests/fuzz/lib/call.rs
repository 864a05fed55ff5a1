//! A far leg, its TURN server and its peer under one clock. Nothing is lost and nothing takes time but what the fuzzer decides.
//!
//! Asserted for every input: no timer stays due after it was served, and the leg answers any input with a bounded number of packets.

use std::time::{Duration, Instant};

use ringfence_media::far::{
    FarConfig, FarEvent, FarLeg, FarOutput, FarPacket, Role, TurnAccess, TurnPassword, TurnTransport, TurnWay};

use crate::hostile_peer::{HostilePeer, PEER};
use crate::start;
use crate::turn_stub::{Heard, PASSWORD, Reply, TurnStub, USER};

/// Rounds in which leg, server and peer answer each other at one moment. A whole handshake takes some ten.
const MAX_ROUNDS: usize = 64;

/// Timers served in one stretch of time.
const MAX_TIMERS: usize = 400;

/// Packets that may follow one input: a leg keeps 1,024 outputs at most.
const MAX_PACKETS: usize = 1_100;

/// Decides what becomes of a packet before it is handed over; false loses it.
pub type Tamper<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> bool;

/// A leg with a TURN server, and a peer once it is connected.
pub struct Call {
    pub now: Instant,
    pub leg: FarLeg,
    pub stub: TurnStub,
    pub peer: Option<HostilePeer>,
    pub is_connected: bool,
    pub is_control_open: bool,
}

impl Call {
    /// A leg that has not sent its first request.
    pub fn new(transport: TurnTransport) -> Self {
        let config = FarConfig {
            turn: TurnAccess {
                addr: ([9, 9, 9, 9], 3478).into(),
                transport,
                username: USER.to_owned(),
                password: TurnPassword::new(PASSWORD.to_owned()),
            },
            local: ([192, 168, 77, 10], 40_001).into(),
            allow_private_addresses: false,
            permitted: Vec::new(),
            relays_ipv6: false,
        };
        Self {
            now: start(),
            leg: FarLeg::new(TurnWay::new(config, start()), [7; 32], start()),
            stub: TurnStub::default(),
            peer: None,
            is_connected: false,
            is_control_open: false,
        }
    }

    /// A leg that has an allocation and the description of its peer; no packet has passed between the two yet.
    pub fn to_peer(role: Role) -> Self {
        let mut call = Self::new(TurnTransport::Udp);
        let mut local = None;
        for _ in 0..MAX_ROUNDS {
            while let Some(output) = call.leg.poll() {
                match output {
                    FarOutput::ToServer(frame) => {
                        if let Heard::Request(reply) = call.stub.handle(&frame) {
                            call.leg.handle_turn(&reply.write(), call.now);
                        }
                    }
                    FarOutput::Event(FarEvent::Allocated(endpoint)) => local = Some(*endpoint),
                    FarOutput::Event(_) => {}
                }
            }
        }
        let local = local.expect("the server grants the allocation");
        let peer = HostilePeer::new(&local, role, call.now).expect("a peer");
        call.leg.connect(&peer.description(), role, call.now).expect("a leg that is ready");
        call.peer = Some(peer);
        call
    }

    /// Hands over packets until nothing more moves at this moment. `tamper` sees the peer's datagrams.
    pub fn settle(&mut self, tamper: Tamper<'_>) {
        for _ in 0..MAX_ROUNDS {
            let mut moved = self.drain_leg();
            while let Some(mut datagram) = self.peer.as_mut().and_then(|peer| peer.outbox.pop_front()) {
                moved = true;
                if tamper(&mut datagram) {
                    self.from_peer(&datagram);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass, and serves every timer on the way.
    pub fn advance(&mut self, time: Duration, tamper: Tamper<'_>) {
        let end = self.now + time;
        self.settle(tamper);
        for _ in 0..MAX_TIMERS {
            let leg = self.leg.next_timeout().map(|(at, _)| at);
            let peer = self.peer.as_ref().and_then(HostilePeer::next_timeout);
            let Some(next) = leg.into_iter().chain(peer).min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if leg.is_some_and(|at| at <= self.now) {
                self.leg.handle_timeout(self.now);
                let due = self.leg.next_timeout().filter(|(at, _)| *at <= self.now);
                assert!(due.is_none(), "due for ever: {due:?}");
            }
            if let Some(hostile) = &mut self.peer
                && peer.is_some_and(|at| at <= self.now)
            {
                hostile.handle_timeout(self.now);
            }
            self.settle(tamper);
        }
        self.now = end;
    }

    /// A datagram from the peer's relayed address.
    pub fn from_peer(&mut self, datagram: &[u8]) {
        let frame = self.stub.wrap(PEER, datagram);
        self.leg.handle_turn(&frame, self.now);
    }

    /// The leg's owner sends one packet of sound.
    pub fn speak(&mut self, sequence: u16) {
        let packet = FarPacket {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp: u32::from(sequence) * 160,
            payload: vec![0x55; 160],
        };
        self.leg.write_rtp(packet, self.now);
    }

    /// Takes what the leg has to say; false if that was nothing.
    fn drain_leg(&mut self) -> bool {
        let mut packets = 0;
        while let Some(output) = self.leg.poll() {
            match output {
                FarOutput::ToServer(frame) => {
                    packets += 1;
                    self.handle_frame(&frame);
                }
                FarOutput::Event(FarEvent::Connected) => self.is_connected = true,
                FarOutput::Event(FarEvent::ControlOpen) => self.is_control_open = true,
                FarOutput::Event(_) => {}
            }
            assert!(packets <= MAX_PACKETS, "one input leads to {packets} packets");
        }
        packets > 0
    }

    fn handle_frame(&mut self, frame: &[u8]) {
        match self.stub.handle(frame) {
            Heard::Request(reply) => self.reply(&reply),
            Heard::ToPeer(PEER, data) => {
                if let Some(peer) = &mut self.peer {
                    peer.receive(&data, self.now);
                }
            }
            Heard::ToPeer(..) | Heard::Nothing => {}
        }
    }

    fn reply(&mut self, reply: &Reply) {
        self.leg.handle_turn(&reply.write(), self.now);
    }
}
