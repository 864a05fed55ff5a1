//! What a phone may do with a call beside hanging up: hand it to another number or call (RFC 3515), or take one over from another
//! phone of its line (RFC 3891).
//!
//! The new call is placed from here, under this line's number: its callee learns what a call from this line tells, and the party
//! that is handed over learns nothing at all.

use std::time::Instant;

use ringfence_media::PhoneMedia;
use ringfence_sip as sip;

use super::calls::{Calls, NewCall};
use super::dialling::Dialling;
use super::talking::Talking;
use super::{CallInput, CallState, JoinedCall};
use crate::environment::Environment;
use crate::line::emergency_numbers;
use crate::line::saved_state::CallWay;
use crate::output::CallLabel;
use crate::trust::contacts::ShownBy;
use crate::trust::directory::LookupError;

impl Calls {
    /// A phone wants its call handed over. Whatever does not work leaves the call as it was.
    pub(crate) fn handle_transfer(
        &mut self,
        leg: sip::LegId,
        to: &sip::TransferTo,
        env: &mut Environment,
        now: Instant,
    ) {
        let handed = self.legs.get(&leg).copied();
        let done = match (handed, to.leg) {
            (None, _) => Err(481),
            (Some(call), Some(other)) => self.join(call, other, env, now),
            (Some(call), None) => self.hand_over((call, leg), &to.dialled, env, now),
        };
        if let Err(status) = done {
            env.agent.notify_transfer(leg, status, now);
        }
    }

    /// Blind: calls the number, and joins the two calls when that is answered.
    fn hand_over(
        &mut self,
        (call, leg): (CallLabel, sip::LegId),
        dialled: &str,
        env: &mut Environment,
        now: Instant,
    ) -> Result<(), u16> {
        let (line, talking) = self.free_to_go(call)?;
        let (near, codecs) = (talking.phone().near(), talking.phone().carried().to_vec());
        if emergency_numbers::is_emergency(dialled, &env.config.emergency_numbers) {
            return Err(emergency_numbers::STATUS);
        }
        let callee = match env.callee(dialled) {
            Ok(callee) => callee,
            Err(LookupError::NoTile) => return Err(503),
            Err(_) => return Err(404),
        };
        let has_network = env.is_listening && env.reaches_turn;
        if env.closing || !has_network || self.busy() >= env.config.max_calls {
            return Err(503);
        }
        // No call goes to a key that has taken a contact's place, this one neither.
        if env.has_changed(callee.peer(), ShownBy::Book, now) {
            return Err(403);
        }
        env.agent.notify_transfer(leg, 100, now);
        let offer = PhoneMedia::without_sdp(near, &codecs);
        let new = NewCall {
            line,
            peer: Some(callee.number),
            direction: CallWay::Out,
            leg: None,
        };
        let placed = self.begin(new, env, now, |common, cx| {
            common.partner = Some(call);
            Dialling::start(offer, callee, None, common, cx)
        });
        self.handle(call, CallInput::Handed(placed), env, now);
        Ok(())
    }

    /// Attended: the phone has both calls, or the line's phones have one each.
    fn join(
        &mut self,
        call: CallLabel,
        other: sip::LegId,
        env: &mut Environment,
        now: Instant,
    ) -> Result<(), u16> {
        let other = self.legs.get(&other).copied();
        let other = other.filter(|other| *other != call).ok_or(481_u16)?;
        let (line, one) = self.free_to_go(call)?;
        let (other_line, two) = self.free_to_go(other)?;
        if line != other_line {
            // As if there were no such call: this line is not to learn of it.
            return Err(481);
        }
        // No port of IPv4 receives from one of IPv6.
        let is_ipv4 = |talking: &Talking| talking.phone().near().is_ipv4();
        if is_ipv4(one) != is_ipv4(two) {
            return Err(488);
        }
        // Where the two carry different codecs, the other call transcodes.
        let codecs = one.phone().carried();
        let joint = |call, talking: &Talking| JoinedCall {
            call,
            near: talking.phone().near(),
            codecs: codecs.to_vec(),
        };
        let joints = [(call, joint(other, two)), (other, joint(call, one))];
        for (call, joint) in joints {
            self.handle(call, CallInput::Joined(joint), env, now);
        }
        Ok(())
    }

    /// A call that talks to a phone and is not being handed over already, with its line.
    fn free_to_go(&self, call: CallLabel) -> Result<(usize, &Talking), u16> {
        let call = self.calls.get(&call).ok_or(481_u16)?;
        match &call.phase {
            CallState::Talking(talking) if call.common.partner.is_none() => {
                Ok((call.common.line, talking))
            }
            _ => Err(491),
        }
    }

    /// A phone dials to take over a call that another phone of its line has.
    pub(super) fn handle_take_over(
        &mut self,
        leg: sip::LegId,
        (line, from): (usize, sip::LegId),
        sdp: Vec<u8>,
        env: &mut Environment,
        now: Instant,
    ) {
        let label = self.legs.get(&from).copied();
        let label = label.filter(|label| {
            let call = self.calls.get(label);
            call.is_some_and(|call| {
                call.common.line == line && matches!(call.phase, CallState::Talking(_))
            })
        });
        match label {
            Some(label) => self.handle(label, CallInput::TakenOver(leg, sdp), env, now),
            None => env.agent.refuse(leg, 481, now),
        }
    }
}
