//! A whole call's media in simulated time: two phones' RTP, two talks, one TURN server, no socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringfence_media::far::{
    FarConfig, FarLeg, Role, TurnAccess, TurnPassword, TurnTransport, TurnWay,
};
use ringfence_media::rtp::{RtpDatagram, RtpPacket};
use ringfence_media::{
    Bridge, BridgeEvent, BridgeOutput, Codec, Description, LocalEndpoint, NegotiatedMedia,
    OwnMedia, OwnVideo, RtcpDestination, Srtp, VideoFormat, choose, sdp,
};
use turn_server_proto::api::{Transmit, TurnServerApi, TurnServerPollRet};
use turn_server_proto::server::TurnServer as Server;
use turn_server_proto::types::{Instant as TurnInstant, TransportType};

const SERVER: &str = "127.0.0.1:3478";
/// One way, between an engine and the TURN server.
const WIRE: Duration = Duration::from_millis(5);
/// Bytes of a frame of Opus with the headers of its channel and of RTP, and its seal.
const FRAME: usize = 4 + 12 + 113 + 16;
/// Where both phones have their pictures.
const CAMERA: &str = "127.0.0.1:9078";
const CALLER: usize = 0;
const CALLEE: usize = 1;

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// One end of the call: an engine's talk, and the phone before it.
struct End {
    bridge: Bridge,
    turn_client: SocketAddr,
    near: SocketAddr,
    phone: SocketAddr,
    local: Option<LocalEndpoint>,
    events: Vec<BridgeEvent>,
    heard: Vec<Vec<u8>>,
    /// RTCP about its sound.
    reports: Vec<Vec<u8>>,
    /// What came for the phone's pictures, and at which port.
    seen: Vec<(u16, Vec<u8>)>,
}

/// Everything, with a clock moved by hand.
struct World {
    start: Instant,
    now: Instant,
    server: Server,
    relays: u16,
    ends: [End; 2],
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    /// What went to the TURN server: when, of which end, how long it was.
    left: Vec<(Instant, usize, usize)>,
}

impl End {
    fn new(number: u8, now: Instant) -> Self {
        let turn_client = SocketAddr::new([127, 0, 0, 1].into(), 50_000 + u16::from(number));
        let turn = TurnAccess {
            addr: at(SERVER),
            transport: TurnTransport::Udp,
            username: "user".into(),
            password: TurnPassword::new("pass".into()),
        };
        let config = FarConfig {
            turn,
            local: turn_client,
            allow_private_addresses: true,
            permitted: Vec::new(),
            relays_ipv6: false,
        };
        Self {
            bridge: Bridge::new(
                FarLeg::new(TurnWay::new(config, now), [number; 32], now),
                [number + 100; 32],
            ),
            turn_client,
            near: SocketAddr::new([127, 0, 0, 1].into(), 40_000 + u16::from(number)),
            phone: SocketAddr::new([127, 0, 0, 1].into(), 7_000 + u16::from(number)),
            local: None,
            events: Vec::new(),
            heard: Vec::new(),
            reports: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// The phone's offer or answer, with these formats under these numbers.
    fn sdp(&self, formats: &[(Codec, u8)]) -> String {
        let numbers: String = formats
            .iter()
            .map(|(_, number)| format!(" {number}"))
            .collect();
        let maps: String = formats
            .iter()
            .map(|(codec, number)| format!("a=rtpmap:{number} {}\r\n", codec.rtpmap()))
            .collect();
        let port = self.phone.port();
        format!(
            "v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP{numbers}\r\n{maps}"
        )
    }

    fn packets(&self) -> Vec<RtpPacket<'_>> {
        let read = |bytes| match RtpDatagram::read(bytes) {
            Ok(RtpDatagram::Rtp(packet)) => packet,
            other => panic!("{other:?}"),
        };
        self.heard.iter().map(|bytes| read(bytes)).collect()
    }
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "simulated time has to begin somewhere"
    )]
    fn new() -> Self {
        let now = Instant::now();
        let mut server = Server::new(TransportType::Udp, at(SERVER), "test".into());
        server.add_user("user".into(), "pass".into());
        let mut world = Self {
            start: now,
            now,
            server,
            relays: 0,
            ends: [End::new(0, now), End::new(1, now)],
            wire: BTreeMap::new(),
            sent: 0,
            left: Vec::new(),
        };
        world.drain();
        world
    }

    /// Two phones in a call, both microphones open unless said otherwise.
    fn call(callee_microphone: bool) -> Self {
        Self::call_with("", callee_microphone)
    }

    /// Two phones that have pictures as well.
    fn seeing_call() -> Self {
        let port = CAMERA.rsplit(':').next().unwrap();
        let lines = format!("m=video {port} RTP/AVP 100\r\na=rtpmap:100 VP8/90000\r\n");
        Self::call_with(&lines, true)
    }

    /// The phones' SDP ends with these lines.
    fn call_with(lines: &str, callee_microphone: bool) -> Self {
        let offer = [
            (Codec::Opus, 96),
            (Codec::Pcma, 8),
            (Codec::Events48k, 97),
            (Codec::Events8k, 98),
        ];
        let answer = [(Codec::Opus, 121), (Codec::Events48k, 111)];
        Self::call_between(&offer, &answer, lines, callee_microphone)
    }

    /// A call between phones that list these formats.
    fn call_between(
        offer: &[(Codec, u8)],
        answer: &[(Codec, u8)],
        lines: &str,
        callee_microphone: bool,
    ) -> Self {
        let mut world = Self::begin_call(offer, answer, lines, callee_microphone);
        world.run(Duration::from_secs(1));
        world
    }

    /// The same in the moment of the answer, while nothing is connected.
    fn begin_call(
        offer: &[(Codec, u8)],
        answer: &[(Codec, u8)],
        lines: &str,
        callee_microphone: bool,
    ) -> Self {
        let mut world = Self::new();
        world.run(Duration::from_millis(300));
        let caller_sdp = world.ends[CALLER].sdp(offer) + lines;
        let caller = sdp::read_offer(caller_sdp.as_bytes(), Srtp::Off).unwrap();
        let offer = world.describe(CALLER, caller.formats(), caller.video_formats());
        let callee_sdp = world.ends[CALLEE].sdp(answer) + lines;
        let own = [CALLER, CALLEE].map(|end| OwnMedia {
            video: Some(OwnVideo {
                port: 41_000,
                keys: Vec::new(),
                formats: vec![VideoFormat::Vp8],
            }),
            ..OwnMedia::plain(world.ends[end].near, 1)
        });
        let callee = sdp::read_answer(callee_sdp.as_bytes(), &own[CALLEE]).unwrap();
        let chosen = choose(&offer.codecs, &callee.formats()).unwrap();
        let answer = world.describe(CALLEE, chosen.clone(), callee.video_formats());
        let now = world.now;
        let terms = [
            caller.negotiated(&own[CALLER], &chosen),
            callee.negotiated(&own[CALLEE], &chosen),
        ];
        for (end, terms) in world.ends.iter_mut().zip(terms) {
            end.bridge.attach_phone(terms, now);
        }
        world.ends[CALLEE]
            .bridge
            .connect(&offer, Role::Callee, now)
            .unwrap();
        world.ends[CALLER]
            .bridge
            .connect(&answer, Role::Caller, now)
            .unwrap();
        world.ends[CALLER].bridge.open_microphone(now);
        if callee_microphone {
            world.ends[CALLEE].bridge.open_microphone(now);
        }
        world
    }

    /// What an end tells the other, by way of its bytes.
    fn describe(&self, end: usize, codecs: Vec<Codec>, video: Vec<VideoFormat>) -> Description {
        let local = self.ends[end]
            .local
            .as_ref()
            .expect("a relay within 300 ms");
        let said = Description::of(local, codecs).with_video(local, video);
        Description::decode(&said.encode()).unwrap()
    }

    /// A phone says something, 20 ms after it said the last thing.
    fn speak(&mut self, end: usize, payload_type: u8, sequence: u16, payload: &[u8]) {
        self.say(end, payload_type, sequence, payload);
        self.run(Duration::from_millis(20));
    }

    fn say(&mut self, end: usize, payload_type: u8, sequence: u16, payload: &[u8]) {
        let packet = RtpPacket {
            payload_type,
            marker: false,
            sequence,
            timestamp: u32::from(sequence) * 960,
            ssrc: 0x5eed_0000 + end as u32,
            payload,
        };
        let (phone, now) = (self.ends[end].phone, self.now);
        self.ends[end]
            .bridge
            .handle_rtp(phone, &packet.to_bytes(), now);
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.drain();
        loop {
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let alarms = self
                .ends
                .iter()
                .filter_map(|end| end.bridge.next_timeout())
                .map(|(at, _)| at);
            let Some(next) = alarms.chain(wire).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self
                .wire
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
            {
                let (from, to, bytes) = entry.remove();
                self.deliver(from, to, &bytes);
            }
            for end in &mut self.ends {
                if end
                    .bridge
                    .next_timeout()
                    .is_some_and(|(at, _)| at <= self.now)
                {
                    end.bridge.handle_timeout(self.now);
                }
            }
            self.drain();
        }
        self.now = until;
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.sent += 1;
        self.wire
            .insert((self.now + WIRE, self.sent), (from, to, bytes));
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if let Some(end) = self.ends.iter_mut().find(|end| end.turn_client == to) {
            return end.bridge.handle_turn(bytes, self.now);
        }
        let time = TurnInstant::ZERO + (self.now - self.start);
        let reply = self.server.recv(
            Transmit::new(bytes.to_vec(), TransportType::Udp, from, to),
            time,
        );
        let mut replies: Vec<_> = reply.map(|reply| reply.build()).into_iter().collect();
        while let TurnServerPollRet::AllocateSocket {
            transport,
            listen_addr,
            client_addr,
            allocation_transport,
            family,
        } = self.server.poll(time)
        {
            self.relays += 1;
            let relay = SocketAddr::new([127, 0, 0, 1].into(), 60_000 + self.relays);
            self.server.allocated_socket(
                transport,
                listen_addr,
                client_addr,
                allocation_transport,
                family,
                Ok(relay),
                time,
            );
        }
        replies.extend(std::iter::from_fn(|| self.server.poll_transmit(time)));
        for reply in replies {
            self.send(reply.from, reply.to, reply.data);
        }
    }

    fn drain(&mut self) {
        for end in [CALLER, CALLEE] {
            while let Some(output) = self.ends[end].bridge.poll() {
                match output {
                    BridgeOutput::ToServer(bytes) => {
                        self.left.push((self.now, end, bytes.len()));
                        self.send(self.ends[end].turn_client, at(SERVER), bytes)
                    }
                    BridgeOutput::ToPhone { to, bytes } => {
                        let phone = self.ends[end].phone;
                        if to.port() == phone.port() + 1 {
                            self.ends[end].reports.push(bytes);
                        } else {
                            assert_eq!(to, phone);
                            self.ends[end].heard.push(bytes);
                        }
                    }
                    BridgeOutput::VideoToPhone { to, bytes } => {
                        assert_eq!(to.ip(), self.ends[end].phone.ip());
                        self.ends[end].seen.push((to.port(), bytes));
                    }
                    BridgeOutput::Event(event) => {
                        if let BridgeEvent::Allocated(local) = &event {
                            self.ends[end].local = Some((**local).clone());
                        }
                        self.ends[end].events.push(event);
                    }
                }
            }
        }
    }
}

/// An engine has one for each call, for as long as that lasts: what a call needs for a moment, or most calls do without, has a box.
#[test]
fn the_media_of_a_call_are_small() {
    let bytes = size_of::<Bridge>();
    assert!(bytes <= 6_000, "{bytes} bytes");
}

#[test]
fn two_phones_get_each_others_audio_and_key_presses() {
    let mut world = World::call(true);
    for sequence in 1..=50 {
        world.speak(CALLER, 96, sequence, b"caller's voice");
        world.speak(CALLEE, 121, 60_000 + sequence, b"callee's voice");
    }
    world.speak(CALLER, 97, 51, &[5, 0x8a, 0x06, 0x40]);
    world.run(Duration::from_millis(100));

    let heard = world.ends[CALLEE].packets();
    assert_eq!(heard.len(), 51);
    assert!(
        heard[..50]
            .iter()
            .all(|packet| packet.payload_type == 121 && packet.payload == b"caller's voice")
    );
    let digit = heard[50];
    assert_eq!(
        (digit.payload_type, digit.payload),
        (111, &[5, 0x8a, 0x06, 0x40][..])
    );
    let heard = world.ends[CALLER].packets();
    assert_eq!(heard.len(), 50);
    assert!(
        heard
            .iter()
            .all(|packet| packet.payload_type == 96 && packet.payload == b"callee's voice")
    );
}

#[test]
fn all_that_leaves_in_a_call_leaves_behind_a_frame() {
    let mut world = World::call(true);
    for sequence in 1..=1_500 {
        // The caller holds for ten seconds, and its phone begins again elsewhere in the slot.
        match sequence {
            500..1_000 => world.run(Duration::from_millis(20)),
            1_000 => world.run(Duration::from_millis(29)),
            _ => world.speak(CALLER, 96, sequence, b"caller's voice"),
        }
    }
    let now = world.now;
    let is_taken = world.ends[CALLER].bridge.send_control(&[7; 64], now);
    assert!(is_taken);
    world.run(Duration::from_secs(1));
    for end in [CALLER, CALLEE] {
        let settled = world.start + Duration::from_secs(3);
        let left = world.left.iter();
        let left = left.filter(|(at, of, _)| *of == end && *at > settled);
        let (frames, others): (Vec<&(Instant, usize, usize)>, Vec<_>) =
            left.partition(|(.., bytes)| *bytes == FRAME);
        for pair in frames.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, Duration::from_millis(20));
        }
        // A message and an answer to one in each half second, and some checks.
        assert!(frames.len() > 1_400 && others.len() > 120);
        let mut slots = frames.iter().map(|(at, ..)| *at).peekable();
        for (at, _, bytes) in others {
            while slots.next_if(|slot| slot < at).is_some() {}
            assert_eq!(slots.peek(), Some(at), "{bytes} bytes");
        }
    }
}

#[test]
fn the_frames_of_a_side_that_was_called_are_anywhere_between_those_of_the_other() {
    let formats = [(Codec::Pcmu, 0)];
    let mut world = World::begin_call(&formats, &formats, "", true);
    let spoken = world.now;
    for sequence in 1..=200 {
        // Both phones speak at once.
        world.say(CALLER, 0, sequence, &MU_LAW);
        world.speak(CALLEE, 0, sequence, &MU_LAW);
    }
    let waits = [CALLER, CALLEE].map(|end| {
        let settled = spoken + Duration::from_secs(2);
        let mut left = world.left.iter();
        let frame =
            left.find(|(at, of, bytes)| *of == end && *at > settled && *bytes == 4 + 12 + 173 + 16);
        let (at, ..) = frame.unwrap();
        Duration::from_micros((*at - spoken).as_micros() as u64 % 20_000)
    });
    assert_eq!(waits[CALLER], Duration::from_millis(5));
    // It is drawn from the seed, and could be the same by chance.
    assert_ne!(waits[CALLEE], waits[CALLER]);
}

#[test]
fn nothing_of_a_phones_numbering_reaches_the_other() {
    let mut world = World::call(true);
    for sequence in 1..=50 {
        world.speak(CALLER, 96, sequence, b"voice");
    }
    let heard = world.ends[CALLEE].packets();
    let first = heard[0];
    assert_ne!(first.sequence, 1);
    assert_ne!(first.timestamp, 960);
    for (count, packet) in (0u16..).zip(&heard) {
        assert_eq!(packet.sequence, first.sequence.wrapping_add(count));
        assert_eq!(
            packet.timestamp,
            first.timestamp.wrapping_add(u32::from(count) * 960)
        );
        assert_eq!(packet.ssrc, first.ssrc);
        assert_ne!(packet.ssrc, 0x5eed_0000);
        assert_ne!(packet.ssrc, world.ends[CALLER].local.as_ref().unwrap().ssrc);
    }
}

#[test]
fn a_closed_microphone_lets_nothing_out() {
    let mut world = World::call(false);
    for sequence in 1..=25 {
        world.speak(CALLEE, 121, sequence, b"not yet");
    }
    assert_eq!(world.ends[CALLER].heard.len(), 0);
    assert_eq!(
        world.ends[CALLEE].bridge.stats().from_phone.dropped.muted,
        25
    );
    let now = world.now;
    world.ends[CALLEE].bridge.open_microphone(now);
    world.speak(CALLEE, 121, 26, b"now");
    world.run(Duration::from_millis(50));
    assert_eq!(world.ends[CALLER].packets()[0].payload, b"now");
}

#[test]
fn the_first_audio_packet_is_reported_once() {
    let mut world = World::call(true);
    let told = |world: &World| {
        let events = world.ends[CALLEE].events.iter();
        events
            .filter(|event| **event == BridgeEvent::FirstAudio)
            .count()
    };
    assert_eq!(told(&world), 0);
    for sequence in 1..=10 {
        world.speak(CALLER, 96, sequence, b"voice");
    }
    assert_eq!(told(&world), 1);
    assert!(world.ends[CALLEE].events.contains(&BridgeEvent::Connected));
}

#[test]
fn figures_tell_what_was_lost_and_when_it_began() {
    let mut world = World::call(true);
    for sequence in (1..=40).filter(|sequence| sequence % 10 != 5) {
        world.speak(CALLER, 96, sequence, b"voice");
    }
    world.run(Duration::from_millis(50));
    let (caller, callee) = (
        world.ends[CALLER].bridge.stats(),
        world.ends[CALLEE].bridge.stats(),
    );
    assert_eq!((caller.from_phone.passed, caller.from_phone.lost), (36, 4));
    // The slots of what the phone has not sent are filled in: between the engines nothing was lost.
    assert_eq!((callee.to_phone.passed, callee.to_phone.lost), (36, 0));
    assert_eq!(caller.candidate_types, Some(("relay", "relay")));
    assert!(callee.connected < callee.to_phone.first);
    assert_eq!(caller.to_phone.first, None);
}

#[test]
fn control_messages_go_both_ways() {
    let mut world = World::call(true);
    let now = world.now;
    for (end, byte) in [(CALLER, 1), (CALLEE, 2)] {
        let bridge = &mut world.ends[end].bridge;
        assert!(!bridge.send_control(&[byte; 63], now), "another size");
        assert!(bridge.send_control(&[byte; 64], now));
    }
    world.run(Duration::from_millis(600));
    for (end, byte) in [(CALLEE, 1), (CALLER, 2)] {
        let told = world.ends[end]
            .events
            .iter()
            .filter_map(|event| match event {
                BridgeEvent::Control(bytes) => Some(bytes.clone()),
                _ => None,
            });
        // Empty ones have passed as well, and end before the owner.
        assert!(told.eq([vec![byte; 64]]));
    }
}

#[test]
fn nothing_passes_after_the_end() {
    let mut world = World::call(true);
    world.speak(CALLER, 96, 1, b"voice");
    let now = world.now;
    world.ends[CALLER].bridge.close(now);
    world.run(Duration::from_secs(3));
    assert_eq!(world.ends[CALLER].events.last(), Some(&BridgeEvent::Closed));
    let heard = world.ends[CALLEE].heard.len();
    world.speak(CALLER, 96, 2, b"voice");
    world.run(Duration::from_millis(100));
    assert_eq!(world.ends[CALLEE].heard.len(), heard);
    let figures = world.ends[CALLER].bridge.stats();
    assert_eq!(figures.from_phone.dropped.nowhere, 1);
    assert!(figures.connected.is_some(), "figures outlive the call");
}

impl World {
    /// A camera sends a packet of so many bytes of picture.
    fn shoot(&mut self, end: usize, sequence: u16, bytes: usize) {
        let packet = RtpPacket {
            payload_type: 100,
            marker: true,
            sequence,
            timestamp: 7,
            ssrc: 0xca3e_4a00,
            payload: &vec![3; bytes],
        };
        let now = self.now;
        let talk = &mut self.ends[end].bridge;
        talk.handle_video(at(CAMERA), &packet.to_bytes(), now);
        self.run(Duration::from_millis(20));
    }

    /// Lengths of the packets of pictures that a phone was given.
    fn seen(&self, end: usize) -> Vec<usize> {
        let seen = self.ends[end].seen.iter();
        let rtp = seen.filter(|(port, _)| at(CAMERA).port() == *port);
        rtp.map(|(_, bytes)| bytes.len()).collect()
    }
}

#[test]
fn the_longest_video_packet_crosses_in_one_datagram_of_ethernet() {
    let mut world = World::seeing_call();
    for (sequence, bytes) in (1..).zip([1_388, 1_389, 100]) {
        world.shoot(CALLER, sequence, bytes);
    }
    world.run(Duration::from_millis(100));
    assert_eq!(world.seen(CALLEE), [12 + 1_388, 12 + 100]);
    let figures = world.ends[CALLER].bridge.stats();
    assert_eq!(figures.video_from_phone.dropped.oversized, 1);
    // Below it are 20 or 40 bytes of IP and 8 of UDP.
    let longest = world.left.iter().map(|(.., bytes)| *bytes).max().unwrap();
    assert!((1_400..=1_452).contains(&longest), "{longest}");
}

#[test]
fn a_keyframe_request_goes_from_phone_to_phone() {
    let mut world = World::seeing_call();
    world.shoot(CALLEE, 1, 100);
    world.run(Duration::from_secs(1));
    let asked = |world: &World| {
        world.ends[CALLEE]
            .seen
            .iter()
            .filter(|(port, _)| *port == 9_079)
            .count()
    };
    let before = asked(&world);
    assert_eq!(before, 1, "it is asked when the microphone opens");
    // Full intra request alone, as some phones send it.
    let request = [
        &[0x84, 206, 0, 4][..],
        &[1; 4],
        &[0; 4],
        &[2; 4],
        &[1, 0, 0, 0],
    ]
    .concat();
    let now = world.now;
    world.ends[CALLER]
        .bridge
        .handle_video(at(CAMERA), &request, now);
    world.run(Duration::from_secs(1));
    assert_eq!(asked(&world), before + 1);
}

#[test]
fn video_of_a_side_that_has_agreed_to_none_is_dropped() {
    let mut world = World::call(true);
    world.shoot(CALLER, 1, 100);
    world.run(Duration::from_millis(100));
    assert_eq!(world.ends[CALLEE].seen.len(), 0);
    assert_eq!(world.ends[CALLER].bridge.stats().video_from_phone.passed, 0);
}

#[test]
fn a_phone_gets_reports_about_its_audio_and_about_what_it_was_sent() {
    let mut world = World::call(true);
    // A tenth of the caller's packets is lost before it is here.
    for sequence in (1..=300u16).filter(|sequence| sequence % 10 != 5) {
        world.speak(CALLER, 96, sequence, b"voice");
        world.speak(CALLEE, 121, sequence, b"other voice");
    }
    let reports = &world.ends[CALLER].reports;
    // 2.5 and 7.5 seconds after the first; each speaks every 40 ms.
    assert_eq!(reports.len(), 2);
    let word = |report: &[u8], at: usize| u32::from_be_bytes(*report[at..].first_chunk().unwrap());
    for report in reports {
        assert_eq!(
            report[..4],
            [0x81, 200, 0, 12],
            "a report of a sender with one block"
        );
        assert_eq!(word(report, 28), 0x5eed_0000, "whose packets it is about");
        // 3 in 30 are 25 in 256.
        assert!((20..=30).contains(&report[32]), "{}", report[32]);
        assert_eq!(word(report, 4), world.ends[CALLER].packets()[0].ssrc);
    }
    // After 187 packets, which are nine tenths of 208.
    let last = &reports[1];
    assert!(
        (20..=21).contains(&(word(last, 32) & 0xff_ffff)),
        "lost in all"
    );
    assert!(
        (206..=210).contains(&word(last, 36)),
        "the highest of its own numbers"
    );
    let packets = word(last, 20);
    assert!((184..=188).contains(&packets), "{packets} packets sent");
    assert_eq!(word(last, 24), packets * 11, "bytes of payload");
}

#[test]
fn while_nothing_passes_nothing_is_reported() {
    let mut world = World::call(true);
    for sequence in 1..=10 {
        world.speak(CALLER, 96, sequence, b"voice");
    }
    world.run(Duration::from_secs(12));
    let told = world.ends[CALLER].reports.len();
    assert!((1..=2).contains(&told), "{told}");
    world.run(Duration::from_secs(12));
    assert_eq!(world.ends[CALLER].reports.len(), told);
}

#[test]
fn a_silent_phone_is_reported_once_and_so_is_its_return() {
    let mut world = World::call(true);
    let news = |world: &mut World, end: usize| {
        let is_news = |event: &BridgeEvent| {
            matches!(event, BridgeEvent::PhoneSilent | BridgeEvent::PhoneHeard)
        };
        let mut events = std::mem::take(&mut world.ends[end].events);
        events.retain(is_news);
        events
    };
    for sequence in 1..=300 {
        world.speak(CALLER, 96, sequence, b"voice");
    }
    let heard = world.now - Duration::from_millis(20);
    assert_eq!(news(&mut world, CALLER), []);
    assert_eq!(news(&mut world, CALLEE), [BridgeEvent::PhoneSilent]);
    world.run(Duration::from_millis(4_979));
    assert_eq!(world.ends[CALLER].bridge.stats().phone_silent, None);
    world.run(Duration::from_millis(1));
    assert_eq!(world.ends[CALLER].bridge.stats().phone_silent, Some(heard));
    world.run(Duration::from_secs(60));
    assert_eq!(news(&mut world, CALLER), [BridgeEvent::PhoneSilent]);
    world.speak(CALLER, 96, 301, b"voice");
    assert_eq!(news(&mut world, CALLER), [BridgeEvent::PhoneHeard]);
    assert_eq!(world.ends[CALLER].bridge.stats().phone_silent, None);
    assert_eq!(news(&mut world, CALLEE), []);
    let now = world.now;
    world.ends[CALLER].bridge.close(now);
    world.run(Duration::from_secs(60));
    assert_eq!(
        news(&mut world, CALLER),
        [],
        "nothing is reported after the end"
    );
    assert_eq!(world.ends[CALLER].bridge.next_timeout(), None);
}

/// A-law bytes and what they are in mu-law: both zeros, the loudest of each sign, and values between.
const A_LAW: [u8; 6] = [0xd5, 0x55, 0xaa, 0x2a, 0x80, 0x00];
const MU_LAW: [u8; 6] = [0xfe, 0x7e, 0x80, 0x00, 0xaa, 0x2a];

/// Both phones listed both laws and another format; mu-law was agreed.
fn call_of_two_laws() -> World {
    let offer = [
        (Codec::Pcma, 8),
        (Codec::Pcmu, 0),
        (Codec::G722, 9),
        (Codec::Events8k, 101),
    ];
    let answer = [
        (Codec::Pcmu, 0),
        (Codec::Pcma, 8),
        (Codec::G722, 9),
        (Codec::Events8k, 97),
    ];
    World::call_between(&offer, &answer, "", true)
}

#[test]
fn a_phone_that_sends_the_other_law_than_was_agreed_is_heard_in_the_agreed_one() {
    for (speaker, listener) in [(CALLEE, CALLER), (CALLER, CALLEE)] {
        let mut world = call_of_two_laws();
        let events = [101, 97][speaker];
        // It changes to and fro, and a key press comes between.
        world.speak(speaker, 8, 1, &A_LAW);
        world.speak(speaker, 0, 2, &A_LAW);
        world.speak(speaker, events, 3, &[5, 0x8a, 0x06, 0x40]);
        world.speak(speaker, 8, 4, &A_LAW);
        // Comfort noise does not cross.
        world.speak(speaker, 13, 5, &[40]);
        world.speak(speaker, 8, 5, &A_LAW);
        world.run(Duration::from_millis(50));
        let heard = world.ends[listener].packets();
        let first = heard[0].sequence;
        let heard: Vec<_> = heard
            .iter()
            .map(|packet| (packet.payload_type, packet.sequence - first, packet.payload))
            .collect();
        assert_eq!(
            heard,
            [
                (0, 0, &MU_LAW[..]),
                (0, 1, &A_LAW),
                ([101, 97][listener], 2, &[5, 0x8a, 0x06, 0x40]),
                (0, 3, &MU_LAW),
                (0, 4, &MU_LAW),
            ]
        );
        let figures = world.ends[speaker].bridge.stats().from_phone;
        assert_eq!(
            (figures.passed, figures.lost, figures.dropped.format),
            (5, 0, 1)
        );
        let events = &world.ends[speaker].events;
        assert!(!events.contains(&BridgeEvent::FormatNotCarried));
    }
}

#[test]
fn each_phone_that_sends_a_listed_format_that_cannot_be_converted_is_reported_once() {
    let mut world = call_of_two_laws();
    let reported = |world: &World, end: usize| {
        let events = world.ends[end].events.iter();
        events
            .filter(|event| **event == BridgeEvent::FormatNotCarried)
            .count()
    };
    for sequence in 1..=3 {
        // Nothing that was listed, and then one that was.
        world.speak(CALLEE, 18, sequence, b"G.729");
        assert_eq!(reported(&world, CALLEE), 0);
    }
    for sequence in 4..=6 {
        world.speak(CALLEE, 9, sequence, b"G.722");
    }
    world.run(Duration::from_millis(50));
    assert_eq!((reported(&world, CALLEE), reported(&world, CALLER)), (1, 0));
    assert_eq!(world.ends[CALLER].heard.len(), 0);
    let dropped = world.ends[CALLEE].bridge.stats().from_phone.dropped;
    assert_eq!((dropped.format, dropped.not_carried), (3, 3));

    // Another phone takes the call over, and does the same.
    let now = world.now;
    let end = &mut world.ends[CALLEE];
    end.phone.set_port(end.phone.port() ^ 2);
    let terms = NegotiatedMedia {
        local: end.near,
        remote: end.phone,
        codecs: vec![(Codec::Pcmu, 0)],
        carried: None,
        also_listed: vec![(Codec::G722, 9)],
        receives: true,
        rtcp: RtcpDestination::NextPort,
        keys: None,
        video: None,
    };
    end.bridge.attach_phone(terms.clone(), now);
    world.run(Duration::from_millis(300));
    assert_eq!(reported(&world, CALLEE), 1);
    for sequence in 7..=9 {
        world.speak(CALLEE, 9, sequence, b"G.722");
    }
    world.ends[CALLEE].bridge.attach_phone(terms, world.now);
    world.speak(CALLEE, 9, 10, b"G.722");
    assert_eq!(reported(&world, CALLEE), 2);
}

#[test]
fn what_a_phone_is_sent_is_the_agreed_format_alone() {
    let mut world = call_of_two_laws();
    world.speak(CALLER, 0, 1, b"mu-law");
    world.run(Duration::from_millis(50));
    let heard = world.ends[CALLEE].packets();
    assert_eq!(
        (heard[0].payload_type, heard[0].payload),
        (0, &b"mu-law"[..])
    );
}

#[test]
fn of_two_phones_of_one_address_that_answer_at_once_the_one_with_the_call_is_heard_and_hears() {
    let formats = [(Codec::Pcmu, 0)];
    // The phone with the call begins to send so many packets after the other one, which is always quicker.
    for late in 0..20 {
        let mut world = World::begin_call(&formats, &formats, "", true);
        let other = SocketAddr::new(world.ends[CALLEE].phone.ip(), 7_999);
        for sequence in 1..=100 {
            let packet = RtpPacket {
                payload_type: 0,
                marker: false,
                sequence,
                timestamp: u32::from(sequence) * 160,
                ssrc: 7,
                payload: b"other",
            };
            let now = world.now;
            let callee = &mut world.ends[CALLEE].bridge;
            callee.handle_rtp(other, &packet.to_bytes(), now);
            world.run(Duration::from_millis(1));
            // What goes to another address than its phone's ends the test.
            world.speak(CALLER, 0, sequence, b"caller");
            if sequence > late {
                world.speak(CALLEE, 0, sequence, b"callee");
            }
        }
        world.run(Duration::from_millis(50));
        let heard = world.ends[CALLER].packets();
        assert!(heard.len() > 50, "{} after {late}", heard.len());
        assert!(heard.iter().all(|packet| packet.payload == b"callee"));
        assert!(world.ends[CALLEE].heard.len() > 50);
    }
}
