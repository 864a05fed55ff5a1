//! After the person here hung up: the sound path stays for a moment, so that the hang-up
//! reaches the other side even if a packet is lost.

use ringfence_media::BridgeEvent;

use super::context::CallContext;
use super::{Common, Happening, News, Phase};
use crate::call::control::Control;
use crate::call::step::{End, Step};
use crate::config::LINGER;
use crate::input::MediaEvent;
use crate::output::MediaOrder;
use crate::time::Timer;

/// A hang-up on its way over the data channel.
#[derive(Debug)]
pub(crate) struct Ending;

impl Ending {
    /// Tells the other side over the data channel and lingers.
    pub(super) fn start(end: End, call: &mut Common, cx: &mut CallContext<'_>) -> Phase {
        cx.tell_partner(call, News::Over(480));
        cx.step(call, Step::Ended(end));
        cx.media(call, MediaOrder::Control(Control::HangUp.encode().to_vec()));
        cx.set_deadline(call, LINGER, Timer::HangUp);
        Phase::Ending(Self)
    }

    pub(super) fn on(
        self,
        happening: &Happening<'_>,
        call: &Common,
        cx: &mut CallContext<'_>,
    ) -> Phase {
        let heard = match happening {
            Happening::Alarm
            | Happening::Media(
                MediaEvent::Refused(_)
                | MediaEvent::Bridge(BridgeEvent::Failed(_) | BridgeEvent::Closed),
            ) => true,
            Happening::Media(MediaEvent::Bridge(BridgeEvent::Control(frame))) => {
                Control::decode(frame) == Ok(Control::HangUp)
            }
            _ => false,
        };
        if !heard {
            return Phase::Ending(self);
        }
        cx.media(call, MediaOrder::Close);
        Phase::Over
    }
}
