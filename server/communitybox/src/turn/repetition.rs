//! The last Allocate request of a client, and its answer: a client whose answer was lost asks again, and must get the same one (RFC 8656
//! section 7.2).

/// What to do with an Allocate request.
pub(super) enum Repetition {
    /// A new one.
    New,
    /// Being worked on.
    Pending,
    /// Answered already, with these bytes.
    Answered(Vec<u8>),
}

/// The last request.
#[derive(Debug, Default)]
pub(super) enum Asked {
    #[default]
    Nothing,
    Pending(u128),
    Answered(u128, Vec<u8>),
}

impl Asked {
    /// Looks whether a request is a repetition, and remembers it if not.
    pub(super) fn handle(&mut self, id: u128) -> Repetition {
        match self {
            Self::Pending(asked) if *asked == id => Repetition::Pending,
            Self::Answered(asked, reply) if *asked == id => Repetition::Answered(reply.clone()),
            _ => {
                *self = Self::Pending(id);
                Repetition::New
            }
        }
    }

    /// Keeps the answer to the pending request: success to repeat it, an error to let the client try again.
    pub(super) fn remember(&mut self, bytes: &[u8]) {
        let Self::Pending(id) = *self else {
            return;
        };
        let answered = bytes
            .get(8..20)
            .is_some_and(|own| own == &id.to_be_bytes()[4..]);
        match bytes.first_chunk::<2>() {
            Some([0x01, 0x03]) if answered => *self = Self::Answered(id, bytes.to_vec()),
            Some([0x01, 0x13]) if answered => *self = Self::Nothing,
            _ => {}
        }
    }
}
