//! Features of a call: hold, video, key presses, transfer, takeover, and an INVITE without an offer.

use std::{net::SocketAddr, time::Instant};

use rand_core::Rng as _;
use ringfence_sip::message::{Method, Name};

use super::{Camera, Handset, HandsetEvent, HandsetOutput, send::remote};
use crate::world::audio::SoundChange;

/// The RTP port for video.
const CAMERA_PORT: u16 = 9_078;

impl Handset {
    /// Holds the call, or resumes it.
    pub(crate) fn hold(&mut self, is_held: bool, now: Instant) {
        self.is_held = is_held;
        let rtp = self.config.rtp;
        self.reinvite(rtp, now);
    }

    /// Sends few packets of sound from now on.
    pub(crate) const fn thin_sound(&mut self) {
        self.audio.thin();
    }

    /// Changes something of its sound.
    pub(crate) const fn change_sound(&mut self, change: SoundChange) {
        self.audio.change(change);
    }

    /// Sends sound to the address that the INVITE in its hands names, whether or not it is time for that.
    pub(crate) fn speak_out_of_turn(&mut self, now: Instant) {
        let invite = self.call.as_ref().map(|call| call.invite.body.clone());
        if let Some(to) = invite.and_then(|offer| remote(&offer, true).0) {
            self.audio.open(to, now);
        }
    }

    /// Adds a camera.
    pub(crate) fn give_camera(&mut self, payload_type: u8) {
        let rtp = SocketAddr::new(self.config.rtp.ip(), CAMERA_PORT);
        self.camera = Some(Camera::new(rtp, payload_type, self.rng.next_u32()));
    }

    /// Requests a keyframe.
    pub(crate) fn request_keyframe(&mut self) {
        let keyframe_request = self.camera.as_ref().and_then(Camera::keyframe_request);
        self.out
            .extend(keyframe_request.map(|(to, bytes)| HandsetOutput::Video { to, bytes }));
    }

    /// Removes video from the call, or adds it again.
    pub(crate) fn set_camera(&mut self, is_on: bool, now: Instant) {
        if let Some(camera) = &mut self.camera {
            camera.is_on = is_on;
        }
        let rtp = self.config.rtp;
        self.reinvite(rtp, now);
    }

    /// Presses a key and sends it in an INFO.
    pub(crate) fn press(&mut self, key: char, now: Instant) {
        let Some(mut request) = self.in_dialog(Method::Info) else {
            return;
        };
        request
            .headers
            .push(Name::ContentType, "application/dtmf-relay");
        request.body = format!("Signal={key}\r\nDuration=100\r\n").into_bytes();
        self.send_request(request, false, now);
    }

    /// Presses a key and sends it as an RTP event (RFC 4733).
    pub(crate) fn press_by_rtp_event(&mut self, event: u8) {
        self.audio.press(event);
    }

    /// Transfers the call to this address.
    pub(crate) fn refer(&mut self, to: &str, now: Instant) {
        let Some(mut request) = self.in_dialog(Method::Refer) else {
            return;
        };
        request.headers.push(Name::ReferTo, to);
        self.send_request(request, false, now);
    }

    /// The call it is in, as a Replaces header names it.
    pub(crate) fn replaces(&self) -> Option<String> {
        let call = self.call.as_ref()?;
        let tag = |text: &str| Some(text.rsplit_once(";tag=")?.1.to_owned());
        let (to_tag, from_tag) = (tag(&call.them)?, tag(&call.us)?);
        let id = &call.id;
        Some(format!("{id};to-tag={to_tag};from-tag={from_tag}"))
    }

    /// Dials without an offer (RFC 3261 section 13.2.1).
    pub(crate) fn dial_without_offer(&mut self, digits: &str, now: Instant) {
        self.dials_without_offer = true;
        self.dial(digits, now);
        self.dials_without_offer = false;
    }

    /// Dials with a Replaces header, to take over a call of its line.
    pub(crate) fn take_over(&mut self, replaces: &str, now: Instant) {
        self.replaces = Some(replaces.to_owned());
        self.dial("0", now);
    }

    /// Records the body of a NOTIFY or INFO in a call.
    pub(super) fn record_body(&mut self, method: &Method, body: &[u8], now: Instant) {
        let word = String::from_utf8_lossy(body).trim().to_owned();
        self.record(
            match method {
                Method::Info => HandsetEvent::Key(word),
                _ => HandsetEvent::TransferStatus(word),
            },
            now,
        );
    }
}
