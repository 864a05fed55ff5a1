//! Handsets of the simulated world on real sockets and in real time: a line's phone that has any number of calls at once. Each call is a
//! [`Handset`] of its own, with an RTP port of its own; all of them share one SIP socket.
//!
//! A handset sends each packet 20 ms after the one before, whatever became late: an observer behind the engine sees the engine's times,
//! not a phone's. What its microphone sends can be changed in a call ([`HandsetVoice`]).

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::{BuildHasher as _, Hasher as _},
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringfence_sip::{
    Password,
    message::{Message, Method, parse},
};

use crate::{
    deployment::InstalledLine,
    world::handset::{Handset, HandsetBehaviour, HandsetConfig, HandsetEvent, HandsetOutput, Hold},
};

/// The longest sleep of the thread, which is how late a SIP message may be.
const GLANCE: Duration = Duration::from_micros(500);
/// Between two looks at the RTP that has come.
const LISTEN: Duration = Duration::from_millis(20);
/// Static payload type of comfort noise (RFC 3389 section 4), the packets between two of it, and its one byte: -dBov.
const COMFORT_NOISE: u8 = 13;
const NOISE_EVERY: u32 = 10;
const NOISE_LEVEL: u8 = 60;
const RTP_HEADER: usize = 12;

/// What a handset's microphone sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandsetVoice {
    /// Sound without a pause.
    #[default]
    Speech,
    /// Silence suppression: a packet of comfort noise at once and each 200 ms, and the marker where sound begins again.
    Suppressed,
    /// Nothing at all.
    Muted,
}

/// All calls of one line's phone.
#[derive(Debug)]
pub struct HandsetBank {
    shared: Arc<Mutex<Bank>>,
    runs: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Bank {
    sip: UdpSocket,
    config: HandsetConfig,
    behaviour: HandsetBehaviour,
    registrar: Handset,
    calls: BTreeMap<u32, BankCall>,
    begun: u32,
    listened: Instant,
}

#[derive(Debug)]
struct BankCall {
    handset: Handset,
    rtp: UdpSocket,
    microphone: HandsetVoice,
    /// Packets since the microphone was changed.
    since: u32,
}

impl HandsetBank {
    /// Registers a phone to a line. It holds calls by `a=inactive` and sends nothing while it does.
    ///
    /// # Panics
    /// When the line does not take the registration within ten seconds.
    pub fn register(line: &InstalledLine) -> Self {
        let sip = socket();
        sip.connect(line.udp).expect("loopback is reachable");
        let address = sip.local_addr().expect("it is bound");
        let config = HandsetConfig {
            user: line.user.clone(),
            password: Password::new(line.password.clone()),
            server: line.udp,
            address,
            rtp: address,
            hz: 440.0,
        };
        let now = Instant::now();
        let mut registrar = Handset::new(config.clone(), seed());
        registrar.register(now);
        let bank = Bank {
            sip,
            config,
            behaviour: HandsetBehaviour {
                holds_by: Hold::Inactive,
                ..HandsetBehaviour::PLAIN
            },
            registrar,
            calls: BTreeMap::new(),
            begun: 0,
            listened: now,
        };
        let (shared, runs) = (Arc::new(Mutex::new(bank)), Arc::new(AtomicBool::new(true)));
        let (turning, running) = (Arc::clone(&shared), Arc::clone(&runs));
        let thread = thread::spawn(move || {
            while running.load(Ordering::Relaxed) {
                let pause = lock(&turning).turn();
                thread::sleep(pause);
            }
        });
        let bank = Self {
            shared,
            runs,
            thread: Some(thread),
        };
        let is_registered = |bank: &Bank| {
            let registered = bank.registrar.time_of(&HandsetEvent::Registered);
            registered.map(drop)
        };
        bank.wait("a registration", is_registered);
        bank
    }

    /// Dials, and returns the number of the call in this bank.
    pub fn dial(&self, number: &str) -> u32 {
        let mut bank = self.bank();
        let (id, now) = (bank.begin(), Instant::now());
        if let Some(call) = bank.calls.get_mut(&id) {
            call.handset.dial(number, now);
        }
        bank.flush();
        id
    }

    /// Waits for a call that rings here, and answers it.
    ///
    /// # Panics
    /// When none rings within ten seconds.
    pub fn answer(&self) -> u32 {
        let id = self.wait("a ringing phone", |bank| {
            let mut calls = bank.calls.iter();
            calls.find_map(|(id, call)| call.handset.is_ringing().then_some(*id))
        });
        self.with(id, Handset::answer);
        id
    }

    /// Waits until a call of this bank is answered.
    ///
    /// # Panics
    /// When that does not happen within ten seconds.
    pub fn wait_answered(&self, id: u32) {
        self.wait("an answer", |bank| {
            let call = bank.calls.get(&id);
            call.filter(|call| call.handset.is_talking()).map(drop)
        });
    }

    /// Waits until a call of this bank is over, and forgets it.
    ///
    /// # Panics
    /// When that does not happen within ten seconds.
    pub fn wait_over(&self, id: u32) {
        self.wait("the end of a call", |bank| {
            let call = bank.calls.get(&id);
            call.is_none_or(|call| call.handset.is_free()).then_some(())
        });
        self.bank().calls.remove(&id);
    }

    /// Changes what the microphone sends.
    pub fn switch(&self, id: u32, microphone: HandsetVoice) {
        if let Some(call) = self.bank().calls.get_mut(&id) {
            (call.microphone, call.since) = (microphone, 0);
        }
    }

    /// Holds the call, or resumes it.
    pub fn hold(&self, id: u32, is_held: bool) {
        self.with(id, |handset, now| handset.hold(is_held, now));
    }

    /// Presses a key, which is sent as an RTP event.
    pub fn press(&self, id: u32, event: u8) {
        self.with(id, |handset, _| handset.press_by_rtp_event(event));
    }

    /// Hangs up.
    pub fn hang_up(&self, id: u32) {
        self.with(id, Handset::hang_up);
    }

    /// Packets of sound that a call has received.
    pub fn heard(&self, id: u32) -> usize {
        let bank = self.bank();
        let call = bank.calls.get(&id);
        call.map_or(0, |call| call.handset.received_audio().packets())
    }

    fn with(&self, id: u32, act: impl FnOnce(&mut Handset, Instant)) {
        let mut bank = self.bank();
        if let Some(call) = bank.calls.get_mut(&id) {
            act(&mut call.handset, Instant::now());
        }
        bank.flush();
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&Bank) -> Option<T>) -> T {
        let give_up = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(found) = find(&self.bank()) {
                return found;
            }
            assert!(Instant::now() < give_up, "no {what} within ten seconds");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn bank(&self) -> MutexGuard<'_, Bank> {
        lock(&self.shared)
    }
}

impl Drop for HandsetBank {
    fn drop(&mut self) {
        self.runs.store(false, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Bank {
    /// A handset for a new call.
    fn begin(&mut self) -> u32 {
        let rtp = socket();
        let config = HandsetConfig {
            rtp: rtp.local_addr().expect("it is bound"),
            ..self.config.clone()
        };
        let mut handset = Handset::new(config, seed());
        handset.set_behaviour(self.behaviour);
        self.begun += 1;
        let call = BankCall {
            handset,
            rtp,
            microphone: HandsetVoice::Speech,
            since: 0,
        };
        self.calls.insert(self.begun, call);
        self.begun
    }

    /// Receives, sends what is due, and returns how long nothing else is.
    fn turn(&mut self) -> Duration {
        let now = Instant::now();
        let mut bytes = [0; 8_192];
        while let Ok(length) = self.sip.recv(&mut bytes) {
            self.receive(&bytes[..length], now);
        }
        if now >= self.listened + LISTEN {
            self.listened = now;
            for call in self.calls.values_mut() {
                let own = call.handset.config().rtp;
                while let Ok(length) = call.rtp.recv(&mut bytes) {
                    call.handset.handle_rtp(own, &bytes[..length], now);
                }
            }
        }
        let due = |handset: &mut Handset| {
            if handset.next_alarm().is_some_and(|at| at <= now) {
                handset.handle_timeout(now);
            }
        };
        due(&mut self.registrar);
        self.calls
            .values_mut()
            .for_each(|call| due(&mut call.handset));
        self.flush();
        let alarms = self
            .calls
            .values()
            .filter_map(|call| call.handset.next_alarm());
        let next = alarms
            .min()
            .map(|at| at.saturating_duration_since(Instant::now()));
        next.unwrap_or(GLANCE).min(GLANCE)
    }

    /// A SIP message goes to the call that it names; an INVITE of no known call begins one.
    fn receive(&mut self, bytes: &[u8], now: Instant) {
        let Ok(message) = parse(bytes) else { return };
        let id = message.headers().call_id().unwrap_or_default();
        let known = self
            .calls
            .iter()
            .find(|(_, call)| call.handset.call_id() == Some(id));
        let known = known.map(|(number, _)| *number);
        let is_invite =
            matches!(&message, Message::Request(request) if request.method == Method::Invite);
        let number = match known {
            None if is_invite => Some(self.begin()),
            known => known,
        };
        let call = number.and_then(|number| self.calls.get_mut(&number));
        let handset = call.map_or(&mut self.registrar, |call| &mut call.handset);
        handset.handle_sip(bytes, now);
    }

    /// Sends what the handsets have to say.
    fn flush(&mut self) {
        let sip = &self.sip;
        while let Some(output) = self.registrar.poll() {
            if let HandsetOutput::Sip(bytes) = output {
                let _ = sip.send(&bytes);
            }
        }
        for call in self.calls.values_mut() {
            while let Some(output) = call.handset.poll() {
                // A lost message is sent again, and a lost packet of sound is lost.
                match output {
                    HandsetOutput::Sip(bytes) => drop(sip.send(&bytes)),
                    HandsetOutput::Rtp { to, bytes } => {
                        if let Some(bytes) = call.said(bytes) {
                            let _ = call.rtp.send_to(&bytes, to);
                        }
                    }
                    HandsetOutput::Video { .. } => {}
                }
            }
        }
    }
}

impl BankCall {
    /// What the microphone makes of a packet of sound.
    fn said(&mut self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let since = self.since;
        self.since += 1;
        match self.microphone {
            HandsetVoice::Speech => {
                if since == 0 {
                    bytes[1] |= 0x80;
                }
                Some(bytes)
            }
            HandsetVoice::Suppressed if since.is_multiple_of(NOISE_EVERY) => {
                bytes[1] = COMFORT_NOISE;
                bytes.truncate(RTP_HEADER);
                bytes.push(NOISE_LEVEL);
                Some(bytes)
            }
            HandsetVoice::Suppressed | HandsetVoice::Muted => None,
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let nonblocking = socket.set_nonblocking(true);
    nonblocking.expect("a socket need not wait");
    socket
}

/// The keys of a hasher are the only random numbers in the standard library.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for part in seed.chunks_mut(8) {
        part.copy_from_slice(&RandomState::new().build_hasher().finish().to_be_bytes());
    }
    seed
}

fn lock(shared: &Mutex<Bank>) -> MutexGuard<'_, Bank> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
