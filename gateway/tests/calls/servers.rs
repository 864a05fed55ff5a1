//! The servers of a small community on loopback (a phone book, a Nostr relay, a TURN server), and two engines with an activated line
//! each: on disk ([`StoredEngine`]), and running with a built-in phone ([`RunningEngine`]).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ringfence::config::{Config, SipListen, TurnLogin};
use ringfence::lines::activate::activate;
use ringfence::net::book::{BookClient, BookCopy};
use ringfence::net::outbound::Outbound;
use ringfence::net::relay::RelayState;
use ringfence::run::assemble::assemble;
use ringfence::run::gateway::Gateway;
use ringfence::selfcall::phone::TonePhone;
use ringfence::softphone::{PhoneEvent, Registration};
use ringfence::state::keystore::{Keystore, LineFile};
use ringfence::state::secret::Secret;
use ringfence_book::NumberPlan;
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_box::EmbeddedRelay;
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Database;
use ringfence_sip::{Password, User};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The secret that the TURN server and the engines share.
pub(crate) const TURN_SECRET: &str = "a-secret-of-the-turn-server";

/// Patience with anything that should happen soon, on a machine that has other things to do.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The tones of the first and of the second engine's phone, in hertz.
const TONES: [f64; 2] = [440.0, 1_000.0];

pub(crate) struct Servers {
    pub(crate) book: PhoneBook,
    pub(crate) relay: EmbeddedRelay,
    pub(crate) turn: EmbeddedTurn,
    folder: TempDir,
}

/// The settings and the state folder of an engine with one activated line.
pub(crate) struct StoredEngine {
    pub(crate) config: Config,
    pub(crate) line: LineFile,
    pub(crate) client: BookClient,
    pub(crate) store: Keystore,
}

/// A running engine and its phone.
pub(crate) struct RunningEngine {
    pub(crate) gateway: Gateway,
    pub(crate) relays: watch::Receiver<RelayState>,
    pub(crate) phone: TonePhone,
    pub(crate) number: String,
}

impl Servers {
    pub(crate) async fn build() -> Self {
        let relay = EmbeddedRelay::start(ANY_PORT).await.unwrap();
        let secret = TurnSecret::new(TURN_SECRET.to_owned());
        let turn = EmbeddedTurn::start(ANY_PORT, secret, true).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let book = PhoneBook::start(ringfence_phonebook::config::Config {
            listen: ANY_PORT,
            database: Database::Memory,
            plan: NumberPlan::new(20_000, 2).unwrap(),
            relays: vec![relay.url()],
            turn: vec![format!("turn:{}", turn.local_addr())],
            turn_secret: Some(TurnSecret::new(TURN_SECRET.to_owned())),
            ..Default::default()
        })
        .await
        .unwrap();
        Self {
            book,
            relay,
            turn,
            folder,
        }
    }

    /// Two engines with activated lines; neither has downloaded the book yet.
    pub(crate) async fn stored_engines(&self) -> [StoredEngine; 2] {
        [self.stored_engine("a").await, self.stored_engine("b").await]
    }

    async fn stored_engine(&self, name: &str) -> StoredEngine {
        StoredEngine::build(&self.book, &self.folder.path().join(name)).await
    }

    /// Two running engines whose phones are registered and which listen for rings.
    pub(crate) async fn engines(&self) -> [RunningEngine; 2] {
        let [a, b] = self.stored_engines().await;
        [a.open(self, 0).await, b.open(self, 1).await]
    }
}

impl StoredEngine {
    /// Activates a line of this book for an engine whose state is below `state`. The book publishes the line at once.
    pub(crate) async fn build(book: &PhoneBook, state: &Path) -> Self {
        let mut config = Config::with_state(state);
        config.sip = SipListen {
            addresses: vec![Ipv4Addr::LOCALHOST.into()],
            udp_port: 0,
            tcp_port: 0,
            tls_port: 0,
            ..config.sip
        };
        config.turn.login = TurnLogin::Shared(Secret::new(TURN_SECRET.to_owned()));
        config.turn.allow_private = true;
        let client = BookClient::new(&book.url(), &Outbound::direct()).unwrap();
        let mut store = Keystore::open(&config.state, None).unwrap();
        let code = book.issue().await.unwrap().code;
        let line = activate(&mut store, &client, &code, None).await.unwrap();
        book.close_epoch_now().await.unwrap();
        Self {
            config,
            line,
            client,
            store,
        }
    }

    /// Starts the gateway and plugs a phone in; which of the two `TONES` it says is `side`.
    pub(crate) async fn open(&self, servers: &Servers, side: usize) -> RunningEngine {
        self.open_with(&servers.book, side).await
    }

    /// As `open`, with a phone book that runs without the other servers.
    pub(crate) async fn open_with(&self, book: &PhoneBook, side: usize) -> RunningEngine {
        let mut copy = BookCopy::open(&self.config.state, book.book_key()).unwrap();
        let snapshot = copy.refresh(&self.client).await.unwrap();
        let lines = std::slice::from_ref(&self.line);
        let outbound = self.config.outbound().unwrap();
        let parts = assemble(&self.config, lines, &snapshot, &outbound);
        let parts = parts.await.unwrap();
        let relays = parts.relays.0.state();
        let gateway = Gateway::start(parts).await.unwrap();
        let mut engine = RunningEngine {
            phone: plug_in(&self.line, gateway.udp()[0], side).await,
            gateway,
            relays,
            number: self.line.number.to_string(),
        };
        engine.connected().await;
        engine.sees(|event| *event == PhoneEvent::Registered).await;
        engine
    }
}

/// A phone of this line, which says one of the `TONES` and listens for the other.
pub(crate) async fn plug_in(line: &LineFile, at: SocketAddr, side: usize) -> TonePhone {
    let registration = Registration {
        user: User::new(line.account.user.clone()),
        password: Password::new(line.account.password.expose()),
        line: at,
    };
    TonePhone::plug_in(registration, TONES[side], TONES[1 - side])
        .await
        .unwrap()
}

/// Waits for an event of a phone.
pub(crate) async fn sees(
    phone: &mut TonePhone,
    wanted: impl Fn(&PhoneEvent) -> bool,
) -> PhoneEvent {
    let mut passed = Vec::new();
    let search = async {
        loop {
            let (_, event) = phone.event().await.unwrap();
            if wanted(&event) {
                return event;
            }
            passed.push(format!("{event:?}"));
        }
    };
    let found = timeout(SOON, search).await;
    found.unwrap_or_else(|_| panic!("the phone saw only {passed:?}"))
}

/// Waits until a phone hears the other one, from here on for `span`.
pub(crate) async fn hears(phone: &TonePhone, span: Duration) {
    let before = phone.heard().tone;
    let listening = async {
        while phone.heard().tone < before + span {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(SOON, listening).await.is_ok(), "silence");
}

/// The status with which the dialled call is refused.
pub(crate) async fn refused(phone: &mut TonePhone) -> u16 {
    match sees(phone, |event| matches!(event, PhoneEvent::Refused { .. })).await {
        PhoneEvent::Refused { status, .. } => status,
        other => panic!("{other:?}"),
    }
}

/// Rings and picks up; both hear each other.
pub(crate) async fn call(caller: &mut TonePhone, callee: &mut TonePhone, number: &str) {
    caller.dial(number).await;
    sees(callee, is_ringing).await;
    callee.pick_up().await;
    sees(caller, |event| matches!(event, PhoneEvent::Answered { .. })).await;
    hears(caller, Duration::from_millis(200)).await;
    hears(callee, Duration::from_millis(200)).await;
}

pub(crate) fn is_ringing(event: &PhoneEvent) -> bool {
    matches!(event, PhoneEvent::Incoming { .. })
}

pub(crate) fn is_over(event: &PhoneEvent) -> bool {
    *event == PhoneEvent::HungUp
}

impl RunningEngine {
    pub(crate) async fn connected(&mut self) {
        let ready = |state: &RelayState| state.connected > 0 && state.listening > 0;
        timeout(SOON, self.relays.wait_for(ready))
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn sees(&mut self, wanted: impl Fn(&PhoneEvent) -> bool) -> PhoneEvent {
        sees(&mut self.phone, wanted).await
    }

    pub(crate) async fn refused(&mut self) -> u16 {
        refused(&mut self.phone).await
    }

    pub(crate) async fn call(&mut self, other: &mut Self) {
        call(&mut self.phone, &mut other.phone, &other.number).await;
    }
}
