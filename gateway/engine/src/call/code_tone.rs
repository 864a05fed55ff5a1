//! Phones that have dialled a feature code which was carried out. Phones play an error tone where a call is refused, so this one is answered,
//! two beeps sound, and it ends. No other engine and no server takes part: who sees the phone's network sees a call of 0.7 s.

use std::collections::BTreeMap;
use std::time::Instant;

use ringfence_media::confirmation::{ConfirmationTone, FRAME_TIME};
use ringfence_media::{Codec, PhoneMedia, choose, sdp};
use ringfence_sip as sip;

use super::agreed::PREFERRED;
use super::calls::Calls;
use super::phone_side::{nowhere, own_for};
use crate::environment::Environment;
use crate::input::MediaEvent;
use crate::output::{CallLabel, MediaOrder, Output};
use crate::time::Timer;

/// Their calls. There are no more than the user agent has legs.
#[derive(Debug, Default)]
pub(super) struct CodeCalls {
    calls: BTreeMap<CallLabel, CodeCall>,
    /// The label of the next one: not that of a call before, whose port may still be on its way.
    next: u32,
}

/// The call of one such phone.
#[derive(Debug)]
struct CodeCall {
    leg: sip::LegId,
    media: PhoneMedia,
    chosen: Vec<Codec>,
    tone: Option<ConfirmationTone>,
    /// When the next packet is due: from the phone's acknowledgement on.
    due: Option<Instant>,
}

impl CodeCalls {
    pub(super) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let due = self.calls.values().filter_map(|call| call.due);
        due.min().map(|at| (at, Timer::CodeTone))
    }

    /// Sends what is due, and ends the calls that have heard all.
    pub(super) fn handle_timeout(&mut self, env: &mut Environment, now: Instant) {
        let due = |call: &&mut CodeCall| call.due.is_some_and(|due| due <= now);
        let mut heard = Vec::new();
        for (label, code) in self.calls.iter_mut() {
            let Some(code) = Some(code).filter(due) else {
                continue;
            };
            let tone = code.tone.as_mut();
            match tone.and_then(|tone| Some((tone.to(), tone.next_packet()?))) {
                Some((to, bytes)) => {
                    code.due = code.due.map(|due| due + FRAME_TIME);
                    order(*label, MediaOrder::SendToPhone { to, bytes }, env);
                }
                None => heard.push(*label),
            }
        }
        for label in heard {
            self.end(label, env, now);
        }
    }

    /// The port of the phone is open, or there is none: then it hears nothing.
    pub(super) fn handle_media(
        &mut self,
        label: CallLabel,
        event: &MediaEvent,
        env: &mut Environment,
        now: Instant,
    ) {
        let Some(code) = self.calls.get_mut(&label) else {
            return;
        };
        let port = match event {
            MediaEvent::Near(ports) => ports.first().map(|port| port.audio),
            _ => None,
        };
        let near = port.unwrap_or(nowhere(code.media.rtp));
        let own = own_for(&code.media, near, env);
        let tone = || ConfirmationTone::new(&code.media.negotiated(&own, &code.chosen));
        code.tone = port.and_then(|_| tone());
        let answer = sdp::write_answer(&own, &code.media, &code.chosen);
        env.agent.answer(code.leg, answer, now);
    }

    /// False if the leg is of another call.
    pub(super) fn handle_leg(
        &mut self,
        leg: sip::LegId,
        event: &sip::Event,
        env: &mut Environment,
        now: Instant,
    ) -> bool {
        let Some((label, code)) = self.calls.iter_mut().find(|(_, code)| code.leg == leg) else {
            return false;
        };
        match event {
            sip::Event::Confirmed { .. } => code.due = Some(now),
            // A phone that has gone is hung up in vain.
            _ => {
                let label = *label;
                self.end(label, env, now);
            }
        }
        true
    }

    pub(super) fn end_all(&mut self, env: &mut Environment, now: Instant) {
        for label in self.calls.keys().copied().collect::<Vec<_>>() {
            self.end(label, env, now);
        }
    }

    fn end(&mut self, label: CallLabel, env: &mut Environment, now: Instant) {
        if let Some(code) = self.calls.remove(&label) {
            env.agent.hang_up(code.leg, sip::HangUp::Normal, now);
            order(label, MediaOrder::Close, env);
        }
    }
}

impl Calls {
    /// Answers the phone once it has a port. One that offers no media that could be answered is refused.
    pub(super) fn confirm_code(
        &mut self,
        leg: sip::LegId,
        offer: &[u8],
        env: &mut Environment,
        now: Instant,
    ) {
        let flow = env.agent.flow(leg).map(|flow| flow.local.ip());
        let media = sdp::read_offer(offer, env.config.srtp).ok();
        let formats = media.as_ref().map(PhoneMedia::formats).unwrap_or_default();
        let chosen = choose(&formats, &ConfirmationTone::CODECS).or(choose(&formats, &PREFERRED));
        let (Some(flow), Some(media), Some(chosen)) = (flow, media, chosen) else {
            return env.agent.refuse(leg, 603, now);
        };
        // Not drawn: what a phone dials must not move what is drawn for envelopes.
        let next = self.code_calls.next;
        let mut labels = (0..=u32::MAX).map(|step| CallLabel(next.wrapping_add(step)));
        let label = labels.find(|label| {
            !self.calls.contains_key(label) && !self.code_calls.calls.contains_key(label)
        });
        let Some(label) = label else {
            return env.agent.refuse(leg, 603, now);
        };
        self.code_calls.next = label.0.wrapping_add(1);
        let at = env.config.near_address(flow, media.rtp.ip());
        let code = CodeCall {
            leg,
            media,
            chosen,
            tone: None,
            due: None,
        };
        self.code_calls.calls.insert(label, code);
        let (at, video) = (vec![at], false);
        order(label, MediaOrder::OpenNear { at, video }, env);
    }
}

fn order(call: CallLabel, order: MediaOrder, env: &mut Environment) {
    env.out.push(Output::Media { call, order });
}
