//! What the two phones of a call have in common: audio, or what the callee's engine transcodes, and perhaps video.
//!
//! Each side reckons for itself, from the same two lists. Where the phones share no codec, the call carries one of the caller's, so
//! that its engine has nothing to do. Video is agreed once, when the call is answered; a phone
//! may drop it later and take it up again, but not begin with it.

use rand_core::Rng;
use ringfence_media::{
    ChosenCodecs, Codec, Description, OwnMedia, OwnVideo, VideoFormat, choose, choose_video,
};

use super::phone_side::sdp_session;
use crate::input::NearPort;

/// Every codec, the better one first.
pub(super) const PREFERRED: [Codec; 6] = [
    Codec::Opus,
    Codec::G722,
    Codec::Pcma,
    Codec::Pcmu,
    Codec::Events48k,
    Codec::Events8k,
];

/// These codecs, and after them the others, which this engine can transcode.
pub(super) fn with_every_codec(codecs: &[Codec]) -> Vec<Codec> {
    let others = PREFERRED.iter().filter(|codec| !codecs.contains(codec));
    codecs.iter().chain(others).copied().collect()
}

/// What a call will carry.
#[derive(Debug)]
pub(super) struct AgreedMedia {
    /// The other engine's description, without video if there will be none.
    pub(super) remote: Description,
    /// Audio and key presses.
    pub(super) chosen: ChosenCodecs,
    pub(super) video: Option<VideoFormat>,
}

/// What our phone takes: audio and key presses, and video.
pub(super) type Formats = (Vec<Codec>, Vec<VideoFormat>);

impl AgreedMedia {
    /// The other side's phone has answered what ours offered.
    pub(super) fn by_callee((audio, video): Formats, remote: Description) -> Option<Self> {
        let chosen = ChosenCodecs::common(choose(&audio, &remote.codecs)?);
        let video = choose_video(&video, video_formats(&remote));
        Some(Self::new(remote, chosen, video))
    }

    /// Our phone has answered what the other side's offered.
    pub(super) fn by_phone(remote: Description, (audio, video): Formats) -> Option<Self> {
        let chosen = ChosenCodecs::of(&remote.codecs, &audio)?;
        let video = choose_video(video_formats(&remote), &video);
        Some(Self::new(remote, chosen, video))
    }

    fn new(mut remote: Description, chosen: ChosenCodecs, video: Option<VideoFormat>) -> Self {
        remote.video = remote.video.take().filter(|_| video.is_some());
        Self {
            remote,
            chosen,
            video,
        }
    }

    /// What we say of ourselves to a phone that hears us first.
    pub(super) fn own(&self, near: NearPort, rng: &mut impl Rng) -> OwnMedia {
        let mut own = OwnMedia::plain(near.audio, sdp_session(rng));
        own.video = near.video.zip(self.video).map(|(port, format)| OwnVideo {
            port,
            keys: Vec::new(),
            formats: vec![format],
        });
        own
    }
}

fn video_formats(remote: &Description) -> &[VideoFormat] {
    let video = remote.video.as_ref();
    video.map_or(&[], |video| &video.formats)
}
