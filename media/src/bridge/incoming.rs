//! What comes of the far leg: frames and pictures for the phone, and events for the owner.

use super::{Bridge, BridgeEvent, BridgeOutput, FirstAudio};
use crate::far::{FarEvent, FarPacket};
use crate::frame::control::EMPTY;
use crate::near::KeyPress;
use crate::video::is_far_payload_type;

impl Bridge {
    /// Takes an event of the far leg; returns what the owner has to do with it.
    pub(super) fn handle_far(&mut self, event: FarEvent) -> Option<BridgeOutput> {
        let event = match event {
            FarEvent::Rtp(_) if !self.has_phone() => return None,
            FarEvent::Rtp(packet) if is_far_payload_type(packet.payload_type) => {
                let (to, bytes) = self.near.video().write(&packet, self.now?)?;
                return Some(BridgeOutput::VideoToPhone { to, bytes });
            }
            FarEvent::Rtp(packet) => {
                let now = self.now?;
                if let Some(lost) = self.received.read(&packet, now) {
                    self.frames.note_loss(lost, now);
                    self.frames.tell_loss(self.received.loss());
                }
                return None;
            }
            FarEvent::Connected => {
                self.connected = self.now;
                self.frames.start(self.now?);
                self.far.hold_back(true);
                self.request_first_keyframe();
                BridgeEvent::Connected
            }
            FarEvent::Failed(error) => {
                self.ended = true;
                self.stop();
                BridgeEvent::Failed(error)
            }
            FarEvent::Allocated(local) => BridgeEvent::Allocated(local),
            FarEvent::KeyframeRequested => {
                self.near.request_keyframe();
                return None;
            }
            FarEvent::ControlOpen => {
                self.control.start(self.now?);
                BridgeEvent::ControlOpen
            }
            FarEvent::Control(bytes) => Self::receive_message(bytes)?,
            FarEvent::Datagram(bytes) => BridgeEvent::Datagram(bytes),
            FarEvent::WayLost => BridgeEvent::WayLost,
            FarEvent::WayFound(address) => BridgeEvent::WayFound(address),
            FarEvent::Unheard => BridgeEvent::Unheard,
            FarEvent::GivenUp => BridgeEvent::GivenUp,
            FarEvent::Heard => BridgeEvent::Heard,
            FarEvent::Closed => {
                self.stop();
                BridgeEvent::Closed
            }
        };
        Some(BridgeOutput::Event(event))
    }

    /// The next sound or key press for the phone.
    pub(super) fn next_for_phone(&mut self) -> Option<FarPacket> {
        let now = self.now.filter(|_| self.has_phone())?;
        let Some(transcoder) = &mut self.transcoder else {
            return self.received.poll(now);
        };
        loop {
            if let Some(packet) = transcoder.poll() {
                return Some(packet);
            }
            let concealed = transcoder.receive(&self.received.poll(now)?, now);
            self.received.note_concealed(concealed);
        }
    }

    /// A message of the other side, if it is not empty.
    fn receive_message(bytes: Vec<u8>) -> Option<BridgeEvent> {
        (bytes != EMPTY).then_some(BridgeEvent::Control(bytes))
    }

    /// Hands sound or a key press to the phone.
    pub(super) fn hand_on(&mut self, packet: &FarPacket) -> Option<BridgeOutput> {
        if let Some(KeyPress { event, millis }) = self.near.receive_dtmf(packet) {
            return Some(BridgeOutput::Event(BridgeEvent::Dtmf { event, millis }));
        }
        let (to, bytes) = self.near.audio.write(packet, self.now?)?;
        if self.first_audio == FirstAudio::Awaited {
            self.first_audio = FirstAudio::Passed;
        }
        Some(BridgeOutput::ToPhone { to, bytes })
    }
}
