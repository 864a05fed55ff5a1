//! One stream between a phone and us, in both directions, for as long as the call lasts.
//!
//! What a phone may send and hear by its latest terms is in `phone`; numbers and figures outlive those.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_core::Rng;

use super::Microphone;
use super::agreed::{Phone, Terms};
use super::direction::Lane;
use super::reports::Reports;
use crate::far::RtpPacket;
use crate::near::dtmf_sender::Keys;
use crate::near::rtcp::{self, Wish};
use crate::rtp;
use crate::sdp::Feedback;
use crate::stats::{Reason, Way};

/// Sound, or moving pictures.
#[derive(Debug)]
pub(super) struct Stream {
    ssrc: u32,
    phone: Option<Phone>,
    /// Whether the phone has this stream now. One that it has dropped is remembered, with the state of its keys, since
    /// it may come back.
    is_on: bool,
    from_phone: Lane,
    to_phone: Lane,
    /// Key presses to be said to the phone.
    keys: Keys,
    /// Whole pictures that the phone needs, and that the other side does.
    needed_here: Need,
    needed_there: Need,
    /// Intra requests so far.
    requests: u8,
    reports: Reports,
}

/// Whether somebody needs a whole picture.
#[derive(Debug, Default)]
struct Need {
    is_open: bool,
    said: Option<Instant>,
}

/// Between two wishes for a whole picture. It takes a phone about as long to make one, and a lost one is asked for again.
const PAUSE: Duration = Duration::from_millis(250);

impl Need {
    /// Whether to say it now.
    fn is_due(&self, now: Instant) -> bool {
        let rests = |said| now.saturating_duration_since(said) < PAUSE;
        self.is_open && !self.said.is_some_and(rests)
    }

    fn say(&mut self, now: Instant) {
        self.is_open = false;
        self.said = Some(now);
    }
}

impl Stream {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self {
            ssrc: rng.next_u32(),
            phone: None,
            is_on: false,
            from_phone: Lane::new(rng),
            to_phone: Lane::new(rng),
            keys: Keys::default(),
            needed_here: Need::default(),
            needed_there: Need::default(),
            requests: 0,
            reports: Reports::default(),
        }
    }

    /// Takes the terms agreed with the phone, for the first time or in place of those before; `None` if there is no such
    /// stream any more.
    pub(super) fn attach(&mut self, terms: Option<Terms>) {
        let saw = self.hears();
        self.is_on = terms.is_some();
        if let Some(terms) = terms {
            self.phone = Some(Phone::agreed(terms, self.phone.take()));
        }
        // What went by meanwhile was not seen: there is nothing that the next picture could build on.
        self.needed_here.is_open |= self.hears() && !saw;
    }

    /// Says a key press to the phone within its sound, if that was agreed. False if it can't be.
    pub(super) fn press(&mut self, event: u8, millis: u16) -> bool {
        let phone = self.phone.as_ref();
        let is_agreed = phone.is_some_and(|phone| phone.events().is_some());
        is_agreed && self.keys.press(event, millis)
    }

    /// A datagram on its near socket; what comes back is for the far leg.
    pub(super) fn hear(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        microphone: Microphone,
        now: Instant,
    ) -> Option<RtpPacket> {
        let heard = match &mut self.phone {
            Some(phone) if self.is_on && rtp::is_control(bytes) => {
                match phone.hear_control(from, bytes) {
                    Ok(heard) => {
                        self.needed_here.is_open |= heard.wants_picture;
                        self.reports.hear(heard.written, now);
                        Err(Reason::Rtcp)
                    }
                    Err(reason) => Err(reason),
                }
            }
            Some(phone) if self.is_on => {
                phone.hear(from, bytes, microphone, &mut self.from_phone, now)
            }
            _ => Err(Reason::Nowhere),
        };
        if heard.is_ok() {
            self.reports.note(now);
        }
        self.from_phone.meter.note(heard)
    }

    /// A packet of the far leg; what comes back is for the phone.
    pub(super) fn play(
        &mut self,
        packet: &RtpPacket,
        now: Instant,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let played = match &mut self.phone {
            Some(phone) if self.is_on => {
                let lanes = (&mut self.to_phone, &mut self.keys);
                phone.play(packet, self.ssrc, lanes, now)
            }
            _ => Err(Reason::Nowhere),
        };
        if played.is_ok() {
            self.reports.note_sent(packet.payload.len(), now);
        }
        self.to_phone.meter.note(played)
    }

    /// The other side needs a whole picture.
    pub(super) fn ask_picture(&mut self) {
        self.needed_there.is_open = true;
    }

    /// Whether the phone needs a whole picture of the other side, and that is to be said now.
    pub(super) fn takes_wish(&mut self, now: Instant) -> bool {
        let is_due = self.needed_here.is_due(now);
        if is_due {
            self.needed_here.say(now);
        }
        is_due
    }

    /// What the phone is to be told now, and where.
    pub(super) fn poll_wish(
        &mut self,
        feedback: Feedback,
        now: Instant,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let phone = self.phone.as_mut().filter(|_| self.is_on)?;
        if !self.needed_there.is_due(now) {
            return None;
        }
        let wish = if feedback.fir && !feedback.pli {
            self.requests = self.requests.wrapping_add(1);
            Wish::Intra(self.requests)
        } else {
            // Also for a phone that has named neither: one that does not know it steps over it.
            Wish::Loss
        };
        let told = phone.tell(|source| rtcp::write_wish(self.ssrc, source, wish))?;
        self.needed_there.say(now);
        Some(told)
    }

    /// The report that is due to the phone, and where it goes.
    pub(super) fn poll_report(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        if !self.reports.is_due(now) {
            return None;
        }
        let ours = self.ssrc;
        let (reports, lanes) = (&mut self.reports, (&self.from_phone, &self.to_phone));
        let phone = self.phone.as_mut().filter(|_| self.is_on);
        let clock = phone.as_ref().map_or(0, |phone| phone.clock());
        let told = phone.and_then(|phone| {
            phone.tell(|source| reports.write((ours, source, clock), lanes, now))
        });
        if told.is_none() {
            // Nobody is there to be told, or nobody has been heard yet.
            self.reports.rest(now);
        }
        told
    }

    /// When something is to be told.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.reports.next_alarm().filter(|_| self.is_on)
    }

    /// Whether the phone hears sound but no key presses within it; `None` without a phone.
    pub(super) fn is_deaf_to_events(&self) -> Option<bool> {
        let phone = self.phone.as_ref().filter(|_| self.is_on)?;
        Some(phone.hears() && phone.events().is_none())
    }

    fn hears(&self) -> bool {
        let phone = self.phone.as_ref().filter(|_| self.is_on);
        phone.is_some_and(Phone::hears)
    }

    /// What happened so far: from the phone, and to it.
    pub(super) fn figures(&self) -> (Way, Way) {
        (self.from_phone.meter.way(), self.to_phone.meter.way())
    }
}
