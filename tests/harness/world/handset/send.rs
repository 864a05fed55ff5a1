//! The requests, responses and SDP that a handset sends.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use rand_core::Rng as _;
use ringfence_media::{OwnMedia, OwnVideo, Srtp, VideoFormat, sdp};
use ringfence_sip::message::{CSeq, Headers, Method, Name, NameAddr, Request, Response, Uri};

use super::{Handset, HandsetOutput, Hold, PendingRequest};

impl Handset {
    pub(super) fn send_request(&mut self, request: Request, is_authenticated: bool, now: Instant) {
        let name = branch(&request.headers);
        let bytes = request.to_bytes();
        if request.method == Method::Invite {
            self.retransmissions
                .start_invite(name.clone(), bytes.clone(), now);
        } else {
            self.retransmissions.start(name.clone(), bytes.clone(), now);
        }
        self.out.push_back(HandsetOutput::Sip(bytes));
        self.pending.insert(
            name,
            PendingRequest {
                request,
                is_authenticated,
            },
        );
    }

    pub(super) fn request(
        &mut self,
        method: Method,
        uri: &Uri,
        (us, them, id): (&str, &str, &str),
    ) -> Request {
        self.sequence += 1;
        let mut request = Request::new(method.clone(), uri);
        let via = self.via();
        let headers = &mut request.headers;
        headers.push(Name::Via, via);
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, us);
        headers.push(Name::To, them);
        headers.push(Name::CallId, id);
        headers.push(Name::CSeq, cseq(self.sequence, method));
        headers.push(
            Name::UserAgent,
            format!("Handset/1.0 ({})", self.config.address.ip()),
        );
        request
    }

    pub(super) fn in_dialog(&mut self, method: Method) -> Option<Request> {
        let call = self.call.as_ref()?;
        let (us, them, id) = (call.us.clone(), call.them.clone(), call.id.clone());
        let target = call.target.clone()?;
        let mut request = self.request(method, &target, (&us, &them, &id));
        let contact = Uri::sip(Some(&self.config.user), self.config.address);
        request.headers.push(Name::Contact, format!("<{contact}>"));
        Some(request)
    }

    pub(super) fn respond(&mut self, status: u16, body: Vec<u8>) {
        let contact = Uri::sip(Some(&self.config.user), self.config.address);
        let Some(call) = &mut self.call else { return };
        let mut response = Response::to(&call.invite, status);
        response.headers.replace(Name::To, call.us.clone());
        response.headers.push(Name::Contact, format!("<{contact}>"));
        if let Some(methods) = self.behaviour.allow {
            response.headers.push(Name::Allow, methods);
        }
        if !body.is_empty() {
            response.headers.push(Name::ContentType, "application/sdp");
        }
        response.body = body;
        call.said = Some(response.clone());
        self.send(&response);
    }

    pub(super) fn repeat_response(&mut self) {
        let said = self.call.as_ref().and_then(|call| call.said.clone());
        if let Some(response) = said {
            self.send(&response);
        }
    }

    pub(super) fn respond_with_sdp(&mut self, now: Instant) {
        let offer = self.call.as_ref().map(|call| call.invite.body.clone());
        let body = self.sdp(1, offer.as_deref());
        self.respond(200, body);
        self.repeat_final(now);
    }

    pub(super) fn respond_finally(&mut self, status: u16, now: Instant) {
        self.respond(status, Vec::new());
        self.repeat_final(now);
    }

    fn repeat_final(&mut self, now: Instant) {
        let Some(call) = &self.call else { return };
        if let Some(said) = &call.said {
            let name = format!("final {}", call.id);
            self.retransmissions.start(name, said.to_bytes(), now);
        }
    }

    pub(super) fn send(&mut self, response: &Response) {
        self.out.push_back(HandsetOutput::Sip(response.to_bytes()));
    }

    pub(super) fn add_sdp(&self, headers: &mut Headers, body: &mut Vec<u8>, version: u32) {
        let contact = Uri::sip(Some(&self.config.user), self.config.address);
        headers.replace(Name::Contact, format!("<{contact}>"));
        headers.push(Name::ContentType, "application/sdp");
        *body = self.sdp(version, None);
    }

    /// SDP as phones write it, with a user name, a session name and an address that must not leave the LAN.
    fn sdp(&self, version: u32, offer: Option<&[u8]>) -> Vec<u8> {
        let (user, ip, port) = (
            &self.config.user,
            self.config.rtp.ip(),
            self.config.rtp.port(),
        );
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let nowhere: IpAddr = if ip.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let (hears_at, direction) = match self.behaviour.holds_by {
            _ if !self.is_held => (ip, "a=sendrecv\r\n"),
            Hold::SendOnly => (ip, "a=sendonly\r\n"),
            Hold::Inactive => (ip, "a=inactive\r\n"),
            Hold::ZeroAddress => (nowhere, ""),
        };
        let hears_at = match self.behaviour.names_its_host {
            true => "handset.example".to_owned(),
            false => hears_at.to_string(),
        };
        let (number, events) = if self.behaviour.has_events {
            (
                " 101",
                "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
            )
        } else {
            ("", "")
        };
        // An answer lists what was offered (RFC 3264 section 6.1).
        let codecs = match self.behaviour.sends_g722 {
            false => "0 8",
            true if !offer.is_none_or(lists_g722) => "0",
            true if self.behaviour.prefers_g722 => "9 0 8",
            true => "0 9 8",
        };
        let audio = match &self.only {
            None => (
                format!("{codecs}{number}"),
                format!("a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n{events}"),
            ),
            Some(only) => only.lines(self.behaviour.has_events),
        };
        let (numbers, maps) = audio;
        // An answer has the offer's sections, and no others.
        let odd = match offer {
            None => self.behaviour.odd_section,
            Some(_) => "",
        };
        let (protocol, crypto) = match &self.sdes {
            None => ("RTP/AVP", String::new()),
            Some(sdes) => ("RTP/SAVP", sdes.line()),
        };
        format!(
            "v=0\r\no={user} 3911 {version} IN {family} {ip}\r\ns=Handset of {user}\r\nc=IN {family} {hears_at}\r\nt=0 0\r\n\
             {odd}m=audio {port} {protocol} {numbers}\r\n{maps}{crypto}a=ptime:20\r\n{direction}{}",
            self.video_lines(offer, direction)
        )
        .into_bytes()
    }

    /// The video section: an offer or acceptance if the phone has a camera, a refusal if it is offered video and has none.
    fn video_lines(&self, offer: Option<&[u8]>, direction: &str) -> String {
        let is_asked = offer.is_none_or(|offer| offer.windows(8).any(|line| line == b"m=video "));
        match &self.camera {
            Some(camera) if is_asked => {
                let port = if camera.is_on { camera.rtp.port() } else { 0 };
                let number = camera.payload_type;
                format!(
                    "m=video {port} RTP/AVP {number}\r\nb=AS:800\r\na=rtpmap:{number} VP8/90000\r\n\
                     a=rtcp-fb:* nack pli\r\n{direction}"
                )
            }
            None if offer.is_some() && is_asked => "m=video 0 RTP/AVP 112\r\n".to_owned(),
            _ => String::new(),
        }
    }

    pub(super) fn address_of_record(&self) -> Uri {
        Uri::sip(Some(&self.config.user), self.config.server)
    }

    pub(super) fn via(&mut self) -> String {
        let token = self.token();
        format!(
            "SIP/2.0/UDP {};rport;branch=z9hG4bK{token}",
            self.config.address
        )
    }

    pub(super) fn token(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }
}
pub(super) fn cseq(number: u32, method: Method) -> String {
    CSeq { number, method }.to_string()
}

pub(super) fn branch(headers: &Headers) -> String {
    headers
        .via()
        .and_then(|via| via.branch())
        .unwrap_or_default()
}

pub(super) fn contact(headers: &Headers) -> Option<Uri> {
    let contacts: Vec<NameAddr> = headers.contacts()?;
    contacts.into_iter().next().map(|contact| contact.uri)
}

/// Copies the headers that CANCEL and ACK have in common with their INVITE.
pub(super) fn copy(invite: &Request, to: &mut Request) {
    for name in [
        Name::Via,
        Name::MaxForwards,
        Name::From,
        Name::To,
        Name::CallId,
        Name::Authorization,
    ] {
        if let Some(value) = invite.headers.get(&name) {
            to.headers.push(name, value);
        }
    }
}

/// Whether the audio section of an SDP lists G.722 (RFC 3551 section 6).
pub(super) fn lists_g722(sdp: &[u8]) -> bool {
    lists(sdp, 9)
}

/// Whether the audio section of an SDP lists a payload type.
pub(super) fn lists(sdp: &[u8], payload_type: u8) -> bool {
    let text = String::from_utf8_lossy(sdp);
    let mut lines = text.lines();
    let audio = lines.find(|line| line.starts_with("m=audio "));
    let number = payload_type.to_string();
    audio.is_some_and(|line| line.split(' ').skip(3).any(|word| word == number))
}

/// An answer without a section before the sound that was refused (RFC 3264 section 6).
fn without_refused(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let mut sections = text.split("m=");
    let session = sections.next().unwrap_or_default().to_owned();
    let sections: Vec<_> = sections.collect();
    let is_refused = |section: &&&str| section.split(' ').nth(1) == Some("0");
    let refused = sections[..sections.len().saturating_sub(1)].iter();
    let refused = refused.take_while(is_refused).count();
    let kept = sections[refused..].iter();
    let kept = kept.map(|section| format!("m={section}"));
    (session + &kept.collect::<String>()).into_bytes()
}

/// The other side's RTP addresses for audio and for video.
pub(super) fn remote(body: &[u8], is_offer: bool) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let media = if is_offer {
        sdp::read_offer(body, Srtp::Off)
    } else {
        let body = &without_refused(body);
        let mut own = OwnMedia::plain(([127, 0, 0, 1], 0).into(), 1);
        own.video = Some(OwnVideo {
            port: 0,
            keys: Vec::new(),
            formats: vec![VideoFormat::Vp8],
        });
        sdp::read_answer(body, &own)
    };
    let media = media.ok();
    let video = media.as_ref().and_then(|media| media.video.as_ref());
    (
        media.as_ref().map(|media| media.rtp),
        video.map(|video| video.rtp),
    )
}
