//! A running gateway as its owner sees it: what it is made of, what it tells, how it stops.
//!
//! The work is done in `run`, in a task of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringfence_book::{Binding, BookKey, Number};
use ringfence_engine::contacts::{Contacts, Edit};
use ringfence_engine::directory::Directory;
use ringfence_engine::identity::Identity;
use ringfence_engine::ledger::Ledger;
use ringfence_engine::wish::{Wish, WishFault};
use ringfence_engine::{BindingFault, CallLabel, Census, Config, Counters, Line, Step};
use ringfence_media::Figures;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::diary::{Diary, EditFault};
use crate::io::lobby::Lobby;
use crate::io::phone::{Listen, ListenError, PhoneSockets};
use crate::io::relay::{Incoming, RelayState, Relays};
use crate::picture::Picture;
use crate::run::Loop;
use crate::tally::Tally;

/// Happenings that a slow watcher may be behind; then it misses some.
const WATCH: usize = 1_024;

/// Requests of the owner that wait for the loop.
const REQUESTS: usize = 16;

/// Everything a gateway is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where phones register.
    pub listen: Listen,
    /// The engine's settings.
    pub engine: Config,
    /// The lines, all of one phone book.
    pub lines: Vec<Line>,
    /// The phone book's key.
    pub book_key: BookKey,
    /// The downloaded book.
    pub directory: Directory,
    /// The relays, connecting, and what comes from them.
    pub relays: (Relays, mpsc::Receiver<Incoming>),
    /// The way out for sound.
    pub lobby: Lobby,
    /// The contacts at the start.
    pub contacts: Contacts,
    /// Texts that wait, notes that were taken, calls of the past and the lines' settings at the start.
    pub ledger: Ledger,
    /// Where contacts, ledger and evidence are kept; without it all is forgotten at the end.
    pub diary: Option<Diary>,
}

/// What a running gateway can take over: other rules, and, if they changed, other relays and another way out for sound.
#[derive(Debug)]
pub struct Change {
    /// Leading zero bits of stamps.
    pub work_bits: u8,
    /// How long a caller waits for an answer.
    pub no_answer: Duration,
    /// The relays, connecting, and what comes from them.
    pub relays: Option<(Relays, mpsc::Receiver<Incoming>)>,
    /// The way out for sound.
    pub lobby: Option<Lobby>,
}

/// What a watcher sees. No number, key or address.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A call came one step further.
    Step {
        /// Which call.
        call: CallLabel,
        /// What happened.
        step: Step,
        /// When.
        at: Instant,
    },
    /// A call's sound is over.
    Figures {
        /// Which call.
        call: CallLabel,
        /// What it was.
        figures: Box<Figures>,
    },
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    watch: broadcast::Sender<Happening>,
    requests: mpsc::Sender<Request>,
    running: JoinHandle<()>,
}

/// What the owner asks of the loop.
#[derive(Debug)]
pub(crate) enum Request {
    Book(Directory),
    Binding(Box<Binding>, oneshot::Sender<Result<(), BindingFault>>),
    Change(Box<Change>),
    Identity(
        Number,
        Box<Identity>,
        oneshot::Sender<Result<(), BindingFault>>,
    ),
    Status(oneshot::Sender<Status>),
    Picture(oneshot::Sender<Box<Picture>>),
    Wish(Number, Wish, oneshot::Sender<Result<(), WishFault>>),
    Edit(Number, Edit, oneshot::Sender<Result<(), EditFault>>),
    Stop,
}

/// Asks a running gateway how it is. Does not keep it running.
#[derive(Clone, Debug)]
pub struct Enquiry(pub(crate) mpsc::WeakSender<Request>);

impl Enquiry {
    /// How it is; `None` once it has stopped.
    pub async fn status(&self) -> Option<Status> {
        let (tell, told) = oneshot::channel();
        let requests = self.0.upgrade()?;
        requests.send(Request::Status(tell)).await.ok()?;
        told.await.ok()
    }
}

/// What a gateway says of itself.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// How many phones are registered, line by line.
    pub phones: Vec<usize>,
    /// Calls by state.
    pub calls: Census,
    /// The connections to the relays.
    pub relays: RelayState,
    /// Whether a relayed address is ready for the next call. For some seconds after each call there is none; it then dials.
    pub turn_ready: bool,
    /// What the engine dropped in silence.
    pub counters: Counters,
    /// What calls were.
    pub sound: Tally,
}

impl Gateway {
    /// Opens the phones' sockets and starts the loop.
    ///
    /// # Errors
    /// [`ListenError`] when an address cannot be listened at.
    pub async fn start(parts: Parts) -> Result<Self, ListenError> {
        let phones = PhoneSockets::listen(&parts.listen).await?;
        let (udp, tcp, tls) = (phones.udp_addrs(), phones.tcp_addrs(), phones.tls_addrs());
        let (watch, _) = broadcast::channel(WATCH);
        let (requests, asked) = mpsc::channel(REQUESTS);
        let looped = Loop::new(parts, phones, watch.clone());
        let running = tokio::spawn(looped.run(asked));
        Ok(Self {
            udp,
            tcp,
            tls,
            watch,
            requests,
            running,
        })
    }

    /// Where phones register over UDP.
    #[must_use]
    pub fn udp(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where phones register over TCP.
    #[must_use]
    pub fn tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Where phones register over TLS.
    #[must_use]
    pub fn tls(&self) -> &[SocketAddr] {
        &self.tls
    }

    /// Everything that happens from here on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Happening> {
        self.watch.subscribe()
    }

    /// Hands a newer copy of the phone book to the engine.
    pub async fn renew_book(&self, directory: Directory) {
        // A gateway that has stopped needs no book.
        drop(self.requests.send(Request::Book(directory)).await);
    }

    /// Hands the phone book's renewed word for a line to the engine, which checks it again.
    ///
    /// # Errors
    /// [`BindingFault`]; the line keeps the binding that it has.
    pub async fn renew_binding(&self, binding: Binding) -> Result<(), BindingFault> {
        let (tell, told) = oneshot::channel();
        // A gateway that has stopped needs no binding.
        drop(
            self.requests
                .send(Request::Binding(Box::new(binding), tell))
                .await,
        );
        told.await.unwrap_or(Ok(()))
    }

    /// Hands other settings to the loop. Calls that are up go on.
    pub async fn change(&self, change: Change) {
        // A gateway that has stopped needs none.
        drop(self.requests.send(Request::Change(Box::new(change))).await);
    }

    /// Hands a line's keys to the engine, after its ring key was replaced.
    ///
    /// # Errors
    /// [`BindingFault`]; the line keeps the keys that it has.
    pub async fn renew_identity(
        &self,
        number: Number,
        identity: Identity,
    ) -> Result<(), BindingFault> {
        let (tell, told) = oneshot::channel();
        // A gateway that has stopped needs no keys.
        drop(
            self.requests
                .send(Request::Identity(number, Box::new(identity), tell))
                .await,
        );
        told.await.unwrap_or(Ok(()))
    }

    /// How it is; `None` once it has stopped.
    pub async fn status(&self) -> Option<Status> {
        self.enquiry().status().await
    }

    /// A way to ask it for those who do not own it.
    #[must_use]
    pub fn enquiry(&self) -> Enquiry {
        Enquiry(self.requests.downgrade())
    }

    /// Hangs up every call, tells the other sides, and stops: within 3 s.
    pub async fn stop(self) {
        // Already stopped is as good.
        drop(self.requests.send(Request::Stop).await);
        drop(self.running.await);
    }
}
