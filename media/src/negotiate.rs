//! Which format a call uses, agreed between two phones that never see each other's SDP (RFC 3264
//! section 6).
//!
//! Nothing is transcoded, so it must be one that both know.

use crate::codec::Codec;

/// One format for sound, and the one for keypad digits that goes with it, out of what was `offered`
/// and what the other phone `answered`.
///
/// The answerer's order decides. `None` when the two have no format for sound in common. Digits
/// should run on the clock of the sound beside them (RFC 4733 section 2.1), but several phones
/// offer 8 kHz digits alone beside Opus: when both sides have no better, that is taken, since the
/// two phones would do the same to each other directly.
#[must_use]
pub fn choose(offered: &[Codec], answered: &[Codec]) -> Option<Vec<Codec>> {
    let mut common = answered
        .iter()
        .copied()
        .filter(|codec| offered.contains(codec));
    let sound = common.clone().find(|codec| !codec.is_events())?;
    let other_clock = |events: &Codec| events.clock() != sound.clock();
    let events = common
        .by_ref()
        .filter(|codec| codec.is_events())
        .min_by_key(other_clock);
    Some(std::iter::once(sound).chain(events).collect())
}

#[cfg(test)]
mod tests {
    use super::Codec::*;
    use super::*;

    #[test]
    fn the_answerer_decides_among_what_was_offered() {
        assert_eq!(choose(&[Opus, Pcma, Pcmu], &[Pcmu, Opus]), Some(vec![Pcmu]));
        assert_eq!(choose(&[Opus, Pcma], &[G722, Pcma, Opus]), Some(vec![Pcma]));
    }

    #[test]
    fn digits_run_on_the_clock_of_the_sound() {
        let all = [Events8k, Events48k, Opus, Pcmu];
        assert_eq!(choose(&all, &all), Some(vec![Opus, Events48k]));
        assert_eq!(
            choose(&all, &[Pcmu, Events48k, Events8k]),
            Some(vec![Pcmu, Events8k])
        );
    }

    #[test]
    fn digits_of_another_clock_are_better_than_none() {
        assert_eq!(
            choose(&[Opus, Events8k], &[Opus, Events48k, Events8k]),
            Some(vec![Opus, Events8k])
        );
        assert_eq!(
            choose(&[Opus, Events8k], &[Opus, Events48k]),
            Some(vec![Opus])
        );
    }

    #[test]
    fn phones_without_a_common_sound_do_not_talk() {
        assert_eq!(choose(&[Opus, Events8k], &[Pcmu, Events8k]), None);
        assert_eq!(choose(&[], &[Pcmu]), None);
        assert_eq!(choose(&[Events8k], &[Events8k]), None);
    }

    #[test]
    fn choosing_again_from_the_choice_changes_nothing() {
        let chosen = choose(&Codec::ALL, &[Opus, Events8k, Events48k]).unwrap();
        assert_eq!(choose(&Codec::ALL, &chosen), Some(chosen));
    }
}
