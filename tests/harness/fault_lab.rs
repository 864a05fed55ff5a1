//! The fault lab: the phone book with its relay, a coturn for each of two engines, and the engines as processes that can be killed, stopped and started anew
//! at the same ports, each with a wall clock of its own. A [`FaultyWire`] is between each engine and each server. The phones are those of
//! [`lab_phone`](crate::lab_phone).
//!
//! Settings are the product's, except that the phone book's epochs are short.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::MutexGuard,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    coturn::CoturnServer,
    deployment::{InstalledLine, activate, binary, run, wait_until_published, word_after},
    faulty_wire::FaultyWire,
    lab_plan::LabPlan,
    networks::{Place, inside},
    ports,
    process_clock::ProcessClock,
    program::{Program, Signal},
    small_disk,
};

/// What an engine prints when phones can register.
const STARTED: &str = "phones register at";
/// How long an engine may take until it can be called.
const READY_WITHIN: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(5);

/// Two engines and the servers between them.
#[derive(Debug)]
pub struct FaultLab {
    /// The engines: by custom the first one's phones call.
    pub engines: [LabEngine; 2],
    /// The engines' TURN servers. The phone book names the first.
    pub coturns: [CoturnServer; 2],
    /// Each engine's wire to the relay.
    pub relay_wires: [FaultyWire; 2],
    /// Each engine's wires to the TURN servers in its settings, its own first.
    pub turn_wires: [Vec<FaultyWire>; 2],
    /// The wall clock of phone book and relay.
    pub book_clock: ProcessClock,
    book: Program,
    /// What the phone book prints once it and the relay serve.
    book_url: String,
    _folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// An engine that outlives its process.
#[derive(Debug)]
pub struct LabEngine {
    /// Its lines.
    pub lines: Vec<InstalledLine>,
    /// Its wall clock.
    pub clock: ProcessClock,
    home: PathBuf,
    monitor: SocketAddr,
    /// Where it is, if not in the place of all others.
    place: Option<Place>,
    is_on_small_disk: bool,
    program: Program,
}

impl FaultLab {
    /// Starts everything, with `lines` lines for each engine.
    ///
    /// # Panics
    /// With the output of the command that failed.
    pub fn start(alone: MutexGuard<'static, ()>, lines: usize, plan: &LabPlan<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let coturns = plan.start_turn();
        let [operator, one, two] = ["operator", "one", "two"].map(|name| {
            let home = folder.path().join(name);
            fs::create_dir(&home).expect("the folder is ours");
            home
        });
        let book_clock = ProcessClock::new(&operator, "book");
        let relay = ports::free_pair_at(plan.servers);
        let (book, url) = serve_book(&operator, &coturns[0], relay, &book_clock);
        let relay_wires = [0, 1].map(|_| FaultyWire::to(relay, plan.servers));
        let turn_wires = [0, 1].map(|own| plan.turn_wires(own, &coturns));
        let homes = [(one, 0, plan.first), (two, 1, None)].map(|(home, own, place)| {
            let [sip, monitor] = inside(place, || [ports::free_pair(), ports::free_pair()]);
            let turn = plan.turn_section(own, &turn_wires[own], &coturns);
            let trust = plan.trust(&coturns[own]);
            let settings = settings([sip, monitor], relay_wires[own].address(), [&trust, &turn]);
            fs::write(home.join("ringfence.toml"), settings).expect("the folder is ours");
            for _ in 0..lines {
                activate(&operator, (&home, place), &url);
            }
            (home, sip, monitor, place)
        });
        // The book has to hold all lines before an engine downloads it.
        wait_until_published(&operator);
        let engines = homes.map(|(home, sip, monitor, place)| {
            inside(place, || LabEngine::install(home, sip, monitor))
        });
        let mut lab = Self {
            engines,
            coturns,
            relay_wires,
            turn_wires,
            book_clock,
            book,
            book_url: url,
            _folder: folder,
            _alone: alone,
        };
        lab.wait_ready();
        lab
    }

    /// Phone book and relay, which are one process, lose their power.
    pub fn kill_book(&mut self) {
        self.book.kill();
    }

    /// Starts phone book and relay again, and returns when they serve.
    pub fn restart_book(&mut self) {
        self.book.start_again();
        self.book.wait_for_output(&self.book_url);
    }

    /// Starts an engine that has ended, and waits until both can call and be called.
    ///
    /// # Panics
    /// When that takes a minute.
    pub fn wait_ready(&mut self) {
        for engine in &mut self.engines {
            if engine.ends_within(Duration::ZERO) {
                engine.start_again();
            }
            engine.wait_ready();
        }
    }
}

impl LabEngine {
    fn install(home: PathBuf, sip: SocketAddr, monitor: SocketAddr) -> Self {
        let clock = ProcessClock::new(&home, "engine");
        let settings = ["--config", "ringfence.toml"];
        let accounts = run(
            &home,
            "ringfence",
            &[&["lines", "--passwords"], &settings[..]].concat(),
        );
        let line = |account: &str| InstalledLine {
            number: word_after(account, "number"),
            user: word_after(account, "user"),
            password: word_after(account, "password"),
            udp: sip,
            tcp: sip,
            tls: sip,
            ca: home.join("state/phones-ca.pem"),
        };
        let program = Program::start_with(
            &binary("ringfence"),
            &[&["run"], &settings[..]].concat(),
            &home,
            &clock.environment(),
        );
        Self {
            lines: accounts.split("\n\n").map(line).collect(),
            clock,
            home,
            monitor,
            place: Place::here(),
            is_on_small_disk: false,
            program,
        }
    }

    /// Does some work in the engine's place.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(self.place.as_ref(), work)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Sends SIGTERM, SIGSTOP or SIGCONT.
    pub fn signal(&mut self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for its end; `false` when it takes longer.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        self.program.ends_within(patience)
    }

    /// Starts it anew and returns when phones can register; `false` if it ended instead.
    pub fn start_again(&mut self) -> bool {
        let (place, program) = (self.place.as_ref(), &mut self.program);
        inside(place, || program.start_again());
        self.wait_started()
    }

    fn wait_started(&mut self) -> bool {
        let give_up = Instant::now() + READY_WITHIN;
        while !self.output().contains(STARTED) {
            if self.program.ends_within(Duration::ZERO) || Instant::now() > give_up {
                return false;
            }
            thread::sleep(GLANCE);
        }
        true
    }

    /// Waits until it can call and be called: a relay brings rings, and an allocation is there.
    ///
    /// # Panics
    /// When that takes a minute.
    pub fn wait_ready(&mut self) {
        let begin = Instant::now();
        let figures = [
            "ringfence_relays{state=\"listening\"}",
            "ringfence_turn_allocations_ready",
        ];
        while figures.iter().any(|name| self.figure(name) < 1.0) {
            assert!(
                begin.elapsed() < READY_WITHIN,
                "the engine cannot be called:\n{}",
                self.output()
            );
            thread::sleep(10 * GLANCE);
        }
    }

    /// What it has logged since its last start.
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        let folder = self.home.join("state");
        match self.is_on_small_disk {
            true => small_disk::seen_by(self.id(), &folder),
            false => folder,
        }
    }

    /// Starts it anew with its state folder on a small disk of its own; `false` without the rights to mount one.
    pub fn move_to_small_disk(&mut self) -> bool {
        self.signal(Signal::TERM);
        self.ends_within(READY_WITHIN);
        let moved = small_disk::command(&self.home.join("state"));
        self.run_as(&moved);
        self.is_on_small_disk = self.wait_started();
        if !self.is_on_small_disk {
            self.run_as(&[]);
            self.wait_started();
        }
        self.is_on_small_disk
    }

    /// Starts it anew with what is on the small disk now, on the disk on which it was before.
    pub fn leave_small_disk(&mut self) {
        self.signal(Signal::STOP);
        small_disk::copy(&self.state(), &self.home.join("state"));
        self.is_on_small_disk = false;
        self.run_as(&[]);
        self.wait_started();
    }

    /// Runs another process of it, which these words start.
    fn run_as(&mut self, before: &[String]) {
        self.program.kill();
        let program = binary("ringfence");
        let own = [&program, "run", "--config", "ringfence.toml"];
        let words: Vec<&str> = before.iter().map(String::as_str).chain(own).collect();
        let clock = self.clock.environment();
        self.program = Program::start_with(words[0], &words[1..], &self.home, &clock);
    }

    /// A figure of the page for monitors; 0 while there is none.
    pub fn figure(&self, name: &str) -> f64 {
        let page = self.get("/metrics").unwrap_or_default();
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok())
            .unwrap_or(0.0)
    }

    /// What `/health` says: the first word of a healthy engine is `ok`.
    pub fn health(&self) -> String {
        let page = self.get("/health").unwrap_or_default();
        let body = page.split_once("\r\n\r\n").map(|(_, body)| body.trim());
        body.unwrap_or("no answer").to_owned()
    }

    /// What `ringfence status --json` says; `null` if it fails.
    pub fn status(&self) -> Value {
        let mut command = Command::new(binary("ringfence"));
        command
            .args(["status", "--json", "--config", "ringfence.toml"])
            .current_dir(&self.home)
            .envs(self.clock.environment());
        let output = self
            .inside(|| command.output())
            .expect("our program starts");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// How many phones are registered to a line.
    pub fn phones_of(&self, number: &str) -> usize {
        let status = self.status();
        let lines = status["lines"].as_array().into_iter().flatten();
        let number: u64 = number.parse().expect("a number");
        let mut lines = lines.filter(|line| line["number"] == number);
        let phones = lines.next().and_then(|line| line["phones"].as_array());
        phones.map_or(0, Vec::len)
    }

    fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = self.inside(|| TcpStream::connect(self.monitor))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let host = self.monitor;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }
}

fn serve_book(
    home: &Path,
    coturn: &CoturnServer,
    relay: SocketAddr,
    clock: &ProcessClock,
) -> (Program, String) {
    let address = ports::free_pair_at(coturn.ip());
    let settings = [
        format!("listen = \"{address}\""),
        "database = \"book.sqlite\"".to_owned(),
        // The default of five minutes would be too long here.
        "epoch_seconds = 2".to_owned(),
        format!("turn = [\"turn:{}?transport=udp\"]", coturn.address()),
        "[relay]".to_owned(),
        "serve = true".to_owned(),
        format!("listen = \"{relay}\""),
        String::new(),
    ];
    fs::write(home.join("phonebook.toml"), settings.join("\n")).expect("the folder is ours");
    let mut book = Program::start_with(
        &binary("ringfence-phonebook"),
        &["serve", "--config", "phonebook.toml"],
        home,
        &clock.environment(),
    );
    let url = format!("http://{address}");
    book.wait_for_output(&url);
    (book, url)
}

/// Fixed ports, so that phones find a new process where the old one was. The page and the monitor's page have neighbouring ports.
fn settings(
    [sip, monitor]: [SocketAddr; 2],
    relay: SocketAddr,
    [trust, turn]: [&str; 2],
) -> String {
    let page = SocketAddr::new(monitor.ip(), monitor.port() + 1);
    [
        "state = \"state\"".to_owned(),
        format!("relays = [\"ws://{relay}\"]"),
        trust.to_owned(),
        "[sip]".to_owned(),
        format!("udp_port = {}", sip.port()),
        format!("tcp_port = {}", sip.port()),
        "tls_port = 0".to_owned(),
        "[turn]".to_owned(),
        "allow_private = true".to_owned(),
        turn.to_owned(),
        "[page]".to_owned(),
        format!("listen = \"{page}\""),
        "[metrics]".to_owned(),
        format!("listen = \"{monitor}\""),
        String::new(),
    ]
    .join("\n")
}
