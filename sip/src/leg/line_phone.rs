//! The phone of a leg, as it is recognised when it registers again (RFC 3261 section 10.2, RFC 5626 section 4.1).

use crate::account::User;
use crate::message::Uri;
use crate::registrar::ContactBinding;

/// One phone of a line.
#[derive(Clone, Debug)]
pub(crate) struct LinePhone {
    pub(crate) user: User,
    pub(crate) contact: Uri,
    pub(crate) instance: Option<String>,
    /// The Call-ID of its registration, which a phone keeps until it restarts (RFC 3261 section 10.2). `None` if it called
    /// without being registered.
    pub(crate) registration: Option<String>,
}

impl LinePhone {
    /// The phone of a binding.
    pub(crate) fn of(user: &User, binding: &ContactBinding) -> Self {
        Self {
            user: user.clone(),
            contact: binding.contact.clone(),
            instance: binding.instance.clone(),
            registration: Some(binding.call_id.clone()),
        }
    }

    /// Whether both are one phone, by the rule of the registrar.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let is_same = match (&self.instance, &other.instance) {
            (Some(one), Some(two)) => one == two,
            _ => self.contact.is_same_contact(&other.contact),
        };
        is_same && self.user == other.user
    }

    /// Whether both can be one phone without an instance, which has another port since its stream was closed: user and host
    /// of the Contacts agree.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        let have_none = self.instance.is_none() && other.instance.is_none();
        let is_likely = have_none && self.contact.is_same_resource(&other.contact);
        self.is(other) || (is_likely && self.user == other.user)
    }
}
