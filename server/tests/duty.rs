//! The phone book as its operator's tools see it: systemd, a monitor, a shell.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use prometheus_parse::{Scrape, Value};
use tempfile::TempDir;

/// Patience with anything that should happen soon, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(20);

/// A book that is being served, with what it prints. Killed when the test ends.
struct Serving {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl Serving {
    fn start(set_up: impl FnOnce(&mut Command, &TempDir)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence-phonebook"));
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                "127.0.0.1:0",
            ])
            .arg("--database")
            .arg(folder.path().join("book.sqlite"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        set_up(&mut command, &folder);
        let mut child = command.spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            printed,
            folder,
        }
    }

    /// The address behind the next `http://` that is printed.
    fn address(&mut self) -> String {
        let mut addresses = self.printed.by_ref().map(|line| {
            let line = line.unwrap();
            line.split_once("http://")
                .map(|(_, address)| address.to_owned())
        });
        addresses.find_map(|address| address).unwrap()
    }

    fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already, mostly.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn get(host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[test]
fn the_service_manager_hears_of_start_life_and_end() {
    let mut manager = None;
    let mut serving = Serving::start(|command, folder| {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        command
            .env("NOTIFY_SOCKET", path)
            .env("WATCHDOG_USEC", "400000");
        manager = Some(socket);
    });
    let manager = manager.unwrap();
    let hear = || {
        let mut word = [0; 512];
        let length = manager.recv(&mut word).unwrap();
        String::from_utf8(word[..length].to_vec()).unwrap()
    };
    assert_eq!(hear(), "READY=1\nSTATUS=serving\n");
    for _ in 0..3 {
        assert_eq!(hear(), "WATCHDOG=1\nSTATUS=serving\n");
    }
    serving.terminate();
    while hear() != "STOPPING=1\n" {}
    assert!(serving.child.wait().unwrap().success());
}

#[test]
fn metrics_say_nothing_of_any_owner() {
    let mut serving = Serving::start(|_, _| {});
    let (book, page) = (serving.address(), serving.address());
    assert_eq!(get(&page, "/health"), (200, "ok\n".to_owned()));
    assert_eq!(get(&book, "/api/v1/network").0, 200);
    assert_eq!(get(&book, "/api/keys/20017").0, 200);
    assert_eq!(
        get(&book, "/metrics").0,
        404,
        "figures are not beside the book"
    );
    let (status, text) = get(&page, "/metrics");
    assert_eq!(status, 200);
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let scrape = Scrape::parse(lines).unwrap();
    let count = |answer: &str| {
        let mut samples = scrape.samples.iter();
        let sample = samples.find(|sample| {
            sample.metric == "ringfence_phonebook_requests_total"
                && sample.labels.get("answer") == Some(answer)
        });
        sample.map(|sample| sample.value.clone())
    };
    assert_eq!(count("done"), Some(Value::Counter(2.0)));
    assert_eq!(count("refused"), Some(Value::Counter(1.0)));
    assert_eq!(count("failed"), Some(Value::Counter(0.0)));
    let host = book.split(':').next().unwrap();
    for personal in ["20017", host, serving.folder.path().to_str().unwrap()] {
        assert!(!text.contains(personal), "{personal} stands in {text}");
    }
}

#[test]
fn a_page_that_others_could_open_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence-phonebook"))
        .args(["serve", "--metrics", "0.0.0.0:9421"])
        .output()
        .unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(complaint.contains("loopback"), "{complaint}");
}

#[test]
fn it_prints_its_manual_and_its_completions() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence-phonebook"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["man"]).contains("ringfence\\-phonebook \\- "));
    assert!(run(&["completions", "bash"]).contains("--database"));
    let folder = tempfile::tempdir().unwrap();
    run(&["man", folder.path().to_str().unwrap()]);
    assert!(folder.path().join("ringfence-phonebook-serve.1").exists());
}
