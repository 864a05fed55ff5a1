//! What a user agent gives away to be kept across a restart, and takes back at the next start: plain data, which the caller
//! stores. None of it is trusted when it comes back.
//!
//! It shows the addresses of the phones, the line of each and, of a call in progress, the numbers and dialog identifiers that
//! stand in the messages to its phone. It has no password, no key and no SDP.

use std::net::SocketAddr;
use std::time::Duration;

use crate::account::User;
use crate::event::Package;
use crate::flow::Flow;
use crate::leg::target::RequestTarget;

/// One phone that is registered over UDP. A stream ends with its process, and its phone registers again.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedBinding {
    /// The line.
    pub user: User,
    /// Our own address of the flow.
    pub local: SocketAddr,
    /// The phone's address of the flow.
    pub peer: SocketAddr,
    /// The Contact URI, as the phone wrote it.
    pub contact: String,
    /// The `+sip.instance` parameter (RFC 5626 section 4.1).
    pub instance: Option<String>,
    /// The Call-ID of the REGISTER.
    pub call_id: String,
    /// Its CSeq number.
    pub number: u32,
    /// The packages that the phone listed in Allow-Events.
    pub packages: Vec<Package>,
    /// The phone has refused an unsolicited NOTIFY.
    pub refuses_unsolicited: bool,
    /// How long the binding is still good for.
    pub remaining: Duration,
}

/// One message, written ahead, that ends a phone's part in a call if this process dies: a BYE, a CANCEL, or the refusal of an
/// INVITE.
#[derive(Clone, PartialEq, Eq)]
pub struct FinalMessage {
    /// The line of the phone.
    pub user: User,
    /// Where it is sent. Of a stream only the transport counts: the message waits for the phone's next connection.
    pub flow: Flow,
    /// The phone's Contact URI, and
    pub contact: String,
    /// its `+sip.instance`, by which it is recognised when it registers again.
    pub instance: Option<String>,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// What has changed since the user agent was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RestartChange {
    /// A phone refreshed its registration: only the remaining time of a binding is another. Saving may wait.
    Refreshed,
    /// A phone came or went, or a call began, moved on or ended: to be saved at once.
    Changed,
}

impl FinalMessage {
    pub(crate) fn new(target: &RequestTarget, bytes: Vec<u8>) -> Self {
        Self {
            user: target.phone.user.clone(),
            flow: target.flow,
            contact: target.phone.contact.to_string(),
            instance: target.phone.instance.clone(),
            bytes,
        }
    }
}

impl std::fmt::Debug for SavedBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SavedBinding(..)")
    }
}

impl std::fmt::Debug for FinalMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FinalMessage(..)")
    }
}
