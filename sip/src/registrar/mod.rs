//! The registrar: which phones are bound to a line, over which flow, until when (RFC 3261 section 10.3).
//!
//! A phone is called over the flow it registered over, whatever address its Contact has. GRUU, Path and Outbound are not
//! supported: phones that see `pub-gruu` build Contacts from it that lead nowhere. `q` is ignored: all phones ring.

mod saved;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::account::User;
use crate::event::{LegId, Package};
use crate::flow::{Flow, Transport};
use crate::message::{NameAddr, Request, Uri, seconds};
use crate::timers::Timer;

/// Shorter registrations are refused with 423. Ten seconds are short enough to notice a dead phone, and a REGISTER each ten
/// seconds costs little.
pub(crate) const MIN_EXPIRES: u32 = 10;
/// Longer registrations over a stream are shortened to this: its end shows that the phone is gone.
const MAX_EXPIRES: u32 = 3600;
/// Longer registrations over UDP are shortened to this, so that a phone that is gone, or that a NAT or an address change has cut
/// off, is noticed within five minutes. Section 10.3 lets a registrar shorten what a phone asks for, but not lengthen it: a phone
/// that asks for less gets less.
const MAX_UDP_EXPIRES: u32 = 300;
/// Phones per line: a few devices, and as many bindings of devices that restarted without unregistering. One more replaces
/// the binding that would expire first.
pub(crate) const MAX_PHONES: usize = 8;
/// Contacts in one REGISTER.
const MAX_CONTACTS: usize = 8;

/// One phone of a line.
#[derive(Clone, Debug)]
pub(crate) struct ContactBinding {
    pub(crate) contact: Uri,
    pub(crate) flow: Flow,
    pub(crate) until: Instant,
    /// The phone has refused an unsolicited NOTIFY.
    pub(crate) refuses_unsolicited: bool,
    pub(crate) lists: Vec<Package>,
    pub(crate) instance: Option<String>,
    pub(crate) call_id: String,
    pub(crate) number: u32,
    /// The serial of the nonce that proved its last REGISTER.
    pub(crate) nonce: u64,
    /// The OPTIONS that asks whether the phone is still there.
    pub(crate) check: Option<LegId>,
}

impl ContactBinding {
    /// Whether the phone listed the package in Allow-Events when it registered.
    pub(crate) fn lists(&self, package: Package) -> bool {
        self.lists.contains(&package)
    }
}

/// Why a REGISTER is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegisterRefusal {
    /// 400: `*` together with another Contact, or without `Expires: 0`, or too many Contacts.
    Malformed,
    /// 423.
    IntervalTooBrief,
    /// 500: older than the binding (section 10.3, step 7).
    OutOfOrder,
    /// 416: a Contact that is no `sip:` or `sips:` URI.
    Scheme,
}

/// The fields of a REGISTER that bindings need, with the user that digest authenticated.
pub(crate) struct RegisterRequest<'a> {
    pub(crate) user: &'a User,
    pub(crate) flow: Flow,
    pub(crate) call_id: &'a str,
    pub(crate) number: u32,
    /// The serial of the nonce that proved it.
    pub(crate) nonce: u64,
    /// The packages that the request lists in Allow-Events.
    pub(crate) lists: Vec<Package>,
}

/// The bindings of all lines.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    lines: BTreeMap<User, Vec<ContactBinding>>,
}

/// What a REGISTER changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegisterEffect {
    /// The same phones as before.
    Refreshed,
    /// A phone is new.
    Joined,
    /// A phone has left, and none is new.
    Left,
}

impl RegisterEffect {
    fn between(before: &[ContactBinding], after: &[ContactBinding]) -> Self {
        let is_in = |list: &[ContactBinding], one: &ContactBinding| {
            list.iter()
                .any(|each| each.contact == one.contact && each.flow == one.flow)
        };
        if after.iter().any(|binding| !is_in(before, binding)) {
            Self::Joined
        } else if before.iter().any(|binding| !is_in(after, binding)) {
            Self::Left
        } else {
            Self::Refreshed
        }
    }
}

/// One change that a REGISTER asks for.
struct BindingChange {
    contact: NameAddr,
    expires: u32,
}

impl Registrar {
    /// The phones of a line.
    pub(crate) fn phones(&self, user: &User) -> &[ContactBinding] {
        self.lines.get(user).map_or(&[], Vec::as_slice)
    }

    /// Applies a REGISTER, all of it or nothing.
    pub(crate) fn register(
        &mut self,
        request: &Request,
        who: &RegisterRequest<'_>,
        now: Instant,
    ) -> Result<RegisterEffect, RegisterRefusal> {
        let star = request.headers.star_contact();
        let contacts = request
            .headers
            .contacts()
            .ok_or(RegisterRefusal::Malformed)?;
        let line = self.lines.entry(who.user.clone()).or_default();
        let before = line.clone();
        let expires = request.headers.expires();
        let done = match star {
            Some(star) => {
                let own = star
                    .get("expires")
                    .and_then(|text| seconds(text.as_bytes()));
                let ends = contacts.is_empty() && own.or(expires) == Some(0);
                unregister_all(line, ends, who)
            }
            None => changes(contacts, expires, longest(who.flow))
                .and_then(|changes| apply(line, changes, who, now)),
        };
        let effect = RegisterEffect::between(&before, line);
        if line.is_empty() {
            self.lines.remove(who.user);
        }
        done.map(|()| effect)
    }

    /// Removes expired bindings; gives the lines that lost a phone.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<User> {
        self.remove(|binding| binding.until <= now)
    }

    /// Removes the bindings of a closed stream; gives the lines that lost a phone.
    pub(crate) fn close(&mut self, flow: Flow) -> Vec<User> {
        self.remove(|binding| binding.flow == flow)
    }

    /// Notes that the phones on this flow refuse unsolicited NOTIFYs.
    pub(crate) fn set_refuses_unsolicited(&mut self, flow: Flow) {
        let bindings = self.lines.values_mut().flatten();
        for binding in bindings.filter(|binding| binding.flow == flow) {
            binding.refuses_unsolicited = true;
        }
    }

    /// Whether a phone of any line is registered over this flow.
    pub(crate) fn knows(&self, flow: Flow) -> bool {
        let mut phones = self.lines.values().flatten();
        phones.any(|binding| binding.flow == flow)
    }

    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let soonest = self
            .lines
            .values()
            .flatten()
            .map(|binding| binding.until)
            .min()?;
        Some((soonest, Timer::RegistrationEnd))
    }

    fn remove(&mut self, is_gone: impl Fn(&ContactBinding) -> bool) -> Vec<User> {
        let mut changed = Vec::new();
        for (user, line) in &mut self.lines {
            let before = line.len();
            line.retain(|binding| !is_gone(binding));
            if line.len() < before {
                changed.push(user.clone());
            }
        }
        self.lines.retain(|_, line| !line.is_empty());
        changed
    }
}

/// Section 10.2.2: `Contact: *` stands alone and needs `Expires: 0`, or says so itself.
fn unregister_all(
    line: &mut Vec<ContactBinding>,
    is_well_formed: bool,
    who: &RegisterRequest<'_>,
) -> Result<(), RegisterRefusal> {
    if !is_well_formed {
        return Err(RegisterRefusal::Malformed);
    }
    if line.iter().any(|binding| is_newer(binding, who)) {
        return Err(RegisterRefusal::OutOfOrder);
    }
    line.clear();
    Ok(())
}

fn changes(
    contacts: Vec<NameAddr>,
    expires: Option<u32>,
    longest: u32,
) -> Result<Vec<BindingChange>, RegisterRefusal> {
    if contacts.len() > MAX_CONTACTS {
        return Err(RegisterRefusal::Malformed);
    }
    let mut changes = Vec::new();
    for contact in contacts {
        if contact.uri.host().is_none() {
            return Err(RegisterRefusal::Scheme);
        }
        // Section 10.2.1.1: a malformed value counts as one hour.
        let own = contact
            .params
            .get("expires")
            .map(|text| seconds(text.as_bytes()).unwrap_or(MAX_EXPIRES));
        let asked = own.or(expires).unwrap_or(MAX_EXPIRES);
        if asked != 0 && asked < MIN_EXPIRES {
            return Err(RegisterRefusal::IntervalTooBrief);
        }
        changes.push(BindingChange {
            contact,
            expires: asked.min(longest),
        });
    }
    Ok(changes)
}

fn apply(
    line: &mut Vec<ContactBinding>,
    changes: Vec<BindingChange>,
    who: &RegisterRequest<'_>,
    now: Instant,
) -> Result<(), RegisterRefusal> {
    let is_late = changes.iter().any(|change| {
        line.iter()
            .any(|binding| is_same(binding, &change.contact) && is_newer(binding, who))
    });
    if is_late {
        return Err(RegisterRefusal::OutOfOrder);
    }
    for BindingChange { contact, expires } in changes {
        if expires == 0 {
            // By its address alone: a phone that has moved removes the old one, and keeps its instance.
            line.retain(|binding| !binding.contact.is_same_contact(&contact.uri));
            continue;
        }
        let has_refused =
            |binding: &ContactBinding| is_same(binding, &contact) && binding.refuses_unsolicited;
        let refuses_unsolicited = line.iter().any(has_refused);
        line.retain(|binding| !is_same(binding, &contact));
        let binding = ContactBinding {
            refuses_unsolicited,
            lists: who.lists.clone(),
            instance: instance(&contact),
            contact: contact.uri,
            flow: who.flow,
            until: now + Duration::from_secs(u64::from(expires)),
            call_id: who.call_id.to_owned(),
            number: who.number,
            nonce: who.nonce,
            check: None,
        };
        add(line, binding);
    }
    Ok(())
}

/// Adds a binding, in place of the one that would expire first if the line is full.
fn add(line: &mut Vec<ContactBinding>, binding: ContactBinding) {
    if line.len() >= MAX_PHONES {
        let first = line
            .iter()
            .enumerate()
            .min_by_key(|(_, binding)| binding.until)
            .map(|(index, _)| index);
        if let Some(first) = first {
            line.remove(first);
        }
    }
    line.push(binding);
}

/// The longest time in seconds for which a phone on this flow is registered.
const fn longest(flow: Flow) -> u32 {
    match flow.transport {
        Transport::Udp => MAX_UDP_EXPIRES,
        Transport::Tcp | Transport::Tls => MAX_EXPIRES,
    }
}

/// Section 10.3, step 7: within one Call-ID the CSeq numbers increase, until the phone restarts: one that derives its Call-ID from its
/// hardware address counts from 1 again. A request that answers a newer challenge than the binding's was sent later, whatever its number.
fn is_newer(binding: &ContactBinding, who: &RegisterRequest<'_>) -> bool {
    let is_of_call = binding.call_id == who.call_id;
    is_of_call && binding.number >= who.number && binding.nonce >= who.nonce
}

/// The same phone: by its instance (RFC 5626 section 4.1) where both have one, else by its address.
fn is_same(binding: &ContactBinding, contact: &NameAddr) -> bool {
    match (&binding.instance, instance(contact)) {
        (Some(known), Some(new)) => *known == new,
        _ => binding.contact.is_same_contact(&contact.uri),
    }
}

/// The `+sip.instance` of a Contact, which is compared without case.
pub(crate) fn instance(contact: &NameAddr) -> Option<String> {
    contact
        .params
        .get("+sip.instance")
        .map(|id| id.to_ascii_lowercase())
}
