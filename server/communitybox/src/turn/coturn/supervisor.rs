//! The supervisor of coturn: a thread that starts it and, when it ends, starts it again after a pause.

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
use super::output::LastOutput;
use super::{find, settings};

/// Between two checks that it still runs.
const CHECK: Duration = Duration::from_millis(100);

/// The pause before the first restart, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After a run of this length the pause is the first one again.
const STABLE_AFTER: Duration = Duration::from_secs(120);

/// Whether coturn runs.
#[derive(Clone, Debug)]
pub(super) enum CoturnState {
    /// It runs, as this process.
    Running(u32),
    /// It ended with this output, and will be started again.
    Ended(String),
}

impl CoturnState {
    pub(super) fn output(&self) -> String {
        match self {
            Self::Running(_) => String::new(),
            Self::Ended(output) => output.clone(),
        }
    }
}

/// The supervisor of one coturn; dropping it ends both.
#[derive(Debug)]
pub(super) struct CoturnSupervisor {
    state: watch::Receiver<CoturnState>,
    folder: Arc<TempDir>,
    restart: mpsc::SyncSender<()>,
    _open: mpsc::Sender<()>,
}

/// Asks the supervisor to restart coturn.
#[derive(Debug)]
pub(super) struct RestartSender(mpsc::SyncSender<()>);

impl RestartSender {
    pub(super) fn send(&self) {
        // A full channel means that a restart was requested already.
        let _ = self.0.try_send(());
    }
}

impl CoturnSupervisor {
    /// Starts coturn and the thread that supervises it.
    pub(super) fn start(program: PathBuf, plan: TurnPlan, listen: SocketAddr) -> io::Result<Self> {
        let folder = Arc::new(
            tempfile::Builder::new()
                .prefix("ringfence-turn")
                .tempdir()?,
        );
        let (restart, restarts) = mpsc::sync_channel(1);
        let (open, closing) = mpsc::channel();
        let (tell, state) = watch::channel(CoturnState::Ended(String::new()));
        let (started, first) = mpsc::channel();
        let thread = SupervisorThread {
            program,
            plan,
            listen,
            folder: Arc::clone(&folder),
            output: LastOutput::default(),
            tell,
            restarts,
            closing,
        };
        thread::Builder::new()
            .name("coturn".to_owned())
            .spawn(move || thread.run(&started))?;
        first.recv().map_err(io::Error::other)??;
        Ok(Self {
            state,
            folder,
            restart,
            _open: open,
        })
    }

    pub(super) fn state(&self) -> watch::Receiver<CoturnState> {
        self.state.clone()
    }

    pub(super) fn restart_sender(&self) -> RestartSender {
        RestartSender(self.restart.clone())
    }

    /// Deletes the file with the secret: coturn has read it.
    pub(super) fn delete_settings(&self) {
        delete_settings(self.folder.path());
    }
}

/// What the supervisor's thread owns.
struct SupervisorThread {
    program: PathBuf,
    plan: TurnPlan,
    listen: SocketAddr,
    folder: Arc<TempDir>,
    output: LastOutput,
    tell: watch::Sender<CoturnState>,
    restarts: mpsc::Receiver<()>,
    closing: mpsc::Receiver<()>,
}

impl SupervisorThread {
    fn run(self, started: &mpsc::Sender<io::Result<()>>) {
        let mut child = match self.spawn() {
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
            if since.elapsed() > STABLE_AFTER {
                backoff.reset();
            }
            let output = self.output.text();
            let mut pause = backoff.next_delay();
            self.tell.send_replace(CoturnState::Ended(output.clone()));
            error!(
                "coturn has ended, calls through it too; it is started again in {pause:?}. It said: {output}"
            );
            child = loop {
                if self.is_closing_within(pause) {
                    return;
                }
                match self.spawn() {
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

    /// Waits until it has ended or a restart is requested (true), or until the supervisor was dropped (false).
    fn watch(&self, child: &mut Child) -> bool {
        loop {
            if self.is_closing_within(CHECK) {
                return false;
            }
            if self.restarts.try_recv().is_ok() || !matches!(child.try_wait(), Ok(None)) {
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

    fn spawn(&self) -> io::Result<Child> {
        let folder = self.folder.path();
        let file = write_settings(folder, &settings::write(&self.plan, self.listen, folder))?;
        self.output.clear();
        let mut child = killed_with_thread(&self.program)
            .arg("-c")
            .arg(&file)
            .current_dir(folder)
            // It would report to the service manager in our place.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(stdout) = child.stdout.take() {
            let output = self.output.clone();
            // Ends with the program's output.
            let spawned = thread::Builder::new()
                .name("coturn output".to_owned())
                .spawn(move || output.read(stdout));
            if let Err(error) = spawned {
                end(&mut child);
                return Err(error);
            }
        }
        self.tell.send_replace(CoturnState::Running(child.id()));
        Ok(child)
    }
}

/// The program; with setpriv, the kernel kills it when this thread ends.
fn killed_with_thread(program: &Path) -> Command {
    match find("setpriv") {
        Some(setpriv) if may_be_used(&setpriv) => {
            let mut command = with_death_signal(&setpriv);
            command.arg(program);
            command
        }
        Some(_) => {
            info!(
                "setpriv is forbidden here: if this process is killed, only a service manager ends coturn"
            );
            Command::new(program)
        }
        None => {
            warn!(
                "setpriv (util-linux) is not installed: if this process is killed, end coturn yourself"
            );
            Command::new(program)
        }
    }
}

fn with_death_signal(setpriv: &Path) -> Command {
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]);
    command
}

/// It sets the process's capabilities anew, though there are none to set, and the sandbox of our unit forbids that (`capset`).
fn may_be_used(setpriv: &Path) -> bool {
    let mut command = with_death_signal(setpriv);
    let tried = command
        .arg(setpriv)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Writes the settings where only this user reads them.
fn write_settings(folder: &Path, text: &str) -> io::Result<PathBuf> {
    delete_settings(folder);
    let file = folder.join(SETTINGS);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)?
        .write_all(text.as_bytes())?;
    Ok(file)
}

fn delete_settings(folder: &Path) {
    // It may be gone already.
    let _ = fs::remove_file(folder.join(SETTINGS));
}

const SETTINGS: &str = "turnserver.conf";

fn end(child: &mut Child) {
    // Both fail only for a child that has ended already.
    let _ = child.kill();
    let _ = child.wait();
}
