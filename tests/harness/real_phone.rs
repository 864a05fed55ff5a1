//! A real SIP phone, controlled through its script in `tests/phones/` (commands in, JSON lines out; see `driver.py` there).

use std::{
    fmt,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    audio_file::AudioClip,
    program::{from_pypi, installed, skipped, spawn, stop, tied_to_this_process, wait_for_end},
    tone::{self, ToneMeasurement},
};

/// The phones that can be controlled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneModel {
    /// liblinphone 5.1 (Debian `liblinphone10`, on which `linphone-cli` depends).
    Linphone,
    /// baresip 1.0 (Debian `baresip-core`).
    Baresip,
    /// PJSIP 2.15 (PyPI `pjsua2-python`).
    Pjsua,
    /// baresip 4.10 (PyPI `baresip-python`).
    Baresip4,
}

impl PhoneModel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Linphone, Self::Baresip, Self::Pjsua, Self::Baresip4];

    /// Whether all these phones are installed; `false` asks the test to return.
    ///
    /// # Panics
    /// In CI, like [`installed`].
    pub fn installed(models: &[Self]) -> bool {
        let debian: Vec<_> = models.iter().filter_map(|model| model.program()).collect();
        if !installed(&[&["python3"], debian.as_slice()].concat()) {
            return false;
        }
        let missing = models.iter().filter_map(|model| model.module());
        let mut missing = missing.filter(|module| !has_module(module));
        missing.next().is_none_or(|module| {
            skipped(&format!("Python's {module} is not in the target folder"));
            false
        })
    }

    /// A program of the phone's Debian package.
    const fn program(self) -> Option<&'static str> {
        match self {
            Self::Linphone => Some("linphonec"),
            Self::Baresip => Some("baresip"),
            Self::Pjsua | Self::Baresip4 => None,
        }
    }

    /// The phone's Python module from PyPI.
    const fn module(self) -> Option<&'static str> {
        match self {
            Self::Linphone | Self::Baresip => None,
            Self::Pjsua => Some("pjsua2"),
            Self::Baresip4 => Some("baresip"),
        }
    }

    const fn script(self) -> &'static str {
        match self {
            Self::Linphone => "linphone.py",
            Self::Baresip => "baresip1.py",
            Self::Pjsua => "pjsua.py",
            Self::Baresip4 => "baresip4.py",
        }
    }

    fn python(self) -> PathBuf {
        self.module()
            .map_or_else(|| "python3".into(), |_| from_pypi("python"))
    }
}

fn has_module(module: &str) -> bool {
    Command::new(from_pypi("python"))
        .args(["-c", &format!("import {module}")])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A phone's account and media settings.
#[derive(Clone, Debug)]
pub struct PhoneAccount<'a> {
    /// SIP user name.
    pub user: &'a str,
    /// SIP password.
    pub password: &'a str,
    /// The SIP server.
    pub server: SocketAddr,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// PEM file of the certificates to trust over TLS.
    pub ca: Option<&'a Path>,
    /// `off`, `optional` or `required`.
    pub srtp: &'a str,
    /// The codecs to use, of `PCMU`, `PCMA`, `G722`, `opus`, separated by commas, the preferred one first.
    pub codecs: &'a str,
    /// How key presses are sent: `rtp` (RFC 4733) or `info` (SIP INFO).
    pub digits: &'a str,
    /// The recipient of its texts, which baresip 1.0 needs in advance.
    pub contact: &'a str,
    /// The frequency of the tone that it sends.
    pub microphone: f64,
}

impl<'a> PhoneAccount<'a> {
    /// An account over UDP with G.711 and default settings.
    pub const fn plain(user: &'a str, password: &'a str, server: SocketAddr) -> Self {
        Self {
            user,
            password,
            server,
            transport: "udp",
            ca: None,
            srtp: "off",
            codecs: "PCMU",
            digits: "rtp",
            contact: "",
            microphone: tone::LOW,
        }
    }
}

/// A running phone.
pub struct RealPhone {
    name: String,
    child: Child,
    orders: ChildStdin,
    news: mpsc::Receiver<Value>,
    seen: Vec<Value>,
    home: TempDir,
}

/// Length of the tone; longer than any call of these tests.
const MICROPHONE_SECONDS: u32 = 60;
const QUIT_WITHIN: Duration = Duration::from_secs(10);
/// Most unread lines of a phone; it prints a few dozen in a call.
const NEWS_KEPT: usize = 1000;

impl RealPhone {
    /// Starts a phone. It registers at once; [`RealPhone::wait_registered`] waits for that.
    pub fn start(model: PhoneModel, account: &PhoneAccount<'_>) -> Self {
        let told = ["--user", account.user, "--password", account.password];
        Self::start_told(model, account, &told)
    }

    /// Starts a phone that is given only the URL of its settings. The account holds what the test itself needs.
    pub fn start_provisioned(model: PhoneModel, account: &PhoneAccount<'_>, url: &str) -> Self {
        Self::start_told(model, account, &["--provision", url])
    }

    fn start_told(model: PhoneModel, account: &PhoneAccount<'_>, told: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let microphone = home.path().join("microphone.wav");
        tone::sine(account.microphone, 8_000, MICROPHONE_SECONDS)
            .write(&microphone)
            .expect("the folder is ours");
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "phones", model.script()]
            .iter()
            .collect();
        // -B: Python must not write bytecode beside the scripts.
        let mut command = tied_to_this_process(&model.python().to_string_lossy(), &["-B"]);
        command
            .arg(script)
            .arg("--home")
            .arg(home.path())
            .arg("--microphone")
            .arg(&microphone);
        command.args(told);
        command.args([
            "--server",
            &account.server.to_string(),
            "--transport",
            account.transport,
        ]);
        command.args(["--codecs", account.codecs, "--srtp", account.srtp]);
        command.args(["--digits", account.digits, "--contact", account.contact]);
        if let Some(ca) = account.ca {
            command.arg("--ca").arg(ca);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = spawn(command);
        let orders = child.stdin.take().expect("its standard input is a pipe");
        let lines =
            BufReader::new(child.stdout.take().expect("its standard output is a pipe")).lines();
        let (sender, news) = mpsc::sync_channel(NEWS_KEPT);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(news) = serde_json::from_str(&line) else {
                    continue;
                };
                if sender.send(news).is_err() {
                    return;
                }
            }
        });
        Self {
            name: format!("{model:?} {}", account.user),
            child,
            orders,
            news,
            seen: Vec::new(),
            home,
        }
    }

    /// Sends a command (`driver.py` has the list).
    pub fn command(&mut self, words: &str) {
        self.try_command(words).unwrap_or_else(|error| {
            panic!(
                "{}: cannot be told to {words}: {error}: {}",
                self.name,
                self.story()
            )
        });
    }

    fn try_command(&mut self, words: &str) -> std::io::Result<()> {
        self.orders.write_all(words.as_bytes())?;
        self.orders.write_all(b"\n")?;
        self.orders.flush()
    }

    /// Waits until it is registered.
    pub fn wait_registered(&mut self) {
        self.wait("a registration", Duration::from_secs(10), |news| {
            news["event"] == "registered"
        });
    }

    /// Waits until its call is in a state: `dialling`, `ringing`, `incoming`, `talking`, `held`, `ended`. Only events that were
    /// not read before count.
    pub fn wait_call(&mut self, state: &str, patience: Duration) -> Value {
        self.wait(state, patience, |news| {
            news["event"] == "call" && news["state"] == state
        })
    }

    /// Waits for an event for which `wanted` holds.
    ///
    /// # Panics
    /// With all events of the phone, when there is none in time.
    pub fn wait(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let give_up = Instant::now() + patience;
        loop {
            match self
                .news
                .recv_timeout(give_up.saturating_duration_since(Instant::now()))
            {
                Ok(news) => {
                    self.seen.push(news.clone());
                    if wanted(&news) {
                        return news;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: no {what} in {patience:?}: {}", self.name, self.story())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}: went away before {what}: {}", self.name, self.story())
                }
            }
        }
    }

    /// All events so far, one object a line.
    fn story(&self) -> String {
        self.seen.iter().map(|news| format!("\n  {news}")).collect()
    }

    /// The recording of the call that has ended, from the last hold on.
    ///
    /// # Panics
    /// When there is no recording.
    pub fn recording(&mut self) -> AudioClip {
        let is_told = |news: &Value| news["event"] == "recordings";
        // Recordings before the end belong to earlier calls.
        let mut by_call = self.seen.rsplit(|news| news["state"] == "ended");
        let since_end = by_call.next().unwrap_or_default();
        let news = match since_end.iter().find(|news| is_told(news)) {
            Some(news) => news.clone(),
            None => self.wait("a recording", QUIT_WITHIN, is_told),
        };
        let files = news["files"].as_array().and_then(|files| files.last());
        let Some(file) = files.and_then(Value::as_str) else {
            panic!("{}: recorded nothing: {}", self.name, self.story())
        };
        AudioClip::read(Path::new(file))
            .unwrap_or_else(|error| panic!("{}: {file}: {error:?}", self.name))
    }

    /// How much of a tone it recorded in the call that has ended. The phone quits.
    pub fn quit_and_measure(mut self, hz: f64) -> ToneMeasurement {
        tone::measure(&self.recording(), hz)
    }

    /// Where the phone keeps its files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl fmt::Debug for RealPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RealPhone({})", self.name)
    }
}

impl Drop for RealPhone {
    fn drop(&mut self) {
        let _ = self.try_command("quit");
        if !wait_for_end(&mut self.child, QUIT_WITHIN) {
            stop(&mut self.child);
        }
    }
}
