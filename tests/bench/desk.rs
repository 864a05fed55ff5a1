//! A desk with one line and as many calls as it takes: each call is a built-in phone of the demo, all behind one socket.

use std::{
    collections::BTreeMap,
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
    message::{Message, Method, parse},
};
use ringfence_tests::deployment::InstalledLine;

use crate::flow::{self, End};

/// How long a step of a call may take before the measurement is given up.
const STEP: Duration = Duration::from_secs(15);
/// Between two looks at the sockets, when nothing waits there.
const GLANCE: Duration = Duration::from_micros(100);

/// One line's desk.
#[derive(Debug)]
pub(crate) struct Desk {
    socket: UdpSocket,
    registration: Registration,
    own: SocketAddr,
    line: PhoneClient,
    calls: BTreeMap<String, PhoneClient>,
    rng: ChaCha20Rng,
}

/// A call that stands.
#[derive(Debug)]
pub(crate) struct Call {
    caller: String,
    callee: String,
    /// From the INVITE to the callee's phone that rings.
    pub(crate) ringing: Duration,
    /// When the callee's phone answered, since the epoch.
    pub(crate) answered: Duration,
}

impl Desk {
    /// Registers a phone to the line.
    pub(crate) fn open(line: &InstalledLine) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.connect(line.udp).expect("loopback is reachable");
        socket
            .set_nonblocking(true)
            .expect("a socket need not wait");
        let own = socket.local_addr().expect("it is bound");
        let registration = Registration {
            user: User::new(line.user.clone()),
            password: Password::new(line.password.clone()),
            line: line.udp,
        };
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&own.port().to_be_bytes());
        let mut desk = Self {
            socket,
            own,
            line: PhoneClient::new(registration.clone(), own, seed),
            registration,
            calls: BTreeMap::new(),
            rng: ChaCha20Rng::from_seed(seed),
        };
        desk.line.register(Instant::now());
        wait("the registration", || {
            let news = desk.work();
            news.contains(&(String::new(), PhoneEvent::Registered))
                .then_some(())
        });
        desk
    }

    /// Hears what waits, lets every call say what it has to say, and tells what happened, with each call's id.
    fn work(&mut self) -> Vec<(String, PhoneEvent)> {
        let mut datagram = [0; 8_192];
        let now = Instant::now();
        loop {
            match self.socket.recv(&mut datagram) {
                Ok(length) => self.hear(datagram.get(..length).unwrap_or_default(), now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        let mut news = Vec::new();
        let line = std::iter::once((String::new(), &mut self.line));
        let calls = self.calls.iter_mut().map(|(id, ua)| (id.clone(), ua));
        for (id, ua) in line.chain(calls) {
            if ua.next_timeout().is_some_and(|(at, _)| at <= now) {
                ua.handle_timeout(now);
            }
            while let Some(say) = ua.poll() {
                match say {
                    // A lost datagram is repeated.
                    ClientOutput::Send(bytes) => drop(self.socket.send(&bytes)),
                    ClientOutput::Event(event) => news.push((id.clone(), event)),
                }
            }
        }
        news
    }

    fn hear(&mut self, bytes: &[u8], now: Instant) {
        let Ok(message) = parse(bytes) else { return };
        let id = message.headers().call_id().unwrap_or_default().to_owned();
        if let Some(call) = self.calls.get_mut(&id) {
            call.handle_packet(bytes, now);
        } else if matches!(&message, Message::Request(request) if request.method == Method::Invite)
        {
            let mut call = self.phone();
            call.handle_packet(bytes, now);
            self.calls.insert(id, call);
        } else {
            self.line.handle_packet(bytes, now);
        }
    }

    fn phone(&mut self) -> PhoneClient {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        PhoneClient::new(self.registration.clone(), self.own, seed)
    }

    /// Sends an INVITE and tells the call's id.
    fn dial(&mut self, number: &str, own: &OwnMedia) -> String {
        let mut call = self.phone();
        let offer = sdp::write_offer(own, &[Codec::Pcmu]);
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

/// Sets up a call from one desk to the other and connects the ends of its sound.
///
/// # Panics
/// When it does not come about.
pub(crate) fn call(from: &mut Desk, to: &mut Desk, number: &str, ends: [&End; 2]) -> Call {
    let [end_a, end_b] = ends;
    let dialled = Instant::now();
    let own = OwnMedia::plain(end_a.address(), from.rng.next_u64());
    let caller = from.dial(number, &own);
    let (callee, offer) = wait("a phone that rings", || {
        refused(&from.work());
        to.work().into_iter().find_map(|(id, event)| match event {
            PhoneEvent::Incoming { sdp, .. } => Some((id, sdp)),
            _ => None,
        })
    });
    let ringing = dialled.elapsed();
    let offer = sdp::read_offer(&offer, Srtp::Off).expect("the engine offers sound");
    end_b.connect(offer.rtp);
    let callee_own = OwnMedia::plain(end_b.address(), 1);
    let answer = sdp::write_answer(&callee_own, &offer, &[Codec::Pcmu]);
    let phone = to.calls.get_mut(&callee).expect("it rings");
    phone.ring(Instant::now());
    phone.answer(answer, Instant::now());
    let answered = flow::since_epoch();
    let answer = wait("an answer", || {
        to.work();
        let news = from.work();
        refused(&news);
        news.into_iter().find_map(|(_, event)| match event {
            PhoneEvent::Answered { sdp } => Some(sdp),
            _ => None,
        })
    });
    let answer = sdp::read_answer(&answer, &own).expect("the engine answers with sound");
    end_a.connect(answer.rtp);
    Call {
        caller,
        callee,
        ringing,
        answered,
    }
}

/// Ends a call, and waits until both phones know.
pub(crate) fn hang_up(from: &mut Desk, to: &mut Desk, call: &Call) {
    if let Some(phone) = from.calls.get_mut(&call.caller) {
        phone.hang_up(Instant::now());
    }
    let (mut here, mut there) = (false, false);
    wait("the end of a call", || {
        let over = |news: Vec<(String, PhoneEvent)>, id: &str| {
            news.iter()
                .any(|(call, event)| call == id && *event == PhoneEvent::HungUp)
        };
        here |= over(from.work(), &call.caller);
        there |= over(to.work(), &call.callee);
        (here && there).then_some(())
    });
    from.calls.remove(&call.caller);
    to.calls.remove(&call.callee);
}

fn refused(news: &[(String, PhoneEvent)]) {
    for (_, event) in news {
        assert!(
            !matches!(event, PhoneEvent::Refused { .. }),
            "a phone hears {event:?}"
        );
    }
}

/// Looks until there is something, and gives up after a while.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < STEP, "no {what} within {STEP:?}");
        std::thread::sleep(GLANCE);
    }
}
