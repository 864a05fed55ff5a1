//! A phone whose SIP comes over one IP version, and whose SDP names an address of the other (RFC 6157), calls: both hear each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ringfence::selfcall::tone::{ToneDetector, ToneGenerator};
use ringfence_media::rtp::{RtpDatagram, RtpPacket};
use ringfence_media::sdp::{read_answer, write_offer};
use ringfence_media::{Codec, OwnMedia, g711};
use ringfence_sip::client::{ClientOutput, PhoneClient, PhoneEvent};

use crate::shell::{Engine, Servers, Shell, account, phone_of, settled, setup_of_another_line};

const FRAME: Duration = Duration::from_millis(20);
const TALK: Duration = Duration::from_millis(500);

/// It says 440 Hz and expects 1 kHz.
struct MixedPhone {
    client: PhoneClient,
    sip: UdpSocket,
    rtp: UdpSocket,
    /// Where its answer says that it is heard.
    to: Option<SocketAddr>,
    said: ToneGenerator,
    heard: ToneDetector,
    frames: u16,
    next_frame: Instant,
    is_registered: bool,
    is_ringing: bool,
}

impl MixedPhone {
    #[expect(clippy::disallowed_methods, reason = "the sockets of a phone")]
    fn plug_in(shell: &Shell, (sip, media): (IpAddr, IpAddr)) -> Self {
        let registration = account(shell, 0, sip);
        let socket = UdpSocket::bind((sip, 0)).unwrap();
        socket.connect(registration.line).unwrap();
        socket.set_nonblocking(true).unwrap();
        let rtp = UdpSocket::bind((media, 0)).unwrap();
        rtp.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let now = Instant::now();
        let mut client = PhoneClient::new(registration, local, rand::random());
        client.register(now);
        Self {
            client,
            sip: socket,
            rtp,
            to: None,
            said: ToneGenerator::new(440.0),
            heard: ToneDetector::new(1_000.0),
            frames: 0,
            next_frame: now,
            is_registered: false,
            is_ringing: false,
        }
    }

    fn own(&self) -> OwnMedia {
        OwnMedia::plain(self.rtp.local_addr().unwrap(), 7)
    }

    fn dial(&mut self, number: &str) {
        let offer = write_offer(&self.own(), &[Codec::Pcmu]);
        self.client.call(number, offer, Instant::now());
    }

    fn run_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
            self.step();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn step(&mut self) {
        let (now, mut buffer) = (Instant::now(), [0; 4_096]);
        while let Ok(length) = self.sip.recv(&mut buffer) {
            self.client.handle_packet(&buffer[..length], now);
        }
        if self.client.next_timeout().is_some_and(|(at, _)| at <= now) {
            self.client.handle_timeout(now);
        }
        while let Some(output) = self.client.poll() {
            match output {
                ClientOutput::Send(bytes) => drop(self.sip.send(&bytes)),
                ClientOutput::Event(PhoneEvent::Registered) => self.is_registered = true,
                ClientOutput::Event(PhoneEvent::RemoteRinging) => self.is_ringing = true,
                ClientOutput::Event(PhoneEvent::Answered { sdp }) => {
                    self.to = Some(read_answer(&sdp, &self.own()).unwrap().rtp);
                }
                ClientOutput::Event(PhoneEvent::Refused { status, .. }) => panic!("{status}"),
                ClientOutput::Event(_) => {}
            }
        }
        while let Ok(length) = self.rtp.recv(&mut buffer) {
            if let Ok(RtpDatagram::Rtp(packet)) = RtpDatagram::read(&buffer[..length]) {
                let frame: Vec<i16> = packet.payload.iter().copied().map(g711::expand).collect();
                self.heard.detect(&frame, now);
            }
        }
        if let Some(to) = self.to
            && self.next_frame <= now
        {
            self.next_frame = now + FRAME;
            self.say(to);
        }
    }

    fn say(&mut self, to: SocketAddr) {
        let payload = self.said.frame().map(g711::compress);
        let packet = RtpPacket {
            payload_type: 0,
            marker: self.frames == 0,
            sequence: self.frames,
            timestamp: u32::from(self.frames) * 160,
            ssrc: 7,
            payload: &payload,
        };
        self.frames += 1;
        self.rtp.send_to(&packet.to_bytes(), to).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_of_two_ip_versions_hears_and_is_heard() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    setup_of_another_line(&shell, &servers).await;
    let settings = shell.path(".config/ringfence/ringfence.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let both = text.replace(
        "listen = [\"127.0.0.1\"]",
        "listen = [\"127.0.0.1\", \"::1\"]",
    );
    assert_ne!(text, both);
    std::fs::write(&settings, both).unwrap();
    let _engine = Engine::start(&shell);
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let number = account(&shell, 1, v4).user.as_str().to_owned();
    for versions in [(v6, v4), (v4, v6)] {
        // It says 1 kHz and expects 440 Hz.
        let mut other = phone_of(&shell, 1, (1_000.0, 440.0)).await;
        let mut phone = MixedPhone::plug_in(&shell, versions);
        phone.run_until("registered", |phone| phone.is_registered);
        phone.dial(&number);
        phone.run_until("rings", |phone| phone.is_ringing);
        while !matches!(other.event().await.unwrap().1, PhoneEvent::Incoming { .. }) {}
        other.pick_up().await;
        phone.run_until("heard", |phone| phone.heard.detected() >= TALK);
        assert!(other.heard().tone >= TALK / 2, "{:?}", other.heard());
        other.hang_up().await;
        phone.step();
    }
}
