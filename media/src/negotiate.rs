//! The result of offer and answer: the one format that a call uses, and what the near leg has to know of its phone.
//!
//! The two phones never see each other's SDP (RFC 3264 section 6), and the call has one format, which both know; where there is none, one
//! that the caller's phone knows, and the callee's engine transcodes. A phone may still send another one of those that it listed; the
//! near leg converts it if both are G.711.

use std::net::SocketAddr;

use crate::codec::Codec;
use crate::srtp::SrtpKeyPair;
use crate::video::VideoFormat;

/// What was agreed with the phone, and its addresses. [`PhoneMedia::negotiated`](crate::PhoneMedia::negotiated) makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedMedia {
    /// The near socket's address: on loopback, any address of this machine may be the phone's.
    pub local: SocketAddr,
    /// The address in the phone's SDP.
    pub remote: SocketAddr,
    /// The agreed formats, with the phone's payload types.
    pub codecs: Vec<(Codec, u8)>,
    /// What the call carries in place of the agreed formats, which the phone does not have: they are transcoded.
    pub carried: Option<Vec<Codec>>,
    /// The audio formats that the phone listed beside the agreed one, with its payload types. It may send any of them (RFC 3264
    /// section 6.1); it is sent none.
    pub also_listed: Vec<(Codec, u8)>,
    /// Whether the phone wants to receive audio for now; it does not while it holds the call.
    pub receives: bool,
    /// Where the phone wants RTCP.
    pub rtcp: RtcpDestination,
    /// The agreed keys; `None` for plain RTP.
    pub keys: Option<SrtpKeyPair>,
    /// Video, if it was agreed.
    pub video: Option<NegotiatedVideo>,
}

/// What was agreed with the phone about video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedVideo {
    /// The address of the near socket for video.
    pub local: SocketAddr,
    /// The address in the phone's SDP.
    pub remote: SocketAddr,
    /// Where the phone wants RTCP.
    pub rtcp: RtcpDestination,
    /// The agreed format, with the phone's payload type.
    pub format: (VideoFormat, u8),
    /// Whether the phone wants to receive video for now.
    pub receives: bool,
    /// How the phone can be asked for a keyframe.
    pub feedback: KeyframeFeedback,
    /// The agreed keys; `None` for plain RTP.
    pub keys: Option<SrtpKeyPair>,
}

/// Where a phone wants RTCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtcpDestination {
    /// At the port after that of RTP (RFC 3550 section 11).
    #[default]
    NextPort,
    /// At the port of RTP itself (RFC 5761).
    SamePort,
    /// At the address in its SDP (RFC 3605).
    Elsewhere(SocketAddr),
}

impl RtcpDestination {
    /// The destination that `a=rtcp-mux` and `a=rtcp` together mean.
    pub(crate) fn of(is_mux: bool, elsewhere: Option<SocketAddr>) -> Self {
        match (is_mux, elsewhere) {
            (true, _) => Self::SamePort,
            (false, Some(at)) => Self::Elsewhere(at),
            (false, None) => Self::NextPort,
        }
    }
}

/// The keyframe requests that a phone says it understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyframeFeedback {
    /// Picture loss indication (RFC 4585 section 6.3.1).
    pub pli: bool,
    /// Full intra request (RFC 5104 section 4.3.1).
    pub fir: bool,
}

/// The formats of a call at one engine: one for audio, and perhaps one for telephone events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenCodecs {
    /// What the phone sends and is sent.
    pub phone: Vec<Codec>,
    /// What the two engines send each other: the same, unless this one transcodes.
    pub carried: Vec<Codec>,
}

impl ChosenCodecs {
    /// What both sides have.
    #[must_use]
    pub fn common(codecs: Vec<Codec>) -> Self {
        Self {
            phone: codecs.clone(),
            carried: codecs,
        }
    }

    /// What the call carries out of what was `offered` for it, and what the phone has out of what it `answered`: the same where that is
    /// possible, and else what each side prefers. `None` if one of them has no audio.
    #[must_use]
    pub fn of(offered: &[Codec], answered: &[Codec]) -> Option<Self> {
        let transcoded = || {
            let mut phone = choose(answered, answered)?;
            let mut carried = choose(offered, offered)?;
            // Telephone events cross where both sides have them.
            let both = phone.len().min(carried.len());
            phone.truncate(both);
            carried.truncate(both);
            Some(Self { phone, carried })
        };
        let common = choose(offered, answered).map(Self::common);
        common.or_else(transcoded)
    }

    /// The same for the phone, of a call that carries another codec.
    #[must_use]
    pub fn carrying(&self, codec: Codec) -> Self {
        let events = self.carried.iter().copied();
        let events = events.filter(|codec| codec.is_events());
        Self {
            phone: self.phone.clone(),
            carried: std::iter::once(codec).chain(events).collect(),
        }
    }

    /// What the call carries in place of what the phone has.
    #[must_use]
    pub fn transcoded(&self) -> Option<&[Codec]> {
        let is_other = Codec::sound_of(&self.phone) != Codec::sound_of(&self.carried);
        is_other.then_some(&self.carried)
    }
}

/// One audio format, and the telephone-event format that goes with it, out of what was `offered` and what the other
/// phone `answered`.
///
/// The answerer's order decides. `None` when the two have no audio format in common. Telephone events should run on the
/// clock of the audio (RFC 4733 section 2.1), but several phones offer them at 8 kHz alone beside Opus: when both sides
/// have nothing better, that is taken, since the two phones would do the same to each other directly.
#[must_use]
pub fn choose(offered: &[Codec], answered: &[Codec]) -> Option<Vec<Codec>> {
    let mut common = answered
        .iter()
        .copied()
        .filter(|codec| offered.contains(codec));
    let audio = common.clone().find(|codec| !codec.is_events())?;
    let other_clock = |events: &Codec| events.clock() != audio.clock();
    let events = common
        .by_ref()
        .filter(|codec| codec.is_events())
        .min_by_key(other_clock);
    Some(std::iter::once(audio).chain(events).collect())
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
    fn telephone_events_run_on_the_clock_of_the_audio() {
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
    fn phones_without_a_common_audio_format_have_nothing_to_choose() {
        assert_eq!(choose(&[Opus, Events8k], &[Pcmu, Events8k]), None);
        assert_eq!(choose(&[], &[Pcmu]), None);
        assert_eq!(choose(&[Events8k], &[Events8k]), None);
    }

    #[test]
    fn without_a_common_format_each_side_has_what_it_prefers() {
        let chosen = ChosenCodecs::of(&[Opus, G722, Events48k], &[Events8k, Pcma, Pcmu]).unwrap();
        assert_eq!(chosen.phone, [Pcma, Events8k]);
        assert_eq!(chosen.carried, [Opus, Events48k]);
        assert_eq!(chosen.transcoded(), Some(&[Opus, Events48k][..]));
        let alike = ChosenCodecs::of(&[Opus, G722], &[Pcma, G722]).unwrap();
        assert_eq!(alike, ChosenCodecs::common(vec![G722]));
        assert_eq!(alike.transcoded(), None);
        let chosen = ChosenCodecs::of(&[Opus], &[Pcma, Events8k]).unwrap();
        assert_eq!((chosen.phone, chosen.carried), (vec![Pcma], vec![Opus]));
        assert_eq!(ChosenCodecs::of(&[Opus], &[Events8k]), None);
        assert_eq!(ChosenCodecs::of(&[], &[Pcmu]), None);
    }

    #[test]
    fn choosing_again_from_the_choice_changes_nothing() {
        let chosen = choose(&Codec::ALL, &[Opus, Events8k, Events48k]).unwrap();
        assert_eq!(choose(&Codec::ALL, &chosen), Some(chosen));
    }
}
