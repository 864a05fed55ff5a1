//! A headless Chromium with the page `tests/browser/call.html`: an independent WebRTC stack as the other end of a call.
//!
//! The page is served and controlled over HTTP on loopback, so no browser protocol is needed: `GET /command` waits for the next
//! command, `POST /event` reports an event, `POST /recording` delivers audio.

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
    http::header::CONTENT_TYPE,
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

use crate::{audio_file::AudioClip, program::Program};

/// Debian's browser.
pub const CHROMIUM: &str = "chromium";

const PAGE: &str = include_str!("../browser/call.html");
/// How a page takes commands and reports events.
const COMMANDS: &str = include_str!("../browser/commands.js");
/// How long a request for a command waits; then the page asks again.
const HANGING: Duration = Duration::from_secs(20);
/// Commands and events in the queues; a test has a few dozen.
const WAITING: usize = 100;
/// A minute of recording at 48 kHz is 5.8 MB.
const RECORDING_LIMIT: usize = 8 << 20;

/// Flags that keep it from using the network, the disk and a sound card.
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

/// A browser with the page.
pub struct Browser {
    commands: line::Sender<Value>,
    events: mpsc::Receiver<Value>,
    recordings: mpsc::Receiver<AudioClip>,
    unread: VecDeque<Value>,
    _program: Program,
    _runtime: Runtime,
    _folder: TempDir,
}

#[derive(Clone)]
struct PageState {
    commands: Arc<Mutex<line::Receiver<Value>>>,
    events: mpsc::SyncSender<Value>,
    recordings: mpsc::SyncSender<AudioClip>,
}

impl Browser {
    /// Starts it; the page is loaded when this returns.
    pub fn open() -> Self {
        Self::open_page(PAGE)
    }

    /// The same with another page that is controlled like this one.
    pub fn open_page(page: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = Runtime::new().expect("a runtime");
        let (commands, waiting) = line::channel(WAITING);
        let (events_in, events) = mpsc::sync_channel(WAITING);
        let (recordings_in, recordings) = mpsc::sync_channel(1);
        let state = PageState {
            commands: Arc::new(Mutex::new(waiting)),
            events: events_in,
            recordings: recordings_in,
        };
        let address = runtime.block_on(serve(state, page));
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
            commands,
            events,
            recordings,
            unread: VecDeque::new(),
            _program: program,
            _runtime: runtime,
            _folder: folder,
        };
        browser.wait("loaded", crate::program::READY_WITHIN);
        browser
    }

    /// Sends the page a command with its parameters.
    pub fn send(&self, verb: &str, mut facts: Value) {
        facts["verb"] = json!(verb);
        self.commands
            .try_send(facts)
            .expect("the page takes its commands");
    }

    /// Waits for an event of this kind; other events are kept for later.
    ///
    /// # Panics
    /// When it does not come in time, or the page reports an error.
    pub fn wait(&mut self, kind: &str, patience: Duration) -> Value {
        let give_up = Instant::now() + patience;
        if let Some(index) = self.unread.iter().position(|event| event["kind"] == kind) {
            return self.unread.remove(index).expect("the index was just found");
        }
        loop {
            match self
                .events
                .recv_timeout(give_up.saturating_duration_since(Instant::now()))
            {
                Ok(event) if event["kind"] == kind => return event,
                Ok(event) if event["kind"] == "error" => panic!("the page: {event}"),
                Ok(event) => self.unread.push_back(event),
                Err(_) => panic!(
                    "the page did not say {kind:?} in {patience:?}, but {:?}",
                    self.unread
                ),
            }
        }
    }

    /// What the page has recorded since the command `record`.
    pub fn play_back(&self) -> AudioClip {
        self.send("play_back", json!({}));
        self.recording()
    }

    /// The recording that the page was told to send.
    pub fn recording(&self) -> AudioClip {
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

async fn serve(state: PageState, page: &'static str) -> SocketAddr {
    let router = Router::new()
        .route("/", get(move || async move { Html(page) }))
        .route(
            "/commands.js",
            get(|| async { ([(CONTENT_TYPE, "text/javascript")], COMMANDS) }),
        )
        .route("/command", get(command))
        .route("/event", post(event))
        .route("/recording", post(recording))
        .layer(DefaultBodyLimit::max(RECORDING_LIMIT))
        .with_state(state);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn command(State(state): State<PageState>) -> Json<Value> {
    let mut commands = state.commands.lock().await;
    let next = timeout(HANGING, commands.recv()).await;
    Json(next.map_or_else(
        |_| json!({ "verb": "wait" }),
        |command| command.unwrap_or_else(|| json!({ "verb": "end" })),
    ))
}

async fn event(State(state): State<PageState>, Json(event): Json<Value>) {
    let _ = state.events.try_send(event);
}

async fn recording(State(state): State<PageState>, RawQuery(query): RawQuery, body: Bytes) {
    let rate = query
        .as_deref()
        .and_then(|query| query.strip_prefix("rate=")?.parse().ok())
        .unwrap_or(48_000);
    let samples = body
        .chunks_exact(2)
        .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
        .collect();
    let _ = state.recordings.try_send(AudioClip { rate, samples });
}
