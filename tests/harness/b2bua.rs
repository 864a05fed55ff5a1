//! A back-to-back user agent: the SIP core with a UDP socket, which connects a caller with the user that it dials.
//!
//! SDP is passed on unchanged, so RTP flows directly between the phones. It tests real phones with the SIP core alone, without
//! engine, relay and WebRTC. New offers in a call are refused, because nothing here would pass them on.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringfence_sip::{
    Account, Algorithms, CallerId, Config, Event, Flow, HangUp, LegId, Output, Password, Transport,
    User, UserAgent,
};

const LONGEST_NAP: Duration = Duration::from_millis(20);
const DATAGRAM: usize = 65_535;

const NOT_FOUND: u16 = 404;
const NOT_ALLOWED: u16 = 405;
const BAD_EVENT: u16 = 489;
const DECLINE: u16 = 603;
const NOT_ACCEPTABLE_HERE: u16 = 488;

/// A running back-to-back user agent.
#[derive(Debug)]
pub struct B2bua {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl B2bua {
    /// Starts it for these users. [`B2bua::password`] gives their passwords.
    pub fn open(users: &[&str]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let closing = Arc::new(AtomicBool::new(false));
        let account = |user: &&str| Account {
            user: User::new(*user),
            password: Password::new(Self::password(user)),
        };
        let config = Config {
            realm: "exchange".into(),
            accounts: users.iter().map(account).collect(),
            algorithms: Algorithms::default(),
        };
        let desk = Desk {
            agent: UserAgent::new(config, [7; 32]),
            socket,
            address,
            other: BTreeMap::new(),
        };
        let told = Arc::clone(&closing);
        let thread = thread::spawn(move || desk.work_until(&told));
        Self {
            address,
            closing,
            thread: Some(thread),
        }
    }

    /// The SIP server's address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The password of a user.
    pub fn password(user: &str) -> String {
        format!("password of {user}").replace(' ', "-")
    }
}

impl Drop for B2bua {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Desk {
    agent: UserAgent,
    socket: UdpSocket,
    address: SocketAddr,
    /// The other leg of each leg.
    other: BTreeMap<LegId, LegId>,
}

impl Desk {
    fn work_until(mut self, closing: &AtomicBool) {
        let mut datagram = vec![0; DATAGRAM];
        while !closing.load(Ordering::Relaxed) {
            let now = Instant::now();
            let alarm = self
                .agent
                .next_timeout()
                .map_or(now + LONGEST_NAP, |(alarm, _)| alarm);
            if alarm <= now {
                self.agent.handle_timeout(now);
            } else {
                let nap = (alarm - now).clamp(Duration::from_micros(100), LONGEST_NAP);
                self.socket
                    .set_read_timeout(Some(nap))
                    .expect("a timeout above zero is allowed");
                if let Ok((length, peer)) = self.socket.recv_from(&mut datagram) {
                    let flow = Flow {
                        transport: Transport::Udp,
                        local: self.address,
                        peer,
                        connection: 0,
                    };
                    self.agent
                        .handle_packet(flow, &datagram[..length], Instant::now());
                }
            }
            while let Some(output) = self.agent.poll() {
                match output {
                    Output::Send { flow, bytes } => drop(self.socket.send_to(&bytes, flow.peer)),
                    Output::Close { .. } => {}
                    Output::Event(event) => self.connect(event, Instant::now()),
                }
            }
        }
    }

    fn connect(&mut self, event: Event, now: Instant) {
        match event {
            Event::Incoming {
                leg,
                user,
                dialled,
                sdp,
                ..
            } => {
                let caller = CallerId {
                    number: user.as_str().to_owned(),
                    name: None,
                };
                match self.agent.invite(&User::new(dialled), caller, sdp, now) {
                    Ok(callee) => self.other.extend([(leg, callee), (callee, leg)]),
                    Err(_) => self.agent.refuse(leg, NOT_FOUND, now),
                }
            }
            Event::Ringing { leg } => {
                if let Some(&caller) = self.other.get(&leg) {
                    self.agent.ring(caller, now);
                }
            }
            Event::Answered { leg, sdp } => {
                if let Some(&caller) = self.other.get(&leg) {
                    self.agent.answer(caller, sdp, now);
                }
            }
            Event::Refused { leg, status } => {
                if let Some(caller) = self.part(leg) {
                    self.agent.refuse(caller, status, now);
                }
            }
            Event::Cancelled { leg } | Event::HungUp { leg } => {
                if let Some(other) = self.part(leg) {
                    self.agent.hang_up(other, HangUp::Normal, now);
                }
            }
            Event::Reoffer { leg, .. } => self.agent.refuse(leg, NOT_ACCEPTABLE_HERE, now),
            Event::Digit { leg, digit } => {
                if let Some(&other) = self.other.get(&leg) {
                    self.agent.send_digit(other, digit, now);
                }
            }
            // Transfers, texts and subscriptions are refused.
            Event::Transfer { leg, .. } => self.agent.notify_transfer(leg, DECLINE, now),
            Event::Text { text, .. } => self.agent.answer_text(text, NOT_ALLOWED, now),
            Event::Subscribed { subscription, .. } => {
                self.agent.refuse_subscription(subscription, BAD_EVENT, now)
            }
            Event::Registered { .. }
            | Event::Reregistered { .. }
            | Event::Probed { .. }
            | Event::Unregistered { .. }
            | Event::Confirmed { .. }
            | Event::OfferAnswered { .. }
            | Event::OfferRefused { .. }
            | Event::TextAccepted { .. }
            | Event::TextRefused { .. }
            | Event::SubscriptionEnded { .. } => {}
        }
    }

    fn part(&mut self, leg: LegId) -> Option<LegId> {
        let other = self.other.remove(&leg)?;
        self.other.remove(&other);
        Some(other)
    }
}
