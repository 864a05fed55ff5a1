//! A real deployment on loopback: the phone book and two engines as processes, set up by the commands that an operator and two
//! users would type, with an independent Nostr relay and coturn.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    coturn::CoturnServer,
    networks::{Place, inside},
    nostr_relay::NostrRelay,
    ports,
    program::Program,
};

/// A line of an engine, and how a phone registers to it.
#[derive(Clone, Debug)]
pub struct InstalledLine {
    /// The line's number.
    pub number: String,
    /// SIP user name.
    pub user: String,
    /// SIP password.
    pub password: String,
    /// The engine's SIP server for UDP.
    pub udp: SocketAddr,
    /// The engine's SIP server for TCP.
    pub tcp: SocketAddr,
    /// The engine's SIP server for TLS.
    pub tls: SocketAddr,
    /// PEM file of the certificate authority that phones have to trust.
    pub ca: PathBuf,
}

/// Lines and settings of the engines.
#[derive(Clone, Copy, Debug)]
pub struct DeploymentConfig {
    /// Lines of each engine, at least one.
    pub lines: [usize; 2],
    /// Settings of both engines before the first TOML section.
    pub settings: &'static str,
    /// Further settings of both engines in section `[sip]`.
    pub sip: &'static str,
    /// Settings of the phone book.
    pub book: &'static str,
    /// Where each engine finds the TURN server, if not where the phone book says.
    pub turn: [Option<SocketAddr>; 2],
}

impl Default for DeploymentConfig {
    fn default() -> Self {
        Self {
            lines: [1, 1],
            settings: "",
            sip: "",
            // The default epoch of a minute would be too long here.
            book: "epoch_seconds = 1\n",
            turn: [None; 2],
        }
    }
}

/// Two engines with one or more lines each, and the servers between them.
#[derive(Debug)]
pub struct Deployment {
    lines: [InstalledLine; 2],
    more: [Vec<InstalledLine>; 2],
    engines: Vec<Program>,
    _book: Program,
    relay: NostrRelay,
    coturn: CoturnServer,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Deployment {
    /// Starts the phone book, activates a line for each engine, and starts both engines.
    ///
    /// # Panics
    /// With the output of the command that failed.
    pub fn start(alone: MutexGuard<'static, ()>, relay: NostrRelay, coturn: CoturnServer) -> Self {
        Self::start_with(alone, relay, coturn, &DeploymentConfig::default())
    }

    /// The same with other lines or settings.
    ///
    /// # Panics
    /// Like [`Deployment::start`], and when an engine has no line.
    pub fn start_with(
        alone: MutexGuard<'static, ()>,
        relay: NostrRelay,
        coturn: CoturnServer,
        layout: &DeploymentConfig,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [operator, one, two] = ["operator", "one", "two"].map(|name| {
            let home = folder.path().join(name);
            fs::create_dir(&home).expect("the folder is ours");
            home
        });
        let (book, url) = serve_book(&operator, &relay, &coturn, layout.book);
        let homes = [one, two];
        for (engine, home) in homes.iter().enumerate() {
            let own = settings(&coturn, layout.turn[engine], layout.sip);
            let settings = format!("{}{own}", layout.settings);
            fs::write(home.join("ringfence.toml"), settings).expect("the folder is ours");
            for _ in 0..layout.lines[engine] {
                activate(&operator, (home, None), &url);
            }
        }
        // The book has to hold all lines before an engine downloads it.
        wait_until_published(&operator);
        let [(first, more, engine_one), (second, more_there, engine_two)] = homes.map(|home| {
            let (mut lines, engine) = start_engine(&home);
            (lines.remove(0), lines, engine)
        });
        Self {
            lines: [first, second],
            more: [more, more_there],
            engines: vec![engine_one, engine_two],
            _book: book,
            relay,
            coturn,
            folder,
            _alone: alone,
        }
    }

    /// All lines of an engine.
    pub fn lines_of(&self, engine: usize) -> Vec<&InstalledLine> {
        let more = &self.more[engine];
        [&self.lines[engine]].into_iter().chain(more).collect()
    }

    /// The first line of each engine.
    pub const fn lines(&self) -> &[InstalledLine; 2] {
        &self.lines
    }

    /// A line of an engine; the first is in [`Deployment::lines`] too.
    ///
    /// # Panics
    /// When the engine has fewer lines.
    pub fn line(&self, engine: usize, index: usize) -> &InstalledLine {
        match index.checked_sub(1) {
            None => &self.lines[engine],
            Some(index) => &self.more[engine][index],
        }
    }

    /// What an engine has logged so far.
    pub fn log(&self, engine: usize) -> String {
        self.engines[engine].output()
    }

    /// What one of our commands says beside a running engine.
    ///
    /// # Panics
    /// With its output, when it fails.
    pub fn ask(&self, engine: usize, arguments: &[&str]) -> String {
        let home = self.folder.path().join(["one", "two"][engine]);
        run(&home, "ringfence", arguments)
    }

    /// Process ids of the engines.
    ///
    /// # Panics
    /// When one of them has been stopped.
    pub fn engines(&self) -> [u32; 2] {
        let ids: Vec<_> = self.engines.iter().map(Program::id).collect();
        ids.try_into().expect("both engines run")
    }

    /// The TURN server.
    pub const fn coturn(&self) -> &CoturnServer {
        &self.coturn
    }

    /// The relay's address.
    pub fn relay(&self) -> String {
        self.relay.url()
    }

    /// Stops the first engine as Ctrl-C does. Returns how long that took.
    ///
    /// # Panics
    /// When it has to be killed.
    pub fn stop_first_engine(&mut self) -> Duration {
        self.engines.remove(0).end()
    }
}

/// Issues a number and activates it as a line of an engine, which may be in a place of its own.
pub(crate) fn activate(operator: &Path, (home, place): (&Path, Option<&Place>), url: &str) {
    let issued = run(
        operator,
        "ringfence-phonebook",
        &["issue", "--config", "phonebook.toml", "--json"],
    );
    let issued: Value = serde_json::from_str(&issued).expect("the phone book prints JSON");
    let code = issued["activationCode"]
        .as_str()
        .expect("the phone book prints a code");
    let mut arguments = vec!["activate", "--config", "ringfence.toml"];
    arguments.extend(["--phonebook", url, "--code", code]);
    inside(place, || run(home, "ringfence", &arguments));
}

/// Waits until the book lists every number that was activated. An epoch lists a few new ones at most.
pub(crate) fn wait_until_published(operator: &Path) {
    let queued = || {
        let listed = run(
            operator,
            "ringfence-phonebook",
            &["list", "--config", "phonebook.toml", "--json"],
        );
        let listed: Value = serde_json::from_str(&listed).expect("the phone book prints JSON");
        listed["queued"].as_u64().expect("it counts them")
    };
    let (mut left, mut since) = (queued(), Instant::now());
    while left > 0 {
        thread::sleep(Duration::from_millis(200));
        let now = queued();
        if now < left {
            (left, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < Duration::from_secs(130),
            "no epoch ended in two minutes"
        );
    }
}

fn serve_book(
    home: &Path,
    relay: &NostrRelay,
    coturn: &CoturnServer,
    settings: &str,
) -> (Program, String) {
    let address = ports::free_pair().to_string();
    let turn = format!("turn:{}?transport=udp", coturn.address());
    let program = binary("ringfence-phonebook");
    let settings = format!("database = \"book.sqlite\"\n{settings}");
    fs::write(home.join("phonebook.toml"), settings).expect("the folder is ours");
    let arguments = [
        "serve",
        "--config",
        "phonebook.toml",
        "--listen",
        &address,
        "--relay",
        &relay.url(),
        "--turn",
        &turn,
    ];
    let mut book = Program::start(&program, &arguments, home);
    let url = format!("http://{address}");
    book.wait_for_output(&url);
    (book, url)
}

/// The system chooses the ports; relays are those of the phone book, and the TURN server too, unless `turn` is another way to it.
fn settings(coturn: &CoturnServer, turn: Option<SocketAddr>, sip: &str) -> String {
    let urls = turn.map(|turn| format!("urls = [\"turn:{turn}?transport=udp\"]"));
    [
        "state = \"state\"",
        "[sip]",
        "udp_port = 0",
        "tcp_port = 0",
        "tls_port = 0",
        sip,
        "[turn]",
        "allow_private = true",
        &format!("secret = \"{}\"", coturn.secret()),
        &urls.unwrap_or_default(),
        "",
    ]
    .join("\n")
}

fn start_engine(home: &Path) -> (Vec<InstalledLine>, Program) {
    let accounts = run(
        home,
        "ringfence",
        &["lines", "--passwords", "--config", "ringfence.toml"],
    );
    let mut engine = Program::start(
        &binary("ringfence"),
        &["run", "--config", "ringfence.toml"],
        home,
    );
    engine.wait_for_output("listening for rings");
    let ready = engine.wait_for_output("phones register at");
    let line = |account: &str| InstalledLine {
        number: word_after(account, "number"),
        user: word_after(account, "user"),
        password: word_after(account, "password"),
        udp: address_after(&ready, "udp"),
        tcp: address_after(&ready, "tcp"),
        tls: address_after(&ready, "tls"),
        ca: home.join("state/phones-ca.pem"),
    };
    (accounts.split("\n\n").map(line).collect(), engine)
}

pub(crate) fn word_after(text: &str, name: &str) -> String {
    let mut words = text
        .split_whitespace()
        .skip_while(|word| *word != name)
        .skip(1);
    words
        .next()
        .unwrap_or_else(|| panic!("no {name} in:\n{text}"))
        .to_owned()
}

fn address_after(text: &str, name: &str) -> SocketAddr {
    let word = word_after(text, name);
    word.trim_end_matches([',', '.'])
        .parse()
        .unwrap_or_else(|_| panic!("no address after {name} in:\n{text}"))
}

/// Runs one of our commands and returns what it printed.
pub(crate) fn run(home: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(binary(program))
        .args(arguments)
        .current_dir(home)
        .output()
        .expect("our program starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// The path of one of our programs, built from the current sources.
///
/// # Panics
/// When they cannot be built.
pub fn binary(name: &str) -> String {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build
            .args(["build", "--quiet", "--workspace", "--bins"])
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        // `cargo test` sets variables of this package. Build scripts would take them for a change and run again.
        for (name, _) in env::vars_os() {
            if ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_"]
                .iter()
                .any(|own| name.to_string_lossy().starts_with(own))
            {
                build.env_remove(name);
            }
        }
        let build = build.status();
        assert!(
            build.is_ok_and(|status| status.success()),
            "our programs could not be built"
        );
        // This test is target/debug/deps/it-..., a benchmark is below target/release/deps.
        let this = env::current_exe().expect("the test knows where it is");
        this.ancestors()
            .nth(2)
            .expect("it is below the target folder")
            .to_owned()
    });
    FOLDER.join(name).display().to_string()
}
