//! What a phone may do with a call that it has beside hanging up: hand it to somebody else (RFC 3515), or take one over
//! from another phone of its line (RFC 3891).
//!
//! The new call is placed from here, under this line's number: whom the call is handed to learns what a call from this
//! line tells, and the one that is handed over learns nothing at all.

use std::time::Instant;

use ringfence_media::PhoneMedia;
use ringfence_sip as sip;

use crate::call::{Dialling, Happening, Joint, Phase, Talking};
use crate::config::MAX_CALLS;
use crate::engine::Engine;
use crate::output::CallLabel;
use crate::trust::contacts::ShownBy;
use crate::trust::directory::LookupError;

impl Engine {
    /// A phone wants its call handed over. Whatever does not work leaves it as it was.
    pub(crate) fn handle_transfer(&mut self, leg: sip::LegId, to: &sip::TransferTo, now: Instant) {
        let handed = self.legs.get(&leg).copied();
        let done = match (handed, to.leg) {
            (None, _) => Err(481),
            (Some(call), Some(other)) => self.join(call, other, now),
            (Some(call), None) => self.hand_over(call, leg, &to.dialled, now),
        };
        if let Err(status) = done {
            self.agent.transfer(leg, status, now);
        }
    }

    /// Blind: calls the number, and joins the two when somebody answers.
    fn hand_over(
        &mut self,
        call: CallLabel,
        leg: sip::LegId,
        dialled: &str,
        now: Instant,
    ) -> Result<(), u16> {
        let (line, talking) = self.free_to_go(call)?;
        let (near, codecs) = (talking.phone().near(), talking.phone().chosen().to_vec());
        let callee = match self.callee(dialled, now) {
            Ok(callee) => callee,
            Err(LookupError::NoTile) => return Err(503),
            Err(_) => return Err(404),
        };
        if self.closing || self.busy() >= MAX_CALLS {
            return Err(503);
        }
        // No call goes to a key that has taken a contact's place, this one neither.
        if self.has_changed(callee.number, callee.identity, ShownBy::Book, now) {
            return Err(403);
        }
        self.agent.transfer(leg, 100, now);
        let offer = PhoneMedia::unwritten(near, &codecs);
        let placed = self.begin(line, None, now, |common, desk| {
            common.partner = Some(call);
            Dialling::start(offer, callee, None, common, desk)
        });
        self.tell(call, Happening::Handed(placed), now);
        Ok(())
    }

    /// Attended: the phone has both calls, or the line's phones have one each.
    fn join(&mut self, call: CallLabel, other: sip::LegId, now: Instant) -> Result<(), u16> {
        let other = self
            .legs
            .get(&other)
            .copied()
            .filter(|other| *other != call);
        let other = other.ok_or(481_u16)?;
        let (line, one) = self.free_to_go(call)?;
        let (other_line, two) = self.free_to_go(other)?;
        if line != other_line {
            // As if there were no such call: it is none of this line's business.
            return Err(481);
        }
        // Nothing is transcoded, and no port of IPv4 hears one of IPv6.
        let is_ipv4 = |talking: &Talking| talking.phone().near().is_ipv4();
        if one.phone().chosen().first() != two.phone().chosen().first()
            || is_ipv4(one) != is_ipv4(two)
        {
            return Err(488);
        }
        let joints = [
            (
                call,
                Joint {
                    call: other,
                    near: two.phone().near(),
                },
            ),
            (
                other,
                Joint {
                    call,
                    near: one.phone().near(),
                },
            ),
        ];
        for (call, joint) in joints {
            self.tell(call, Happening::Joined(joint), now);
        }
        Ok(())
    }

    /// A call that talks to a phone and is not being handed over already, with its line.
    fn free_to_go(&self, call: CallLabel) -> Result<(usize, &Talking), u16> {
        let call = self.calls.get(&call).ok_or(481_u16)?;
        match &call.phase {
            Phase::Talking(talking) if call.common.partner.is_none() => {
                Ok((call.common.line, talking))
            }
            _ => Err(491),
        }
    }

    /// A phone dials to take over a call that another phone of its line has.
    pub(crate) fn handle_take_over(
        &mut self,
        leg: sip::LegId,
        (line, from): (usize, sip::LegId),
        sdp: Vec<u8>,
        now: Instant,
    ) {
        let call = self.legs.get(&from).copied();
        let call = call.filter(|call| {
            let call = self.calls.get(call);
            call.is_some_and(|call| {
                call.common.line == line && matches!(call.phase, Phase::Talking(_))
            })
        });
        match call {
            Some(call) => self.tell(call, Happening::TakenOver(leg, sdp), now),
            None => self.agent.refuse(leg, 481, now),
        }
    }
}
