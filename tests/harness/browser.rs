//! A headless Chromium showing the page `tests/browser/call.html`: an independent WebRTC stack as a call's other end.
//!
//! The page is served, told what to do and listened to over HTTP on loopback, so that no browser protocol is needed:
//! `GET /order` waits for the next order, `POST /news` says what happened, `POST /recording` brings sound.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, State},
    response::Html,
    routing::{get, post},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{Mutex, mpsc as line},
    time::timeout,
};

use crate::{audio_file::Sound, program::Program};

/// Debian's browser.
pub const CHROMIUM: &str = "chromium";

const PAGE: &str = include_str!("../browser/call.html");
/// How long a request for an order is left hanging; the page asks again.
const HANGING: Duration = Duration::from_secs(20);
/// Orders and news under way; a whole test has a few dozen.
const WAITING: usize = 100;
/// A minute of recording at 48 kHz is 5.8 MB.
const RECORDING_LIMIT: usize = 8 << 20;

/// Flags that keep it away from the network, from the disk and from a sound card.
pub(crate) const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-audio-output",
];

/// A browser that shows the page.
pub struct Browser {
    orders: line::Sender<Value>,
    news: mpsc::Receiver<Value>,
    recordings: mpsc::Receiver<Sound>,
    unread: VecDeque<Value>,
    _program: Program,
    _runtime: Runtime,
    _folder: TempDir,
}

#[derive(Clone)]
struct Desk {
    orders: Arc<Mutex<line::Receiver<Value>>>,
    news: mpsc::SyncSender<Value>,
    recordings: mpsc::SyncSender<Sound>,
}

impl Browser {
    /// Starts it; the page is loaded when this returns.
    pub fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = Runtime::new().expect("a runtime");
        let (orders, waiting) = line::channel(WAITING);
        let (news_in, news) = mpsc::sync_channel(WAITING);
        let (recordings_in, recordings) = mpsc::sync_channel(1);
        let desk = Desk {
            orders: Arc::new(Mutex::new(waiting)),
            news: news_in,
            recordings: recordings_in,
        };
        let address = runtime.block_on(serve(desk));
        let profile = format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        );
        let url = format!("http://{address}/");
        let arguments: Vec<&str> = FLAGS
            .into_iter()
            .chain([profile.as_str(), url.as_str()])
            .collect();
        let program = Program::start(CHROMIUM, &arguments, folder.path());
        let mut browser = Self {
            orders,
            news,
            recordings,
            unread: VecDeque::new(),
            _program: program,
            _runtime: runtime,
            _folder: folder,
        };
        browser.hear("loaded", crate::program::READY_WITHIN);
        browser
    }

    /// Gives the page an order: a verb and what belongs to it.
    pub fn tell(&self, verb: &str, mut facts: Value) {
        facts["verb"] = json!(verb);
        self.orders
            .try_send(facts)
            .expect("the page takes its orders");
    }

    /// Waits for the page to say something of this kind; other news is kept for later.
    ///
    /// # Panics
    /// When it does not come in time, or the page reports a fault.
    pub fn hear(&mut self, kind: &str, patience: Duration) -> Value {
        let give_up = Instant::now() + patience;
        if let Some(place) = self.unread.iter().position(|news| news["kind"] == kind) {
            return self.unread.remove(place).expect("the place was just found");
        }
        loop {
            match self
                .news
                .recv_timeout(give_up.saturating_duration_since(Instant::now()))
            {
                Ok(news) if news["kind"] == kind => return news,
                Ok(news) if news["kind"] == "fault" => panic!("the page: {news}"),
                Ok(news) => self.unread.push_back(news),
                Err(_) => panic!(
                    "the page did not say {kind:?} in {patience:?}, but {:?}",
                    self.unread
                ),
            }
        }
    }

    /// What the page heard since it was told to `record`.
    pub fn play_back(&self) -> Sound {
        self.tell("play_back", json!({}));
        self.recordings
            .recv_timeout(Duration::from_secs(10))
            .expect("the page sends its recording")
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Browser(..)")
    }
}

async fn serve(desk: Desk) -> SocketAddr {
    let router = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/order", get(order))
        .route("/news", post(news))
        .route("/recording", post(recording))
        .layer(DefaultBodyLimit::max(RECORDING_LIMIT))
        .with_state(desk);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn order(State(desk): State<Desk>) -> Json<Value> {
    let mut orders = desk.orders.lock().await;
    let next = timeout(HANGING, orders.recv()).await;
    Json(next.map_or_else(
        |_| json!({ "verb": "wait" }),
        |order| order.unwrap_or_else(|| json!({ "verb": "end" })),
    ))
}

async fn news(State(desk): State<Desk>, Json(news): Json<Value>) {
    let _ = desk.news.try_send(news);
}

async fn recording(State(desk): State<Desk>, RawQuery(query): RawQuery, body: Bytes) {
    let rate = query
        .as_deref()
        .and_then(|query| query.strip_prefix("rate=")?.parse().ok())
        .unwrap_or(48_000);
    let samples = body
        .chunks_exact(2)
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
        .collect();
    let _ = desk.recordings.try_send(Sound { rate, samples });
}
