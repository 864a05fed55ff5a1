//! Our out-of-dialog requests to the phones of a line (RFC 3261 section 8.1.1): INVITE, MESSAGE, NOTIFY.
//!
//! The caller's number, and a name if one is known, are in From and, for phones that trust their server alone, in
//! P-Asserted-Identity (RFC 3325).

use super::context::LegContext;
use super::line_phone::LinePhone;
use crate::account::User;
use crate::dialog::RequestHead;
use crate::event::CallerId;
use crate::flow::Flow;
use crate::message::{Method, Name, NameAddr, Params, Request, Uri};
use crate::registrar::ContactBinding;

/// The address of a registered phone.
#[derive(Clone, Debug)]
pub(crate) struct RequestTarget {
    pub(crate) phone: LinePhone,
    pub(crate) flow: Flow,
}

impl RequestTarget {
    /// The target of a binding.
    pub(crate) fn of(user: &User, binding: &ContactBinding) -> Self {
        Self {
            phone: LinePhone::of(user, binding),
            flow: binding.flow,
        }
    }

    /// A request to this phone. Each phone gets a Call-ID of its own, because to the phones these are separate calls.
    pub(crate) fn request(
        &self,
        method: Method,
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
            uri: Uri::sip(Some(self.phone.user.as_str()), flow.local),
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
        let mut request = head.request(method, &self.phone.contact);
        request
            .headers
            .push(Name::AssertedIdentity, from.to_string());
        request
    }
}
