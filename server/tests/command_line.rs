//! The program as an operator runs it: its messages, its exit status, and what a kill leaves behind.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ringfence_book::wire::{Activate, NetworkSettings};
use serde_json::Value;
use tempfile::TempDir;
use x25519_dalek::StaticSecret;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ringfence-phonebook"))
}

/// A folder with settings for a small book on any free port.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("book.sqlite");
    let settings = format!(
        "listen = \"127.0.0.1:0\"\ndatabase = {:?}\nplan = {{ first = 20000, tiles = 1 }}\n",
        database.to_str().unwrap()
    );
    std::fs::write(folder.path().join("book.toml"), settings).unwrap();
    folder
}

fn with_settings(command: &str, folder: &Path) -> Command {
    let mut program = program();
    program
        .arg(command)
        .arg("--config")
        .arg(folder.join("book.toml"));
    program
}

struct Serving {
    child: Child,
    host: String,
}

/// A box with everything on any free ports; what it said when it was open.
#[cfg(unix)]
fn serve_all(folder: &Path) -> (Child, String) {
    let path = std::env::var("PATH").unwrap();
    serve_all_with(folder, &path)
}

/// With these folders of programs.
#[cfg(unix)]
fn serve_all_with(folder: &Path, path: &str) -> (Child, String) {
    let file = folder.join("book.toml");
    let mut settings = std::fs::read_to_string(&file).unwrap();
    settings
        .push_str("[relay]\nlisten = \"127.0.0.1:0\"\n[turn_server]\nlisten = \"127.0.0.1:0\"\n");
    std::fs::write(&file, settings).unwrap();
    let mut child = with_settings("serve", folder)
        .args(["--with-relay", "--with-turn"])
        .env("PATH", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = output.lines().take(3).map(Result::unwrap).collect();
    (child, lines.join("\n"))
}

/// Whether a server listens at the address in the line with this word.
#[cfg(unix)]
fn listens(lines: &str, word: &str) -> bool {
    let line = lines.lines().find(|line| line.contains(word)).unwrap();
    let from = line.find("127.0.0.1:").unwrap();
    let address = line[from..].split([',', '/']).next().unwrap();
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_book_that_engines_would_refuse_is_not_served_and_not_made() {
    let folder = folder();
    let file = folder.path().join("book.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    for (nine, word) in [
        (format!("relays = {:?}\n", ["wss://relay"; 9]), "relays"),
        (format!("turn = {:?}\n", ["turn:a:1"; 9]), "TURN"),
    ] {
        std::fs::write(&file, format!("{nine}{settings}")).unwrap();
        let served = with_settings("serve", folder.path()).output().unwrap();
        let told = String::from_utf8(served.stderr).unwrap();
        assert!(!served.status.success());
        assert!(
            told.contains("engines would refuse") && told.contains(word),
            "{told}"
        );
        assert!(!folder.path().join("book.sqlite").exists());
    }
}

#[cfg(unix)]
#[test]
fn the_box_serves_all_three_and_ends_them_within_three_seconds() {
    let folder = folder();
    let (mut child, lines) = serve_all(folder.path());
    let words = ["phone book at", "relay at", "TURN at"];
    assert!(words.iter().all(|word| listens(&lines, word)), "{lines}");
    let secret = folder.path().join("book.sqlite.turn-secret");
    let kept = std::fs::read_to_string(&secret).unwrap();
    let start = Instant::now();
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert!(!words.iter().any(|word| listens(&lines, word)), "{lines}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), kept);
}

/// As in the sandbox of the packaged unit, whose filter of system calls has no `capset`.
#[cfg(unix)]
#[test]
fn coturn_runs_where_setpriv_is_forbidden() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let stubs = folder.path().join("stubs");
    std::fs::create_dir(&stubs).unwrap();
    let setpriv = stubs.join("setpriv");
    std::fs::write(&setpriv, "#!/bin/sh\nexit 127\n").unwrap();
    std::fs::set_permissions(&setpriv, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", stubs.display(), std::env::var("PATH").unwrap());
    let (mut child, lines) = serve_all_with(folder.path(), &path);
    assert!(listens(&lines, "TURN at"), "{lines}");
    let pid = child.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.unwrap().success() && child.wait().unwrap().success());
    assert!(!listens(&lines, "TURN at"), "{lines}");
}

#[cfg(unix)]
#[test]
fn a_killed_box_leaves_nothing_running() {
    let folder = folder();
    let (mut child, lines) = serve_all(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let words = ["phone book at", "relay at", "TURN at"];
    let start = Instant::now();
    while words.iter().any(|word| listens(&lines, word)) {
        assert!(start.elapsed() < Duration::from_secs(5), "{lines}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn serve(folder: &Path) -> Serving {
    let mut child = with_settings("serve", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let host = line.trim().rsplit("http://").next().unwrap().to_owned();
    Serving { child, host }
}

impl Serving {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What a browser shows.
    fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            serde_json::from_str(body).unwrap(),
        )
    }
}

fn issue(folder: &Path) -> (String, String) {
    let output = with_settings("issue", folder)
        .args(["--json", "--new-book"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    (
        value["number"].as_str().unwrap().to_owned(),
        value["activationCode"].as_str().unwrap().to_owned(),
    )
}

/// The first number of a new book, as a person asks for it.
fn found(folder: &Path) -> Output {
    with_settings("issue", folder)
        .arg("--new-book")
        .output()
        .unwrap()
}

fn form(serving: &Serving, code: &str, seed: u8) -> String {
    let network: NetworkSettings =
        serde_json::from_value(serving.ask("GET", "/api/v1/network", "").1).unwrap();
    let (identity, ring) = (
        SigningKey::from_bytes(&[seed; 32]),
        StaticSecret::from([seed; 32]),
    );
    serde_json::to_string(&Activate::sign(
        &code.parse().unwrap(),
        &identity,
        &ring,
        1,
        &network,
    ))
    .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failure(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert!(!status.success());
    text(&stderr)
}

#[test]
fn an_activation_outlives_a_kill_and_its_code_stays_used() {
    let folder = folder();
    let serving = serve(folder.path());
    let (number, code) = issue(folder.path());
    let first = form(&serving, &code, 5);
    let (status, activated) = serving.ask("POST", "/api/activate", &first);
    assert_eq!(
        (status, activated["number"].as_str()),
        (200, Some(number.as_str()))
    );
    let path = format!("/api/keys/{number}");
    let keys = serving.ask("GET", &path, "");
    serving.kill();
    let serving = serve(folder.path());
    assert_eq!(serving.ask("GET", &path, ""), keys);
    assert_eq!(serving.ask("POST", "/api/activate", &first).0, 200);
    assert_eq!(
        serving
            .ask("POST", "/api/activate", &form(&serving, &code, 6))
            .0,
        400
    );
    serving.kill();
}

#[test]
fn a_book_killed_while_it_is_made_opens_whole() {
    let folder = folder();
    // Each round gets further: the file, its log, some of its pages.
    for least in [0, 1, 4_096, 40_000] {
        let mut child = with_settings("serve", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let written =
            |name| std::fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
        let deadline = Instant::now() + Duration::from_secs(10);
        while written("book.sqlite") + written("book.sqlite-wal") < least
            && Instant::now() < deadline
        {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    issue(folder.path());
    let serving = serve(folder.path());
    assert_eq!(serving.ask("GET", "/api/keys/20255", "").0, 200);
    serving.kill();
}

#[test]
fn a_browser_that_follows_an_invitation_is_told_what_to_type() {
    let folder = folder();
    let serving = serve(folder.path());
    let page = serving.page("/");
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("ringfence setup"),
        "{page}"
    );
    serving.kill();
}

#[cfg(unix)]
#[test]
fn both_stop_signals_end_it_well_and_soon() {
    for signal in ["-INT", "-TERM"] {
        let folder = folder();
        let mut serving = serve(folder.path());
        let _idle = TcpStream::connect(&serving.host).unwrap();
        let begin = Instant::now();
        let id = serving.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(serving.child.wait().unwrap().success());
        assert!(begin.elapsed() < Duration::from_secs(3));
    }
}

#[cfg(unix)]
#[test]
fn the_token_is_written_to_a_file_of_its_owner_when_the_book_is_made_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let file = folder.path().join("book.sqlite.admin-token");
    std::fs::write(&file, "of an earlier book, and readable").unwrap();
    let first = found(folder.path());
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(token.trim_end().len(), 43);
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(text(&first.stderr).contains("book.sqlite.admin-token"));
    for said in [&first.stderr, &first.stdout] {
        assert!(!text(said).contains(token.trim_end()));
    }
    let second = with_settings("issue", folder.path()).output().unwrap();
    assert!(!text(&second.stderr).contains("token"));
    assert!(text(&second.stdout).contains("activation code"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
}

#[cfg(unix)]
#[test]
fn a_token_that_cannot_be_written_is_shown_once() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("book.sqlite.admin-token")).unwrap();
    let first = found(folder.path());
    assert!(text(&first.stderr).contains("is shown this once: "));
    assert!(text(&first.stdout).contains("activation code"));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    issue(folder.path());
    let mode = std::fs::metadata(folder.path().join("book.sqlite"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_fails_is_said_with_what_to_do() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = failure(
        with_settings("serve", folder.path())
            .arg("--listen")
            .arg(&address),
    );
    assert!(
        said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
    let said = failure(
        with_settings("issue", folder.path())
            .arg("--new-book")
            .arg("--database")
            .arg(folder.path()),
    );
    assert!(said.contains("--database"), "{said}");
    let said = failure(
        program()
            .arg("serve")
            .arg("--config")
            .arg(folder.path().join("none.toml")),
    );
    assert!(said.contains("none.toml"), "{said}");
    let said = failure(
        with_settings("serve", folder.path())
            .arg("--relay")
            .arg("relay.example"),
    );
    assert!(said.contains("ws://"), "{said}");
    std::fs::write(folder.path().join("book.toml"), "work_bits = 99").unwrap();
    assert!(failure(&mut with_settings("serve", folder.path())).contains("work_bits"));
}

#[test]
fn an_invitation_can_be_sent_as_it_is_printed_and_names_the_key_that_serve_and_list_print() {
    let folder = folder();
    let file = folder.path().join("book.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    let named = format!("public_name = \"book.example.org\"\n{settings}");
    std::fs::write(&file, named).unwrap();
    let mut child = with_settings("serve", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let served: Vec<String> = lines.take(4).map(Result::unwrap).collect();
    let key = served[1].strip_prefix("the book's key is ").unwrap();
    assert_eq!(
        (key.len(), served[2].as_str()),
        (64, "engines are told of relays: none")
    );
    let issued = text(
        &with_settings("issue", folder.path())
            .output()
            .unwrap()
            .stdout,
    );
    let code = issued
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .last()
        .unwrap();
    let typed = format!("ringfence setup https://book.example.org/#{code}");
    assert!(issued.contains(&typed) && issued.contains(key), "{issued}");
    let listed = text(
        &with_settings("list", folder.path())
            .output()
            .unwrap()
            .stdout,
    );
    assert!(listed.contains(key), "{listed}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn help_names_every_command_and_option() {
    let output = program().arg("--help").output().unwrap();
    assert!(text(&output.stdout).contains("key lost or stolen"));
    assert!(
        [
            "serve", "issue", "list", "revoke", "export", "backup", "restore", "resume"
        ]
        .iter()
        .all(|command| text(&output.stdout).contains(command))
    );
    let output = program().arg("serve").arg("--help").output().unwrap();
    let options = ["--config", "--database", "--listen", "--relay", "--turn"];
    assert!(
        options
            .iter()
            .all(|option| text(&output.stdout).contains(option))
    );
}

#[test]
fn a_reader_that_has_gone_away_is_no_failure_and_a_full_disk_is_one() {
    let folder = folder();
    let issue = |out: Stdio| {
        with_settings("issue", folder.path())
            .arg("--new-book")
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap()
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = issue(writer.into());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = issue(full.unwrap().into());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("standard output"));
}
