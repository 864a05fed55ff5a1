//! An INIT of SCTP that comes although the association stands (RFC 9260 section 5.2.2): its sender has repeated it, and the first one was
//! slow. It asks for nothing, but sctp-proto 0.10 closes the association for it, and str0m the whole connection with that.
//!
//! So it is dropped between DTLS and SCTP. The other engine alone can send one, and delays or repeats nothing but its own call with it.

/// Chunk types (RFC 9260 section 3.2).
const INIT: u8 = 1;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;

/// Behind the common header (section 3.1).
const FIRST_CHUNK: usize = 12;

/// What has come of an association's beginning.
#[derive(Debug, Default)]
pub(super) struct AssociationStart {
    stands: bool,
}

impl AssociationStart {
    /// Whether a packet of the other side is an INIT that is of no use any more.
    pub(super) fn is_late_init(&mut self, packet: &[u8]) -> bool {
        match packet.get(FIRST_CHUNK) {
            Some(&INIT) => return self.stands,
            Some(&(COOKIE_ECHO | COOKIE_ACK)) => self.stands = true,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(chunk: u8) -> [u8; 16] {
        let mut packet = [0; 16];
        packet[FIRST_CHUNK] = chunk;
        packet
    }

    #[test]
    fn an_init_is_late_once_the_association_stands_and_nothing_else_is() {
        for end in [COOKIE_ECHO, COOKIE_ACK] {
            let mut start = AssociationStart::default();
            for chunk in [INIT, 2, INIT, end] {
                assert!(!start.is_late_init(&packet(chunk)), "{chunk}");
            }
            for chunk in 0..=u8::MAX {
                assert_eq!(start.is_late_init(&packet(chunk)), chunk == INIT);
            }
            assert!(!start.is_late_init(&[INIT; 12]));
        }
    }
}
