//! A program that runs in a folder of its own and is stopped with the test.
//!
//! The kernel kills it when this process ends in any way: it is started by util-linux's `setpriv --pdeathsig`, from one thread
//! that lives as long as the process, because the signal depends on the parent *thread*. In CI a missing program is a failure;
//! elsewhere its tests are skipped with a message.

use std::{
    env, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::networks::Place;

/// How long a program may take to be ready.
pub const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM, before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// The interval between two checks of a condition.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

type Request = (Command, mpsc::Sender<io::Result<Child>>);

static STARTER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
    let (requests, inbox) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for (mut command, reply) in inbox {
            let _ = reply.send(command.spawn());
        }
    });
    requests
});

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    arguments: Vec<String>,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
    log: PathBuf,
}

/// Whether all these programs are installed; `false` asks the test to return.
///
/// # Panics
/// In CI (`CI` is set), where nothing may be skipped.
pub fn installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| find(program).is_none())
        .collect();
    if missing.is_empty() {
        return true;
    }
    skipped(&format!("{missing:?} not installed"));
    false
}

/// A lock for tests with calls in real time: two such tests at once would take processor time from each other's phones.
pub fn real_time() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A test that failed with the lock must not make the others fail.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports that a test is skipped, and why.
///
/// # Panics
/// In CI (`CI` is set), where nothing may be skipped.
#[expect(clippy::print_stderr, reason = "a skipped test must be visible")]
pub fn skipped(why: &str) {
    assert!(
        env::var_os("CI").is_none(),
        "{why}; tests/run installs everything"
    );
    eprintln!(
        "\n*** SKIPPED {}: {why}; tests/run installs everything ***\n",
        thread::current().name().unwrap_or("a test")
    );
}

/// A program in the virtual environment that `tests/run` makes below the target folder.
pub fn from_pypi(program: &str) -> PathBuf {
    target_folder().join("venv/bin").join(program)
}

/// Cargo's target folder.
pub fn target_folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| {
        [env!("CARGO_MANIFEST_DIR"), "..", "target"]
            .iter()
            .collect()
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

impl Program {
    /// Starts a program whose output goes to a file in `folder`; its standard input is closed.
    pub fn start(program: &str, arguments: &[&str], folder: &Path) -> Self {
        Self::start_with(program, arguments, folder, &[])
    }

    /// The same with further variables in its environment.
    pub fn start_with(
        program: &str,
        arguments: &[&str],
        folder: &Path,
        environment: &[(String, String)],
    ) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let log = folder.join("output");
        let child = run_in(program, &arguments, folder, environment, &log);
        Self {
            name: program.to_owned(),
            arguments,
            folder: folder.to_owned(),
            environment: environment.to_vec(),
            child,
            log,
        }
    }

    /// Starts it anew as it was started, with an empty log. What still runs is killed.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = run_in(
            &self.name,
            &self.arguments,
            &self.folder,
            &self.environment,
            &self.log,
        );
    }

    /// Kills it as a crash or a power cut would: without a warning.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal. Nothing happens when it has ended.
    pub fn signal(&mut self, signal: Signal) {
        signal_child(&mut self.child, signal);
    }

    /// Whether it has ended within `patience`.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        wait_for_end(&mut self.child, patience)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    /// With the end of the program's output, when it ends or is not ready in time.
    pub fn wait_until_ready(&mut self, mut ready: impl FnMut() -> bool) {
        let give_up = Instant::now() + READY_WITHIN;
        while !ready() {
            let ended = self.child.try_wait().expect("our own child can be asked");
            let late = Instant::now() >= give_up;
            assert!(
                ended.is_none() && !late,
                "{}: {}:\n{}",
                self.name,
                if late { "not ready" } else { "ended" },
                self.output_tail()
            );
            thread::sleep(CHECK_INTERVAL);
        }
    }

    /// Waits until it has printed these words. Returns everything that it has printed.
    ///
    /// # Panics
    /// Like [`Program::wait_until_ready`].
    pub fn wait_for_output(&mut self, words: &str) -> String {
        let log = self.log.clone();
        let said = || fs::read_to_string(&log).unwrap_or_default();
        self.wait_until_ready(|| said().contains(words));
        said()
    }

    /// Sends SIGTERM and waits for the end. Returns how long that took.
    ///
    /// # Panics
    /// When it has to be killed, or its exit status is not 0.
    pub fn end(mut self) -> Duration {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        let ended = wait_for_end(&mut self.child, 2 * STOP_WITHIN);
        let took = asked.elapsed();
        assert!(ended, "{} does not end when asked to", self.name);
        let status = self.child.wait().expect("our own child can be asked");
        assert!(status.success(), "{} ended with {status}", self.name);
        took
    }

    /// Everything it has printed so far.
    ///
    /// # Panics
    /// When the file of its output is gone.
    pub fn output(&self) -> String {
        let output = fs::read(&self.log).expect("the fixture's folder is there as long as it");
        String::from_utf8_lossy(&output).into_owned()
    }

    fn output_tail(&self) -> String {
        let mut text = String::new();
        let read = fs::File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text));
        if read.is_err() {
            return "(no output)".to_owned();
        }
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Program {
    #[expect(
        clippy::print_stderr,
        reason = "what a program said belongs to a failed test's report"
    )]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the last words of {}:\n{}", self.name, self.output_tail());
        }
        stop(&mut self.child);
    }
}

/// A command that is killed when this process ends, in the place of this thread.
pub(crate) fn tied_to_this_process(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if let Some(place) = Place::here() {
        command.args(["nsenter", &format!("--net={}", place.path()), "--"]);
    }
    command.arg(program).args(arguments);
    command
}

/// Starts a command from the thread that lives as long as the process.
pub(crate) fn spawn(command: Command) -> Child {
    let program = format!("{command:?}");
    let (reply, answer) = mpsc::channel();
    STARTER
        .send((command, reply))
        .expect("the starting thread lives as long as the process");
    match answer.recv().expect("every request is answered") {
        Ok(child) => child,
        Err(error) => panic!("{program} did not start: {error}"),
    }
}

/// Starts a program whose output goes to `log`.
fn run_in(
    program: &str,
    arguments: &[String],
    folder: &Path,
    environment: &[(String, String)],
    log: &Path,
) -> Child {
    let output = fs::File::create(log).expect("the fixture's own folder is writable");
    let errors = output.try_clone().expect("a file can be shared");
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut command = tied_to_this_process(program, &arguments);
    command
        .current_dir(folder)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    spawn(command)
}

/// A child that has not been waited for keeps its process id, so the signal meets no other process.
fn signal_child(child: &mut Child, signal: Signal) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill_process(Pid::from_child(child), signal);
    }
}

/// Sends SIGTERM to a child, and SIGKILL if it does not end.
pub(crate) fn stop(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    signal_child(child, Signal::TERM);
    if !wait_for_end(child, STOP_WITHIN) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits for a child's end; `false` when it takes longer.
pub(crate) fn wait_for_end(child: &mut Child, patience: Duration) -> bool {
    let give_up = Instant::now() + patience;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= give_up {
            return false;
        }
        thread::sleep(CHECK_INTERVAL);
    }
    true
}
