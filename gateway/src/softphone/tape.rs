//! A sound made of samples: what is said comes from a tape, what is heard goes onto one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{FRAME, RATE, Sound};

/// The phone's end of a tape.
#[derive(Debug)]
pub struct Tape(Recorder);

/// The owner's end. Clones are the same tape.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Mutex<Reels>>);

#[derive(Debug)]
struct Reels {
    play: Vec<i16>,
    position: usize,
    heard: Vec<i16>,
    room: usize,
}

impl Tape {
    /// Says `samples` (16 bits, linear, at [`RATE`]) once in each call and then nothing, and keeps what it hears up to `longest`;
    /// the rest of a call is not kept.
    #[must_use]
    pub fn new(samples: Vec<i16>, longest: Duration) -> (Self, Recorder) {
        let seconds = usize::try_from(longest.as_secs()).unwrap_or(usize::MAX);
        let reels = Reels {
            play: samples,
            position: 0,
            heard: Vec::new(),
            room: seconds.saturating_mul(RATE as usize),
        };
        let recorder = Recorder(Arc::new(Mutex::new(reels)));
        (Self(recorder.clone()), recorder)
    }
}

impl Recorder {
    /// Whether everything was said.
    #[must_use]
    pub fn has_played(&self) -> bool {
        let reels = self.reels();
        reels.position >= reels.play.len()
    }

    /// Winds back for the next call, and returns what was heard in the last one.
    #[must_use]
    pub fn rewind(&self) -> Vec<i16> {
        let mut reels = self.reels();
        reels.position = 0;
        std::mem::take(&mut reels.heard)
    }

    fn reels(&self) -> MutexGuard<'_, Reels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sound for Tape {
    fn say(&mut self) -> [i16; FRAME] {
        let mut reels = self.0.reels();
        let rest = reels.play.get(reels.position..).unwrap_or_default();
        let mut frame = [0; FRAME];
        for (sample, said) in frame.iter_mut().zip(rest) {
            *sample = *said;
        }
        reels.position = (reels.position + FRAME).min(reels.play.len());
        frame
    }

    fn hear(&mut self, frame: &[i16], _at: Instant) {
        let mut reels = self.0.reels();
        let left = reels.room.saturating_sub(reels.heard.len());
        reels.heard.extend(frame.iter().take(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_is_said_once_in_frames_and_then_there_is_silence_until_it_is_wound_back() {
        let (mut tape, recorder) = Tape::new(vec![7; FRAME + 1], Duration::ZERO);
        assert_eq!(tape.say(), [7; FRAME]);
        assert!(!recorder.has_played());
        let last = tape.say();
        assert_eq!((last[0], last[1]), (7, 0));
        assert!(recorder.has_played());
        assert_eq!(tape.say(), [0; FRAME]);
        assert!(recorder.rewind().is_empty());
        assert_eq!(tape.say(), [7; FRAME]);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (mut tape, recorder) = Tape::new(Vec::new(), Duration::from_secs(1));
        for _ in 0..60 {
            tape.hear(&[1; FRAME], Instant::now());
        }
        assert_eq!(recorder.rewind().len(), 8_000);
        tape.hear(&[2; 3], Instant::now());
        assert_eq!(recorder.rewind(), [2; 3]);
    }
}
