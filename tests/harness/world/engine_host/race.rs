//! How a simulated call gets its allocation: the TURN servers are raced with the core's [`WayRace`], as the shell does
//! (`gateway/src/turn/race.rs`), and losers are released. There is no pool: each call asks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use ringfence_engine::{CallLabel, MediaEvent, MediaFailure, MediaOrder};
use ringfence_media::{
    Bridge, BridgeEvent, LocalEndpoint,
    far::{
        FarConfig, FarEvent, FarLeg, FarOutput, RaceOutput, TurnAccess, TurnPassword,
        TurnTransport, WayRace,
    },
};

use super::{EngineHost, HostOutput, media::OpenFar};

/// The first port for TURN sockets; they count up.
const FIRST_TURN_PORT: u16 = 40_000;

/// As in the shell: between two servers, and in all.
const STAGGER: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(4);

/// How long a server that lost a race is asked last.
const BEATEN: Duration = Duration::from_secs(600);

/// When servers lost a race.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<usize, Instant>);

/// A call that waits for an allocation.
#[derive(Debug)]
pub(super) struct CallRace {
    race: WayRace<()>,
    legs: Vec<RaceLeg>,
    held: Vec<MediaOrder>,
}

/// An allocation that is asked for, or released.
#[derive(Debug)]
pub(super) struct RaceLeg {
    entry: usize,
    local: SocketAddr,
    server: SocketAddr,
    leg: FarLeg,
    /// Once the allocation stands.
    endpoint: Option<LocalEndpoint>,
}

impl CallRace {
    /// Keeps an order until there is a relayed address.
    pub(super) fn hold(&mut self, order: MediaOrder) {
        self.held.push(order);
    }
}

impl EngineHost {
    /// Asks the servers for an allocation; those of the addresses in `avoid` and those that lost lately come later.
    pub(super) fn start_race(&mut self, call: CallLabel, avoid: &[IpAddr], now: Instant) {
        let mut order: Vec<usize> = (0..self.turn_servers.len()).collect();
        self.losses.0.retain(|_, at| now < *at + BEATEN);
        order.sort_by_key(|entry| {
            let server = self.turn_servers[*entry].ip();
            (self.losses.0.contains_key(entry), avoid.contains(&server))
        });
        let race = WayRace::new(&order, STAGGER, LIMIT, now);
        let racing = CallRace {
            race,
            legs: Vec::new(),
            held: Vec::new(),
        };
        self.racing.insert(call, racing);
        self.move_race(call, now);
    }

    /// The call is over: whatever was asked for is released.
    pub(super) fn end_race(&mut self, call: CallLabel, now: Instant) {
        if let Some(racing) = self.racing.remove(&call) {
            self.release(racing.legs, now);
        }
    }

    pub(super) fn handle_race_packet(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        let racing = self.racing.values_mut().flat_map(|racing| &mut racing.legs);
        for racing in racing.chain(&mut self.releasing) {
            if racing.local == to {
                racing.leg.handle_turn(bytes, now);
            }
        }
    }

    pub(super) fn race_timeouts(&self) -> impl Iterator<Item = Instant> {
        let races = self.racing.values();
        let legs = races.clone().flat_map(|racing| &racing.legs);
        let legs = legs.chain(&self.releasing);
        let legs = legs.filter_map(|racing| racing.leg.next_timeout());
        let races = races.filter_map(|racing| racing.race.next_timeout());
        races.chain(legs.map(|(at, _)| at))
    }

    pub(super) fn handle_race_timeout(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (call, racing) in &mut self.racing {
            if racing.race.next_timeout().is_some_and(|at| at <= now) {
                racing.race.handle_timeout(now);
                due.push(*call);
            }
        }
        let racing = self.racing.values_mut().flat_map(|racing| &mut racing.legs);
        for racing in racing.chain(&mut self.releasing) {
            let timeout = racing.leg.next_timeout();
            if timeout.is_some_and(|(at, _)| at <= now) {
                racing.leg.handle_timeout(now);
            }
        }
        for call in due {
            self.move_race(call, now);
        }
    }

    /// What the legs of all races send, and what follows from what they say.
    pub(super) fn drain_races(&mut self, now: Instant, out: &mut Vec<HostOutput>) {
        let calls: Vec<CallLabel> = self.racing.keys().copied().collect();
        for call in calls {
            while let Some(racing) = self.racing.get_mut(&call)
                && racing.drain(out, now)
            {
                self.move_race(call, now);
            }
        }
        self.releasing.retain_mut(|racing| {
            while racing.poll(out).is_some() {}
            // A closed leg has no timer.
            racing.leg.next_timeout().is_some()
        });
    }

    /// Does what the race asks for.
    fn move_race(&mut self, call: CallLabel, now: Instant) {
        while let Some(racing) = self.racing.get_mut(&call)
            && let Some(output) = racing.race.poll()
        {
            match output {
                RaceOutput::Begin(entry) => {
                    let leg = self.ask(entry, now);
                    if let Some(racing) = self.racing.get_mut(&call) {
                        match leg {
                            Some(leg) => racing.legs.push(leg),
                            None => racing.race.handle_failed(entry, (), now),
                        }
                    }
                }
                RaceOutput::Won { entry, beaten } => {
                    let beaten = beaten.into_iter().map(|(entry, _)| (entry, now));
                    self.losses.0.extend(beaten);
                    self.losses.0.remove(&entry);
                    return self.open_far(call, entry, now);
                }
                RaceOutput::Over(_) => {
                    self.end_race(call, now);
                    let refused = MediaEvent::Refused(MediaFailure::NoTurn);
                    return self.engine.handle_media(call, refused, now);
                }
            }
        }
    }

    /// Asks the server of an entry for an allocation; none without credentials.
    fn ask(&mut self, entry: usize, now: Instant) -> Option<RaceLeg> {
        let (username, password) = self.credentials.pop_front()?;
        self.calls += 1;
        let local = SocketAddr::from((self.uplink.address(), FIRST_TURN_PORT + self.calls));
        let server = self.turn_servers[entry];
        let config = FarConfig {
            turn: TurnAccess {
                addr: server,
                transport: TurnTransport::Udp,
                username,
                password: TurnPassword::new(password),
            },
            local,
            allow_private_addresses: false,
            permitted: self.turn_servers.iter().map(SocketAddr::ip).collect(),
        };
        let leg = FarLeg::new(config, self.seed(), now);
        Some(RaceLeg {
            entry,
            local,
            server,
            leg,
            endpoint: None,
        })
    }

    /// Opens the WebRTC side over the winner.
    fn open_far(&mut self, call: CallLabel, winner: usize, now: Instant) {
        let Some(CallRace { mut legs, held, .. }) = self.racing.remove(&call) else {
            return;
        };
        let place = legs.iter().position(|one| one.entry == winner);
        let won = legs.swap_remove(place.expect("the winner was asked"));
        self.release(legs, now);
        let far = OpenFar {
            local: won.local,
            server: won.server,
            talk: Bridge::new(won.leg, self.seed()),
        };
        self.media.entry(call).or_default().far = Some(far);
        let endpoint = won.endpoint.expect("the winner has an allocation");
        let allocated = MediaEvent::Bridge(BridgeEvent::Allocated(endpoint));
        self.engine.handle_media(call, allocated, now);
        for order in held {
            self.handle_call_order(call, order, now);
        }
    }

    fn release(&mut self, legs: Vec<RaceLeg>, now: Instant) {
        for mut one in legs {
            one.leg.close(now);
            self.releasing.push(one);
        }
    }
}

impl CallRace {
    /// Sends what its legs have to send. True as soon as the race has learnt something.
    fn drain(&mut self, out: &mut Vec<HostOutput>, now: Instant) -> bool {
        for one in &mut self.legs {
            while let Some(event) = one.poll(out) {
                match event {
                    FarEvent::Allocated(endpoint) => {
                        one.endpoint = Some(endpoint);
                        self.race.handle_standing(one.entry);
                    }
                    FarEvent::Failed(_) => self.race.handle_failed(one.entry, (), now),
                    _ => continue,
                }
                return true;
            }
        }
        false
    }
}

impl RaceLeg {
    /// The next event; what is to be sent before it goes to `out`.
    fn poll(&mut self, out: &mut Vec<HostOutput>) -> Option<FarEvent> {
        loop {
            match self.leg.poll()? {
                FarOutput::ToServer(bytes) => out.push(HostOutput::ToTurn {
                    from: self.local,
                    to: self.server,
                    bytes,
                }),
                FarOutput::Event(event) => return Some(event),
            }
        }
    }
}
