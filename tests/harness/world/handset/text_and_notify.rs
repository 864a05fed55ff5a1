//! Texts (RFC 3428) and subscriptions (RFC 3842, RFC 4235) of a handset.

use std::time::Instant;

use ringfence_sip::message::{Method, Name, Request, Response, Uri};

use super::{Handset, HandsetEvent};

impl Handset {
    /// Sends a MESSAGE with this type and body.
    pub(crate) fn send_text(&mut self, to: &str, (kind, body): (&str, &[u8]), now: Instant) {
        let uri = Uri::sip(Some(to), self.config.server);
        let (tag, id) = (self.token(), self.token());
        let us = format!("<{}>;tag={tag}", self.address_of_record());
        let mut request = self.request(Method::Message, &uri, (&us, &format!("<{uri}>"), &id));
        request.headers.push(Name::ContentType, kind);
        request.body = body.to_vec();
        self.send_request(request, false, now);
    }

    /// Subscribes to an event package.
    pub(crate) fn watch(&mut self, package: &str, about: &str, now: Instant) {
        let uri = Uri::sip(Some(about), self.config.server);
        let (tag, id) = (self.token(), self.token());
        let us = format!("<{}>;tag={tag}", self.address_of_record());
        let mut request = self.request(Method::Subscribe, &uri, (&us, &format!("<{uri}>"), &id));
        let contact = Uri::sip(Some(&self.config.user), self.config.address);
        request.headers.push(Name::Contact, format!("<{contact}>"));
        request.headers.push(Name::Event, package);
        request.headers.push(Name::Expires, "3600");
        self.send_request(request, false, now);
    }

    /// Answers texts with this status from now on.
    pub(crate) fn answer_texts(&mut self, status: u16) {
        self.text_status = status;
    }

    pub(super) fn handle_message(&mut self, request: &Request, now: Instant) {
        self.send(&Response::to(request, self.text_status));
        if let Some(from) = request.headers.from().filter(|_| self.text_status < 300) {
            let event = HandsetEvent::Text {
                from: from.uri.user().unwrap_or_default(),
                name: from.name.clone(),
                body: String::from_utf8_lossy(&request.body).into_owned(),
            };
            self.record(event, now);
        }
    }

    pub(super) fn handle_notify(&mut self, request: &Request, now: Instant) {
        self.send(&Response::to(request, self.behaviour.notify_status));
        let package = request.headers.text(&Name::Event).unwrap_or_default();
        let event = HandsetEvent::Notified {
            package: package.to_owned(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        self.record(event, now);
    }
}
