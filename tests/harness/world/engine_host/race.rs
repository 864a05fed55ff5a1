//! How a simulated call gets its allocation, and another one when it has lost its way out: the TURN servers are raced with the core's
//! [`WayRace`], as the shell does (`gateway/src/turn/race.rs`, `gateway/src/run/recovery.rs`), and losers are released. There is no pool:
//! each call asks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use ringfence_engine::{CallLabel, MediaEvent, MediaFailure, MediaOrder};
use ringfence_media::{
    Bridge,
    far::{
        FarConfig, FarLeg, RaceOutput, TurnAccess, TurnPassword, TurnTransport, TurnWay, WayOutput,
        WayRace,
    },
};

use super::{EngineHost, HostOutput, media::OpenFar};

/// The first port for TURN sockets; they count up.
const FIRST_TURN_PORT: u16 = 40_000;

/// As in the shell: between two servers, at the beginning of a call and in its course; in all; and from one race to the next.
const STAGGER: Duration = Duration::from_millis(250);
const RECOVERY_STAGGER: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(4);
const AGAIN: Duration = Duration::from_millis(500);

/// How long a server that lost a race is asked last.
const BEATEN: Duration = Duration::from_secs(600);

/// When servers lost a race.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<usize, Instant>);

/// A call that waits for an allocation.
#[derive(Debug)]
pub(super) struct CallRace {
    race: WayRace<()>,
    /// Of a running call that has lost its way out: when the servers are asked again, once the race is over without a winner.
    recovery: Option<Option<Instant>>,
    /// Whether the own server is not asked.
    is_elsewhere: bool,
    legs: Vec<RaceLeg>,
    held: Vec<MediaOrder>,
}

/// An allocation that is asked for, or released.
#[derive(Debug)]
pub(super) struct RaceLeg {
    entry: usize,
    local: SocketAddr,
    server: SocketAddr,
    way: TurnWay,
}

impl CallRace {
    pub(super) const fn recovers(&self) -> bool {
        self.recovery.is_some()
    }

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
            recovery: None,
            is_elsewhere: false,
            legs: Vec::new(),
            held: Vec::new(),
        };
        self.racing.insert(call, racing);
        self.move_race(call, now);
    }

    /// Begins and ends the searches of running calls for another way out. True if it did.
    pub(super) fn follow_searches(&mut self, now: Instant) -> bool {
        let mut did = false;
        let calls: Vec<CallLabel> = self.media.keys().copied().collect();
        for call in calls {
            let far = self.media.get(&call).and_then(|media| media.far.as_ref());
            let wants = far.filter(|far| far.talk.wants_way());
            let own = wants.map(|far| (far.server.ip(), far.talk.wants_elsewhere()));
            let racing = self.racing.get(&call);
            let is_other = |racing: &CallRace| own.is_some_and(|own| own.1 != racing.is_elsewhere);
            let changes = racing.is_some_and(is_other);
            match (own, racing.map(|racing| racing.recovery)) {
                (None, Some(Some(_))) => self.end_race(call, now),
                (Some(own), None) => self.start_recovery(call, own, now),
                (Some(own), Some(Some(again)))
                    if changes || again.is_some_and(|again| again <= now) =>
                {
                    self.end_race(call, now);
                    self.start_recovery(call, own, now);
                }
                _ => continue,
            }
            did = true;
        }
        did
    }

    fn start_recovery(
        &mut self,
        call: CallLabel,
        (own, is_elsewhere): (IpAddr, bool),
        now: Instant,
    ) {
        let is_own = |entry: &usize| self.turn_servers[*entry].ip() == own;
        let mut order: Vec<usize> = (0..self.turn_servers.len()).collect();
        order.retain(|entry| !(is_elsewhere && is_own(entry)));
        order.sort_by_key(|entry| !is_own(entry));
        let racing = CallRace {
            race: WayRace::new(&order, RECOVERY_STAGGER, LIMIT, now),
            recovery: Some(None),
            is_elsewhere,
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
                racing.way.handle_turn(bytes, now);
            }
        }
    }

    pub(super) fn race_timeouts(&self) -> impl Iterator<Item = Instant> {
        let races = self.racing.values();
        let legs = races.clone().flat_map(|racing| &racing.legs);
        let legs = legs.chain(&self.releasing);
        let legs = legs.filter_map(|racing| racing.way.next_timeout());
        let again = races.clone().filter_map(|racing| racing.recovery?);
        let races = races.filter_map(|racing| racing.race.next_timeout());
        races.chain(again).chain(legs.map(|(at, _)| at))
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
            let timeout = racing.way.next_timeout();
            if timeout.is_some_and(|(at, _)| at <= now) {
                racing.way.handle_timeout(now);
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
            racing.way.next_timeout().is_some()
        });
    }

    /// Does what the race asks for.
    fn move_race(&mut self, call: CallLabel, now: Instant) {
        while let Some(racing) = self.racing.get_mut(&call)
            && let Some(output) = racing.race.poll()
        {
            match output {
                RaceOutput::Begin(entry) => {
                    let recovers = racing.recovers();
                    let leg = self.ask(entry, recovers, now);
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
                RaceOutput::Over(_) if racing.recovers() => {
                    racing.recovery = Some(Some(now + AGAIN));
                    let legs = std::mem::take(&mut racing.legs);
                    return self.release(legs, now);
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
    fn ask(&mut self, entry: usize, recovers: bool, now: Instant) -> Option<RaceLeg> {
        let (username, password) = self.credentials.pop_front()?;
        if recovers {
            let login = (username.clone(), password.clone());
            self.credentials.push_back(login);
        }
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
            relays_ipv6: false,
        };
        Some(RaceLeg {
            entry,
            local,
            server,
            way: TurnWay::new(config, now),
        })
    }

    /// Opens the WebRTC side over the winner, or gives it to a running call.
    fn open_far(&mut self, call: CallLabel, winner: usize, now: Instant) {
        let racing = self.racing.remove(&call);
        let Some(CallRace {
            mut legs,
            held,
            recovery,
            ..
        }) = racing
        else {
            return;
        };
        let place = legs.iter().position(|one| one.entry == winner);
        let mut won = legs.swap_remove(place.expect("the winner was asked"));
        if recovery.is_some() {
            let media = self.media.get_mut(&call);
            if let Some(far) = media.and_then(|media| media.far.as_mut()) {
                match far.talk.adopt(won.way, now) {
                    Ok(old) => {
                        won.way = old;
                        std::mem::swap(&mut won.local, &mut far.local);
                        std::mem::swap(&mut won.server, &mut far.server);
                    }
                    Err(refused) => won.way = *refused,
                }
                legs.push(won);
            }
            return self.release(legs, now);
        }
        self.release(legs, now);
        let leg = FarLeg::new(won.way, self.seed(), now);
        let far = OpenFar {
            local: won.local,
            server: won.server,
            talk: Bridge::new(leg, self.seed()),
        };
        self.media.entry(call).or_default().far = Some(far);
        for order in held {
            self.handle_call_order(call, order, now);
        }
    }

    fn release(&mut self, legs: Vec<RaceLeg>, now: Instant) {
        for mut one in legs {
            one.way.release(now);
            self.releasing.push(one);
        }
    }
}

impl CallRace {
    /// Sends what its legs have to send. True as soon as the race has learnt something.
    fn drain(&mut self, out: &mut Vec<HostOutput>, now: Instant) -> bool {
        for one in &mut self.legs {
            while let Some(output) = one.poll(out) {
                match output {
                    WayOutput::Standing(_) => self.race.handle_standing(one.entry),
                    WayOutput::Lost(_) => self.race.handle_failed(one.entry, (), now),
                    _ => continue,
                }
                return true;
            }
        }
        false
    }
}

impl RaceLeg {
    /// The next output; what is to be sent before it goes to `out`.
    fn poll(&mut self, out: &mut Vec<HostOutput>) -> Option<WayOutput> {
        loop {
            match self.way.poll()? {
                WayOutput::ToServer(bytes) => out.push(HostOutput::ToTurn {
                    from: self.local,
                    to: self.server,
                    bytes,
                }),
                output => return Some(output),
            }
        }
    }
}
