//! What a person does with a call beside taking and ending it: hold, keys, handing it over, dialling like a machine that
//! makes no offer.

use std::{net::SocketAddr, time::Instant};

use rand_core::Rng as _;
use ringfence_sip::message::{Method, Name};

use super::{Camera, Handset, HandsetOutput, Notice};

/// Where cameras are.
const CAMERA_PORT: u16 = 9_078;

impl Handset {
    /// Holds the call, or takes it back.
    pub(crate) fn hold(&mut self, is_held: bool, now: Instant) {
        self.is_held = is_held;
        let rtp = self.card.rtp;
        self.reinvite(rtp, now);
    }

    /// Gets a camera.
    pub(crate) fn give_camera(&mut self, payload_type: u8) {
        let rtp = SocketAddr::new(self.card.rtp.ip(), CAMERA_PORT);
        self.camera = Some(Camera::new(rtp, payload_type, self.rng.next_u32()));
    }

    /// Says that it needs a whole picture.
    pub(crate) fn lose_track(&mut self) {
        let wish = self.camera.as_ref().and_then(Camera::wish);
        self.out
            .extend(wish.map(|(to, bytes)| HandsetOutput::Video { to, bytes }));
    }

    /// Takes the pictures out of the call, or into it again.
    pub(crate) fn turn_camera(&mut self, is_on: bool, now: Instant) {
        if let Some(camera) = &mut self.camera {
            camera.is_on = is_on;
        }
        let rtp = self.card.rtp;
        self.reinvite(rtp, now);
    }

    /// Presses a key, and says so by INFO.
    pub(crate) fn press(&mut self, key: char, now: Instant) {
        let Some(mut request) = self.in_dialog(Method::Info) else {
            return;
        };
        request
            .headers
            .push(Name::ContentType, "application/dtmf-relay");
        request.body = format!("Signal={key}\r\nDuration=100\r\n").into_bytes();
        self.ask(request, false, now);
    }

    /// Presses a key, and says so within its sound (RFC 4733).
    pub(crate) fn press_in_sound(&mut self, event: u8) {
        self.microphone.press(event);
    }

    /// Hands the call to whoever this address means.
    pub(crate) fn refer(&mut self, to: &str, now: Instant) {
        let Some(mut request) = self.in_dialog(Method::Refer) else {
            return;
        };
        request.headers.push(Name::ReferTo, to);
        self.ask(request, false, now);
    }

    /// The call it is in, as a Refer-To has to name it.
    pub(crate) fn replaces(&self) -> Option<String> {
        let call = self.call.as_ref()?;
        let tag = |text: &str| Some(text.rsplit_once(";tag=")?.1.to_owned());
        let (to_tag, from_tag) = (tag(&call.them)?, tag(&call.us)?);
        let id = &call.id;
        Some(format!("{id};to-tag={to_tag};from-tag={from_tag}"))
    }

    /// Dials without an offer (RFC 3261 section 13.2.1).
    pub(crate) fn dial_silently(&mut self, digits: &str, now: Instant) {
        self.is_silent = true;
        self.dial(digits, now);
        self.is_silent = false;
    }

    /// Dials to take over a call of its line.
    pub(crate) fn take_over(&mut self, replaces: &str, now: Instant) {
        self.replaces = Some(replaces.to_owned());
        self.dial("0", now);
    }

    /// A NOTIFY or an INFO of the engine: 200, and its person sees what it says.
    pub(super) fn notice_word(&mut self, method: &Method, body: &[u8], now: Instant) {
        let word = String::from_utf8_lossy(body).trim().to_owned();
        self.notice(
            match method {
                Method::Info => Notice::Key(word),
                _ => Notice::Transfer(word),
            },
            now,
        );
    }
}
