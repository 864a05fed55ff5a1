//! Bindings across a restart, and bindings in doubt.
//!
//! Bindings of UDP phones are given away and taken back (RFC 3261 section 10 leaves their storage open), so that phones ring at
//! once after a restart. A phone that may be gone is asked by OPTIONS (section 11); without any response its binding is removed.

use std::time::{Duration, Instant};

use super::{ContactBinding, MAX_PHONES, MAX_UDP_EXPIRES, Registrar};
use crate::account::User;
use crate::event::{LegId, Package};
use crate::flow::{Flow, Transport};
use crate::leg::target::RequestTarget;
use crate::message::{MAX_LINE, Uri};
use crate::restart::SavedBinding;

impl Registrar {
    /// The bindings that outlive the process.
    pub(crate) fn saved(&self, now: Instant) -> Vec<SavedBinding> {
        let lines = self.lines.iter();
        let bindings =
            lines.flat_map(|(user, line)| line.iter().map(move |binding| (user, binding)));
        let lasting = bindings
            .filter(|(_, binding)| binding.flow.transport == Transport::Udp && binding.until > now);
        lasting
            .map(|(user, binding)| SavedBinding {
                user: user.clone(),
                local: binding.flow.local,
                peer: binding.flow.peer,
                contact: binding.contact.to_string(),
                instance: binding.instance.clone(),
                call_id: binding.call_id.clone(),
                number: binding.number,
                packages: binding.lists.clone(),
                refuses_unsolicited: binding.refuses_unsolicited,
                remaining: binding.until.saturating_duration_since(now),
            })
            .collect()
    }

    /// Takes a binding back, whose line exists. `None` if it is damaged or over, if the phone has registered since, or if the line
    /// is full: phones that registered with this process come first.
    pub(crate) fn restore(&mut self, saved: SavedBinding, now: Instant) -> Option<RequestTarget> {
        let user = saved.user.clone();
        let binding = read(saved, now)?;
        let target = RequestTarget::of(&user, &binding);
        let line = self.lines.entry(user).or_default();
        let is_known = line.iter().any(|known| {
            let instances = (&known.instance, &binding.instance);
            let has_same_instance = matches!(instances, (Some(one), Some(two)) if one == two);
            has_same_instance || known.contact.is_same_contact(&binding.contact)
        });
        if is_known || line.len() >= MAX_PHONES {
            return None;
        }
        line.push(binding);
        Some(target)
    }

    /// Notes that this OPTIONS asks whether the phone is still there. False if the phone is not registered, or is being asked.
    pub(crate) fn begin_check(&mut self, target: &RequestTarget, check: LegId) -> bool {
        let line = self.lines.get_mut(&target.phone.user);
        let mut bindings = line.into_iter().flatten();
        let asked = bindings
            .find(|binding| binding.flow == target.flow && binding.contact == target.phone.contact);
        let Some(binding) = asked.filter(|binding| binding.check.is_none()) else {
            return false;
        };
        binding.check = Some(check);
        true
    }

    /// The phone responded, or it did not and its binding is removed; gives the lines that lost it. A phone that has registered
    /// in the meantime is there.
    pub(crate) fn end_check(&mut self, check: LegId, is_alive: bool) -> Vec<User> {
        if !is_alive {
            return self.remove(|binding| binding.check == Some(check));
        }
        let bindings = self.lines.values_mut().flatten();
        for binding in bindings.filter(|binding| binding.check == Some(check)) {
            binding.check = None;
        }
        Vec::new()
    }
}

/// A saved binding, if nothing in it is damaged and it has time left.
fn read(saved: SavedBinding, now: Instant) -> Option<ContactBinding> {
    let contact = Uri::parse(saved.contact.as_bytes()).filter(|uri| uri.host().is_some())?;
    let longest = Duration::from_secs(MAX_UDP_EXPIRES.into());
    let remaining = saved.remaining.min(longest);
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let texts = [
        Some(&saved.contact),
        Some(&saved.call_id),
        saved.instance.as_ref(),
    ];
    let is_short = texts
        .into_iter()
        .flatten()
        .all(|text| text.len() <= MAX_LINE);
    let flow = Flow {
        transport: Transport::Udp,
        local: saved.local,
        peer: saved.peer,
        connection: 0,
    };
    let is_sound = is_short && is_word(&saved.call_id) && flow.is_usable() && !remaining.is_zero();
    let listed = |package: &Package| saved.packages.contains(package);
    is_sound.then(|| ContactBinding {
        contact,
        flow,
        until: now + remaining,
        refuses_unsolicited: saved.refuses_unsolicited,
        lists: Package::ALL.into_iter().filter(listed).collect(),
        instance: saved.instance,
        call_id: saved.call_id,
        number: saved.number,
        nonce: 0,
        check: None,
    })
}
