//! An outgoing call begins: a phone of a line has dialled.

use std::time::Instant;

use ringfence_media::{PhoneMedia, SdpError, sdp};
use ringfence_sip as sip;

use super::calls::{Calls, NewCall};
use super::context::DialledAgain;
use super::dialling::Dialling;
use super::phone_side::{FirstOffer, refusal, silent_phone};
use super::step::EndReason;
use crate::environment::Environment;
use crate::line::call_record::CallRecord;
use crate::line::feature_codes::{self, Dialled};
use crate::line::saved_state::CallWay;
use crate::line::{emergency_numbers, old_book};
use crate::output::CallParties;
use crate::trust::contacts::ShownBy;
use crate::trust::directory::{CalleeKeys, LookupError};

/// What a phone shows that dialled a number with a changed key (RFC 3261 section 21.4.4: not to be tried again).
const KEY_CHANGED: sip::Refusal = sip::Refusal {
    status: 403,
    text: "Key changed - see ringfence contacts",
};

/// What a phone shows whose engine hears no relay: two lines of 20 characters.
const NOT_LISTENING: sip::Refusal = sip::Refusal {
    status: 503,
    text: "No relay reached: try again in a minute",
};

/// What a phone shows whose engine has no TURN server that gives it a relayed address.
pub(super) const NO_TURN: sip::Refusal = sip::Refusal {
    status: 503,
    text: "No TURN server reached: try again in a minute",
};

/// An INVITE outside a dialog, as the SIP side reports it.
pub(crate) struct DialledCall {
    pub(crate) leg: sip::LegId,
    pub(crate) user: sip::User,
    pub(crate) digits: String,
    pub(crate) sdp: Vec<u8>,
    /// The leg whose call the phone takes over (RFC 3891).
    pub(crate) replaces: Option<sip::LegId>,
}

impl Calls {
    pub(crate) fn handle_dialled(
        &mut self,
        dialled: DialledCall,
        env: &mut Environment,
        now: Instant,
    ) {
        let DialledCall { leg, sdp, .. } = dialled;
        let Some(line) = env.lines.of_user(&dialled.user) else {
            return env.agent.refuse(leg, 403, now);
        };
        if emergency_numbers::is_emergency(&dialled.digits, &env.config.emergency_numbers) {
            return self.refuse_emergency((line, leg), &dialled.digits, env, now);
        }
        if let Some(from) = dialled.replaces {
            return self.handle_take_over(leg, (line, from), sdp, env, now);
        }
        let digits = match feature_codes::dial((line, leg), dialled.digits, env, now) {
            Dialled::Number(digits) => digits,
            Dialled::Done => return self.confirm_code(leg, &sdp, env, now),
            Dialled::Refused => return,
        };
        old_book::tell(line, env, now);
        let (number, callee) = (digits.parse().ok(), env.callee(&digits));
        let offer = read_offer(&sdp, env);
        let unusable = offer.as_ref().err().map(refusal);
        let (status, end) = match (callee, offer) {
            _ if env.closing => (503, EndReason::ShutDown),
            _ if self.busy() >= env.config.max_calls => (503, EndReason::TooMany),
            (Ok(callee), _) if env.has_changed(callee.peer(), ShownBy::Book, now) => {
                (403, EndReason::KeyChanged)
            }
            (Ok(_), _) if !env.is_listening => (503, EndReason::NoRelay),
            (Ok(_), _) if !env.reaches_turn => (503, EndReason::NoMedia),
            (Ok(callee), Ok(offer)) => {
                return self.place((line, leg), (offer, None), callee, env, now);
            }
            (Err(LookupError::NoTile), _) => (503, EndReason::NoBook),
            (Err(_), _) => (404, EndReason::NoSuchNumber),
            (Ok(_), Err(_)) => (488, EndReason::NoCodec),
        };
        let Some(line) = env.lines.number(line) else {
            return;
        };
        let parties = CallParties {
            line,
            peer: number,
            direction: CallWay::Out,
        };
        self.report_refused(parties, end, env, |env| match end {
            EndReason::KeyChanged => env.agent.refuse_with(leg, KEY_CHANGED, now),
            EndReason::NoRelay => env.agent.refuse_with(leg, NOT_LISTENING, now),
            EndReason::NoMedia => env.agent.refuse_with(leg, NO_TURN, now),
            EndReason::NoCodec if let Some(words) = unusable => {
                env.agent.refuse_with(leg, words, now)
            }
            _ => env.agent.refuse(leg, status, now),
        });
    }

    fn refuse_emergency(
        &self,
        (line, leg): (usize, sip::LegId),
        digits: &str,
        env: &mut Environment,
        now: Instant,
    ) {
        let Some(number) = env.lines.number(line) else {
            return;
        };
        let parties = CallParties {
            line: number,
            peer: digits.parse().ok(),
            direction: CallWay::Out,
        };
        self.report_refused(parties, EndReason::EmergencyNumber, env, |env| {
            emergency_numbers::refuse((line, leg), digits, env, now)
        });
    }

    /// Places the call of a phone anew, whose number was about to be reached in another way.
    pub(super) fn place_again(&mut self, again: DialledAgain, env: &mut Environment, now: Instant) {
        let DialledAgain {
            line,
            leg,
            offer,
            number,
        } = again;
        match env.callee(&number.to_string()) {
            Ok(callee) if !env.closing => {
                self.place((line, leg), (offer, None), callee, env, now);
            }
            _ => env.agent.refuse(leg, 480, now),
        }
    }

    /// `summoned`: what the SDP said with which the phone was summoned, if it was.
    pub(super) fn place(
        &mut self,
        (line, leg): (usize, sip::LegId),
        (offer, summoned): (PhoneMedia, Option<FirstOffer>),
        callee: CalleeKeys,
        env: &mut Environment,
        now: Instant,
    ) {
        let met = self.take_ring(line, callee.identity, env, now);
        let record = CallRecord::dialled(callee.number, env.wall(now));
        let new = NewCall {
            line,
            peer: Some(callee.number),
            direction: CallWay::Out,
            leg: Some(leg),
        };
        self.begin(new, env, now, |common, cx| {
            common.record = Some(record);
            common.summoned = summoned;
            Dialling::start(offer, callee, met, common, cx)
        });
    }
}

/// What the phone offers; a phone that offers nothing is offered everything once the call is answered.
fn read_offer(sdp: &[u8], env: &Environment) -> Result<PhoneMedia, SdpError> {
    let mut offer = match sdp {
        [] => silent_phone(),
        sdp => sdp::read_offer(sdp, env.config.srtp)?,
    };
    offer.video = offer.video.filter(|_| env.config.video);
    Ok(offer)
}
