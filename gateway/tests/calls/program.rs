//! `ringfence run` as a process: its settings, what it prints and logs, and signals to it.

use std::fs::{File, read_to_string};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringfence::selfcall::phone::TonePhone;
use ringfence::softphone::PhoneEvent;
use ringfence::state::keystore::LineFile;

use crate::servers::{SOON, TURN_SECRET, plug_in, sees};

/// A running `ringfence run`; killed when the test ends.
pub(crate) struct Program {
    child: Child,
    state: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) log: PathBuf,
}

impl Program {
    /// Starts it with these TURN servers, or those that the phone book names.
    pub(crate) fn start(state: &Path, turn_urls: &[String]) -> Self {
        Self::start_with(state, &settings("", turn_urls), |_| {})
    }

    /// Starts it with these settings beside the state folder.
    pub(crate) fn start_with(
        state: &Path,
        settings: &str,
        set_up: impl FnOnce(&mut Command),
    ) -> Self {
        let file = |name: &str| state.with_extension(name);
        let (config, out, log) = (file("toml"), file("out"), file("log"));
        write_settings(&config, state, settings);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command
            .args(["run", "--config"])
            .arg(config)
            .env_remove("RUST_LOG")
            .env_remove("RINGFENCE_PASSPHRASE")
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap());
        set_up(&mut command);
        let child = command.spawn().unwrap();
        Self {
            child,
            state: state.to_owned(),
            out,
            log,
        }
    }

    /// Writes other settings into its file; it does not read them by itself.
    pub(crate) fn write(&self, settings: &str) {
        write_settings(&self.state.with_extension("toml"), &self.state, settings);
    }

    /// Waits until all of `wanted` stand in a file that the process writes.
    pub(crate) async fn writes(file: &Path, wanted: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let text = read_to_string(file).unwrap();
            if wanted.iter().all(|wanted| text.contains(wanted)) {
                return text;
            }
            assert!(start.elapsed() < 2 * SOON, "waited for {wanted:?}: {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where phones register.
    pub(crate) async fn udp(&self) -> SocketAddr {
        let text = Self::writes(&self.out, &["udp ", ", tcp", "ends.\n"]).await;
        let (_, rest) = text.split_once("udp ").unwrap();
        rest.split_once(", tcp").unwrap().0.parse().unwrap()
    }

    /// A registered phone of a program that listens for rings; which of the two tones it says is `side`.
    pub(crate) async fn phone(&self, line: &LineFile, side: usize) -> TonePhone {
        Self::writes(&self.log, &["listening for rings"]).await;
        let mut phone = plug_in(line, self.udp().await, side).await;
        sees(&mut phone, |event| *event == PhoneEvent::Registered).await;
        phone
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends a signal; the exit status, and how long the end took.
    pub(crate) async fn end(&mut self, signal: &str) -> (Option<i32>, Duration) {
        let start = Instant::now();
        self.signal(signal);
        while start.elapsed() < SOON {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{signal} does not end it");
    }
}

impl Program {
    /// The limits that the system sets it.
    pub(crate) fn limits(&self) -> String {
        read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap()
    }

    /// Kills it, as a power cut does.
    pub(crate) fn end_hard(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, mostly.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Settings of an engine's process: `first`, and the TURN servers.
pub(crate) fn settings(first: &str, turn_urls: &[String]) -> String {
    settings_with(first, turn_urls, TURN_SECRET)
}

/// The same with another secret; without one, the logins for the TURN server come from the phone book.
pub(crate) fn settings_with(first: &str, turn_urls: &[String], secret: &str) -> String {
    format!(
        "{first}\n[sip]\nudp_port = 0\ntcp_port = 0\ntls_port = 0\n\
         [turn]\nurls = {turn_urls:?}\nsecret = {secret:?}\nallow_private = true\n"
    )
}

pub(crate) fn write_settings(config: &Path, state: &Path, settings: &str) {
    std::fs::write(config, format!("state = {state:?}\n{settings}")).unwrap();
}
