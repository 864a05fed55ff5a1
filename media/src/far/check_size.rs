//! Connectivity checks of one size: those of the side that nominates carry USE-CANDIDATE (RFC 8445 section 7.1.2), four bytes without a
//! value, and all others get as many, so that size and pace do not tell a TURN server which side called. ICE-CONTROLLING and ICE-CONTROLLED
//! have one size, and their type tells it to who reads the attributes; str0m leaves no choice of it.

use stun_types::attribute::{AttributeType, Fingerprint, MessageIntegrity, Software};
use stun_types::message::{IntegrityAlgorithm, Message, MessageWriteVec, ShortTermCredentials};
use stun_types::prelude::{Attribute, AttributeStaticType, MessageWrite, MessageWriteExt};

const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);

/// The check as it leaves: with an empty SOFTWARE (RFC 8489 section 14.14), which means nothing, where it has no USE-CANDIDATE. `password` is
/// the other side's. `None` if it is to leave as it is.
pub(super) fn lengthen(check: &[u8], password: &str) -> Option<Vec<u8>> {
    let check = Message::from_bytes(check).ok()?;
    if check.has_attribute(USE_CANDIDATE) {
        return None;
    }
    let mut longer = Message::builder(
        check.get_type(),
        check.transaction_id(),
        MessageWriteVec::new(),
    );
    for (_, attribute) in check.iter_attributes() {
        if ![MessageIntegrity::TYPE, Fingerprint::TYPE].contains(&attribute.get_type()) {
            longer.add_attribute(&attribute).ok()?;
        }
    }
    longer.add_attribute(&Software::new("").ok()?).ok()?;
    let key = ShortTermCredentials::new(password.to_owned());
    longer
        .add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1)
        .ok()?;
    longer.add_fingerprint().ok()?;
    Some(longer.finish())
}

#[cfg(test)]
mod tests {
    use stun_types::attribute::{RawAttribute, Username};
    use stun_types::message::BINDING;

    use super::*;

    /// A check with this attribute beside the usual.
    fn check(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut check = Message::builder_request(BINDING, MessageWriteVec::new());
        let username = Username::new("them:us").unwrap();
        check.add_attribute(&username).unwrap();
        let attribute = RawAttribute::new(AttributeType::new(kind), value);
        check.add_attribute(&attribute).unwrap();
        let key = ShortTermCredentials::new("password".to_owned());
        check
            .add_message_integrity(&key.into(), IntegrityAlgorithm::Sha1)
            .unwrap();
        check.add_fingerprint().unwrap();
        check.finish()
    }

    #[test]
    fn a_check_without_a_nomination_is_as_long_as_one_with_it_and_as_good() {
        let nominating = check(0x0025, &[]);
        assert_eq!(lengthen(&nominating, "password"), None);
        let other = check(0x0024, &[1, 2, 3, 4]);
        let longer = lengthen(&other, "password").unwrap();
        assert_eq!(longer.len(), nominating.len() + 8);
        assert_eq!(longer.len(), other.len() + 4);
        let read = Message::from_bytes(&longer).unwrap();
        let before = Message::from_bytes(&other).unwrap();
        assert_eq!(read.transaction_id(), before.transaction_id());
        let key = ShortTermCredentials::new("password".to_owned()).into();
        assert!(read.validate_integrity(&key).is_ok());
        assert!(read.has_attribute(AttributeType::new(0x0024)));
        assert_eq!(lengthen(&other[1..], "password"), None);
    }
}
