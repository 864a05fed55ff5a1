//! Whether the phone of a running call is still there. No audio comes from a phone that is muted, that suppresses silence, or that
//! has died; the media say which phones are silent, and OPTIONS in their dialogs (RFC 3261 section 11) tells the dead from the
//! others.
//!
//! A phone that has been silent for half a minute and answered no OPTIONS in that time is gone. So is one that registered anew and
//! has sent nothing since: it restarted, and knows nothing of the call. A phone that holds the call need not send, and only OPTIONS
//! decides about it. Nothing here ends a call: [`super::talking`] asks what to do.

use std::time::{Duration, Instant};

/// How long the media wait before they say that a phone is silent.
const SILENT: Duration = Duration::from_secs(5);

/// Between two OPTIONS to a phone that is silent.
const PROBE: Duration = Duration::from_secs(10);

/// How long a phone may be silent and answer nothing.
const GONE: Duration = Duration::from_secs(30);

/// How long after its new registration a phone may begin to send.
const RESTARTED: Duration = Duration::from_secs(2);

/// What is known of the phone.
#[derive(Debug, Default)]
pub(super) struct PhoneWatch {
    /// `None` while audio comes from it.
    silence: Option<PhoneSilence>,
    /// When it registered anew, if it did and the media have not heard it since.
    registered_anew: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct PhoneSilence {
    /// When it was last known to be there.
    alive: Instant,
    next_probe: Instant,
}

/// What is to be done about the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PhoneVerdict {
    /// Nothing now.
    Wait,
    /// Send OPTIONS.
    Probe,
    /// End the call.
    Gone,
}

impl PhoneWatch {
    /// The media have heard nothing for [`SILENT`].
    pub(super) fn handle_silent(&mut self, now: Instant) {
        let heard = now.checked_sub(SILENT).unwrap_or(now);
        if self.registered_anew.is_some_and(|at| at < heard) {
            // It has sent since: it is the phone that was in the call.
            self.registered_anew = None;
        }
        self.silence = Some(PhoneSilence {
            alive: heard,
            next_probe: now,
        });
    }

    /// Audio comes again.
    pub(super) fn handle_heard(&mut self) {
        *self = Self::default();
    }

    /// The phone has answered OPTIONS, or has not.
    pub(super) fn handle_probed(&mut self, is_alive: bool, now: Instant) {
        if let Some(silence) = self.silence.as_mut().filter(|_| is_alive) {
            silence.alive = now;
        }
    }

    /// A request or response of the phone in the dialog of the call: it is there, and knows of the call.
    pub(super) fn handle_signalling(&mut self, now: Instant) {
        self.registered_anew = None;
        self.handle_probed(true, now);
    }

    /// The phone has registered as one does that has just started.
    pub(super) fn handle_registered_anew(&mut self, now: Instant) {
        self.registered_anew = Some(now);
        if let Some(silence) = &mut self.silence {
            silence.next_probe = now;
        }
    }

    /// Another phone has the call from now on. The media go on as they were.
    pub(super) fn change_phone(&mut self, now: Instant) {
        self.registered_anew = None;
        if let Some(silence) = &mut self.silence {
            (silence.alive, silence.next_probe) = (now, now + PROBE);
        }
    }

    /// What to do at this instant. `holds` says whether the phone need not send.
    pub(super) fn verdict(&mut self, holds: bool, now: Instant) -> PhoneVerdict {
        let Some(gone) = self.gone_at(holds) else {
            return PhoneVerdict::Wait;
        };
        match &mut self.silence {
            _ if gone <= now => PhoneVerdict::Gone,
            Some(silence) if silence.next_probe <= now => {
                silence.next_probe = now + PROBE;
                PhoneVerdict::Probe
            }
            _ => PhoneVerdict::Wait,
        }
    }

    /// When [`Self::verdict`] is to be asked next; never, while audio comes.
    pub(super) fn next(&self, holds: bool) -> Option<Instant> {
        let silence = self.silence?;
        Some(self.gone_at(holds)?.min(silence.next_probe))
    }

    fn gone_at(&self, holds: bool) -> Option<Instant> {
        let gone = self.silence?.alive + GONE;
        let restarted = self.registered_anew.filter(|_| !holds);
        Some(restarted.map_or(gone, |at| gone.min(at + RESTARTED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A watch, and the instant at which the media say that the phone is silent.
    fn silent() -> (PhoneWatch, Instant) {
        let now = some_instant() + GONE;
        let mut watch = PhoneWatch::default();
        assert_eq!(watch.next(false), None);
        watch.handle_silent(now);
        (watch, now)
    }

    #[test]
    fn a_silent_phone_is_probed_at_once_and_every_ten_seconds_and_is_gone_after_thirty() {
        let (mut watch, now) = silent();
        for seconds in [0, 10, 20] {
            let at = now + seconds * SECOND;
            assert_eq!(watch.next(false), Some(at));
            assert_eq!(watch.verdict(false, at), PhoneVerdict::Probe);
            assert_eq!(watch.verdict(false, at), PhoneVerdict::Wait);
        }
        let end = now + 25 * SECOND;
        assert_eq!(watch.next(false), Some(end));
        assert_eq!(watch.verdict(false, end), PhoneVerdict::Gone);
    }

    #[test]
    fn a_phone_that_answers_or_is_heard_stays() {
        let (mut watch, now) = silent();
        watch.handle_probed(false, now + 20 * SECOND);
        watch.handle_probed(true, now + 24 * SECOND);
        assert_ne!(
            watch.verdict(false, now + 53 * SECOND),
            PhoneVerdict::Gone,
            "thirty seconds count from the answer"
        );
        assert_eq!(watch.verdict(false, now + 54 * SECOND), PhoneVerdict::Gone);
        watch.handle_heard();
        assert_eq!(watch.next(false), None);
        assert_eq!(watch.verdict(false, now + 99 * SECOND), PhoneVerdict::Wait);
    }

    #[test]
    fn a_silent_phone_that_registers_anew_is_gone_two_seconds_later() {
        let (mut watch, now) = silent();
        let at = now + 3 * SECOND;
        watch.handle_registered_anew(at);
        watch.handle_probed(true, at);
        assert_eq!(watch.verdict(false, at + SECOND), PhoneVerdict::Probe);
        assert_eq!(watch.next(false), Some(at + RESTARTED));
        assert_eq!(watch.verdict(false, at + RESTARTED), PhoneVerdict::Gone);
    }

    #[test]
    fn a_phone_that_registers_anew_and_sends_stays_even_if_it_falls_silent_later() {
        let now = some_instant() + GONE;
        let mut watch = PhoneWatch::default();
        watch.handle_registered_anew(now);
        assert_eq!(watch.next(false), None);
        watch.handle_silent(now + SILENT + SECOND);
        assert_eq!(
            watch.verdict(false, now + SILENT + 4 * SECOND),
            PhoneVerdict::Probe
        );
        // And one that was last heard before it registered has restarted.
        let mut watch = PhoneWatch::default();
        watch.handle_registered_anew(now);
        watch.handle_silent(now + SILENT - SECOND);
        assert_eq!(
            watch.verdict(false, now + SILENT - SECOND),
            PhoneVerdict::Gone
        );
    }

    #[test]
    fn a_phone_that_holds_is_left_to_options() {
        let (mut watch, now) = silent();
        watch.handle_registered_anew(now);
        assert_eq!(watch.verdict(true, now + 3 * SECOND), PhoneVerdict::Probe);
        watch.handle_probed(true, now + 3 * SECOND);
        assert_eq!(watch.verdict(true, now + 12 * SECOND), PhoneVerdict::Wait);
        assert_eq!(watch.verdict(true, now + 33 * SECOND), PhoneVerdict::Gone);
    }

    #[test]
    fn a_phone_that_resumes_the_call_has_not_restarted() {
        let (mut watch, now) = silent();
        watch.handle_registered_anew(now);
        watch.handle_signalling(now + 29 * SECOND);
        assert_eq!(watch.verdict(false, now + 30 * SECOND), PhoneVerdict::Probe);
    }

    #[test]
    fn another_phone_that_takes_the_call_has_its_own_half_minute() {
        let (mut watch, now) = silent();
        watch.change_phone(now + 24 * SECOND);
        assert_eq!(watch.verdict(false, now + 53 * SECOND), PhoneVerdict::Probe);
        assert_eq!(watch.verdict(false, now + 54 * SECOND), PhoneVerdict::Gone);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn some_instant() -> Instant {
        Instant::now()
    }
}
