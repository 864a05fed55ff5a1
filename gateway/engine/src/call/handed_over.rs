//! A call that its phone hands to another one (RFC 3515, RFC 3891): blind, by placing a new call, or attended, by joining
//! two that it has. The far side of each hears the other's through this engine, port to port; neither engine out there
//! learns that there is another one.

use ringfence_sip as sip;

use super::context::CallContext;
use super::talking::Talking;
use super::{CallCommon, CallState, JoinedCall, PartnerNews};
use crate::call::control::ControlFrame;
use crate::call::step::{CallStep, EndReason};
use crate::output::{CallLabel, MediaOrder};

impl Talking {
    /// The phone wants the call handed to `partner`, which is being placed. The phone may wait for that or hang up.
    pub(super) fn hand_to(self: Box<Self>, partner: CallLabel, call: &mut CallCommon) -> CallState {
        call.partner = Some(partner);
        CallState::Talking(self)
    }

    /// Joins the call with another one that runs: the phone is not needed any more.
    pub(super) fn join(
        mut self: Box<Self>,
        joint: JoinedCall,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        cx.notify_transfer(call, 200);
        cx.hang_up_phone(call);
        call.partner = Some(joint.call);
        self.phone.join(joint.near, &joint.codecs);
        cx.media(call, MediaOrder::Attach(self.phone.terms()));
        cx.step(call, CallStep::HandedOver);
        CallState::Talking(self)
    }

    /// News of the call that this one is handed to, or was.
    pub(super) fn handle_partner(
        self: Box<Self>,
        news: PartnerNews,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        match (news, call.partner) {
            (PartnerNews::Rings, _) => cx.notify_transfer(call, 180),
            (PartnerNews::Answered(near), Some(partner)) => {
                let joint = JoinedCall {
                    call: partner,
                    near,
                    codecs: self.phone.carried().to_vec(),
                };
                return self.join(joint, call, cx);
            }
            (PartnerNews::Pressed(control), _) => self.press(control, call, cx),
            (PartnerNews::Over(status), _) => {
                call.partner = None;
                if call.leg.is_none() {
                    return self.leave(EndReason::HungUpHere, call, cx);
                }
                // The transfer was not taken: the phone has its call back.
                cx.notify_transfer(call, status.max(300));
            }
            (PartnerNews::Answered(_), None) => {}
        }
        CallState::Talking(self)
    }

    /// The phone hung up. A call that it has handed over waits for whom it was handed to.
    pub(super) fn lose_phone(
        mut self: Box<Self>,
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        call.leg = None;
        if call.partner.is_none() {
            return self.leave(EndReason::HungUpHere, call, cx);
        }
        self.phone.leave();
        cx.media(call, MediaOrder::Attach(self.phone.terms()));
        CallState::Talking(self)
    }

    /// Another phone of the line takes the call from the one that has it.
    pub(super) fn take_over(
        mut self: Box<Self>,
        leg: sip::LegId,
        offer: &[u8],
        call: &mut CallCommon,
        cx: &mut CallContext<'_>,
    ) -> CallState {
        if call.leg.is_none() || !self.phone.take_over(offer, cx) {
            cx.env.agent.refuse(leg, 488, cx.now);
            return CallState::Talking(self);
        }
        cx.hang_up_phone(call);
        call.leg = Some(leg);
        cx.media(call, MediaOrder::Attach(self.phone.terms()));
        cx.answer_phone(call, self.phone.answer());
        CallState::Talking(self)
    }

    /// A key was pressed on the phone, which said so beside its audio.
    pub(super) fn handle_local_digit(
        &self,
        digit: sip::Digit,
        call: &CallCommon,
        cx: &mut CallContext<'_>,
    ) {
        let (event, millis) = (digit.event(), digit.millis());
        self.press(ControlFrame::Digit { event, millis }, call, cx);
    }

    fn press(&self, control: ControlFrame, call: &CallCommon, cx: &mut CallContext<'_>) {
        if self.can_tell() {
            cx.control(call, control);
        }
    }

    /// A key was pressed on the other side: the phone is told in its own way.
    pub(super) fn handle_remote_digit(
        &self,
        event: u8,
        millis: u16,
        call: &CallCommon,
        cx: &mut CallContext<'_>,
    ) {
        let Some(digit) = sip::Digit::new(event, millis) else {
            return;
        };
        let (event, millis) = (digit.event(), digit.millis());
        match call.leg {
            None => cx.notify_partner(
                call,
                PartnerNews::Pressed(ControlFrame::Digit { event, millis }),
            ),
            Some(_) if self.phone.takes_events() => {
                cx.media(call, MediaOrder::Press { event, millis });
            }
            Some(leg) => cx.env.agent.send_digit(leg, digit, cx.now),
        }
    }
}
