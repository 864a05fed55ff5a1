//! Which transaction a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3).

use crate::message::{Essentials, MAGIC_COOKIE, Method, Request};

/// What tells transactions apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A request of ours: our branch, and the method, since a CANCEL shares the branch of its INVITE.
    Ours { branch: String, method: Method },
    /// A phone's request.
    Theirs {
        branch: String,
        sent_by: String,
        method: Method,
    },
}

impl Key {
    /// The transaction that a phone's request opens, repeats or acknowledges.
    pub(super) fn of_request(request: &Request, essentials: &Essentials) -> Self {
        let method = match &request.method {
            Method::Ack => Method::Invite,
            method => method.clone(),
        };
        Self::theirs(essentials, method)
    }

    /// The INVITE that a CANCEL means (section 9.2).
    pub(super) fn of_cancelled(cancel: &Essentials) -> Self {
        Self::theirs(cancel, Method::Invite)
    }

    fn theirs(essentials: &Essentials, method: Method) -> Self {
        let branch = essentials.via.branch().unwrap_or_default();
        let is_unique = branch.len() > MAGIC_COOKIE.len()
            && branch
                .get(..MAGIC_COOKIE.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(MAGIC_COOKIE));
        let branch = if is_unique {
            branch
        } else {
            old_style_branch(essentials)
        };
        Self::Theirs {
            branch,
            sent_by: essentials.via.sent_by(),
            method,
        }
    }

    /// The transaction that a response answers.
    pub(super) fn of_response(essentials: &Essentials) -> Self {
        let branch = essentials.via.branch().unwrap_or_default();
        Self::Ours {
            branch,
            method: essentials.cseq.method.clone(),
        }
    }

    /// The transaction of a request we made. `None` if it has no Via, which no request of ours lacks.
    pub(super) fn of_own(request: &Request) -> Option<Self> {
        Some(Self::Ours {
            branch: request.headers.via()?.branch()?,
            method: request.method.clone(),
        })
    }
}

/// RFC 2543 phones have no unique branch: what stays the same from INVITE to ACK takes its place.
fn old_style_branch(essentials: &Essentials) -> String {
    let (number, tag, via) = (
        essentials.cseq.number,
        essentials.from_tag(),
        &essentials.via,
    );
    format!("{} {number} {tag} {via}", essentials.call_id)
}
