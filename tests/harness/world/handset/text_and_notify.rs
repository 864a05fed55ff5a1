//! What a handset does with texts (RFC 3428) and lamps (RFC 3842, RFC 4235).

use std::time::Instant;

use ringfence_sip::message::{Method, Name, Request, Response, Uri};

use super::{Handset, Notice};

impl Handset {
    /// Writes a text to whatever its person typed.
    pub(crate) fn write_text(&mut self, to: &str, (kind, body): (&str, &[u8]), now: Instant) {
        let uri = Uri::sip(Some(to), self.card.server);
        let (tag, id) = (self.token(), self.token());
        let us = format!("<{}>;tag={tag}", self.address_of_record());
        let mut request = self.request(Method::Message, &uri, (&us, &format!("<{uri}>"), &id));
        request.headers.push(Name::ContentType, kind);
        request.body = body.to_vec();
        self.ask(request, false, now);
    }

    /// Watches something of a line.
    pub(crate) fn watch(&mut self, package: &str, about: &str, now: Instant) {
        let uri = Uri::sip(Some(about), self.card.server);
        let (tag, id) = (self.token(), self.token());
        let us = format!("<{}>;tag={tag}", self.address_of_record());
        let mut request = self.request(Method::Subscribe, &uri, (&us, &format!("<{uri}>"), &id));
        let contact = Uri::sip(Some(&self.card.user), self.card.address);
        request.headers.push(Name::Contact, format!("<{contact}>"));
        request.headers.push(Name::Event, package);
        request.headers.push(Name::Expires, "3600");
        self.ask(request, false, now);
    }

    /// From now on it answers texts with this.
    pub(crate) fn answer_texts(&mut self, status: u16) {
        self.text_status = status;
    }

    pub(super) fn hear_text(&mut self, request: &Request, now: Instant) {
        self.send(&Response::to(request, self.text_status));
        if let Some(from) = request.headers.from().filter(|_| self.text_status < 300) {
            let notice = Notice::Text {
                from: from.uri.user().unwrap_or_default(),
                name: from.name.clone(),
                body: String::from_utf8_lossy(&request.body).into_owned(),
            };
            self.notice(notice, now);
        }
    }

    pub(super) fn hear_lamp(&mut self, request: &Request, now: Instant) {
        self.send(&Response::to(request, self.make.notify_status));
        let package = request.headers.text(&Name::Event).unwrap_or_default();
        let notice = Notice::Told {
            package: package.to_owned(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        self.notice(notice, now);
    }
}
