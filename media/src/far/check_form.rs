//! The form of connectivity checks (RFC 8445 section 7.1) between two engines: those of both sides are alike, so that neither their size nor
//! their attributes tell a TURN server which side called.
//!
//! A check says the sender's role (ICE-CONTROLLING or ICE-CONTROLLED, section 7.1.3) and whether it nominates (USE-CANDIDATE, section 7.1.2).
//! The other engine knows the roles from the call, and reads the nomination from a **mark**, eight bytes under the key of the check that stand in place of
//! the tie-breaker. So every check leaves as one that nominates, and gets its own form back before ICE reads it.
//!
//! A peer that is no engine makes no mark, and gets checks as RFC 8445 has them. An engine shows itself by its first check; until then one
//! without USE-CANDIDATE is made as long as one with it.

use aws_lc_rs::hmac;
use stun_types::attribute::{AttributeType, Fingerprint, MessageIntegrity, RawAttribute, Software};
use stun_types::message::{IntegrityAlgorithm, Message, MessageWriteVec, ShortTermCredentials};
use stun_types::prelude::{Attribute, AttributeStaticType, MessageWrite, MessageWriteExt};
use zeroize::Zeroizing;

const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);
const ICE_CONTROLLED: AttributeType = AttributeType::new(0x8029);
const ICE_CONTROLLING: AttributeType = AttributeType::new(0x802a);

/// The bytes of a transaction id in a message (RFC 8489 section 5).
const TRANSACTION: std::ops::Range<usize> = 8..20;

/// What a mark is made for, so that the password makes nothing else of the kind.
const PURPOSE: &[u8] = b"ringfence/2 nomination\0";

type Mark = [u8; 8];

/// The form of one connection's checks.
pub(super) struct CheckForm {
    /// This side's password, under which checks of the other side come.
    ours: Zeroizing<String>,
    /// The other side's, under which ours leave.
    theirs: Zeroizing<String>,
    /// Whether this side is ICE controlling.
    leads: bool,
    is_engine: bool,
}

impl CheckForm {
    pub(super) fn new(ours: &str, theirs: &str, leads: bool) -> Self {
        Self {
            ours: Zeroizing::new(ours.to_owned()),
            theirs: Zeroizing::new(theirs.to_owned()),
            leads,
            is_engine: false,
        }
    }

    /// A check of ICE as it leaves. `None` if it is to leave as it is.
    pub(super) fn sent(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let check = Message::from_bytes(bytes).ok()?;
        let nominates = check.has_attribute(USE_CANDIDATE);
        let role = match self.is_engine || self.leads {
            true => ICE_CONTROLLING,
            false => ICE_CONTROLLED,
        };
        let form = Form {
            role,
            tie_breaker: mark(&self.theirs, bytes.get(TRANSACTION)?, nominates),
            has_use_candidate: self.is_engine || nominates,
            fills: true,
        };
        form.write(&check, &self.theirs)
    }

    /// A check of the other side as ICE reads it. `None` if it is to be read as it is: it is not an engine's, or a stranger's.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let check = Message::from_bytes(bytes).ok()?;
        let key = ShortTermCredentials::new(self.ours.to_string());
        check.validate_integrity(&key.into()).ok()?;
        let role = [ICE_CONTROLLING, ICE_CONTROLLED];
        let seen = role
            .into_iter()
            .find_map(|role| check.raw_attribute(role))?;
        let transaction = bytes.get(TRANSACTION)?;
        let says = |nominates| mark(&self.ours, transaction, nominates) == *seen.value;
        let nominates = says(true);
        if !nominates && !says(false) {
            return None;
        }
        self.is_engine = true;
        let form = Form {
            role: role[usize::from(self.leads)],
            tie_breaker: Mark::default(),
            has_use_candidate: nominates,
            fills: false,
        };
        form.write(&check, &self.ours)
    }
}

impl std::fmt::Debug for CheckForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckForm")
            .field("is_engine", &self.is_engine)
            .finish_non_exhaustive()
    }
}

/// What is written of a check in place of what stands there.
struct Form {
    role: AttributeType,
    tie_breaker: Mark,
    has_use_candidate: bool,
    /// Whether an empty SOFTWARE (RFC 8489 section 14.14), which means nothing, makes up for a USE-CANDIDATE that is missing.
    fills: bool,
}

impl Form {
    fn write(&self, check: &Message<'_>, password: &str) -> Option<Vec<u8>> {
        let replaced = [
            USE_CANDIDATE,
            ICE_CONTROLLED,
            ICE_CONTROLLING,
            Software::TYPE,
            MessageIntegrity::TYPE,
            Fingerprint::TYPE,
        ];
        let write = MessageWriteVec::new();
        let mut written = Message::builder(check.get_type(), check.transaction_id(), write);
        for (_, attribute) in check.iter_attributes() {
            if !replaced.contains(&attribute.get_type()) {
                written.add_attribute(&attribute).ok()?;
            }
        }
        let role = RawAttribute::new(self.role, &self.tie_breaker);
        written.add_attribute(&role).ok()?;
        if self.has_use_candidate {
            let nomination = RawAttribute::new(USE_CANDIDATE, &[]);
            written.add_attribute(&nomination).ok()?;
        } else if self.fills {
            written.add_attribute(&Software::new("").ok()?).ok()?;
        }
        let key = ShortTermCredentials::new(password.to_owned()).into();
        written
            .add_message_integrity(&key, IntegrityAlgorithm::Sha1)
            .ok()?;
        written.add_fingerprint().ok()?;
        Some(written.finish())
    }
}

/// The mark of a check with this transaction id, under the password of the side that it goes to.
fn mark(password: &str, transaction: &[u8], nominates: bool) -> Mark {
    let key = hmac::Key::new(hmac::HMAC_SHA256, password.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(PURPOSE);
    context.update(transaction);
    context.update(&[u8::from(nominates)]);
    let mut mark = Mark::default();
    mark.copy_from_slice(&context.sign().as_ref()[..8]);
    mark
}

#[cfg(test)]
mod tests {
    use stun_types::attribute::Username;
    use stun_types::message::BINDING;

    use super::*;

    const PRIORITY: AttributeType = AttributeType::new(0x0024);
    /// The passwords of the side that leads and of the other one.
    const LEADER: &str = "password of the callee..";
    const OTHER: &str = "password of the caller..";

    fn sides() -> (CheckForm, CheckForm) {
        (
            CheckForm::new(LEADER, OTHER, true),
            CheckForm::new(OTHER, LEADER, false),
        )
    }

    /// A check as ICE makes it, for the side with this password.
    fn check(role: AttributeType, nominates: bool, password: &str) -> Vec<u8> {
        let mut check = Message::builder_request(BINDING, MessageWriteVec::new());
        let username = Username::new("them:us").unwrap();
        check.add_attribute(&username).unwrap();
        let role = RawAttribute::new(role, &[7; 8]);
        check.add_attribute(&role).unwrap();
        let priority = RawAttribute::new(PRIORITY, &[1, 2, 3, 4]);
        check.add_attribute(&priority).unwrap();
        if nominates {
            let nomination = RawAttribute::new(USE_CANDIDATE, &[]);
            check.add_attribute(&nomination).unwrap();
        }
        let key = ShortTermCredentials::new(password.to_owned()).into();
        check
            .add_message_integrity(&key, IntegrityAlgorithm::Sha1)
            .unwrap();
        check.add_fingerprint().unwrap();
        check.finish()
    }

    /// The types and lengths of all attributes.
    fn shape(bytes: &[u8]) -> Vec<(u16, u16)> {
        let message = Message::from_bytes(bytes).unwrap();
        let attributes = message.iter_attributes();
        let shape = attributes.map(|(_, it)| (it.get_type().value(), it.length()));
        shape.collect()
    }

    fn has(bytes: &[u8], kind: AttributeType) -> bool {
        Message::from_bytes(bytes).unwrap().has_attribute(kind)
    }

    #[test]
    fn checks_of_both_sides_look_alike_and_say_what_they_said() {
        let (mut leader, mut other) = sides();
        // Each has had a check of the other side.
        for (from, to, role, password) in [
            (true, false, ICE_CONTROLLING, OTHER),
            (false, true, ICE_CONTROLLED, LEADER),
        ] {
            let forms = [&mut other, &mut leader];
            let wire = forms[usize::from(from)].sent(&check(role, false, password));
            let forms = [&mut other, &mut leader];
            assert!(forms[usize::from(to)].received(&wire.unwrap()).is_some());
        }
        let nominating = check(ICE_CONTROLLING, true, OTHER);
        let waiting = check(ICE_CONTROLLING, false, OTHER);
        let answering = check(ICE_CONTROLLED, false, LEADER);
        let wire = [
            leader.sent(&nominating).unwrap(),
            leader.sent(&waiting).unwrap(),
            other.sent(&answering).unwrap(),
        ];
        for (seen, made) in wire.iter().zip([&nominating, &waiting, &answering]) {
            assert_eq!(shape(seen), shape(&wire[0]));
            assert_eq!(seen[..2], made[..2]);
            assert_eq!(seen[TRANSACTION], made[TRANSACTION]);
        }
        let read = [
            other.received(&wire[0]).unwrap(),
            other.received(&wire[1]).unwrap(),
            leader.received(&wire[2]).unwrap(),
        ];
        let roles = [ICE_CONTROLLING, ICE_CONTROLLING, ICE_CONTROLLED];
        for ((read, role), (password, nominates)) in
            read.iter()
                .zip(roles)
                .zip([(OTHER, true), (OTHER, false), (LEADER, false)])
        {
            assert!(has(read, role) && has(read, PRIORITY));
            assert_eq!(has(read, USE_CANDIDATE), nominates);
            let key = ShortTermCredentials::new(password.to_owned()).into();
            let message = Message::from_bytes(read).unwrap();
            assert!(message.validate_integrity(&key).is_ok());
        }
    }

    #[test]
    fn a_peer_that_is_no_engine_gets_and_gives_checks_as_they_are() {
        let (mut leader, mut other) = sides();
        assert!(
            leader
                .received(&check(ICE_CONTROLLED, false, LEADER))
                .is_none()
        );
        assert!(
            other
                .received(&check(ICE_CONTROLLING, true, OTHER))
                .is_none()
        );
        let first = other.sent(&check(ICE_CONTROLLED, false, LEADER)).unwrap();
        assert!(has(&first, ICE_CONTROLLED) && !has(&first, USE_CANDIDATE));
        let nominating = leader.sent(&check(ICE_CONTROLLING, true, OTHER)).unwrap();
        assert!(has(&nominating, ICE_CONTROLLING) && has(&nominating, USE_CANDIDATE));
        assert_eq!(first.len(), nominating.len());
    }

    #[test]
    fn a_strangers_check_is_not_signed() {
        let (_, mut other) = sides();
        let (stranger, _) = sides();
        let forged = check(ICE_CONTROLLING, true, "some other password.....");
        assert!(other.received(&forged).is_none());
        // One of the leader's in which a bit was turned.
        let mut turned = stranger.sent(&check(ICE_CONTROLLING, true, OTHER)).unwrap();
        let last = turned.len() - 40;
        turned[last] ^= 1;
        assert!(other.received(&turned).is_none());
        assert!(other.received(&turned[1..]).is_none());
    }
}
