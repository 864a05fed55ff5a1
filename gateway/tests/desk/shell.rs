//! A shell without a terminal, in a home of its own.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ringfence::selfcall::phone::TonePhone;
use ringfence::softphone::{PhoneEvent, Registration};
use ringfence_book::turn_credentials::TurnSecret;
use ringfence_book::{ActivationCode, NumberPlan};
use ringfence_box::EmbeddedRelay;
use ringfence_box::turn::service::EmbeddedTurn;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Database;
use ringfence_sip::{Password, User};
use tempfile::TempDir;

pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ringfence");

/// The home folder in which commands run.
pub(crate) struct Shell {
    pub(crate) home: TempDir,
}

impl Shell {
    pub(crate) fn open() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The command, to be started in this home, without a terminal to ask at.
    pub(crate) fn command(&self, typed: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.args(["--wait", PROGRAM]);
        self.in_this_home(command, typed)
    }

    /// The same as a child that can be told to end.
    pub(crate) fn alone(&self, typed: &[&str]) -> Command {
        self.in_this_home(Command::new(PROGRAM), typed)
    }

    /// Another program in this home.
    pub(crate) fn of(&self, program: Command, typed: &[&str]) -> Command {
        self.in_this_home(program, typed)
    }

    fn in_this_home(&self, mut command: Command, typed: &[&str]) -> Command {
        command
            .args(typed)
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        for variable in [
            "RUST_LOG",
            "RINGFENCE_PASSPHRASE",
            "RINGFENCE_BACKUP_PASSPHRASE",
            "CREDENTIALS_DIRECTORY",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
        ] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn run(&self, typed: &[&str]) -> Output {
        self.command(typed).output().unwrap()
    }

    /// What is printed by a command that succeeds.
    pub(crate) fn done(&self, typed: &[&str]) -> String {
        answer(typed, &self.run(typed))
    }

    /// The one line of a command that fails with this status.
    pub(crate) fn fails(&self, typed: &[&str], status: i32) -> String {
        complaint(typed, &self.run(typed), status)
    }
}

pub(crate) fn answer(typed: &[&str], output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{typed:?}: {errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn complaint(typed: &[&str], output: &Output, status: i32) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{typed:?}: {errors}");
    let told: Vec<_> = errors
        .lines()
        .filter(|line| line.starts_with("ringfence: "))
        .collect();
    let [line] = told[..] else {
        panic!("{typed:?}: not one line but {errors}")
    };
    assert!(line.contains(". To do: ") && line.ends_with('.'), "{line}");
    line.to_owned()
}

/// A phone book, a relay and a TURN server on loopback.
pub(crate) struct Servers {
    pub(crate) book: PhoneBook,
    pub(crate) relay: EmbeddedRelay,
    pub(crate) turn: EmbeddedTurn,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        Self::of(|_| {}).await
    }

    /// With other settings of the phone book.
    pub(crate) async fn of(change: impl FnOnce(&mut ringfence_phonebook::config::Config)) -> Self {
        let relay = EmbeddedRelay::start(ANY_PORT).await.unwrap();
        let secret = || TurnSecret::new("a-secret-of-the-turn-server".to_owned());
        let turn = EmbeddedTurn::start(ANY_PORT, secret(), true).await.unwrap();
        let mut config = ringfence_phonebook::config::Config {
            listen: ANY_PORT,
            database: Database::Memory,
            plan: NumberPlan::new(20_000, 2).unwrap(),
            relays: vec![relay.url()],
            turn: vec![format!("turn:{}", turn.local_addr())],
            turn_secret: Some(secret()),
            ..Default::default()
        };
        change(&mut config);
        let book = PhoneBook::start(config).await.unwrap();
        Self { book, relay, turn }
    }

    pub(crate) async fn code(&self) -> String {
        self.book.issue().await.unwrap().code.text()
    }

    /// The link of an invitation.
    pub(crate) async fn link(&self) -> String {
        format!("{}/#{}", self.book.url(), self.code().await)
    }

    /// A code of the book that it never issued.
    pub(crate) fn unknown_code(&self) -> String {
        ActivationCode::draw(&self.book.book_key(), &mut rand::rng()).text()
    }
}

/// A port that UDP and TCP have free now.
#[expect(
    clippy::disallowed_methods,
    reason = "a port for phones, closed at once"
)]
pub(crate) fn free_port() -> String {
    loop {
        let tcp = std::net::TcpListener::bind(ANY_PORT).unwrap();
        let addr = tcp.local_addr().unwrap();
        if std::net::UdpSocket::bind(addr).is_ok() {
            return addr.port().to_string();
        }
    }
}

/// A home in which a setup was done, and the book lists its line.
pub(crate) async fn settled(servers: &Servers) -> Shell {
    let shell = Shell::open();
    let (url, code) = (servers.book.url(), servers.code().await);
    let (sip, tls) = (free_port(), free_port());
    shell.done(&[
        "setup",
        "--phonebook",
        &url,
        "--code",
        &code,
        "--no-passphrase",
        "--phones",
        "here",
        "--sip-port",
        &sip,
        "--tls-port",
        &tls,
        "--allow-private",
    ]);
    servers.book.close_epoch_now().await.unwrap();
    shell
}

/// A phone that is registered to the line of the running engine; it says 440 Hz and expects 1 kHz.
pub(crate) async fn phone(shell: &Shell) -> TonePhone {
    phone_of(shell, 0, (440.0, 1_000.0)).await
}

/// A phone at the line in this place, which says and expects these tones.
pub(crate) async fn phone_of(shell: &Shell, line: usize, (says, hears): (f64, f64)) -> TonePhone {
    let registration = account(shell, line, Ipv4Addr::LOCALHOST.into());
    let mut phone = TonePhone::plug_in(registration, says, hears).await.unwrap();
    while phone.event().await.unwrap().1 != PhoneEvent::Registered {}
    phone
}

/// The SIP account of the line in this place, at this address of the engine.
pub(crate) fn account(shell: &Shell, line: usize, at: IpAddr) -> Registration {
    let lines = shell.done(&["lines", "--passwords", "--json"]);
    let lines: serde_json::Value = serde_json::from_str(&lines).unwrap();
    let text = |name: &str| lines[line][name].as_str().unwrap().to_owned();
    let port = lines[line]["udp"].as_u64().unwrap();
    Registration {
        user: User::new(text("user")),
        password: Password::new(text("password")),
        line: SocketAddr::new(at, u16::try_from(port).unwrap()),
    }
}

/// Another line in a home in which a setup was done; the book lists it.
pub(crate) async fn setup_of_another_line(shell: &Shell, servers: &Servers) {
    let link = servers.link().await;
    shell.done(&["setup", &link]);
    servers.book.close_epoch_now().await.unwrap();
}

/// A running engine; told to end when the test does.
pub(crate) struct Engine(Child);

impl Engine {
    pub(crate) fn start(shell: &Shell) -> Self {
        Self::start_with(shell, &[])
    }

    /// With other variables of the environment.
    pub(crate) fn start_with(shell: &Shell, environment: &[(&str, &str)]) -> Self {
        let log = shell.path("log");
        let mut command = shell.alone(&["run"]);
        command.envs(environment.iter().copied());
        command.stdout(Stdio::null());
        command.stderr(File::create(&log).unwrap());
        let engine = Self(command.spawn().unwrap());
        let start = Instant::now();
        while !std::fs::read_to_string(&log)
            .unwrap()
            .contains("listening for rings")
        {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "the engine does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        engine
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        drop(Command::new("kill").args(["-INT", &pid]).status());
        drop(self.0.wait());
    }
}

/// `setup` by this invitation, for phones on this machine and without a question.
pub(crate) fn setup_here<'a>(link: &'a str, [sip, tls]: &'a [String; 2]) -> Vec<&'a str> {
    vec![
        "setup",
        link,
        "--no-passphrase",
        "--phones",
        "here",
        "--allow-private",
        "--sip-port",
        sip,
        "--tls-port",
        tls,
    ]
}
