//! The pace of a bridge towards the other engine: frames in their slots, all else of the call behind one of them, and what goes on for a
//! moment after the end.
//!
//! Both sides of a call that is over go on for up to two seconds, each for a time of its own, so that a TURN server does not see who hung up. Nothing of a
//! phone passes then.

use std::time::{Duration, Instant};

use super::Bridge;
use crate::codec::Codec;
use crate::far::FarPacket;
use crate::negotiate::NegotiatedMedia;
use crate::transcode::Transcoder;

/// The longest that a call's media goes on after its end, once no message waits.
pub const LONGEST_LINGER: Duration = Duration::from_secs(2);

/// How long it goes on so that a message leaves, at most: two slots.
const LAST_MESSAGE: Duration = Duration::from_secs(1);

/// The media of a call after its end.
#[derive(Debug)]
pub(super) struct Linger {
    /// How long it goes on, drawn when the call began.
    time: Duration,
    /// Until when a message may wait, from the end on.
    message: Option<Instant>,
    until: Option<Instant>,
}

impl Linger {
    /// A call that goes on; `draw` is random.
    pub(super) fn drawn(draw: u32) -> Self {
        let longest = LONGEST_LINGER.as_micros() as u32;
        Self {
            time: Duration::from_micros((draw % longest).into()),
            message: None,
            until: None,
        }
    }

    const fn has_begun(&self) -> bool {
        self.message.is_some()
    }

    /// Whether the end has come, once it has begun.
    fn is_over(&mut self, is_idle: bool, now: Instant) -> bool {
        if let (Some(latest), None) = (self.message, self.until)
            && (is_idle || latest <= now)
        {
            self.until = Some(now + self.time);
        }
        self.until.is_some_and(|until| until <= now)
    }
}

impl Bridge {
    /// Takes the codecs of the phone and of the call. The call's decides size and pace of the frames.
    pub(super) fn take_codecs(&mut self, media: &NegotiatedMedia) {
        let phone: Vec<_> = media.codecs.iter().map(|(codec, _)| *codec).collect();
        let carried = media.carried.as_ref().unwrap_or(&phone);
        self.codecs = Codec::sound_of(&phone).zip(Codec::sound_of(carried));
        if let Some((_, codec)) = self.codecs {
            self.frames.agree(codec);
        }
        let goes_on = |transcoder: &Transcoder| transcoder.is_between(&phone, carried);
        if media.carried.is_none() {
            self.transcoder = None;
        } else if !self.transcoder.as_deref().is_some_and(goes_on) {
            self.transcoder = Transcoder::between(&phone, carried).map(Box::new);
        }
    }

    /// Takes what the near leg has read of the phone.
    pub(super) fn pass(&mut self, packet: Option<FarPacket>, now: Instant) {
        if let Some(packet) = packet {
            self.presses.note(&packet);
            let transcoder = self.transcoder.as_ref();
            let is_late = transcoder.is_some_and(|it| it.is_late(&packet));
            let carried = match &mut self.transcoder {
                Some(transcoder) => transcoder.send(&packet, now),
                None => Some(packet),
            };
            match carried.map(|packet| self.frames.push(packet, now)) {
                Some(true) => {}
                Some(false) => self.near.audio.note_too_late(),
                None => self.frames.note_arrival(now),
            }
            if is_late {
                self.near.audio.note_too_late();
            }
        } else if self.near.audio.has_sent(now) {
            self.frames.note_arrival(now);
        }
        self.send_due(now);
    }

    /// Sends the frames that are due, what waits behind them, and ends what has lingered.
    pub(super) fn send_due(&mut self, now: Instant) {
        while let Some(frame) = self.frames.poll(now) {
            self.far.write_rtp(frame, now);
            if let Some(message) = self.control.poll(now) {
                self.far.send_control(&message, now);
            }
            self.far.release();
        }
        if self.linger.is_over(self.control.is_idle(), now) {
            self.stop();
            self.far.close(now);
        }
    }

    /// Nothing leaves any more.
    pub(super) fn stop(&mut self) {
        self.frames.stop();
        self.control.stop();
        self.far.hold_back(false);
        self.linger = Linger::drawn(0);
    }

    /// Ends the call's media. A connection goes on for a moment, unless this was said before.
    pub(super) fn end(&mut self, now: Instant) {
        self.ended = true;
        self.frames.close();
        if self.frames.is_running() && !self.linger.has_begun() {
            self.linger.message = Some(now + LAST_MESSAGE);
            self.send_due(now);
        } else {
            self.stop();
            self.far.close(now);
        }
    }

    /// When the next frame leaves, or the connection ends.
    pub(super) fn next_slot(&self) -> Option<Instant> {
        let times = [self.frames.next_timeout(), self.linger.until];
        times.into_iter().flatten().min()
    }
}
