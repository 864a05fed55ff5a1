//! A small SIP phone of the fault lab, in real time: the built-in phone's SIP client over UDP or TCP, a tone each way, and what no
//! good phone does. It can die without a BYE, fall silent, move its RTP port, lose its connection, and boot again as the same device.
//!
//! A thread runs the phone, so a test may block. Every call has a [`CallLog`] with times. No TLS, hold or transfer.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::{BuildHasher as _, Hasher as _},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringfence_media::{Codec, OwnMedia, Srtp, sdp};
use ringfence_sip::{
    Password, Transport, User,
    client::{ClientOutput, PhoneClient, PhoneEvent, Registration},
    message::{Message, Method, Name, parse},
};

use crate::{
    deployment::InstalledLine, networks::Place, sip_wire::SipWire, tone_stream::ToneStream,
};

/// The tones of the phones in a call: the caller's, the callee's, and that of a second callee.
pub const TONES: [u32; 3] = [440, 1_000, 1_500];
/// Between two turns of a phone's thread.
const TURN: Duration = Duration::from_millis(1);
/// What a phone asks for; the registrar may grant less.
const EXPIRES: u32 = 3_600;

/// What one phone knows of a call.
#[derive(Clone, Debug, Default)]
pub struct CallLog {
    /// When the called phone began to ring, as either phone knows it.
    pub ringing: Option<Instant>,
    /// When it was answered: at the caller by the 200, at the callee by the ACK.
    pub up: Option<Instant>,
    /// When it was over.
    pub over: Option<Instant>,
    /// The status with which it was refused.
    pub status: Option<u16>,
    /// The Reason header of the other side's BYE or CANCEL (RFC 3326).
    pub reason: Option<String>,
    /// Every packet with a tone: when it came, and the frequency in Hz.
    pub heard: Vec<(Instant, u32)>,
}

/// A phone.
#[derive(Debug)]
pub struct LabPhone {
    state: Arc<Mutex<PhoneState>>,
    runs: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct PhoneState {
    account: Registration,
    transport: Transport,
    wire: SipWire,
    /// The address that the SIP clients believe to have; after a reconnection the wire has another one.
    believed: SocketAddr,
    instance: String,
    expires: u32,
    tone: u32,
    registration: PhoneClient,
    registered: Option<Instant>,
    calls: BTreeMap<String, LabCall>,
    /// Where all its sockets are.
    place: Option<Place>,
}

#[derive(Debug)]
struct LabCall {
    client: PhoneClient,
    audio: Option<ToneStream>,
    own: OwnMedia,
    offer: Vec<u8>,
    log: CallLog,
}

impl LabPhone {
    /// Boots a phone that registers to a line as the device `instance`, and sends tone number `tone` of [`TONES`].
    ///
    /// # Panics
    /// When no line answers.
    pub fn boot(line: &InstalledLine, transport: Transport, tone: usize, instance: &str) -> Self {
        let server = match transport {
            Transport::Udp => line.udp,
            _ => line.tcp,
        };
        let account = Registration {
            user: User::new(line.user.clone()),
            password: Password::new(line.password.clone()),
            line: server,
        };
        let state = PhoneState::boot(account, transport, TONES[tone], instance.to_owned());
        let (state, runs) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(true)));
        let (turning, running) = (Arc::clone(&state), Arc::clone(&runs));
        let thread = thread::spawn(move || {
            while running.load(Ordering::Relaxed) {
                lock(&turning).turn();
                thread::sleep(TURN);
            }
        });
        Self {
            state,
            runs,
            thread: Some(thread),
        }
    }

    /// Waits until the line has taken the registration.
    ///
    /// # Panics
    /// When it does not within ten seconds.
    pub fn wait_registered(&self) -> Instant {
        self.wait(Duration::from_secs(10), |state| state.registered)
            .expect("the line takes a registration within ten seconds")
    }

    /// Registers anew.
    pub fn register(&self) {
        self.register_for(EXPIRES);
    }

    /// Ends the registration, and waits a little for the line's consent.
    pub fn unregister(&self) {
        self.register_for(0);
        let ended = |state: &PhoneState| state.registered.map(drop).or(state.wire.closed());
        self.wait(Duration::from_secs(3), ended);
    }

    fn register_for(&self, seconds: u32) {
        let mut state = self.state();
        state.registered = None;
        state.expires = seconds;
        state.registration.register(Instant::now());
        state.turn();
    }

    /// Dials, and returns the name of the call.
    ///
    /// # Panics
    /// When the SIP client does not begin with an INVITE.
    pub fn dial(&self, number: &str) -> String {
        let mut state = self.state();
        let mut call = state.new_call();
        let audio = state.new_audio();
        call.own.rtp = audio.address();
        call.audio = Some(audio);
        let offer = sdp::write_offer(&call.own, &[Codec::Pcmu]);
        call.client.call(number, offer, Instant::now());
        let Some(ClientOutput::Send(invite)) = call.client.poll() else {
            panic!("a call begins with an INVITE")
        };
        let id = call_id(&invite).expect("the INVITE has a Call-ID");
        state.send(&invite);
        state.calls.insert(id.clone(), call);
        id
    }

    /// Waits for a call that rings here.
    pub fn incoming(&self, patience: Duration) -> Option<String> {
        self.wait(patience, |state| {
            let rings = |call: &LabCall| {
                !call.offer.is_empty() && call.log.up.is_none() && call.log.over.is_none()
            };
            let mut calls = state.calls.iter();
            calls.find_map(|(id, call)| rings(call).then(|| id.clone()))
        })
    }

    /// Answers.
    ///
    /// # Panics
    /// When this call was never here, or its SDP is unfit.
    pub fn answer(&self, id: &str) {
        let mut state = self.state();
        let mut audio = state.new_audio();
        let call = state.calls.get_mut(id).expect("a call of this phone");
        let offer = sdp::read_offer(&call.offer, Srtp::Off).expect("the engine offers audio");
        call.own.rtp = audio.address();
        audio.connect(offer.rtp);
        call.audio = Some(audio);
        let answer = sdp::write_answer(&call.own, &offer, &[Codec::Pcmu]);
        call.client.answer(answer, Instant::now());
        state.turn();
    }

    /// Hangs up: CANCEL, 486 or BYE.
    pub fn hang_up(&self, id: &str) {
        let mut state = self.state();
        if let Some(call) = state.calls.get_mut(id) {
            call.client.hang_up(Instant::now());
        }
        state.turn();
    }

    /// Stops or resumes sending; the phone stays alive.
    pub fn mute(&self, id: &str, is_muted: bool) {
        if let Some(audio) = self.state().audio(id) {
            audio.is_muted = is_muted;
        }
    }

    /// Sends and listens at another RTP port from now on, without telling it.
    pub fn move_rtp(&self, id: &str) {
        if let Some(audio) = self.state().audio(id) {
            audio.move_port();
        }
    }

    /// Its power fails: all sockets are closed and nothing is said.
    pub fn die(&self) {
        let mut state = self.state();
        state.wire = SipWire::Closed;
        state.calls.clear();
    }

    /// It boots again after [`LabPhone::die`]: the same device, without its former calls.
    pub fn boot_again(&self) {
        let mut state = self.state();
        let (account, instance) = (state.account.clone(), state.instance.clone());
        *state = PhoneState::boot(account, state.transport, state.tone, instance);
    }

    /// Its TCP connection is reset; the sound goes on.
    pub fn lose_connection(&self) {
        self.state().wire.reset();
    }

    /// Connects again and registers over the new connection, in the same dialogs.
    pub fn reconnect(&self) {
        let mut state = self.state();
        state.wire = SipWire::open(Transport::Tcp, state.account.line, state.place.as_ref());
        state.registered = None;
        state.registration.register(Instant::now());
        state.turn();
    }

    /// What it knows of a call.
    ///
    /// # Panics
    /// When this call was never here.
    pub fn log(&self, id: &str) -> CallLog {
        self.state().calls[id].log.clone()
    }

    /// Waits for the moment that `when` finds in a call's log.
    pub fn when(
        &self,
        id: &str,
        patience: Duration,
        when: impl Fn(&CallLog) -> Option<Instant>,
    ) -> Option<Instant> {
        self.wait(patience, |state| when(&state.calls.get(id)?.log))
    }

    /// Waits for the first packet of a tone after `since`.
    pub fn hears(
        &self,
        id: &str,
        tone: usize,
        since: Instant,
        patience: Duration,
    ) -> Option<Instant> {
        self.when(id, patience, |log| {
            let later = log.heard.iter().rev().take_while(|(at, _)| *at > since);
            let of_tone = later.filter(|(_, hertz)| *hertz == TONES[tone]);
            of_tone.last().map(|(at, _)| *at)
        })
    }

    fn wait<T>(&self, patience: Duration, find: impl Fn(&PhoneState) -> Option<T>) -> Option<T> {
        let give_up = Instant::now() + patience;
        loop {
            let found = find(&self.state());
            if found.is_some() || Instant::now() >= give_up {
                return found;
            }
            thread::sleep(TURN);
        }
    }

    fn state(&self) -> MutexGuard<'_, PhoneState> {
        lock(&self.state)
    }
}

impl Drop for LabPhone {
    fn drop(&mut self) {
        self.runs.store(false, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl CallLog {
    /// The longest time without a tone between two moments.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let within = self.heard.iter().map(|(at, _)| *at);
        let within = within.filter(|at| *at > from && *at < to);
        let (mut last, mut longest) = (from, Duration::ZERO);
        for at in within.chain([to]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }
}

impl PhoneState {
    fn boot(account: Registration, transport: Transport, tone: u32, instance: String) -> Self {
        let place = Place::here();
        let wire = SipWire::open(transport, account.line, place.as_ref());
        let believed = wire.address();
        let mut registration = PhoneClient::new(account.clone(), believed, seed());
        registration.register(Instant::now());
        Self {
            account,
            transport,
            wire,
            believed,
            instance,
            expires: EXPIRES,
            tone,
            registration,
            registered: None,
            calls: BTreeMap::new(),
            place,
        }
    }

    /// Receives, sends, and lets time pass.
    fn turn(&mut self) {
        let now = Instant::now();
        for message in self.wire.receive() {
            self.handle(&message, now);
        }
        let mut sent = drive(&mut self.registration, now, |event| {
            if *event == PhoneEvent::Registered {
                self.registered = Some(now);
            }
        });
        for call in self.calls.values_mut() {
            let LabCall {
                client,
                audio,
                own,
                offer,
                log,
            } = call;
            sent.extend(drive(client, now, |event| match event {
                PhoneEvent::RemoteRinging => log.ringing = log.ringing.or(Some(now)),
                PhoneEvent::Incoming { sdp, .. } => {
                    log.ringing = Some(now);
                    offer.clone_from(sdp);
                }
                PhoneEvent::Answered { sdp } => {
                    log.up = Some(now);
                    if let (Ok(answer), Some(audio)) = (sdp::read_answer(sdp, own), audio.as_mut())
                    {
                        audio.connect(answer.rtp);
                    }
                }
                PhoneEvent::Confirmed => log.up = Some(now),
                PhoneEvent::Refused { status, .. } => {
                    log.status = Some(*status);
                    log.over = Some(now);
                }
                PhoneEvent::Cancelled | PhoneEvent::HungUp => log.over = Some(now),
                PhoneEvent::Registered => {}
            }));
            // A phone that is over closes its microphone.
            audio.take_if(|_| log.over.is_some());
            if let Some(audio) = audio {
                audio.run(&mut log.heard);
            }
        }
        for message in sent {
            self.send(&message);
        }
    }

    fn handle(&mut self, bytes: &[u8], now: Instant) {
        let Ok(message) = parse(bytes) else { return };
        let headers = message.headers();
        let id = headers.call_id().unwrap_or_default().to_owned();
        if let Some(call) = self.calls.get_mut(&id) {
            if let Some(reason) = headers.text(&Name::Reason) {
                call.log.reason = Some(reason.to_owned());
            }
            return call.client.handle_packet(bytes, now);
        }
        match &message {
            Message::Request(request) if request.method == Method::Invite => {
                let mut call = self.new_call();
                call.client.handle_packet(bytes, now);
                call.client.ring(now);
                self.calls.insert(id, call);
            }
            _ => self.registration.handle_packet(bytes, now),
        }
    }

    fn new_call(&self) -> LabCall {
        LabCall {
            client: PhoneClient::new(self.account.clone(), self.believed, seed()),
            audio: None,
            own: OwnMedia::plain(self.believed, random()),
            offer: Vec::new(),
            log: CallLog::default(),
        }
    }

    fn new_audio(&self) -> ToneStream {
        ToneStream::open(self.tone, &TONES, random() as u32, self.place.clone())
    }

    fn audio(&mut self, id: &str) -> Option<&mut ToneStream> {
        self.calls.get_mut(id)?.audio.as_mut()
    }

    /// Sends a message of the built-in client, with what that client does not have: an instance (RFC 5626 section 4.1), a chosen
    /// lifetime, TCP, and the address of a new connection.
    fn send(&mut self, message: &[u8]) {
        let mut text = String::from_utf8_lossy(message).into_owned();
        let mut contact = self.wire.address().to_string();
        text = text.replace(&self.believed.to_string(), &contact);
        if self.wire.is_stream() {
            if !text.starts_with("SIP/2.0") {
                text = text.replacen("SIP/2.0/UDP", "SIP/2.0/TCP", 1);
            }
            let over_tcp = format!("{contact};transport=tcp");
            text = text.replace(&format!("{contact}>"), &format!("{over_tcp}>"));
            contact = over_tcp;
        }
        if text.starts_with("REGISTER") {
            let device = format!("{contact}>;+sip.instance=\"<{}>\"\r\n", self.instance);
            text = text.replace(&format!("{contact}>\r\n"), &device);
            let (head, asked) = text
                .split_once("Expires: ")
                .expect("the built-in client asks for a lifetime");
            let (_, rest) = asked.split_once("\r\n").expect("a header ends");
            text = format!("{head}Expires: {}\r\n{rest}", self.expires);
        }
        self.wire.send(text.as_bytes());
    }
}

/// Lets a SIP client catch up with the time, and returns what it sends.
fn drive(
    client: &mut PhoneClient,
    now: Instant,
    mut handle: impl FnMut(&PhoneEvent),
) -> Vec<Vec<u8>> {
    if client.next_timeout().is_some_and(|(at, _)| at <= now) {
        client.handle_timeout(now);
    }
    let mut sent = Vec::new();
    while let Some(output) = client.poll() {
        match output {
            ClientOutput::Send(bytes) => sent.push(bytes),
            ClientOutput::Event(event) => handle(&event),
        }
    }
    sent
}

fn call_id(bytes: &[u8]) -> Option<String> {
    parse(bytes).ok()?.headers().call_id().map(str::to_owned)
}

fn lock(state: &Mutex<PhoneState>) -> MutexGuard<'_, PhoneState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The keys of a hasher are the only random numbers in the standard library.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for part in seed.chunks_mut(8) {
        part.copy_from_slice(&random().to_be_bytes());
    }
    seed
}
