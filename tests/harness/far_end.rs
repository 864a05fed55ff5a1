//! A WebRTC leg with a real socket that sends a tone and records what it receives: half a gateway, without phones.
//!
//! One thread drives it as the shell does: wait for one input, handle it, poll all output. Every sent datagram is kept for the
//! test.

use std::{
    mem,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringfence_media::{
    Codec, Description, LocalEndpoint,
    far::{
        FarConfig, FarConnectError, FarEvent, FarLeg, FarOutput, FarPacket, Role, TurnAccess,
        TurnWay,
    },
    g711,
};

use crate::{audio_file::AudioClip, tone};

/// Neither the server nor the browser has this address, so it is recognised wherever it leaks.
pub const LOCAL_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 93);

const SAMPLES_PER_PACKET: usize = 160;
const PACKET_EVERY: Duration = Duration::from_millis(20);
const RATE: u32 = 8_000;
const TONE_SECONDS: u32 = 60;
/// The longest sleep of the loop, so that commands are seen.
const LONGEST_NAP: Duration = Duration::from_millis(5);
/// The longest UDP datagram of a TURN server.
const DATAGRAM: usize = 2_048;

enum Order {
    Connect(Description, mpsc::Sender<Result<(), FarConnectError>>),
    Control(Vec<u8>, mpsc::Sender<bool>),
    Record,
    PlayBack(mpsc::Sender<AudioClip>),
    Close,
}

/// A running WebRTC leg.
#[derive(Debug)]
pub struct FarEnd {
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<FarEvent>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    thread: Option<JoinHandle<()>>,
}

impl FarEnd {
    /// Connects to the TURN server over UDP; the leg will send a tone of `hz`.
    pub fn dial(turn: TurnAccess, role: Role, hz: f64) -> Self {
        let socket =
            UdpSocket::bind((LOCAL_ADDRESS, 0)).expect("any loopback address can be bound");
        socket
            .connect(turn.addr)
            .expect("a UDP socket connects at once");
        let local = socket.local_addr().expect("it is bound");
        let (orders, inbox) = mpsc::channel();
        let (outbox, events) = mpsc::channel();
        let sent = Arc::default();
        let config = FarConfig {
            turn,
            local,
            allow_private_addresses: true,
            permitted: Vec::new(),
            relays_ipv6: false,
        };
        let run = Run {
            role,
            leg: FarLeg::new(
                TurnWay::new(config, Instant::now()),
                seed_of(local),
                Instant::now(),
            ),
            socket,
            inbox,
            outbox,
            sent: Arc::clone(&sent),
            microphone: Microphone::new(hz),
            heard: Vec::new(),
            talking: None,
        };
        let thread = thread::spawn(move || run.run());
        Self {
            orders,
            events,
            sent,
            thread: Some(thread),
        }
    }

    /// Waits for an event for which `wanted` returns a value.
    ///
    /// # Panics
    /// When there is none in time, or the leg fails.
    pub fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&FarEvent) -> Option<T>,
    ) -> T {
        let give_up = Instant::now() + patience;
        loop {
            let event = self
                .events
                .recv_timeout(give_up.saturating_duration_since(Instant::now()));
            let Ok(event) = event else {
                panic!("the far leg: no {what} in {patience:?}")
            };
            if let Some(found) = wanted(&event) {
                return found;
            }
            if let FarEvent::Failed(fault) = event {
                panic!("the far leg failed before {what}: {fault}");
            }
        }
    }

    /// Waits for the allocation.
    pub fn allocated(&self) -> LocalEndpoint {
        self.wait("relay", Duration::from_secs(5), |event| match event {
            FarEvent::Allocated(local) => Some((**local).clone()),
            _ => None,
        })
    }

    /// Connects to the other side.
    pub fn connect(&self, remote: Description) -> Result<(), FarConnectError> {
        self.ask(|reply| Order::Connect(remote, reply))
    }

    /// Sends a message on the data channel; false if it is not open.
    pub fn control(&self, bytes: &[u8]) -> bool {
        self.ask(|reply| Order::Control(bytes.to_vec(), reply))
    }

    /// Starts a recording.
    pub fn record(&self) {
        let _ = self.orders.send(Order::Record);
    }

    /// The audio received since [`FarEnd::record`].
    pub fn play_back(&self) -> AudioClip {
        self.ask(Order::PlayBack)
    }

    /// Closes the leg.
    pub fn close(&self) {
        let _ = self.orders.send(Order::Close);
    }

    /// Every datagram sent to the TURN server so far.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().expect("no holder panics").clone()
    }

    fn ask<T>(&self, order: impl FnOnce(mpsc::Sender<T>) -> Order) -> T {
        let (reply, answer) = mpsc::channel();
        self.orders
            .send(order(reply))
            .expect("the leg is driven until the test ends");
        answer
            .recv_timeout(Duration::from_secs(1))
            .expect("the leg is driven every few milliseconds")
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        let (gone, _) = mpsc::channel();
        self.orders = gone;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A seed that no other leg on this machine has.
fn seed_of(local: SocketAddr) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&local.port().to_be_bytes());
    seed[2..6].copy_from_slice(&std::process::id().to_be_bytes());
    seed
}

struct Run {
    role: Role,
    leg: FarLeg,
    socket: UdpSocket,
    inbox: mpsc::Receiver<Order>,
    outbox: mpsc::Sender<FarEvent>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    microphone: Microphone,
    heard: Vec<i16>,
    /// When the next audio packet is due; `None` until connected.
    talking: Option<Instant>,
}

impl Run {
    fn run(mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(order) => self.obey(order),
                Err(mpsc::TryRecvError::Disconnected) => return,
                Err(mpsc::TryRecvError::Empty) => self.wait(),
            }
            self.drain();
        }
    }

    fn wait(&mut self) {
        let now = Instant::now();
        if let Some(due) = self.talking.filter(|due| *due <= now) {
            self.leg.write_rtp(self.microphone.next(), now);
            self.talking = Some(due + PACKET_EVERY);
            return;
        }
        let alarm = self.leg.next_timeout().map(|(alarm, _)| alarm);
        if alarm.is_some_and(|alarm| alarm <= now) {
            return self.leg.handle_timeout(now);
        }
        let next = alarm
            .into_iter()
            .chain(self.talking)
            .min()
            .unwrap_or(now + LONGEST_NAP);
        let nap = next
            .saturating_duration_since(now)
            .clamp(Duration::from_micros(100), LONGEST_NAP);
        self.socket
            .set_read_timeout(Some(nap))
            .expect("a timeout above zero is allowed");
        let mut datagram = [0; DATAGRAM];
        if let Ok(length) = self.socket.recv(&mut datagram) {
            self.leg.handle_turn(&datagram[..length], Instant::now());
        }
    }

    fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Connect(remote, reply) => {
                let _ = reply.send(self.leg.connect(&remote, self.role, now));
            }
            Order::Control(bytes, reply) => {
                let _ = reply.send(self.leg.send_control(&bytes, now));
            }
            Order::Record => self.heard.clear(),
            Order::PlayBack(reply) => {
                let _ = reply.send(AudioClip {
                    rate: RATE,
                    samples: mem::take(&mut self.heard),
                });
            }
            Order::Close => {
                self.talking = None;
                self.leg.close(now);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.leg.poll() {
            match output {
                FarOutput::ToServer(bytes) => {
                    let _ = self.socket.send(&bytes);
                    self.sent.lock().expect("no holder panics").push(bytes);
                }
                FarOutput::Event(FarEvent::Rtp(packet)) => {
                    if packet.payload_type == Codec::Pcmu.far_payload_type() {
                        self.heard
                            .extend(packet.payload.iter().copied().map(g711::expand));
                    }
                }
                FarOutput::Event(event) => {
                    if event == FarEvent::Connected {
                        self.talking = Some(Instant::now());
                    }
                    let _ = self.outbox.send(event);
                }
            }
        }
    }
}

/// A tone in packets of 20 ms of PCMU (RFC 3551 section 4.5.14).
struct Microphone {
    sound: AudioClip,
    sequence: u16,
}

impl Microphone {
    fn new(hz: f64) -> Self {
        Self {
            sound: tone::sine(hz, RATE, TONE_SECONDS),
            sequence: 0,
        }
    }

    fn next(&mut self) -> FarPacket {
        let place = usize::from(self.sequence) * SAMPLES_PER_PACKET;
        let samples = self
            .sound
            .samples
            .iter()
            .cycle()
            .skip(place % self.sound.samples.len());
        let packet = FarPacket {
            payload_type: Codec::Pcmu.far_payload_type(),
            marker: self.sequence == 0,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence) * SAMPLES_PER_PACKET as u32,
            payload: samples
                .take(SAMPLES_PER_PACKET)
                .copied()
                .map(g711::compress)
                .collect(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}
