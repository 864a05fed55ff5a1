//! A built-in phone that says a tone into its microphone from the moment of the answer, and listens for the other side's.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::tone::{Ear, Tone};
use crate::softphone::{FRAME, PhoneEvent, Registration, Softphone, Sound};

/// What the phone heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// How much of the expected tone.
    pub tone: Duration,
    /// The longest time without it between its first and its last frame.
    pub longest_gap: Duration,
    /// Packets that the other side numbered and that never came.
    pub lost: u64,
    /// When the tone was first heard.
    pub first: Option<Instant>,
}

/// A running phone. Dropping it unplugs it.
#[derive(Debug)]
pub struct Phone {
    softphone: Softphone,
    listener: Arc<Mutex<Listener>>,
}

impl Phone {
    /// Plugs a phone in on loopback; it registers at once. It says `says` hertz and listens for `hears`.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub async fn plug_in(registration: Registration, says: f64, hears: f64) -> io::Result<Self> {
        let listener = Arc::new(Mutex::new(Listener {
            ear: Ear::new(hears),
            first: None,
        }));
        let sound = Tones {
            tone: Tone::new(says),
            listener: Arc::clone(&listener),
        };
        Ok(Self {
            softphone: Softphone::plug_in(registration, sound).await?,
            listener,
        })
    }

    /// Dials a number.
    pub async fn dial(&self, number: &str) {
        self.softphone.dial(number).await;
    }

    /// Answers.
    pub async fn pick_up(&self) {
        self.softphone.pick_up().await;
    }

    /// Hangs up.
    pub async fn hang_up(&self) {
        self.softphone.hang_up().await;
    }

    /// The next thing that happened, and when; `None` once the phone is broken.
    pub async fn event(&mut self) -> Option<(Instant, PhoneEvent)> {
        self.softphone.event().await
    }

    /// What was heard so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let lost = self.softphone.lost();
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        Heard {
            tone: listener.ear.heard(),
            longest_gap: listener.ear.longest_gap(),
            lost,
            first: listener.first,
        }
    }
}

#[derive(Debug)]
struct Listener {
    ear: Ear,
    first: Option<Instant>,
}

struct Tones {
    tone: Tone,
    listener: Arc<Mutex<Listener>>,
}

impl Sound for Tones {
    fn say(&mut self) -> [i16; FRAME] {
        self.tone.frame()
    }

    fn hear(&mut self, frame: &[i16], at: Instant) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.ear.hear(frame, at) && listener.first.is_none() {
            listener.first = Some(at);
        }
    }
}
