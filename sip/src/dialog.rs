//! Dialogs: the state that relates messages to one call or subscription (RFC 3261 section 12).
//!
//! Requests inside a dialog use the flow of the phone's last request. The route set is copied into them and never resolved.
//! GRUU (RFC 5627) is not supported.

use crate::flow::{Flow, Transport};
use crate::message::{
    CSeq, Essentials, Headers, Method, Name, NameAddr, Replaces, Request, Response, Uri,
};

/// The CSeq number of a BYE that is written ahead.
const LAST_SEQUENCE: u32 = 1 << 30;

/// The identifier of a dialog (section 12).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DialogId {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    pub(crate) remote_tag: String,
}

impl DialogId {
    /// The dialog that a phone's request claims to be in. `None` without a To tag.
    pub(crate) fn of_request(essentials: &Essentials) -> Option<Self> {
        Some(Self {
            call_id: essentials.call_id.clone(),
            local_tag: essentials.to.tag()?,
            remote_tag: essentials.from_tag(),
        })
    }

    /// The dialog that a Replaces header identifies, from our side (RFC 3891 section 3).
    pub(crate) fn of_replaces(replaces: Replaces) -> Self {
        Self {
            call_id: replaces.call_id,
            local_tag: replaces.to_tag,
            remote_tag: replaces.from_tag,
        }
    }
}

impl std::fmt::Debug for DialogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DialogId(..)")
    }
}

/// One dialog, from our side.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) id: DialogId,
    pub(crate) flow: Flow,
    /// The stream of that flow is closed, and the phone has no other yet.
    is_cut: bool,
    /// Counts the changes of flow and target, by which a request that is written ahead goes out of date.
    revision: usize,
    /// Our From value, tag included.
    local: Vec<u8>,
    /// Our To value, tag included.
    remote: Vec<u8>,
    local_seq: u32,
    remote_seq: Option<u32>,
    target: Uri,
    routes: Vec<Vec<u8>>,
}

impl Dialog {
    /// The dialog that our response to a phone's INVITE or SUBSCRIBE creates (section 12.1.1). `None` without a Contact.
    pub(crate) fn from_request(
        request: &Request,
        essentials: &Essentials,
        tag: &str,
        flow: Flow,
    ) -> Option<Self> {
        let target = contact(&request.headers)?;
        Some(Self {
            id: DialogId {
                call_id: essentials.call_id.clone(),
                local_tag: tag.to_owned(),
                remote_tag: essentials.from_tag(),
            },
            flow,
            is_cut: false,
            revision: 0,
            local: with_tag(request.headers.get(&Name::To)?, tag),
            remote: request.headers.get(&Name::From)?.to_vec(),
            local_seq: 0,
            remote_seq: Some(essentials.cseq.number),
            target,
            routes: request
                .headers
                .all(&Name::RecordRoute)
                .map(<[u8]>::to_vec)
                .collect(),
        })
    }

    /// The dialog that a phone's response to our INVITE creates (section 12.1.2).
    pub(crate) fn from_response(
        invite: &Request,
        response: &Response,
        essentials: &Essentials,
        flow: Flow,
    ) -> Option<Self> {
        let target = contact(&response.headers).or_else(|| Uri::parse(invite.uri.as_bytes()))?;
        let mut routes: Vec<Vec<u8>> = response
            .headers
            .all(&Name::RecordRoute)
            .map(<[u8]>::to_vec)
            .collect();
        routes.reverse();
        Some(Self {
            // Call-ID and our tag come from the INVITE, because the phone may echo something else.
            id: DialogId {
                call_id: invite.headers.call_id()?.to_owned(),
                local_tag: invite.headers.from()?.tag()?,
                remote_tag: essentials.to.tag().unwrap_or_default(),
            },
            flow,
            is_cut: false,
            revision: 0,
            local: invite.headers.get(&Name::From)?.to_vec(),
            remote: response.headers.get(&Name::To)?.to_vec(),
            local_seq: essentials.cseq.number,
            remote_seq: None,
            target,
            routes,
        })
    }

    /// Accepts a phone's next request; false if its CSeq is lower than the last one (section 12.2.2). Later requests of ours
    /// use the flow that it came over.
    pub(crate) fn advance(&mut self, essentials: &Essentials, flow: Flow) -> bool {
        let number = essentials.cseq.number;
        if self.remote_seq.is_some_and(|last| number < last) {
            return false;
        }
        self.remote_seq = Some(number);
        self.move_to(flow);
        true
    }

    /// The flow for our requests. `None` while the phone has no connection.
    pub(crate) fn open_flow(&self) -> Option<Flow> {
        (!self.is_cut).then_some(self.flow)
    }

    /// The stream of the flow is closed.
    pub(crate) const fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Later requests of ours use this flow.
    pub(crate) fn move_to(&mut self, flow: Flow) {
        self.is_cut = false;
        if self.flow != flow {
            self.flow = flow;
            self.revision = self.revision.saturating_add(1);
        }
    }

    pub(crate) const fn revision(&self) -> usize {
        self.revision
    }

    /// Takes the new Contact of a target refresh request (section 12.2).
    pub(crate) fn retarget(&mut self, headers: &Headers) {
        if let Some(target) = contact(headers).filter(|target| *target != self.target) {
            self.target = target;
            self.revision = self.revision.saturating_add(1);
        }
    }

    /// Continues our CSeq numbers from `sequence`, unless they are higher already.
    pub(crate) fn count_from(&mut self, sequence: u32) {
        self.local_seq = self.local_seq.max(sequence);
    }

    /// The user part of our own address in the dialog, unescaped.
    pub(crate) fn local_user(&self) -> Option<String> {
        NameAddr::parse(&self.local)?.uri.user()
    }

    /// Our next request in the dialog.
    pub(crate) fn request(&mut self, method: Method, branch: &str) -> Request {
        self.local_seq = self.local_seq.saturating_add(1);
        self.numbered(method, self.local_seq, branch)
    }

    /// A BYE that ends the dialog at any later time: no request of ours has so high a number (section 12.2.1.1 allows all below
    /// 2^31).
    pub(crate) fn last_bye(&self, branch: &str) -> Request {
        self.numbered(Method::Bye, LAST_SEQUENCE, branch)
    }

    /// The ACK of a 2xx: the number of its INVITE, a branch of its own (section 13.2.2.4).
    pub(crate) fn ack(&self, number: u32, branch: &str) -> Request {
        self.numbered(Method::Ack, number, branch)
    }

    fn numbered(&self, method: Method, number: u32, branch: &str) -> Request {
        let head = RequestHead {
            flow: self.flow,
            branch,
            routes: &self.routes,
            from: &self.local,
            to: &self.remote,
            call_id: &self.id.call_id,
            number,
        };
        head.request(method, &self.target)
    }
}

/// The headers that every request begins with (section 8.1.1).
pub(crate) struct RequestHead<'a> {
    pub(crate) flow: Flow,
    pub(crate) branch: &'a str,
    /// The route set of the dialog; empty outside one.
    pub(crate) routes: &'a [Vec<u8>],
    /// The From value, with our tag.
    pub(crate) from: &'a [u8],
    /// The To value, with a tag inside a dialog.
    pub(crate) to: &'a [u8],
    pub(crate) call_id: &'a str,
    pub(crate) number: u32,
}

impl RequestHead<'_> {
    /// A request with these headers and no body.
    pub(crate) fn request(&self, method: Method, uri: &Uri) -> Request {
        let mut request = Request::new(method, uri);
        let cseq = CSeq {
            number: self.number,
            method: request.method.clone(),
        };
        let headers = &mut request.headers;
        headers.push(Name::Via, via(self.flow, self.branch));
        headers.push(Name::MaxForwards, "70");
        for route in self.routes {
            headers.push(Name::Route, route.clone());
        }
        headers.push(Name::From, self.from);
        headers.push(Name::To, self.to);
        headers.push(Name::CallId, self.call_id);
        headers.push(Name::CSeq, cseq.to_string());
        request
    }
}

/// Our Via on a flow (section 18.1.1, RFC 3581).
pub(crate) fn via(flow: Flow, branch: &str) -> String {
    format!(
        "SIP/2.0/{} {};branch={branch};rport",
        flow.transport.via_name(),
        flow.local
    )
}

/// Our Contact on a flow. If the Request-URI of the request is a `sips:` URI, the Contact is one too (sections 8.1.1.8 and
/// 12.1.1).
pub(crate) fn own_contact(flow: Flow, asked: &str) -> String {
    let is_secure = asked
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
    if is_secure && flow.transport == Transport::Tls {
        return format!("<sips:ringfence@{}>", flow.local);
    }
    let uri = Uri::sip(Some("ringfence"), flow.local);
    let uri = match flow.transport {
        Transport::Udp => uri,
        Transport::Tcp => uri.with_param("transport", "tcp"),
        Transport::Tls => uri.with_param("transport", "tls"),
    };
    format!("<{uri}>")
}

/// A To value with our tag appended.
pub(crate) fn with_tag(value: &[u8], tag: &str) -> Vec<u8> {
    let mut tagged = value.to_vec();
    tagged.extend_from_slice(format!(";tag={tag}").as_bytes());
    tagged
}

fn contact(headers: &Headers) -> Option<Uri> {
    let NameAddr { uri, .. } = headers.contacts()?.into_iter().next()?;
    Some(uri)
}
