//! A phone's request other than INVITE (RFC 3261 section 17.2.2).

use super::completed::Again;
use super::machine::{After, Reach};

/// A request without a final answer.
#[derive(Debug)]
pub(super) struct Server {
    /// The last provisional answer, which is given again to a repeat.
    provisional: Option<Vec<u8>>,
}

impl Server {
    pub(super) const fn new() -> Self {
        Self { provisional: None }
    }

    pub(super) fn handle_repeat(&mut self, reach: &mut Reach<'_>) -> After {
        if let Some(bytes) = &self.provisional {
            reach.send(bytes);
        }
        After::Stay
    }

    pub(super) fn respond(&mut self, status: u16, bytes: Vec<u8>, reach: &mut Reach<'_>) -> After {
        reach.send(&bytes);
        if status < 200 {
            self.provisional = Some(bytes);
            return After::Stay;
        }
        if reach.is_reliable() {
            return After::Over;
        }
        After::Kept(Again::Bytes(bytes.into()))
    }
}
