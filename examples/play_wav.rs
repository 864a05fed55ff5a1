//! Places a call, plays a WAV file when it is answered, and hangs up.
//!
//! ```console
//! $ sox message.mp3 -r 8000 -c 1 -b 16 message.wav
//! $ cargo run --example play_wav -- ringfence.toml 20417 message.wav
//! ```
//! The engine is embedded, so no other engine may use the same state folder. The phone is a softphone on its first line.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use ringfence::softphone::tape::Tape;
use ringfence::softphone::{PhoneEvent, RATE, Softphone};
use ringfence::{Config, Keystore, Node};

/// How often the end of the file is checked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [settings, number, file] = arguments.as_slice() else {
        return Err("usage: play_wav SETTINGS.toml NUMBER FILE.wav".into());
    };
    let message = samples(Path::new(file))?;
    let config = Config::read(Path::new(settings))?;
    let store = Keystore::open(&config.state, None)?;
    let node = Node::open(config, store).await?;
    let line = node.lines().first().ok_or("no line")?.number;
    let registration = node.registration(line).ok_or("no UDP port")?;
    // Received audio is not recorded.
    let (tape, recorder) = Tape::new(message, Duration::ZERO);
    let mut phone = Softphone::plug_in(registration, tape).await?;
    node.ready().await?;
    let outcome = loop {
        match phone.event().await.ok_or("the phone is broken")?.1 {
            PhoneEvent::Registered => phone.dial(number).await,
            PhoneEvent::RemoteRinging => println!("{number} rings"),
            PhoneEvent::Answered { .. } => {
                println!("{number} has answered");
                while !recorder.has_played() {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                phone.hang_up().await;
            }
            PhoneEvent::Refused { status, .. } => break Err(format!("refused: {status}").into()),
            PhoneEvent::HungUp => break Ok(()),
            _ => {}
        }
    };
    node.stop().await;
    outcome
}

fn samples(file: &Path) -> Result<Vec<i16>, Box<dyn Error>> {
    let mut wav = hound::WavReader::open(file)?;
    let spec = wav.spec();
    if (spec.sample_rate, spec.channels, spec.bits_per_sample) != (RATE, 1, 16) {
        return Err("the file must have one channel of 16 bits at 8,000 Hz; see sox above".into());
    }
    Ok(wav.samples().collect::<Result<_, _>>()?)
}
