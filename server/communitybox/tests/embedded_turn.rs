//! The embedded TURN server on real loopback sockets, used by two far legs, over datagrams and streams.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_media::far::{
    FarConfig, FarEvent, FarLeg, FarLegError, FarOutput, FarPacket, Role, TurnAccess, TurnPassword,
    TurnTransport, TurnWay,
};
use ringfence_media::{Codec, Description};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Socket {
    async fn receive(&mut self, buffer: &mut [u8]) -> usize {
        match self {
            Self::Udp(socket) => socket.recv(buffer).await.unwrap(),
            Self::Tcp(socket) => socket.read(buffer).await.unwrap(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send(bytes).await.unwrap(), bytes.len()),
            Self::Tcp(socket) => socket.write_all(bytes).await.unwrap(),
        }
    }
}

struct Party {
    leg: FarLeg,
    socket: Socket,
    events: Vec<FarEvent>,
}

impl Party {
    async fn new(
        server: SocketAddr,
        transport: TurnTransport,
        secret: &TurnSecret,
        seed: u8,
    ) -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let (username, password) =
            rest_credentials(secret, Duration::from_secs(60), unix, &mut rng);
        let (socket, local) = match transport {
            TurnTransport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(server).await.unwrap();
                let local = socket.local_addr().unwrap();
                (Socket::Udp(socket), local)
            }
            TurnTransport::Stream => {
                let socket = TcpStream::connect(server).await.unwrap();
                let local = socket.local_addr().unwrap();
                (Socket::Tcp(socket), local)
            }
        };
        let turn = TurnAccess {
            addr: server,
            transport,
            username,
            password: TurnPassword::new(password),
        };
        let config = FarConfig {
            turn,
            local,
            allow_private_addresses: true,
            permitted: Vec::new(),
            relays_ipv6: false,
        };
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self {
            leg: FarLeg::new(TurnWay::new(config, Instant::now()), seed, Instant::now()),
            socket,
            events: Vec::new(),
        }
    }

    fn description(&self) -> Option<Description> {
        self.events.iter().find_map(|event| match event {
            FarEvent::Allocated(local) => Some(Description {
                ufrag: local.ufrag.clone(),
                pwd: local.pwd.clone(),
                fingerprint: local.fingerprint,
                ssrc: local.ssrc,
                relayed_addresses: vec![local.relayed_address],
                codecs: vec![Codec::Pcma],
                video: None,
            }),
            _ => None,
        })
    }

    fn has(&self, wanted: &FarEvent) -> bool {
        self.events.contains(wanted)
    }

    async fn drain(&mut self) {
        while let Some(output) = self.leg.poll() {
            match output {
                FarOutput::ToServer(bytes) => self.socket.send(&bytes).await,
                FarOutput::Event(event) => self.events.push(event),
            }
        }
    }
}

/// Runs two parties until `done`; panics after ten seconds.
async fn run(parties: &mut [Party; 2], done: impl Fn(&[Party; 2]) -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    let (mut one, mut two) = ([0; 4096], [0; 4096]);
    loop {
        for party in parties.iter_mut() {
            party.drain().await;
        }
        if done(parties) {
            return;
        }
        assert!(
            Instant::now() < limit,
            "{:?} {:?}",
            parties[0].events,
            parties[1].events
        );
        let [first, second] = parties;
        let alarms =
            [&first.leg, &second.leg].map(|leg| leg.next_timeout().map_or(limit, |(at, _)| at));
        tokio::select! {
            length = first.socket.receive(&mut one) => first.leg.handle_turn(&one[..length], Instant::now()),
            length = second.socket.receive(&mut two) => second.leg.handle_turn(&two[..length], Instant::now()),
            () = tokio::time::sleep_until(alarms[0].into()) => first.leg.handle_timeout(Instant::now()),
            () = tokio::time::sleep_until(alarms[1].into()) => second.leg.handle_timeout(Instant::now()),
        }
    }
}

async fn whole_call(transport: TurnTransport) {
    let secret = TurnSecret::new("demo".into());
    let turn = EmbeddedTurn::start("127.0.0.1:0".parse().unwrap(), secret.clone(), true)
        .await
        .unwrap();
    let server = turn.local_addr();
    let mut parties = [
        Party::new(server, transport, &secret, 1).await,
        Party::new(server, transport, &secret, 2).await,
    ];
    run(&mut parties, |parties| {
        parties.iter().all(|party| party.description().is_some())
    })
    .await;
    let descriptions = [
        parties[0].description().unwrap(),
        parties[1].description().unwrap(),
    ];
    parties[0]
        .leg
        .connect(&descriptions[1], Role::Caller, Instant::now())
        .unwrap();
    parties[1]
        .leg
        .connect(&descriptions[0], Role::Callee, Instant::now())
        .unwrap();
    run(&mut parties, |parties| {
        parties.iter().all(|party| party.has(&FarEvent::Connected))
    })
    .await;
    let packet = FarPacket {
        payload_type: 8,
        marker: true,
        sequence: 1,
        timestamp: 2,
        payload: vec![0xd5; 160],
    };
    for party in &mut parties {
        party.leg.write_rtp(packet.clone(), Instant::now());
    }
    let sound = FarEvent::Rtp(packet);
    run(&mut parties, |parties| {
        parties.iter().all(|party| party.has(&sound))
    })
    .await;
    run(&mut parties, |parties| {
        parties
            .iter()
            .all(|party| party.has(&FarEvent::ControlOpen))
    })
    .await;
    parties[1].leg.close(Instant::now());
    run(&mut parties, |parties| {
        parties.iter().all(|party| party.has(&FarEvent::Closed))
    })
    .await;
    turn.stop().await;
    // Its sockets are free again.
    drop(UdpSocket::bind(server).await.unwrap());
}

#[tokio::test]
async fn a_call_over_datagrams() {
    whole_call(TurnTransport::Udp).await;
}

#[tokio::test]
async fn a_call_over_streams() {
    whole_call(TurnTransport::Stream).await;
}

#[tokio::test]
async fn another_secret_opens_nothing() {
    let turn = EmbeddedTurn::start(
        "127.0.0.1:0".parse().unwrap(),
        TurnSecret::new("one".into()),
        true,
    )
    .await
    .unwrap();
    let other = TurnSecret::new("two".into());
    let mut parties = [
        Party::new(turn.local_addr(), TurnTransport::Udp, &other, 1).await,
        Party::new(turn.local_addr(), TurnTransport::Stream, &other, 2).await,
    ];
    run(&mut parties, |parties| {
        parties.iter().all(|party| party.has(&FarEvent::Closed))
    })
    .await;
    assert!(
        parties
            .iter()
            .all(|party| party.has(&FarEvent::Failed(FarLegError::Allocation { code: 401 })))
    );
}

#[tokio::test]
async fn a_taken_or_uncertain_address_is_said() {
    let turn = EmbeddedTurn::start(
        "127.0.0.1:0".parse().unwrap(),
        TurnSecret::new("x".into()),
        true,
    )
    .await
    .unwrap();
    let again = EmbeddedTurn::start(turn.local_addr(), TurnSecret::new("x".into()), true).await;
    assert!(
        again
            .unwrap_err()
            .to_string()
            .contains(&turn.local_addr().to_string())
    );
    let anywhere = EmbeddedTurn::start(
        "0.0.0.0:0".parse().unwrap(),
        TurnSecret::new("x".into()),
        true,
    )
    .await;
    assert!(anywhere.is_err());
}
