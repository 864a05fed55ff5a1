//! A call that its phone hands to another one (RFC 3515, RFC 3891): blind, by placing a new call, or attended, by joining
//! two that it has. The far side of each hears the other's through this engine, port to port; neither engine out there
//! learns that there is another one.

use ringfence_sip as sip;

use super::context::CallContext;
use super::talking::Talking;
use super::{Common, Joint, News, Phase};
use crate::call::control::Control;
use crate::call::step::{End, Step};
use crate::output::{CallLabel, MediaOrder};

impl Talking {
    /// The phone wants the call handed to `partner`, which is being placed. The phone may wait for that or hang up.
    pub(super) fn hand_to(self: Box<Self>, partner: CallLabel, call: &mut Common) -> Phase {
        call.partner = Some(partner);
        Phase::Talking(self)
    }

    /// Joins the call with another one that runs: the phone is not needed any more.
    pub(super) fn join(
        mut self: Box<Self>,
        joint: Joint,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        cx.tell_transfer(call, 200);
        cx.hang_up_phone(call);
        call.partner = Some(joint.call);
        self.phone.join(joint.near);
        cx.media(call, MediaOrder::Attach(self.phone.terms()));
        cx.step(call, Step::HandedOver);
        Phase::Talking(self)
    }

    /// News of the call that this one is handed to, or was.
    pub(super) fn hear_partner(
        self: Box<Self>,
        news: News,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        match (news, call.partner) {
            (News::Rings, _) => cx.tell_transfer(call, 180),
            (News::Answered(near), Some(partner)) => {
                return self.join(
                    Joint {
                        call: partner,
                        near,
                    },
                    call,
                    cx,
                );
            }
            (News::Pressed(control), _) => self.press(control, call, cx),
            (News::Over(status), _) => {
                call.partner = None;
                if call.leg.is_none() {
                    return self.leave(End::HungUpHere, call, cx);
                }
                // Nobody took it: the phone has its call back.
                cx.tell_transfer(call, status.max(300));
            }
            (News::Answered(_), None) => {}
        }
        Phase::Talking(self)
    }

    /// The phone hung up. A call that it has handed over waits for whom it was handed to.
    pub(super) fn lose_phone(
        mut self: Box<Self>,
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        call.leg = None;
        if call.partner.is_none() {
            return self.leave(End::HungUpHere, call, cx);
        }
        self.phone.leave();
        cx.media(call, MediaOrder::Attach(self.phone.terms()));
        Phase::Talking(self)
    }

    /// Another phone of the line takes the call from the one that has it.
    pub(super) fn take_over(
        mut self: Box<Self>,
        leg: sip::LegId,
        offer: &[u8],
        call: &mut Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        if call.leg.is_none() || !self.phone.take_over(offer, cx) {
            cx.env.agent.refuse(leg, 488, cx.now);
            return Phase::Talking(self);
        }
        cx.hang_up_phone(call);
        call.leg = Some(leg);
        cx.media(call, MediaOrder::Attach(self.phone.terms()));
        cx.answer_phone(call, self.phone.answer());
        Phase::Talking(self)
    }

    /// A key was pressed on the phone, which said so beside its sound.
    pub(super) fn pressed_here(&self, digit: sip::Digit, call: &Common, cx: &mut CallContext<'_>) {
        let (event, millis) = (digit.event(), digit.millis());
        self.press(Control::Digit { event, millis }, call, cx);
    }

    fn press(&self, control: Control, call: &Common, cx: &mut CallContext<'_>) {
        if self.can_tell() {
            cx.media(call, MediaOrder::Control(control.encode().to_vec()));
        }
    }

    /// A key was pressed on the other side: the phone is told in its own way.
    pub(super) fn pressed_there(
        &self,
        event: u8,
        millis: u16,
        call: &Common,
        cx: &mut CallContext<'_>,
    ) {
        let Some(digit) = sip::Digit::new(event, millis) else {
            return;
        };
        let (event, millis) = (digit.event(), digit.millis());
        match call.leg {
            None => cx.tell_partner(call, News::Pressed(Control::Digit { event, millis })),
            Some(_) if self.phone.takes_events() => {
                cx.media(call, MediaOrder::Press { event, millis });
            }
            Some(leg) => cx.env.agent.send_digit(leg, digit, cx.now),
        }
    }
}
