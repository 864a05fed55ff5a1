//! What the users of the simulated network do: dial, answer, hold, transfer, hang up, send messages.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ringfence_book::Number;
use ringfence_engine::{
    CallStep,
    line::command::{LineCommand, LineCommandError},
    trust::contacts::Contacts,
};

use super::{CallPair, World, handset::Handset};
use crate::tone::{HIGH, LOW};

impl World {
    /// Alice dials Bob; runs until Bob's phone rings.
    pub fn ring(&mut self, pair: CallPair) {
        self.dial(pair.alice, self.number(pair.callee, 0));
        self.run_until("the other phone rings", Duration::from_secs(20), |world| {
            world.handset(pair.bob).is_ringing()
        });
    }

    /// Alice calls Bob, Bob answers; runs until both hear each other.
    pub fn call(&mut self, pair: CallPair) {
        self.ring(pair);
        self.answer(pair.bob);
        self.run_until("both talk", Duration::from_secs(20), |world| {
            [pair.caller, pair.callee].into_iter().all(|engine| {
                world.has_reached(engine, CallStep::FirstAudio)
                    && world.has_reached(engine, CallStep::ControlOpen)
            })
        });
    }

    /// Each phone of the pair has heard the other's tone for most of this time.
    ///
    /// # Panics
    /// Panics if one has not.
    #[track_caller]
    pub fn assert_both_hear(&self, pair: CallPair, talk: Duration) {
        for (phone, hz) in [(pair.alice, HIGH), (pair.bob, LOW)] {
            let heard = self.handset(phone).received_audio().heard(hz);
            assert!(heard.tone > talk.mul_f64(0.85), "{heard:?}\n{self:?}");
        }
    }

    /// Runs until no engine has a call, no allocation is left, and no packet is on any link.
    pub fn run_until_quiet(&mut self, limit: Duration) {
        self.run_until("nothing is left of any call", limit, |world| {
            world.is_silent()
                && world.turn.relays() == 0
                && world.hosts.iter().all(|host| host.engine.is_idle())
        });
    }

    /// Edits an engine's contacts, as a command line beside the running engine does.
    pub fn edit_contacts(&mut self, engine: usize, edit: impl FnOnce(&mut Contacts)) {
        if let Some(now) = self.clock_of(engine) {
            self.hosts[engine].edit_contacts(now, edit);
        }
        self.drain();
    }

    /// Gives an engine a line command, as the status page and the command line do.
    ///
    /// # Errors
    /// [`LineCommandError`].
    pub fn command(
        &mut self,
        engine: usize,
        line: Number,
        command: LineCommand,
    ) -> Result<(), LineCommandError> {
        let now = self.now;
        let told = self
            .host_mut(engine)
            .engine
            .handle_command(line, command, now);
        self.drain();
        told
    }

    /// Writes a text at the screen of an engine.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn write(
        &mut self,
        engine: usize,
        (line, to): (Number, Number),
        text: &str,
    ) -> Result<(), LineCommandError> {
        let now = self.now;
        let engine = &mut self.host_mut(engine).engine;
        let told = engine.handle_written(line, to, text, now);
        self.drain();
        told
    }

    /// Makes a phone request a keyframe.
    pub fn request_keyframe(&mut self, phone: usize) {
        self.with_handset(phone, |handset, _| handset.request_keyframe());
    }

    /// Removes video from the call, or adds it again.
    pub fn set_camera(&mut self, phone: usize, is_on: bool) {
        self.with_handset(phone, |handset, now| handset.set_camera(is_on, now));
    }

    /// Dials a number.
    pub fn dial(&mut self, phone: usize, number: Number) {
        self.dial_digits(phone, &number.to_string());
    }

    /// Dials these digits.
    pub fn dial_digits(&mut self, phone: usize, digits: &str) {
        self.with_handset(phone, |handset, now| handset.dial(digits, now));
    }

    /// Sends a text to a number.
    pub fn send_text(&mut self, phone: usize, to: Number, text: &str) {
        let plain = "text/plain;charset=UTF-8";
        self.send_text_as(phone, &to.to_string(), (plain, text.as_bytes()));
    }

    /// Sends a MESSAGE with this type and body to this user part.
    pub fn send_text_as(&mut self, phone: usize, to: &str, written: (&str, &[u8])) {
        self.with_handset(phone, |handset, now| handset.send_text(to, written, now));
    }

    /// Subscribes to an event package of a user.
    pub fn watch(&mut self, phone: usize, package: &str, about: &str) {
        self.with_handset(phone, |handset, now| handset.watch(package, about, now));
    }

    /// From now on a phone answers texts with this status.
    pub fn answer_texts(&mut self, phone: usize, status: u16) {
        self.with_handset(phone, |handset, _| handset.answer_texts(status));
    }

    /// Answers the ringing call.
    pub fn answer(&mut self, phone: usize) {
        self.with_handset(phone, Handset::answer);
    }

    /// Refuses the ringing call with this status.
    pub fn decline(&mut self, phone: usize, status: u16) {
        self.with_handset(phone, |handset, now| handset.decline(status, now));
    }

    /// Cancels, refuses or ends the phone's call, depending on its state.
    pub fn hang_up(&mut self, phone: usize) {
        self.with_handset(phone, Handset::hang_up);
    }

    /// Moves the phone's RTP to another port by a re-INVITE.
    pub fn reinvite(&mut self, phone: usize, rtp: SocketAddr) {
        self.with_handset(phone, |handset, now| handset.reinvite(rtp, now));
    }

    /// Registers a phone again.
    pub fn register(&mut self, phone: usize) {
        self.with_handset(phone, Handset::register);
    }

    /// Has a phone refresh its registration.
    pub fn refresh(&mut self, phone: usize) {
        self.with_handset(phone, Handset::refresh);
    }

    /// Takes a phone's power and gives it back.
    pub fn reboot(&mut self, phone: usize) {
        self.with_handset(phone, Handset::reboot);
    }

    /// Holds the call, or resumes it.
    pub fn hold(&mut self, phone: usize, is_held: bool) {
        self.with_handset(phone, |handset, now| handset.hold(is_held, now));
    }

    /// Presses a key; the phone sends an INFO.
    pub fn press(&mut self, phone: usize, key: char) {
        self.with_handset(phone, |handset, now| handset.press(key, now));
    }

    /// Presses a key; the phone sends an RTP event (RFC 4733) of this number.
    pub fn press_by_rtp_event(&mut self, phone: usize, event: u8) {
        self.with_handset(phone, |handset, _| handset.press_by_rtp_event(event));
    }

    /// Dials without an offer.
    pub fn dial_without_offer(&mut self, phone: usize, number: Number) {
        self.with_handset(phone, |handset, now| {
            handset.dial_without_offer(&number.to_string(), now);
        });
    }

    /// Transfers the phone's call to a number.
    pub fn transfer(&mut self, phone: usize, digits: &str) {
        let to = format!("<sip:{digits}@{}>", self.handsets[phone].0.config().server);
        self.with_handset(phone, |handset, now| handset.refer(&to, now));
    }

    /// Transfers the phone's call to the party that another phone of this world talks to.
    pub fn transfer_to_call_of(&mut self, phone: usize, other: usize) {
        let replaces = self.handsets[other].0.replaces().expect("it is in a call");
        let replaces = replaces.replace(';', "%3B").replace('=', "%3D");
        let server = self.handsets[phone].0.config().server;
        let to = format!("<sip:1@{server}?Replaces={replaces}>");
        self.with_handset(phone, |handset, now| handset.refer(&to, now));
    }

    /// Takes over another phone's call (RFC 3891).
    pub fn take_over(&mut self, phone: usize, other: usize) {
        let replaces = self.handsets[other].0.replaces().expect("it is in a call");
        self.with_handset(phone, |handset, now| handset.take_over(&replaces, now));
    }

    pub(super) fn with_handset(&mut self, phone: usize, act: impl FnOnce(&mut Handset, Instant)) {
        act(&mut self.handsets[phone].0, self.now);
        self.drain();
    }
}
