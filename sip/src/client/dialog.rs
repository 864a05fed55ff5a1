//! What the built-in phone remembers of a call, and the answers it gives (RFC 3261 sections 8.2.6 and 12.1).

use std::net::SocketAddr;

use crate::message::{Name, NameAddr, Request, Response, Uri};

/// What in-dialog requests are made of.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// Our From value with tag.
    pub(super) us: String,
    /// Their To value, with tag once it is known.
    pub(super) them: String,
    pub(super) target: Uri,
    pub(super) count: u32,
}

/// An answer to `request` with our tag and contact.
pub(super) fn response(request: &Request, status: u16, tag: &str, local: &SocketAddr) -> Response {
    let mut response = Response::to(request, status);
    if let Some(to) = request.headers.to().filter(|to| to.tag().is_none()) {
        response
            .headers
            .replace(Name::To, format!("{to};tag={tag}"));
    }
    response
        .headers
        .push(Name::Contact, format!("<{}>", Uri::sip(None, *local)));
    response
}

/// The dialog that our answer to `invite` makes (RFC 3261 section 12.1.1).
pub(super) fn dialog_of(invite: &Request, tag: &str) -> Option<Dialog> {
    let contact = invite.headers.contacts()?.into_iter().next()?;
    let to = invite.headers.to()?;
    Some(Dialog {
        call_id: invite.headers.call_id()?.to_owned(),
        us: format!("{to};tag={tag}"),
        them: invite.headers.from()?.to_string(),
        target: contact.uri,
        count: 1,
    })
}

/// The dialog that a 200 for our `invite` makes (RFC 3261 section 12.1.2).
pub(super) fn confirmed(invite: &Request, response: &Response) -> Option<Dialog> {
    let contact: NameAddr = response.headers.contacts()?.into_iter().next()?;
    Some(Dialog {
        call_id: invite.headers.call_id()?.to_owned(),
        us: invite.headers.from()?.to_string(),
        them: response.headers.to()?.to_string(),
        target: contact.uri,
        count: invite.headers.cseq()?.number,
    })
}
