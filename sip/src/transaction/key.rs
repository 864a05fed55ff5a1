//! Matching of messages to transactions (RFC 3261 sections 17.1.3 and 17.2.3).

use sha2::{Digest, Sha256};

use crate::message::{Essentials, MAGIC_COOKIE, Method, Request};

/// The identity of a transaction, as the first half of a SHA-256: collisions cannot be constructed, and many thousand keys take
/// little memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TransactionKey(u128);

impl TransactionKey {
    /// The transaction that a phone's request opens, retransmits or acknowledges.
    pub(super) fn of_request(request: &Request, essentials: &Essentials) -> Self {
        match &request.method {
            Method::Ack => Self::theirs(essentials, &Method::Invite),
            method => Self::theirs(essentials, method),
        }
    }

    /// The INVITE that a CANCEL refers to (section 9.2).
    pub(super) fn of_cancelled(cancel: &Essentials) -> Self {
        Self::theirs(cancel, &Method::Invite)
    }

    fn theirs(essentials: &Essentials, method: &Method) -> Self {
        let via = &essentials.via;
        let branch = via.params.get("branch").unwrap_or_default();
        let is_unique = branch.len() > MAGIC_COOKIE.len()
            && branch
                .get(..MAGIC_COOKIE.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(MAGIC_COOKIE));
        let sent_by = via.sent_by();
        let parts = ["theirs", method.as_str(), &sent_by];
        if is_unique {
            Self::of_parts(parts.into_iter().chain([&*branch]))
        } else {
            let old_style = old_style_branch(essentials);
            Self::of_parts(parts.into_iter().chain([old_style.as_str()]))
        }
    }

    /// The transaction that a response answers.
    pub(super) fn of_response(essentials: &Essentials) -> Self {
        let branch = essentials.via.params.get("branch").unwrap_or_default();
        Self::ours(&branch, &essentials.cseq.method)
    }

    /// The transaction of our own request. `None` without a Via, which all our requests have.
    pub(super) fn of_own(request: &Request) -> Option<Self> {
        let branch = request.headers.via()?.branch()?;
        Some(Self::ours(&branch, &request.method))
    }

    /// Our branch, and the method, since a CANCEL shares the branch of its INVITE.
    fn ours(branch: &str, method: &Method) -> Self {
        Self::of_parts(["ours", method.as_str(), branch].into_iter())
    }

    fn of_parts<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let half = hash.first_chunk().copied().expect("a half of 32 bytes");
        Self(u128::from_be_bytes(half))
    }
}

/// RFC 2543 phones have no unique branch: the fields that INVITE and ACK share take its place.
fn old_style_branch(essentials: &Essentials) -> String {
    let (number, tag, via) = (
        essentials.cseq.number,
        essentials.from_tag(),
        &essentials.via,
    );
    format!("{} {number} {tag} {via}", essentials.call_id)
}
