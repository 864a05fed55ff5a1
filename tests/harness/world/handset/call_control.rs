//! Registration, and the calls of a handset from dialling to hanging up (RFC 3261 sections 9, 10, 13 and 15).

use std::{net::SocketAddr, time::Instant};

use ringfence_sip::message::{Headers, Method, Name, Request, Uri};

use super::{
    Call, Handset, HandsetEvent, HandsetOutput, Hold, ReceivedAudio, Registration, Retransmissions,
    Stage,
    send::{branch, copy, cseq, lists_g722, remote},
};

impl Handset {
    /// Registers as a phone does that has just started.
    pub(crate) fn register(&mut self, now: Instant) {
        self.registration = Registration {
            tag: self.token(),
            call_id: self.token(),
            is_refresh: false,
            refresh: None,
        };
        self.send_register(now);
    }

    /// Registers once more, as a phone that has not started anew.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.registration.refresh = Some(now);
        self.refresh_registration(now);
    }

    /// Registers once more, when half the granted time is over.
    pub(super) fn refresh_registration(&mut self, now: Instant) {
        let is_due = |at: &mut Instant| *at <= now;
        if self.registration.refresh.take_if(is_due).is_some() {
            self.registration.is_refresh = true;
            self.send_register(now);
        }
    }

    fn send_register(&mut self, now: Instant) {
        let server = Uri::sip(None, self.config.server);
        let us = self.address_of_record();
        let from = format!("<{us}>;tag={}", self.registration.tag);
        let id = self.registration.call_id.clone();
        let mut request = self.request(Method::Register, &server, (&from, &format!("<{us}>"), &id));
        let contact = Uri::sip(Some(&self.config.user), self.config.address);
        request.headers.push(Name::Contact, format!("<{contact}>"));
        request.headers.push(Name::Expires, "3600");
        if let Some(packages) = self.behaviour.allow_events {
            request.headers.push(Name::AllowEvents, packages);
        }
        self.send_request(request, false, now);
    }

    /// Loses its power and starts again: it knows nothing of any call, and registers.
    pub(crate) fn reboot(&mut self, now: Instant) {
        self.end_call();
        self.call = None;
        self.waiting_calls.clear();
        self.retransmissions = Retransmissions::default();
        self.pending.clear();
        self.register(now);
    }

    /// Adds Allow if this phone sends it.
    fn add_allow(&self, headers: &mut Headers) {
        if let Some(methods) = self.behaviour.allow {
            headers.push(Name::Allow, methods);
        }
    }

    pub(crate) fn dial(&mut self, digits: &str, now: Instant) {
        let uri = Uri::sip(Some(digits), self.config.server);
        let (tag, id) = (self.token(), self.token());
        let (user, us) = (&self.config.user, self.address_of_record());
        let us = format!("\"Handset of {user}\" <{us}>;tag={tag}");
        let them = format!("<{uri}>");
        let mut request = self.request(Method::Invite, &uri, (&us, &them, &id));
        self.add_sdp(&mut request.headers, &mut request.body, 1);
        self.add_allow(&mut request.headers);
        if self.dials_without_offer {
            request.body.clear();
        }
        if let Some(replaces) = self.replaces.take() {
            request.headers.push(Name::Replaces, replaces);
        }
        // As on a desk phone with two line keys, a ringing call goes on ringing beside the new one.
        self.let_wait();
        self.call = Some(Call {
            id,
            us,
            them,
            target: None,
            stage: Stage::Dialling,
            has_talked: false,
            invite: request.clone(),
            said: None,
            ack: None,
        });
        self.send_request(request, false, now);
    }

    /// A ringing call goes on ringing beside what comes now.
    pub(super) fn let_wait(&mut self) {
        let ringing = self.call.take().filter(|call| call.stage == Stage::Ringing);
        self.waiting_calls.extend(ringing);
    }

    pub(crate) fn answer(&mut self, now: Instant) {
        self.received_audio = ReceivedAudio::default();
        self.respond_with_sdp(now);
        let Some(call) = &mut self.call else { return };
        call.stage = Stage::Talking;
        let sdp = call.invite.body.clone();
        let (remote, video) = remote(&sdp, true);
        self.choose_codec(&sdp);
        self.start_audio(remote, now);
        self.start_video(video, now);
    }

    pub(crate) fn decline(&mut self, status: u16, now: Instant) {
        self.respond_finally(status, now);
        if let Some(call) = &mut self.call {
            call.stage = Stage::Over;
        }
    }

    /// Ends the call in whatever state it is.
    pub(crate) fn hang_up(&mut self, now: Instant) {
        self.audio.close();
        if let Some(camera) = &mut self.camera {
            camera.close();
        }
        match self.stage() {
            Some(Stage::Dialling) => self.cancel(now),
            Some(Stage::Ringing) => self.decline(603, now),
            Some(Stage::Talking) => {
                if let Some(request) = self.in_dialog(Method::Bye) {
                    self.send_request(request, false, now);
                }
                self.end_call();
            }
            _ => {}
        }
    }

    /// Sends a new offer in a call, from another port or with hold.
    pub(crate) fn reinvite(&mut self, rtp: SocketAddr, now: Instant) {
        self.config.rtp = rtp;
        let method = if self.behaviour.offers_by_update {
            Method::Update
        } else {
            Method::Invite
        };
        if let Some(mut request) = self.in_dialog(method) {
            self.add_sdp(&mut request.headers, &mut request.body, 2);
            self.send_request(request, false, now);
        }
    }

    fn cancel(&mut self, now: Instant) {
        let Some(call) = &self.call else { return };
        let asked = self.pending.values().find(|asked| {
            asked.request.method == Method::Invite
                && asked.request.headers.call_id() == Some(&call.id)
        });
        let Some(asked) = asked else { return };
        let invite = asked.request.clone();
        let Some(uri) = Uri::parse(invite.uri.as_bytes()) else {
            return;
        };
        let mut cancel = Request::new(Method::Cancel, &uri);
        copy(&invite, &mut cancel);
        let number = invite.headers.cseq().map_or(0, |cseq| cseq.number);
        cancel
            .headers
            .replace(Name::CSeq, cseq(number, Method::Cancel));
        let name = format!("{} CANCEL", branch(&invite.headers));
        let bytes = cancel.to_bytes();
        self.retransmissions.start(name, bytes.clone(), now);
        self.out.push_back(HandsetOutput::Sip(bytes));
    }

    /// Chooses what it sends among what it and the other side's SDP list.
    pub(super) fn choose_codec(&mut self, sdp: &[u8]) {
        let is_g722 = self.behaviour.sends_g722 && lists_g722(sdp);
        self.audio.send_as_g722(is_g722);
    }

    pub(super) fn start_audio(&mut self, remote: Option<SocketAddr>, now: Instant) {
        let is_mute = self.is_held && self.behaviour.holds_by != Hold::SendOnly;
        match remote.filter(|_| !is_mute) {
            Some(remote) => self.audio.open(remote, now),
            None if is_mute => self.audio.close(),
            None => {}
        }
        let is_first = self
            .call
            .as_mut()
            .is_some_and(|call| !std::mem::replace(&mut call.has_talked, true));
        if is_first {
            self.record(HandsetEvent::Answered, now);
        }
    }

    pub(super) fn start_video(&mut self, remote: Option<SocketAddr>, now: Instant) {
        if let Some(camera) = &mut self.camera {
            camera.open(remote, now);
        }
    }

    /// The call is over, and what was held with it.
    pub(super) fn end_call(&mut self) {
        self.audio.close();
        self.is_held = false;
        if let Some(camera) = &mut self.camera {
            camera.close();
        }
        if let Some(call) = &mut self.call {
            call.stage = Stage::Over;
        }
    }
}
