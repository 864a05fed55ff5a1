//! How we write to the phones of a line outside any dialog: the head of an INVITE or a MESSAGE of ours (RFC 3261
//! section 8.1.1).
//!
//! A phone is told a number, and a name if one is known: in From and, for phones that only believe their server, in
//! P-Asserted-Identity (RFC 3325). Nothing else of the caller is known here.

use super::context::LegContext;
use crate::account::User;
use crate::dialog::RequestHead;
use crate::event::CallerId;
use crate::flow::Flow;
use crate::message::{Method, Name, NameAddr, Params, Request, Uri};
use crate::registrar::ContactBinding;

/// Where a phone is to be found.
pub(crate) struct RequestTarget {
    pub(crate) contact: Uri,
    pub(crate) flow: Flow,
}

impl RequestTarget {
    /// Where a registered phone is.
    pub(crate) fn of(binding: &ContactBinding) -> Self {
        Self {
            contact: binding.contact.clone(),
            flow: binding.flow,
        }
    }

    /// A request to this phone of `user`. Every phone gets a Call-ID of its own: to them these are separate matters.
    pub(crate) fn request(
        &self,
        method: Method,
        user: &User,
        caller: &CallerId,
        context: &mut LegContext,
    ) -> Request {
        let (flow, random) = (self.flow, &mut context.random);
        let from = NameAddr {
            name: caller.name.clone(),
            uri: Uri::sip(Some(&caller.number), flow.local),
            params: Params::default(),
        };
        let to = NameAddr {
            name: None,
            uri: Uri::sip(Some(user.as_str()), flow.local),
            params: Params::default(),
        }
        .to_string();
        let branch = random.branch();
        let tagged = format!("{from};tag={}", random.tag());
        let head = RequestHead {
            flow,
            branch: &branch,
            routes: &[],
            from: tagged.as_bytes(),
            to: to.as_bytes(),
            call_id: &random.call_id(),
            number: 1,
        };
        let mut request = head.request(method, &self.contact);
        request
            .headers
            .push(Name::AssertedIdentity, from.to_string());
        request
    }
}
