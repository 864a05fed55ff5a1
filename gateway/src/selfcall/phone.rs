//! A built-in phone that sends a tone from the moment of the answer, and detects the tone of the other end.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::tone::{ToneDetector, ToneGenerator};
use crate::softphone::{FRAME, PhoneAudio, PhoneEvent, Registration, Softphone};

/// What the phone received so far.
#[derive(Clone, Debug)]
pub struct ReceivedTone {
    /// For how long the expected tone was detected.
    pub tone: Duration,
    /// The longest gap between its first and its last frame.
    pub longest_gap: Duration,
    /// Packets that the other end numbered and that never arrived.
    pub lost: u64,
    /// When the tone was first detected.
    pub first: Option<Instant>,
}

/// A running phone. Dropping it stops it.
#[derive(Debug)]
pub struct TonePhone {
    softphone: Softphone,
    listener: Arc<Mutex<ToneListener>>,
}

impl TonePhone {
    /// Starts a phone on loopback, which registers at once. It sends `says` hertz and expects `hears`.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub async fn plug_in(registration: Registration, says: f64, hears: f64) -> io::Result<Self> {
        let listener = Arc::new(Mutex::new(ToneListener {
            detector: ToneDetector::new(hears),
            first: None,
        }));
        let audio = ToneAudio {
            tone: ToneGenerator::new(says),
            listener: Arc::clone(&listener),
        };
        Ok(Self {
            softphone: Softphone::plug_in(registration, audio).await?,
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

    /// The next event and its time; `None` once the phone has failed.
    pub async fn event(&mut self) -> Option<(Instant, PhoneEvent)> {
        self.softphone.event().await
    }

    /// What was received so far.
    #[must_use]
    pub fn heard(&self) -> ReceivedTone {
        let lost = self.softphone.lost();
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        ReceivedTone {
            tone: listener.detector.detected(),
            longest_gap: listener.detector.longest_gap(),
            lost,
            first: listener.first,
        }
    }
}

#[derive(Debug)]
struct ToneListener {
    detector: ToneDetector,
    first: Option<Instant>,
}

struct ToneAudio {
    tone: ToneGenerator,
    listener: Arc<Mutex<ToneListener>>,
}

impl PhoneAudio for ToneAudio {
    fn next_frame(&mut self) -> [i16; FRAME] {
        self.tone.frame()
    }

    fn handle_frame(&mut self, frame: &[i16], at: Instant) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.detector.detect(frame, at) && listener.first.is_none() {
            listener.first = Some(at);
        }
    }
}
