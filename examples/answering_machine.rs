//! An answering machine: answers every call of a line, plays a greeting, and records the message in a WAV file.
//!
//! ```console
//! $ cargo run --example answering_machine -- ringfence.toml greeting.wav messages/
//! ```
//! The engine is embedded, so no other engine may use the same state folder. Phones may be registered to the line as well: they ring
//! until the machine answers. A message may last three minutes; then the machine hangs up.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence::clock;
use ringfence::softphone::tape::{Tape, TapeRecorder};
use ringfence::softphone::{PhoneEvent, RATE, Softphone};
use ringfence::{Config, Keystore, Node};
use tokio::time::{Instant, sleep_until};

/// How long it rings before the machine answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest message.
const LONGEST: Duration = Duration::from_secs(180);

/// Mono with 16 bits, at the rate of telephony.
const SPEC: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: RATE,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [settings, greeting, messages] = arguments.as_slice() else {
        return Err("usage: answering_machine SETTINGS.toml GREETING.wav FOLDER".into());
    };
    let mut greeting = hound::WavReader::open(greeting)?;
    if greeting.spec() != SPEC {
        return Err("the greeting must have one channel of 16 bits at 8,000 Hz".into());
    }
    let greeting = greeting.samples().collect::<Result<_, _>>()?;
    std::fs::create_dir_all(messages)?;
    let config = Config::read(settings)?;
    let store = Keystore::open(&config.state, None)?;
    let node = Node::open(config, store).await?;
    let line = node.lines().first().ok_or("no line")?.number;
    let registration = node.registration(line).ok_or("no UDP port")?;
    let (tape, recorder) = Tape::new(greeting, LONGEST);
    let phone = Softphone::plug_in(registration, tape).await?;
    let outcome = tokio::select! {
        outcome = take_calls(phone, &recorder, messages) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    node.stop().await;
    outcome
}

/// Answers one call after the other, until the phone fails.
async fn take_calls(
    mut phone: Softphone,
    recorder: &TapeRecorder,
    messages: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut due: Option<Instant> = None;
    let mut answered = false;
    loop {
        let alarm = due.unwrap_or_else(|| Instant::now() + LONGEST);
        tokio::select! {
            event = phone.event() => match event.ok_or("the phone is broken")?.1 {
                PhoneEvent::Registered => println!("ready"),
                PhoneEvent::Incoming { from, .. } => {
                    println!("{from} calls");
                    (due, answered) = (Some(Instant::now() + PATIENCE), false);
                }
                PhoneEvent::Cancelled => due = None,
                PhoneEvent::HungUp => {
                    due = None;
                    let heard = recorder.rewind();
                    println!("{} s kept in {}", heard.len() / RATE as usize, keep(&heard, messages)?.display());
                }
                _ => {}
            },
            () = sleep_until(alarm), if due.is_some() => {
                if answered {
                    phone.hang_up().await;
                    due = None;
                } else {
                    phone.pick_up().await;
                    (due, answered) = (Some(Instant::now() + LONGEST), true);
                }
            }
        }
    }
}

/// Writes a message to a file. Its name contains the time but not the caller.
fn keep(samples: &[i16], messages: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let seconds = clock::unix_seconds();
    let path = messages.join(format!("message-{seconds}.wav"));
    let mut wav = hound::WavWriter::create(&path, SPEC)?;
    for sample in samples {
        wav.write_sample(*sample)?;
    }
    wav.finalize()?;
    Ok(path)
}
