//! What phones and TURN servers send, and the one door through which every packet enters its link, and the trace.

use std::{net::SocketAddr, time::Instant};

use super::{
    World,
    delivery::Delivery,
    handset::HandsetOutput,
    links::{Endpoint, Link, PacketKind, TracedPacket},
    turn_packets::{kind_of, kind_of_inner},
    turn_server::SimulatedTurnOutput,
};

impl World {
    pub(super) fn send_from_phone(&mut self, phone: usize, output: HandsetOutput) {
        let (handset, engine) = &self.handsets[phone];
        let (engine, us) = (*engine, Endpoint::Phone(phone));
        match output {
            HandsetOutput::Sip(bytes) => {
                let arrival = Delivery::SipToEngine {
                    engine,
                    from: handset.config().address,
                    bytes: bytes.clone(),
                };
                self.send(
                    (us, Endpoint::Engine(engine), PacketKind::Sip),
                    &bytes,
                    arrival,
                );
            }
            HandsetOutput::Rtp { to, bytes } => {
                let ends = (handset.config().rtp, to);
                self.send_rtp((phone, engine), ends, bytes);
            }
            HandsetOutput::Video { to, bytes } => {
                let camera = handset.camera().expect("only a camera has pictures");
                let ends = (camera.rtp, to);
                self.send_rtp((phone, engine), ends, bytes);
            }
        }
    }

    fn send_rtp(
        &mut self,
        (phone, engine): (usize, usize),
        ends: (SocketAddr, SocketAddr),
        bytes: Vec<u8>,
    ) {
        let arrival = Delivery::RtpToEngine {
            engine,
            ends,
            bytes: bytes.clone(),
        };
        let path = (
            Endpoint::Phone(phone),
            Endpoint::Engine(engine),
            PacketKind::Rtp,
        );
        self.send(path, &bytes, arrival);
    }

    pub(super) fn send_from_turn(&mut self, server: usize, output: SimulatedTurnOutput) {
        match output {
            SimulatedTurnOutput::ToClient { client, bytes } => {
                if let Some(engine) = self.engine_at(client) {
                    let arrival = Delivery::FromTurn {
                        client,
                        bytes: bytes.clone(),
                    };
                    let us = Endpoint::Turn(server);
                    let ends = (us, Endpoint::Engine(engine), kind_of(&bytes));
                    self.send(ends, &bytes, arrival);
                }
            }
            SimulatedTurnOutput::Relayed { from, to, bytes } => {
                let arrival = Delivery::Relayed {
                    ends: (from, to),
                    bytes: bytes.clone(),
                };
                // What goes to no server is judged when it arrives.
                let other = self.turn.at(to.ip()).unwrap_or(server);
                let ends = (
                    Endpoint::Relayed(server),
                    Endpoint::Relayed(other),
                    kind_of_inner(&bytes),
                );
                self.send(ends, &bytes, arrival);
            }
        }
    }

    /// Puts a packet on its link, and into the trace.
    pub(super) fn send(
        &mut self,
        (from, to, kind): (Endpoint, Endpoint, PacketKind),
        bytes: &[u8],
        arrival: Delivery,
    ) {
        let mut packet = TracedPacket {
            at: self.clock(),
            from,
            to,
            kind,
            size: bytes.len(),
            lost: false,
            bytes: bytes.to_vec(),
        };
        let link = self.link(from, to, kind);
        let at = self.impairments.arrival((from, to, kind), &link, self.now);
        let is_cut = self.cuts.contains(&(from, to));
        let passes = !is_cut && self.filter.as_mut().is_none_or(|filter| filter(&packet));
        match at.filter(|_| passes) {
            Some(at) => {
                let again = self.impairments.repetition((from, to, kind), &link, at);
                if let Some(again) = again {
                    self.schedule(again, arrival.clone());
                }
                self.schedule(at, arrival);
            }
            None => packet.lost = true,
        }
        self.record(packet);
    }

    /// Keeps a packet in the trace, and forgets old ones if the trace is bounded.
    fn record(&mut self, packet: TracedPacket) {
        if let Some(most) = self.most_traced
            && self.trace.len() >= 2 * most
        {
            self.trace.drain(..most);
        }
        self.trace.push(packet);
    }

    pub(super) fn schedule(&mut self, at: Instant, arrival: Delivery) {
        self.sent += 1;
        self.deliveries.insert((at, self.sent), arrival);
    }

    fn link(&self, from: Endpoint, to: Endpoint, kind: PacketKind) -> Link {
        match (from, to, kind) {
            (_, _, PacketKind::Sip) => self.links.sip,
            (_, _, PacketKind::Rtp) => self.links.rtp,
            (_, _, PacketKind::Envelope) => self.links.relay,
            (Endpoint::Relayed(_), ..) => self.links.relayed,
            _ => self.links.turn,
        }
    }
}
