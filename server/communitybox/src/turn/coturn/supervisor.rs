//! The thread that keeps coturn running: starts it, sees it end, waits a while, starts it again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ringfence_book::backoff::Backoff;
use tempfile::TempDir;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::super::TurnPlan;
use super::output::LastWords;
use super::{find, settings};

/// Between two looks at whether it still runs.
const GLANCE: Duration = Duration::from_millis(100);

/// How long it stays away after its first end, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Who ran this long is forgiven earlier ends.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// What becomes of coturn.
#[derive(Clone, Debug)]
pub(super) enum CoturnState {
    /// It runs, as this process.
    Running(u32),
    /// It ended, with these words, and will be started again.
    Ended(String),
}

impl CoturnState {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Running(_) => String::new(),
            Self::Ended(words) => words.clone(),
        }
    }
}

/// The keeper of one coturn; dropping it ends both.
#[derive(Debug)]
pub(super) struct Keeper {
    state: watch::Receiver<CoturnState>,
    folder: Arc<TempDir>,
    bell: mpsc::SyncSender<Order>,
    _home: mpsc::Sender<()>,
}

/// Asks the keeper to start coturn again.
#[derive(Debug)]
pub(super) struct Bell(mpsc::SyncSender<Order>);

#[derive(Debug)]
struct Order;

impl Bell {
    pub(super) fn ring(&self) {
        // A full channel means that it was rung already.
        let _ = self.0.try_send(Order);
    }
}

impl Keeper {
    /// Starts coturn, and the thread that keeps it.
    pub(super) fn hire(program: PathBuf, plan: TurnPlan, listen: SocketAddr) -> io::Result<Self> {
        let folder = Arc::new(
            tempfile::Builder::new()
                .prefix("ringfence-turn")
                .tempdir()?,
        );
        let (bell, orders) = mpsc::sync_channel(1);
        let (home, closing) = mpsc::channel();
        let (tell, state) = watch::channel(CoturnState::Ended(String::new()));
        let (started, first) = mpsc::channel();
        let ward = Ward {
            program,
            plan,
            listen,
            folder: Arc::clone(&folder),
            words: LastWords::default(),
            tell,
            orders,
            closing,
        };
        thread::Builder::new()
            .name("coturn".to_owned())
            .spawn(move || ward.keep(&started))?;
        first.recv().map_err(io::Error::other)??;
        Ok(Self {
            state,
            folder,
            bell,
            _home: home,
        })
    }

    pub(super) fn state(&self) -> watch::Receiver<CoturnState> {
        self.state.clone()
    }

    pub(super) fn bell(&self) -> Bell {
        Bell(self.bell.clone())
    }

    /// Deletes the file with the secret: coturn has read it.
    pub(super) fn forget_settings(&self) {
        forget(self.folder.path());
    }
}

/// What the keeper's thread has.
struct Ward {
    program: PathBuf,
    plan: TurnPlan,
    listen: SocketAddr,
    folder: Arc<TempDir>,
    words: LastWords,
    tell: watch::Sender<CoturnState>,
    orders: mpsc::Receiver<Order>,
    closing: mpsc::Receiver<()>,
}

impl Ward {
    fn keep(self, started: &mpsc::Sender<io::Result<()>>) {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let _ = started.send(Ok(()));
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, 2);
        loop {
            let since = Instant::now();
            let open = self.watch(&mut child);
            end(&mut child);
            if !open {
                return;
            }
            if since.elapsed() > FORGIVEN_AFTER {
                backoff.reset();
            }
            let words = self.words.text();
            let mut pause = backoff.next_delay();
            self.tell.send_replace(CoturnState::Ended(words.clone()));
            error!(
                "coturn has ended, calls through it too; it is started again in {pause:?}. It said: {words}"
            );
            child = loop {
                if self.is_closing_within(pause) {
                    return;
                }
                match self.start() {
                    Ok(child) => break child,
                    Err(error) => {
                        pause = backoff.next_delay();
                        warn!("coturn does not start: {error}; again in {pause:?}");
                    }
                }
            };
            info!("coturn runs again");
        }
    }

    /// Watches until it ended or shall be started again (true), or is no longer wanted (false).
    fn watch(&self, child: &mut Child) -> bool {
        loop {
            if self.is_closing_within(GLANCE) {
                return false;
            }
            if self.orders.try_recv().is_ok() || !matches!(child.try_wait(), Ok(None)) {
                return true;
            }
        }
    }

    fn is_closing_within(&self, time: Duration) -> bool {
        !matches!(
            self.closing.recv_timeout(time),
            Err(RecvTimeoutError::Timeout)
        )
    }

    fn start(&self) -> io::Result<Child> {
        let folder = self.folder.path();
        let file = write_settings(folder, &settings::write(&self.plan, self.listen, folder))?;
        self.words.clear();
        let mut child = leashed(&self.program)
            .arg("-c")
            .arg(&file)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(output) = child.stdout.take() {
            let words = self.words.clone();
            // Ends with the program's output.
            let spawned = thread::Builder::new()
                .name("coturn's words".to_owned())
                .spawn(move || words.listen(output));
            if let Err(error) = spawned {
                end(&mut child);
                return Err(error);
            }
        }
        self.tell.send_replace(CoturnState::Running(child.id()));
        Ok(child)
    }
}

/// The program on a leash that the kernel cuts when this thread ends, where there is such a leash.
fn leashed(program: &Path) -> Command {
    match find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => {
            warn!(
                "setpriv (util-linux) is not installed: if this process is killed, end coturn yourself"
            );
            Command::new(program)
        }
    }
}

/// Writes the settings where only this user reads them.
fn write_settings(folder: &Path, text: &str) -> io::Result<PathBuf> {
    forget(folder);
    let file = folder.join(SETTINGS);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)?
        .write_all(text.as_bytes())?;
    Ok(file)
}

fn forget(folder: &Path) {
    // It may be gone already.
    let _ = fs::remove_file(folder.join(SETTINGS));
}

const SETTINGS: &str = "turnserver.conf";

fn end(child: &mut Child) {
    // Both fail only for a child that has ended already.
    let _ = child.kill();
    let _ = child.wait();
}
