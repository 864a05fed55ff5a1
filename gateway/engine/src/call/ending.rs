//! After the person here hung up: the sound path stays for a moment, so that the hang-up
//! reaches the other side even if a packet is lost.

use ringfence_media::TalkEvent;

use super::{Common, Happening, News, Phase};
use crate::call::context::Desk;
use crate::call::control::Control;
use crate::call::step::{End, Step};
use crate::config::LINGER;
use crate::input::MediaEvent;
use crate::output::MediaOrder;

/// A hang-up on its way over the data channel.
#[derive(Debug)]
pub(crate) struct Ending;

impl Ending {
    /// Tells the other side over the data channel and lingers.
    pub(super) fn start(end: End, call: &mut Common, desk: &mut Desk<'_>) -> Phase {
        desk.tell_partner(call, News::Over(480));
        desk.step(call, Step::Ended(end));
        desk.media(call, MediaOrder::Control(Control::HangUp.encode().to_vec()));
        desk.patience(
            call,
            LINGER,
            "the other side has had time to hear the hang-up",
        );
        Phase::Ending(Self)
    }

    pub(super) fn on(self, happening: &Happening<'_>, call: &Common, desk: &mut Desk<'_>) -> Phase {
        let heard = match happening {
            Happening::Alarm
            | Happening::Media(
                MediaEvent::Refused(_) | MediaEvent::Talk(TalkEvent::Failed(_) | TalkEvent::Closed),
            ) => true,
            Happening::Media(MediaEvent::Talk(TalkEvent::Control(frame))) => {
                Control::decode(frame) == Ok(Control::HangUp)
            }
            _ => false,
        };
        if !heard {
            return Phase::Ending(self);
        }
        desk.media(call, MediaOrder::Close);
        Phase::Over
    }
}
