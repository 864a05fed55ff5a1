//! The phones of one engine: one for each line, with any number of calls, all behind one socket. Each call is a SIP client of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_media::{Codec, OwnMedia, Srtp, sdp};
use ringfence_sip::{
    Password, User,
    client::{ClientOutput, PhoneClient, PhoneEvent, Registration},
    message::{Message, Method, Name, Request, Response, parse},
};
use ringfence_tests::deployment::InstalledLine;

use crate::flow;

/// Calls that end at once.
const MOST_ENDS: usize = 25;
/// How long a step of a call may take before the measurement fails.
const STEP: Duration = Duration::from_secs(15);
/// The interval between two checks of the sockets.
const POLL_INTERVAL: Duration = Duration::from_micros(100);

/// The phones of one engine.
#[derive(Debug)]
pub(crate) struct PhoneBank {
    socket: UdpSocket,
    own: SocketAddr,
    lines: Vec<LinePhone>,
    calls: BTreeMap<String, PhoneClient>,
    /// Calls dialled so far; they are spread over the lines.
    dialled: usize,
    rng: ChaCha20Rng,
    codec: Codec,
}

/// A registered phone.
#[derive(Debug)]
struct LinePhone {
    number: String,
    registration: Registration,
    client: PhoneClient,
}

/// An answered call.
#[derive(Debug)]
pub(crate) struct Call {
    caller: String,
    callee: String,
    /// From the INVITE to ringing at the callee's phone.
    pub(crate) ringing: Duration,
    /// When the callee's phone answered, since the Unix epoch.
    pub(crate) answered: Duration,
}

impl PhoneBank {
    /// Registers a phone at each line of an engine.
    pub(crate) fn open(lines: &[&InstalledLine]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let server = lines.first().expect("an engine has a line").udp;
        socket.connect(server).expect("loopback is reachable");
        socket
            .set_nonblocking(true)
            .expect("a socket need not wait");
        let own = socket.local_addr().expect("it is bound");
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&own.port().to_be_bytes());
        let mut rng = ChaCha20Rng::from_seed(seed);
        let lines = lines.iter().map(|line| {
            let registration = Registration {
                user: User::new(line.user.clone()),
                password: Password::new(line.password.clone()),
                line: server,
            };
            let mut client = PhoneClient::new(registration.clone(), own, draw(&mut rng));
            client.register(Instant::now());
            LinePhone {
                number: line.number.clone(),
                registration,
                client,
            }
        });
        let lines: Vec<_> = lines.collect();
        let mut bank = Self {
            socket,
            own,
            lines,
            calls: BTreeMap::new(),
            dialled: 0,
            rng,
            codec: Codec::Pcmu,
        };
        let mut registered = 0;
        wait("registration of every line", || {
            let events = bank.poll();
            let is_registered = |(_, event): &&_| *event == PhoneEvent::Registered;
            registered += events.iter().filter(is_registered).count();
            (registered == bank.lines.len()).then_some(())
        });
        bank
    }

    /// Dials and answers with this codec from now on.
    pub(crate) fn speak(&mut self, codec: Codec) {
        self.codec = codec;
    }

    /// Answers what engines ask in calls.
    pub(crate) fn attend(&mut self) {
        drop(self.poll());
    }

    /// Handles received packets and timeouts. Returns all events, each with its call's id.
    fn poll(&mut self) -> Vec<(String, PhoneEvent)> {
        let mut datagram = [0; 8_192];
        let now = Instant::now();
        loop {
            match self.socket.recv(&mut datagram) {
                Ok(length) => self.handle_packet(datagram.get(..length).unwrap_or_default(), now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        let mut events = Vec::new();
        let lines = self.lines.iter_mut();
        let lines = lines.map(|line| (String::new(), &mut line.client));
        let calls = self.calls.iter_mut();
        let calls = calls.map(|(id, client)| (id.clone(), client));
        for (id, client) in lines.chain(calls) {
            if client.next_timeout().is_some_and(|(at, _)| at <= now) {
                client.handle_timeout(now);
            }
            while let Some(output) = client.poll() {
                match output {
                    // A lost datagram is retransmitted.
                    ClientOutput::Send(bytes) => drop(self.socket.send(&bytes)),
                    ClientOutput::Event(event) => events.push((id.clone(), event)),
                }
            }
        }
        events
    }

    fn handle_packet(&mut self, bytes: &[u8], now: Instant) {
        let Ok(message) = parse(bytes) else { return };
        let id = message.headers().call_id().unwrap_or_default().to_owned();
        if let Some(call) = self.calls.get_mut(&id) {
            return call.handle_packet(bytes, now);
        }
        match &message {
            Message::Request(request) if self.lacks_codec(request) => self.refuse(request),
            Message::Request(request) if request.method == Method::Invite => {
                let is_called =
                    |line: &LinePhone| request.uri.contains(line.registration.user.as_str());
                let line = self.lines.iter().position(is_called).unwrap_or(0);
                let mut call = self.new_call(line);
                call.handle_packet(bytes, now);
                self.calls.insert(id, call);
            }
            // Each line's phone ignores responses to the others.
            _ => {
                for line in &mut self.lines {
                    line.client.handle_packet(bytes, now);
                }
            }
        }
    }

    /// Whether an INVITE offers no plain audio of this codec.
    fn lacks_codec(&self, request: &Request) -> bool {
        let offer = sdp::read_offer(&request.body, Srtp::Off);
        let has = |(codec, _): &(Codec, u8)| *codec == self.codec;
        let is_invite = request.method == Method::Invite;
        is_invite && !offer.is_ok_and(|offer| offer.codecs.iter().any(has))
    }

    /// Asks for another offer (RFC 3261 section 21.4.26).
    fn refuse(&self, invite: &Request) {
        let mut refusal = Response::to(invite, 488);
        let to = invite.headers.text(&Name::To).unwrap_or_default();
        refusal.headers.replace(Name::To, format!("{to};tag=bank"));
        drop(self.socket.send(&refusal.to_bytes()));
    }

    fn new_call(&mut self, line: usize) -> PhoneClient {
        let registration = self.lines[line].registration.clone();
        PhoneClient::new(registration, self.own, draw(&mut self.rng))
    }

    /// Waits for an answer, and connects the end of the media.
    fn connect(&mut self, end: &UdpSocket, own: &OwnMedia, mut meanwhile: impl FnMut()) {
        let answer = wait("an answer", || {
            meanwhile();
            let events = self.poll();
            assert_not_refused(&events);
            events.into_iter().find_map(|(_, event)| match event {
                PhoneEvent::Answered { sdp } => Some(sdp),
                _ => None,
            })
        });
        let answer = sdp::read_answer(&answer, own).expect("the engine answers with audio");
        end.connect(answer.rtp).expect("loopback is reachable");
    }

    /// Sends an INVITE from the next line and returns the call's id.
    fn dial(&mut self, number: &str, own: &OwnMedia) -> String {
        let mut call = self.new_call(self.dialled % self.lines.len());
        self.dialled += 1;
        let offer = sdp::write_offer(own, &[self.codec]);
        call.call(number, offer, Instant::now());
        let Some(ClientOutput::Send(invite)) = call.poll() else {
            panic!("a call begins with an INVITE")
        };
        let id = parse(&invite)
            .ok()
            .and_then(|message| message.headers().call_id().map(str::to_owned));
        let id = id.expect("the INVITE has a Call-ID");
        drop(self.socket.send(&invite));
        self.calls.insert(id.clone(), call);
        id
    }
}

/// Sets up a call from one engine's phones to the other's, and connects the ends of its media.
///
/// # Panics
/// When the call fails.
pub(crate) fn call(from: &mut PhoneBank, to: &mut PhoneBank, ends: [&UdpSocket; 2]) -> Call {
    let [end_a, end_b] = ends;
    let address = |end: &UdpSocket| end.local_addr().expect("it is bound");
    let number = to.lines[from.dialled % to.lines.len()].number.clone();
    let dialled = Instant::now();
    let own = OwnMedia::plain(address(end_a), from.rng.next_u64());
    let caller = from.dial(&number, &own);
    let (callee, offer) = wait("a ringing phone", || {
        assert_not_refused(&from.poll());
        to.poll().into_iter().find_map(|(id, event)| match event {
            PhoneEvent::Incoming { sdp, .. } => Some((id, sdp)),
            _ => None,
        })
    });
    let ringing = dialled.elapsed();
    let offer = sdp::read_offer(&offer, Srtp::Off).expect("the engine offers audio");
    end_b.connect(offer.rtp).expect("loopback is reachable");
    let callee_own = OwnMedia::plain(address(end_b), 1);
    let answer = sdp::write_answer(&callee_own, &offer, &[to.codec]);
    let phone = to.calls.get_mut(&callee).expect("it rings");
    phone.ring(Instant::now());
    phone.answer(answer, Instant::now());
    let answered = flow::since_epoch();
    from.connect(end_a, &own, || drop(to.poll()));
    Call {
        caller,
        callee,
        ringing,
        answered,
    }
}

/// Calls a phone that is not of a bank, and returns the call's id. `answer` is called when that phone rings, and returns once it has
/// answered.
pub(crate) fn call_out(
    from: &mut PhoneBank,
    number: &str,
    end: &UdpSocket,
    answer: impl FnOnce(),
) -> String {
    let address = end.local_addr().expect("it is bound");
    let own = OwnMedia::plain(address, from.rng.next_u64());
    let id = from.dial(number, &own);
    wait("a ringing phone", || {
        let events = from.poll();
        assert_not_refused(&events);
        let mut events = events.into_iter();
        events.find(|(call, event)| *call == id && *event == PhoneEvent::RemoteRinging)
    });
    answer();
    from.connect(end, &own, || ());
    id
}

/// Ends such a call. `ended` returns once the other phone knows.
pub(crate) fn hang_up_out(from: &mut PhoneBank, id: &str, ended: impl FnOnce()) {
    if let Some(phone) = from.calls.get_mut(id) {
        phone.hang_up(Instant::now());
    }
    wait("the end of a call", || {
        let mut events = from.poll().into_iter();
        events.find(|(call, event)| call == id && *event == PhoneEvent::HungUp)
    });
    from.calls.remove(id);
    ended();
}

/// Ends a call, and waits until both phones know.
pub(crate) fn hang_up(from: &mut PhoneBank, to: &mut PhoneBank, call: &Call) {
    hang_up_at_once(from, to, std::slice::from_ref(call));
}

/// Ends calls, as many at once as the socket of all phones has room for: one after the other, five hundred take minutes.
pub(crate) fn hang_up_all(from: &mut PhoneBank, to: &mut PhoneBank, calls: &[Call]) {
    for calls in calls.chunks(MOST_ENDS) {
        hang_up_at_once(from, to, calls);
    }
}

/// Ends calls, and waits until both phones of each know.
fn hang_up_at_once(from: &mut PhoneBank, to: &mut PhoneBank, calls: &[Call]) {
    for call in calls {
        if let Some(phone) = from.calls.get_mut(&call.caller) {
            phone.hang_up(Instant::now());
        }
    }
    let mut here: BTreeSet<&str> = calls.iter().map(|call| call.caller.as_str()).collect();
    let mut there: BTreeSet<&str> = calls.iter().map(|call| call.callee.as_str()).collect();
    wait("the end of calls", || {
        let ended = |events: Vec<(String, PhoneEvent)>, waited_for: &mut BTreeSet<&str>| {
            for (call, _) in events.iter().filter(|(_, it)| *it == PhoneEvent::HungUp) {
                waited_for.remove(call.as_str());
            }
        };
        ended(from.poll(), &mut here);
        ended(to.poll(), &mut there);
        (here.is_empty() && there.is_empty()).then_some(())
    });
    for call in calls {
        from.calls.remove(&call.caller);
        to.calls.remove(&call.callee);
    }
}

fn assert_not_refused(events: &[(String, PhoneEvent)]) {
    for (_, event) in events {
        assert!(
            !matches!(event, PhoneEvent::Refused { .. }),
            "a phone gets {event:?}"
        );
    }
}

/// Checks until there is a result, and fails after a while.
pub(crate) fn wait<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < STEP, "no {what} within {STEP:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn draw(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}
