//! How packets get from one endpoint to another: what an endpoint sends is put into the queue of deliveries with its time of
//! arrival, and handed to the receiver when that time comes.

use std::{net::SocketAddr, time::Instant};

use ringfence_engine::{PostId, ReceivedEvent, SealedEvent, time::UnixTime};

use super::{
    StepRecord, World,
    engine_host::HostOutput,
    links::{Endpoint, PacketKind},
    turn_packets::kind_of,
};

#[derive(Clone, Debug)]
pub(super) enum Delivery {
    SipToEngine {
        engine: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    SipToPhone {
        phone: usize,
        bytes: Vec<u8>,
    },
    RtpToEngine {
        engine: usize,
        ends: (SocketAddr, SocketAddr),
        bytes: Vec<u8>,
    },
    RtpToPhone {
        phone: usize,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    ToTurn {
        server: usize,
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
        sealed: ReceivedEvent,
    },
    FromRelay {
        engine: usize,
        /// Of which of its connections to the relay.
        connection: u32,
        sealed: ReceivedEvent,
    },
    Posted {
        engine: usize,
        post: PostId,
        relays: usize,
    },
    /// An engine connects to the relay once more.
    Reconnect {
        engine: usize,
        number: u32,
    },
    /// What waited for the relay is posted.
    Repost {
        engine: usize,
        post: PostId,
        sealed: ReceivedEvent,
    },
    /// A post has waited for the relay as long as it may.
    PostLimit {
        engine: usize,
        post: PostId,
    },
    /// The relay is started.
    RelayStarts,
}

impl World {
    pub(super) fn deliver_first(&mut self) {
        let now = self.now;
        let Some((_, arrival)) = self.deliveries.pop_first() else {
            return;
        };
        match arrival {
            Delivery::SipToEngine {
                engine,
                from,
                bytes,
            } => {
                if let Some(now) = self.clock_of(engine) {
                    self.hosts[engine].handle_sip(from, &bytes, now);
                }
            }
            Delivery::SipToPhone { phone, bytes } => self.handsets[phone].0.handle_sip(&bytes, now),
            Delivery::RtpToEngine {
                engine,
                ends,
                bytes,
            } => {
                if let Some(now) = self.clock_of(engine) {
                    self.hosts[engine].handle_rtp(ends, &bytes, now);
                }
            }
            Delivery::RtpToPhone { phone, to, bytes } => {
                self.handsets[phone].0.handle_rtp(to, &bytes, now);
            }
            Delivery::ToTurn {
                server,
                client,
                bytes,
            } => {
                let server = self.turn.server_mut(server);
                server.handle_client(client, &bytes, now);
            }
            Delivery::FromTurn { client, bytes } => {
                if let Some(engine) = self.engine_at(client)
                    && let Some(local) = self.hosts[engine].uplink.local(client)
                    && let Some(now) = self.clock_of(engine)
                {
                    self.hosts[engine].handle_turn(local, &bytes, now);
                }
            }
            Delivery::Relayed { ends, bytes } => self.turn.handle_relayed(ends, &bytes, now),
            Delivery::ToRelay { poster, sealed } => self.deliver_to_relay(poster, &sealed),
            Delivery::FromRelay {
                engine,
                connection,
                sealed,
            } => {
                if connection == self.relay_connection(engine)
                    && let Some(now) = self.clock_of(engine)
                {
                    self.hosts[engine].handle_envelope(&sealed, now);
                }
            }
            Delivery::Posted {
                engine,
                post,
                relays,
            } => {
                if let Some(now) = self.clock_of(engine) {
                    self.hosts[engine].engine.handle_posted(post, relays, now);
                }
            }
            Delivery::Reconnect { engine, number } => self.reconnect(engine, number),
            Delivery::Repost {
                engine,
                post,
                sealed,
            } => self.repost_waiting(engine, post, sealed),
            Delivery::PostLimit { engine, post } => self.end_waiting(engine, post),
            Delivery::RelayStarts => self.relay.is_down = false,
        }
    }

    /// The monotonic clock of an engine's machine, whose engine is told the time of day and whether a relay listens; none, if the
    /// machine is off.
    pub(super) fn clock_of(&mut self, engine: usize) -> Option<Instant> {
        let (wall, now) = (self.wall(), self.now);
        self.note_listening(engine);
        self.touched.insert(engine);
        let host = &mut self.hosts[engine];
        (!host.is_off).then(|| host.read_clocks(wall, now))
    }

    fn deliver_to_relay(&mut self, poster: Option<(usize, PostId)>, sealed: &ReceivedEvent) {
        if let Some((engine, post)) = poster
            && self.waits_for_relay(engine, post, sealed)
        {
            return;
        }
        let listeners = self.relay.take(sealed, self.clock());
        if let Some((engine, post)) = poster {
            // The relay's acceptance, or the refused connection.
            let relays = usize::from(!self.relay.is_down);
            let at = self.now + self.links.relay.delay;
            self.schedule(
                at,
                Delivery::Posted {
                    engine,
                    post,
                    relays,
                },
            );
        }
        for engine in listeners {
            let ends = (
                Endpoint::Relay,
                Endpoint::Engine(engine),
                PacketKind::Envelope,
            );
            let arrival = Delivery::FromRelay {
                engine,
                connection: self.relay_connection(engine),
                sealed: sealed.clone(),
            };
            self.send(ends, &sealed.bytes, arrival);
        }
    }

    /// Handles all pending output of engines, phones and TURN servers.
    pub(super) fn drain(&mut self) {
        self.touched.extend(0..self.hosts.len());
        self.drain_touched();
    }

    /// The same, of those engines alone that were given something since they were drained last.
    pub(super) fn drain_touched(&mut self) {
        let (now, wall) = (self.now, self.wall());
        for engine in std::mem::take(&mut self.touched) {
            if let Some(now) = self.clock_of(engine) {
                for output in self.hosts[engine].drain(wall, now) {
                    self.handle_host_output(engine, output);
                }
            }
            self.touched.remove(&engine);
            match self.hosts[engine].next_alarm() {
                Some(alarm) => self.alarms.insert(engine, alarm),
                None => self.alarms.remove(&engine),
            };
        }
        for phone in 0..self.handsets.len() {
            while let Some(output) = self.handsets[phone].0.poll() {
                self.send_from_phone(phone, output);
            }
        }
        for (server, output) in self.turn.drain(now) {
            self.send_from_turn(server, output);
        }
    }

    fn handle_host_output(&mut self, engine: usize, output: HostOutput) {
        let us = Endpoint::Engine(engine);
        match output {
            HostOutput::Sip { to, bytes } => {
                if let Some(phone) = self.phone_at(to) {
                    let arrival = Delivery::SipToPhone {
                        phone,
                        bytes: bytes.clone(),
                    };
                    self.send(
                        (us, Endpoint::Phone(phone), PacketKind::Sip),
                        &bytes,
                        arrival,
                    );
                }
            }
            HostOutput::Rtp { to, bytes, .. } => {
                if let Some(phone) = self.phone_at(to) {
                    let arrival = Delivery::RtpToPhone {
                        phone,
                        to,
                        bytes: bytes.clone(),
                    };
                    self.send(
                        (us, Endpoint::Phone(phone), PacketKind::Rtp),
                        &bytes,
                        arrival,
                    );
                }
            }
            HostOutput::ToTurn { from, to, bytes } => {
                // A socket of an address that the machine no longer has sends nothing.
                if let Some(client) = self.hosts[engine].uplink.public(from)
                    && let Some(server) = self.turn.at(to.ip())
                {
                    let arrival = Delivery::ToTurn {
                        server,
                        client,
                        bytes: bytes.clone(),
                    };
                    let ends = (us, Endpoint::Turn(server), kind_of(&bytes));
                    self.send(ends, &bytes, arrival);
                }
            }
            HostOutput::Post(post) => self.post(engine, &post),
            HostOutput::Step(call, step) => {
                let at = self.clock();
                self.steps.push(StepRecord {
                    at,
                    engine,
                    call,
                    step,
                });
            }
            HostOutput::Over(call, figures) => self.figures.push((engine, call, *figures)),
        }
    }

    /// The relay sends an engine the notes that it stored, as it does after every new connection.
    pub fn fetch_notes(&mut self, engine: usize) {
        for sealed in self.relay.kept(engine) {
            let ends = (
                Endpoint::Relay,
                Endpoint::Engine(engine),
                PacketKind::Envelope,
            );
            let bytes = sealed.bytes.clone();
            let arrival = Delivery::FromRelay {
                engine,
                connection: self.relay_connection(engine),
                sealed,
            };
            self.send(ends, &bytes, arrival);
        }
    }

    fn post(&mut self, engine: usize, post: &SealedEvent) {
        // As the shell does, which rounds the time of an event down.
        let made = self.wall().seconds() / 10 * 10;
        let sealed = ReceivedEvent {
            bucket: post.bucket,
            event_key: post.proof.event_key,
            nonce: post.proof.nonce,
            bytes: post.envelope.as_bytes().to_vec(),
            note_made: post.is_note.then(|| UnixTime::from_seconds(made)),
        };
        let bytes = sealed.bytes.clone();
        let arrival = Delivery::ToRelay {
            poster: Some((engine, post.id)),
            sealed,
        };
        self.send(
            (
                Endpoint::Engine(engine),
                Endpoint::Relay,
                PacketKind::Envelope,
            ),
            &bytes,
            arrival,
        );
    }

    fn phone_at(&self, address: SocketAddr) -> Option<usize> {
        self.handsets.iter().position(|(handset, _)| {
            let config = handset.config();
            [config.address.ip(), config.rtp.ip()].contains(&address.ip())
        })
    }

    pub(super) fn engine_at(&self, address: SocketAddr) -> Option<usize> {
        self.hosts
            .iter()
            .position(|host| host.uplink.has_had(address.ip()))
    }
}
