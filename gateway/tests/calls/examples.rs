//! The examples do what they say: one plays a file to the other, which answers, greets and keeps it.

use std::fs::{File, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ringfence::selfcall::tone::{ToneDetector, ToneGenerator};
use ringfence::softphone::{FRAME, FRAME_TIME, RATE};
use ringfence_engine::line::identity::Identity;

use crate::program::{settings, write_settings};
use crate::servers::{SOON, Servers, StoredEngine};

const SPEC: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: RATE,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_one_example_plays_is_a_message_that_the_other_keeps() {
    let servers = Servers::build().await;
    let [a, b] = servers.stored_engines().await;
    let number = b.line.number.to_string();
    // Their key stores are locked: the examples want them.
    let [caller, machine] = [a, b].map(|StoredEngine { config, .. }| {
        let path = config.state.with_extension("toml");
        write_settings(&path, &config.state, &settings("", &[]));
        path
    });
    let (message, greeting) = (caller.with_extension("wav"), machine.with_extension("wav"));
    write_tone(&message, 1_000.0, 100);
    write_tone(&greeting, 440.0, 25);
    let messages = machine.with_extension("messages");
    let mut machine = Example::start("answering_machine", &[&machine, &greeting, &messages]);
    machine.prints("ready").await;
    let mut play = Example::start("play_wav", &[&caller, Path::new(&number), &message]);
    play.prints("has answered").await;
    machine.prints("kept in").await;
    assert!(play.child.wait().unwrap().success());
    let kept = std::fs::read_dir(&messages).unwrap().next().unwrap();
    let heard = tone_in(&kept.unwrap().path(), 1_000.0);
    assert!(heard >= FRAME_TIME * 95, "{heard:?} of 2 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_looked_up_in_a_downloaded_book() {
    let servers = Servers::build().await;
    let [a, _] = servers.stored_engines().await;
    let number = a.line.number.to_string();
    let mut example = Example::start(
        "phone_book",
        &[Path::new(&servers.book.url()), Path::new(&number)],
    );
    let told = example.prints("ring key").await;
    assert!(told.starts_with("512 numbers, epoch "), "{told}");
    let identity = Identity::from_bytes(&a.line.identity).unwrap();
    let identity = hex::encode(identity.key().as_bytes());
    assert!(told.contains(&identity), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_engine_opens_its_line_and_stops_at_ctrl_c() {
    let servers = Servers::build().await;
    let [StoredEngine { config, line, .. }, _] = servers.stored_engines().await;
    let path = config.state.with_extension("toml");
    write_settings(&path, &config.state, &settings("", &[]));
    let mut example = Example::start("embed", &[&path]);
    let told = example.prints("phones register at").await;
    assert!(
        told.contains(&format!("line {} is open", line.number)),
        "{told}"
    );
    let pid = example.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(example.child.wait().unwrap().success());
}

/// A running example; killed when the test ends.
struct Example {
    child: Child,
    out: PathBuf,
    _folder: tempfile::TempDir,
}

impl Example {
    fn start(name: &str, arguments: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        // Cargo builds examples beside the programs, before the tests run.
        let program = Path::new(env!("CARGO_BIN_EXE_ringfence"));
        let program = program.with_file_name("examples").join(name);
        let printed = File::create(&out).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_remove("RINGFENCE_PASSPHRASE")
            .stdin(Stdio::null())
            .stderr(printed.try_clone().unwrap())
            .stdout(printed)
            .spawn()
            .unwrap();
        Self {
            child,
            out,
            _folder: folder,
        }
    }

    /// Waits until it has printed this; all that it has printed.
    async fn prints(&mut self, wanted: &str) -> String {
        let start = Instant::now();
        loop {
            let text = read_to_string(&self.out).unwrap();
            if text.contains(wanted) {
                return text;
            }
            assert!(start.elapsed() < 2 * SOON, "waited for {wanted}: {text}");
            tokio::time::sleep(FRAME_TIME).await;
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It has ended already, mostly.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn write_tone(path: &Path, hertz: f64, frames: usize) {
    let mut wav = hound::WavWriter::create(path, SPEC).unwrap();
    let mut tone = ToneGenerator::new(hertz);
    for sample in (0..frames).flat_map(|_| tone.frame()) {
        wav.write_sample(sample).unwrap();
    }
    wav.finalize().unwrap();
}

/// How much of a tone is in a file.
fn tone_in(path: &Path, hertz: f64) -> std::time::Duration {
    let mut wav = hound::WavReader::open(path).unwrap();
    assert_eq!(wav.spec(), SPEC);
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let mut detector = ToneDetector::new(hertz);
    for frame in samples.chunks(FRAME) {
        detector.detect(frame, Instant::now());
    }
    detector.detected()
}
