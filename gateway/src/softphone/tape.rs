//! Audio from and to memory: a tape plays samples during a call and records what the phone receives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{FRAME, PhoneAudio, RATE};

/// The phone's side of a tape.
#[derive(Debug)]
pub struct Tape(TapeRecorder);

/// The owner's side of a tape. Clones share it.
#[derive(Clone, Debug)]
pub struct TapeRecorder(Arc<Mutex<TapeState>>);

#[derive(Debug)]
struct TapeState {
    play: Vec<i16>,
    position: usize,
    recorded: Vec<i16>,
    room: usize,
}

impl Tape {
    /// Plays `samples` (16 bits, linear, at [`RATE`]) once and then silence, and records up to `longest` of what it receives.
    #[must_use]
    pub fn new(samples: Vec<i16>, longest: Duration) -> (Self, TapeRecorder) {
        let seconds = usize::try_from(longest.as_secs()).unwrap_or(usize::MAX);
        let state = TapeState {
            play: samples,
            position: 0,
            recorded: Vec::new(),
            room: seconds.saturating_mul(RATE as usize),
        };
        let recorder = TapeRecorder(Arc::new(Mutex::new(state)));
        (Self(recorder.clone()), recorder)
    }
}

impl TapeRecorder {
    /// Whether all samples were played.
    #[must_use]
    pub fn has_played(&self) -> bool {
        let state = self.state();
        state.position >= state.play.len()
    }

    /// Rewinds for the next call, and returns the recording of the last one.
    #[must_use]
    pub fn rewind(&self) -> Vec<i16> {
        let mut state = self.state();
        state.position = 0;
        std::mem::take(&mut state.recorded)
    }

    fn state(&self) -> MutexGuard<'_, TapeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PhoneAudio for Tape {
    fn next_frame(&mut self) -> [i16; FRAME] {
        let mut state = self.0.state();
        let rest = state.play.get(state.position..).unwrap_or_default();
        let mut frame = [0; FRAME];
        for (sample, played) in frame.iter_mut().zip(rest) {
            *sample = *played;
        }
        state.position = (state.position + FRAME).min(state.play.len());
        frame
    }

    fn handle_frame(&mut self, frame: &[i16], _at: Instant) {
        let mut state = self.0.state();
        let left = state.room.saturating_sub(state.recorded.len());
        state.recorded.extend(frame.iter().take(left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_plays_once_in_frames_and_then_silence_until_it_is_rewound() {
        let (mut tape, recorder) = Tape::new(vec![7; FRAME + 1], Duration::ZERO);
        assert_eq!(tape.next_frame(), [7; FRAME]);
        assert!(!recorder.has_played());
        let last = tape.next_frame();
        assert_eq!((last[0], last[1]), (7, 0));
        assert!(recorder.has_played());
        assert_eq!(tape.next_frame(), [0; FRAME]);
        assert!(recorder.rewind().is_empty());
        assert_eq!(tape.next_frame(), [7; FRAME]);
    }

    #[test]
    fn a_recording_is_bounded() {
        let (mut tape, recorder) = Tape::new(Vec::new(), Duration::from_secs(1));
        for _ in 0..60 {
            tape.handle_frame(&[1; FRAME], Instant::now());
        }
        assert_eq!(recorder.rewind().len(), 8_000);
        tape.handle_frame(&[2; 3], Instant::now());
        assert_eq!(recorder.rewind(), [2; 3]);
    }
}
