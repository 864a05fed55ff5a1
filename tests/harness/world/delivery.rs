//! How things get from place to place in the world: what leaves one machine goes into the calendar, and what is due comes
//! out of it at another.

use std::{net::SocketAddr, time::Instant};

use ringfence_engine::{Post, PostId, Sealed, date::UnixTime};

use super::{
    Taken, World,
    engine_host::SeatOutput,
    handset::HandsetOutput,
    links::{Kind, Passage, Place, Wire},
    turn::TurnHouseOutput,
    turn_packets::{kind_of, kind_of_inner},
};

#[derive(Debug)]
pub(super) enum Arrival {
    SipToEngine {
        engine: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    SipToPhone {
        phone: usize,
        bytes: Vec<u8>,
    },
    SoundToEngine {
        engine: usize,
        ends: (SocketAddr, SocketAddr),
        bytes: Vec<u8>,
    },
    SoundToPhone {
        phone: usize,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    ToTurn {
        client: SocketAddr,
        bytes: Vec<u8>,
    },
    FromTurn {
        client: SocketAddr,
        bytes: Vec<u8>,
    },
    Relayed {
        ends: (SocketAddr, SocketAddr),
        bytes: Vec<u8>,
    },
    ToRelay {
        poster: Option<(usize, PostId)>,
        sealed: Sealed,
    },
    FromRelay {
        engine: usize,
        sealed: Sealed,
    },
    Taken {
        engine: usize,
        post: PostId,
        relays: usize,
    },
}

impl World {
    pub(super) fn deliver_first(&mut self) {
        let now = self.now;
        let Some((_, arrival)) = self.calendar.pop_first() else {
            return;
        };
        match arrival {
            Arrival::SipToEngine {
                engine,
                from,
                bytes,
            } => {
                if !self.seats[engine].is_off {
                    self.seats[engine].handle_sip(from, &bytes, now);
                }
            }
            Arrival::SipToPhone { phone, bytes } => self.handsets[phone].0.handle_sip(&bytes, now),
            Arrival::SoundToEngine {
                engine,
                ends,
                bytes,
            } => {
                self.seats[engine].handle_sound(ends, &bytes, now);
            }
            Arrival::SoundToPhone { phone, to, bytes } => {
                self.handsets[phone].0.handle_sound(to, &bytes, now);
            }
            Arrival::ToTurn { client, bytes } => self.turn.handle_client(client, &bytes, now),
            Arrival::FromTurn { client, bytes } => {
                if let Some(engine) = self.engine_at(client) {
                    self.seats[engine].handle_turn(client, &bytes, now);
                }
            }
            Arrival::Relayed { ends, bytes } => self.turn.handle_relayed(ends, &bytes, now),
            Arrival::ToRelay { poster, sealed } => self.deliver_to_relay(poster, &sealed),
            Arrival::FromRelay { engine, sealed } => {
                if !self.seats[engine].is_off {
                    self.seats[engine].handle_envelope(&sealed, now);
                }
            }
            Arrival::Taken {
                engine,
                post,
                relays,
            } => {
                self.seats[engine].engine.handle_posted(post, relays, now);
            }
        }
    }

    fn deliver_to_relay(&mut self, poster: Option<(usize, PostId)>, sealed: &Sealed) {
        let listeners = self.relay.take(sealed, self.clock());
        if let Some((engine, post)) = poster {
            // The word that it was taken, or the refused connection.
            let relays = usize::from(!self.relay.is_down);
            let at = self.now + self.wires.relay.delay;
            self.schedule(
                at,
                Arrival::Taken {
                    engine,
                    post,
                    relays,
                },
            );
        }
        for engine in listeners {
            let ends = (Place::Relay, Place::Engine(engine), Kind::Envelope);
            let arrival = Arrival::FromRelay {
                engine,
                sealed: sealed.clone(),
            };
            self.send(ends, &sealed.bytes, arrival);
        }
    }

    /// Lets everybody act until all is quiet.
    pub(super) fn drain(&mut self) {
        let (now, wall) = (self.now, self.wall());
        for engine in 0..self.seats.len() {
            for output in self.seats[engine].drain(wall, now) {
                self.carry_out(engine, output);
            }
        }
        for phone in 0..self.handsets.len() {
            while let Some(output) = self.handsets[phone].0.poll() {
                self.send_from_phone(phone, output);
            }
        }
        for output in self.turn.drain(now) {
            self.send_from_turn(output);
        }
    }

    fn carry_out(&mut self, engine: usize, output: SeatOutput) {
        let us = Place::Engine(engine);
        match output {
            SeatOutput::Sip { to, bytes } => {
                if let Some(phone) = self.phone_at(to) {
                    let arrival = Arrival::SipToPhone {
                        phone,
                        bytes: bytes.clone(),
                    };
                    self.send((us, Place::Phone(phone), Kind::Sip), &bytes, arrival);
                }
            }
            SeatOutput::Sound { to, bytes, .. } => {
                if let Some(phone) = self.phone_at(to) {
                    let arrival = Arrival::SoundToPhone {
                        phone,
                        to,
                        bytes: bytes.clone(),
                    };
                    self.send((us, Place::Phone(phone), Kind::Sound), &bytes, arrival);
                }
            }
            SeatOutput::ToTurn { from, bytes } => {
                let arrival = Arrival::ToTurn {
                    client: from,
                    bytes: bytes.clone(),
                };
                self.send((us, Place::Turn, kind_of(&bytes)), &bytes, arrival);
            }
            SeatOutput::Post(post) => self.post(engine, &post),
            SeatOutput::Step(call, step) => {
                let at = self.clock();
                self.steps.push(Taken {
                    at,
                    engine,
                    call,
                    step,
                });
            }
            SeatOutput::Over(call, figures) => self.figures.push((engine, call, *figures)),
        }
    }

    /// A relay gives an engine what it kept, as after every new connection.
    pub fn fetch_notes(&mut self, engine: usize) {
        for sealed in self.relay.kept(engine) {
            let ends = (Place::Relay, Place::Engine(engine), Kind::Envelope);
            let bytes = sealed.bytes.clone();
            self.send(ends, &bytes, Arrival::FromRelay { engine, sealed });
        }
    }

    fn post(&mut self, engine: usize, post: &Post) {
        // The shell rounds the time of an event down.
        let made = self.wall().seconds() / 10 * 10;
        let sealed = Sealed {
            bucket: post.bucket,
            event_key: post.stamp.event_key,
            nonce: post.stamp.nonce,
            bytes: post.envelope.as_bytes().to_vec(),
            note_made: post.is_note.then(|| UnixTime::from_seconds(made)),
        };
        let bytes = sealed.bytes.clone();
        let arrival = Arrival::ToRelay {
            poster: Some((engine, post.id)),
            sealed,
        };
        self.send(
            (Place::Engine(engine), Place::Relay, Kind::Envelope),
            &bytes,
            arrival,
        );
    }

    fn send_from_phone(&mut self, phone: usize, output: HandsetOutput) {
        let (handset, engine) = &self.handsets[phone];
        let (engine, us) = (*engine, Place::Phone(phone));
        match output {
            HandsetOutput::Sip(bytes) => {
                let arrival = Arrival::SipToEngine {
                    engine,
                    from: handset.card().address,
                    bytes: bytes.clone(),
                };
                self.send((us, Place::Engine(engine), Kind::Sip), &bytes, arrival);
            }
            HandsetOutput::Sound { to, bytes } => {
                let ends = (handset.card().rtp, to);
                self.send_sound((phone, engine), ends, bytes);
            }
            HandsetOutput::Video { to, bytes } => {
                let camera = handset.camera().expect("only a camera has pictures");
                let ends = (camera.rtp, to);
                self.send_sound((phone, engine), ends, bytes);
            }
        }
    }

    fn send_sound(
        &mut self,
        (phone, engine): (usize, usize),
        ends: (SocketAddr, SocketAddr),
        bytes: Vec<u8>,
    ) {
        let arrival = Arrival::SoundToEngine {
            engine,
            ends,
            bytes: bytes.clone(),
        };
        let path = (Place::Phone(phone), Place::Engine(engine), Kind::Sound);
        self.send(path, &bytes, arrival);
    }

    fn send_from_turn(&mut self, output: TurnHouseOutput) {
        match output {
            TurnHouseOutput::ToClient { client, bytes } => {
                if let Some(engine) = self.engine_at(client) {
                    let arrival = Arrival::FromTurn {
                        client,
                        bytes: bytes.clone(),
                    };
                    let ends = (Place::Turn, Place::Engine(engine), kind_of(&bytes));
                    self.send(ends, &bytes, arrival);
                }
            }
            TurnHouseOutput::Relayed { from, to, bytes } => {
                let arrival = Arrival::Relayed {
                    ends: (from, to),
                    bytes: bytes.clone(),
                };
                let ends = (Place::Relayed, Place::Relayed, kind_of_inner(&bytes));
                self.send(ends, &bytes, arrival);
            }
        }
    }

    /// Puts a packet on its wire, and in the trace.
    pub(super) fn send(
        &mut self,
        (from, to, kind): (Place, Place, Kind),
        bytes: &[u8],
        arrival: Arrival,
    ) {
        let mut passage = Passage {
            at: self.clock(),
            from,
            to,
            kind,
            size: bytes.len(),
            lost: false,
            bytes: bytes.to_vec(),
        };
        let wire = self.wire(from, to, kind);
        let at = self.weather.arrival((from, to, kind), &wire, self.now);
        let passes = self
            .meddler
            .as_mut()
            .is_none_or(|meddler| meddler(&passage));
        match at.filter(|_| passes) {
            Some(at) => self.schedule(at, arrival),
            None => passage.lost = true,
        }
        self.trace.push(passage);
    }

    fn schedule(&mut self, at: Instant, arrival: Arrival) {
        self.sent += 1;
        self.calendar.insert((at, self.sent), arrival);
    }

    fn wire(&self, from: Place, to: Place, kind: Kind) -> Wire {
        match (from, to, kind) {
            (_, _, Kind::Sip) => self.wires.sip,
            (_, _, Kind::Sound) => self.wires.sound,
            (_, _, Kind::Envelope) => self.wires.relay,
            (Place::Relayed, ..) => self.wires.relayed,
            _ => self.wires.turn,
        }
    }

    fn phone_at(&self, address: SocketAddr) -> Option<usize> {
        self.handsets
            .iter()
            .position(|(handset, _)| handset.card().address.ip() == address.ip())
    }

    fn engine_at(&self, address: SocketAddr) -> Option<usize> {
        self.seats
            .iter()
            .position(|seat| seat.addresses().contains(&address.ip()))
    }
}
