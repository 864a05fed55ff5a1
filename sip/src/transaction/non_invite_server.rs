//! A phone's request other than INVITE (RFC 3261 section 17.2.2).

use super::completed::Retransmission;
use super::machine::{MachineContext, Next};

/// A request without a final response.
#[derive(Debug)]
pub(super) struct NonInviteServer {
    /// The last provisional response, which a retransmission gets again.
    provisional: Option<Vec<u8>>,
}

impl NonInviteServer {
    pub(super) const fn new() -> Self {
        Self { provisional: None }
    }

    pub(super) fn handle_retransmission(&mut self, context: &mut MachineContext<'_>) -> Next {
        if let Some(bytes) = &self.provisional {
            context.send(bytes);
        }
        Next::Stay
    }

    pub(super) fn respond(
        &mut self,
        status: u16,
        bytes: Vec<u8>,
        context: &mut MachineContext<'_>,
    ) -> Next {
        context.send(&bytes);
        if status < 200 {
            self.provisional = Some(bytes);
            return Next::Stay;
        }
        if context.is_reliable() {
            return Next::Terminated;
        }
        Next::Completed(Retransmission::Resend(bytes.into()))
    }
}
