//! A real SIP phone, driven through its script in `tests/phones/` (orders in, JSON lines out; see `desk.py` there).

use std::{
    fmt,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    program::{leashed, spawn, stop, wait_for_end},
    tone::{self, Heard},
    wav::Sound,
};

/// The phones that can be driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// liblinphone 5.1 (Debian `liblinphone10`, which `linphone-cli` pulls in).
    Linphone,
    /// baresip 1.0 (Debian `baresip-core`).
    Baresip,
}

impl Model {
    /// The Debian programs that come with the phone and its driver.
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Linphone => &["python3", "linphonec"],
            Self::Baresip => &["python3", "baresip"],
        }
    }

    const fn script(self) -> &'static str {
        match self {
            Self::Linphone => "linphone.py",
            Self::Baresip => "baresip.py",
        }
    }
}

/// How a phone reaches its server and what it sounds like.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    /// SIP user name.
    pub user: &'a str,
    /// SIP password.
    pub password: &'a str,
    /// The SIP server.
    pub server: SocketAddr,
    /// `udp` or `tcp`.
    pub transport: &'a str,
    /// Of `PCMU`, `PCMA`, `G722`, `opus`: only these, the best first, separated by commas.
    pub codecs: &'a str,
    /// Frequency that its microphone picks up.
    pub microphone: f64,
}

/// A running phone.
pub struct Phone {
    name: String,
    child: Child,
    orders: ChildStdin,
    news: mpsc::Receiver<Value>,
    seen: Vec<Value>,
    home: TempDir,
}

/// Length of the microphone's sound; longer than any call of these tests.
const MICROPHONE_SECONDS: u32 = 60;
const QUIT_WITHIN: Duration = Duration::from_secs(10);
/// Lines from a phone that wait to be read; it says a few dozen in a call.
const NEWS_KEPT: usize = 1000;

impl Phone {
    /// Starts a phone. It registers at once; [`Phone::wait_registered`] waits for that.
    pub fn start(model: Model, account: &Account<'_>) -> Self {
        let told = ["--user", account.user, "--password", account.password];
        Self::start_told(model, account, &told)
    }

    /// Starts a phone that knows nothing but where its settings are. The account says what the test needs to dial.
    pub fn start_provisioned(model: Model, account: &Account<'_>, url: &str) -> Self {
        Self::start_told(model, account, &["--provision", url])
    }

    fn start_told(model: Model, account: &Account<'_>, told: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let microphone = home.path().join("microphone.wav");
        tone::sine(account.microphone, 8_000, MICROPHONE_SECONDS)
            .write(&microphone)
            .expect("the folder is ours");
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "phones", model.script()]
            .iter()
            .collect();
        // -B: nothing is written beside the scripts.
        let mut command = leashed("python3", &["-B"]);
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
        command.args(["--codecs", account.codecs]);
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

    /// Gives an order (the list is in `desk.py`).
    pub fn order(&mut self, words: &str) {
        self.try_order(words).unwrap_or_else(|error| {
            panic!(
                "{}: cannot be told to {words}: {error}: {}",
                self.name,
                self.story()
            )
        });
    }

    fn try_order(&mut self, words: &str) -> std::io::Result<()> {
        self.orders.write_all(words.as_bytes())?;
        self.orders.write_all(b"\n")?;
        self.orders.flush()
    }

    /// Waits for the registrar's yes.
    pub fn wait_registered(&mut self) {
        self.wait("a registration", Duration::from_secs(10), |news| {
            news["event"] == "registered"
        });
    }

    /// Waits until its call is in a state: `dialling`, `ringing`, `incoming`, `talking`, `held`, `ended`. Looks only at
    /// what the phone says from here on, and at what was not read yet.
    pub fn wait_call(&mut self, state: &str, patience: Duration) -> Value {
        self.wait(state, patience, |news| {
            news["event"] == "call" && news["state"] == state
        })
    }

    /// Waits for a line for which `wanted` holds.
    ///
    /// # Panics
    /// With everything that the phone said, when it does not come in time.
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

    /// Everything it has said so far, one object a line.
    fn story(&self) -> String {
        self.seen.iter().map(|news| format!("\n  {news}")).collect()
    }

    /// Puts the phone away and says how much of a tone it had heard.
    pub fn quit_and_listen(mut self, hz: f64) -> Heard {
        self.order("quit");
        let news = self.wait("a recording", QUIT_WITHIN, |news| {
            news["event"] == "heard" || news["event"] == "gone"
        });
        let Some(file) = news["file"].as_str() else {
            panic!("{}: recorded nothing: {}", self.name, self.story())
        };
        match Sound::read(Path::new(file)) {
            Ok(sound) => tone::listen(&sound, hz),
            Err(error) => panic!("{}: {file}: {error:?}", self.name),
        }
    }

    /// Where the phone keeps its files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({})", self.name)
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.try_order("quit");
        if !wait_for_end(&mut self.child, QUIT_WITHIN) {
            stop(&mut self.child);
        }
    }
}
