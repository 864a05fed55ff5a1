//! Inputs of the shell but envelopes: each is brought to the part that it concerns, and what follows is drained.

use std::time::{Duration, Instant};

use ringfence_book::Number;
use ringfence_sip as sip;

use super::Engine;
use crate::input::MediaEvent;
use crate::line::LineUpdateError;
use crate::line::call_quality::CallQuality;
use crate::line::command::{LineCommand, LineCommandError};
use crate::line::identity::Identity;
use crate::line::saved_state::SavedState;
use crate::output::{CallLabel, Output, PostId};
use crate::restart::{self, RestartState};
use crate::sealed::contact_secret::TagWindow;
use crate::sealed::proof_of_work::ProofOfWork;
use crate::time::{UnixTime, WallClock};
use crate::trust::contacts::Contacts;
use crate::trust::directory::Directory;

/// A wall clock that is so far ahead of the monotonic one belongs to a machine that slept, or it was set. Where it was set back, relays have
/// been asked for rings since a time that has not come.
const SLEPT: Duration = Duration::from_secs(30);

impl Engine {
    /// Takes bytes from a phone: a datagram, or one message cut from a stream by
    /// [`sip::Framer`].
    pub fn handle_phone(&mut self, flow: sip::Flow, bytes: &[u8], now: Instant) {
        self.env.agent.handle_packet(flow, bytes, now);
        self.drain(now);
    }

    /// A phone's connection is gone.
    pub fn handle_flow_closed(&mut self, flow: sip::Flow, now: Instant) {
        self.env.agent.handle_flow_closed(flow, now);
        self.drain(now);
    }

    /// Takes an event of a call's media.
    pub fn handle_media(&mut self, call: CallLabel, event: impl Into<MediaEvent>, now: Instant) {
        self.calls
            .handle_media(call, event.into(), &mut self.env, now);
        self.drain(now);
    }

    /// How a call has sounded so far, if it has; the last word goes to the list of past calls.
    pub fn note_quality(&mut self, call: CallLabel, quality: Option<CallQuality>) {
        self.calls.note_quality(call, quality);
    }

    /// Takes a new proof of work in stock.
    pub fn handle_proof_of_work(&mut self, proof: ProofOfWork, now: Instant) {
        if let Some(proof) = self.unsent.handle_proof(proof, &mut self.env) {
            self.env.proofs.add(proof);
        }
        self.calls.handle_proofs(&mut self.env, now);
        self.messages.send_waiting(&mut self.env, now);
        self.drain(now);
    }

    /// How many relays took a post.
    pub fn handle_posted(&mut self, post: PostId, relays: usize, now: Instant) {
        let env = &mut self.env;
        if let Some(call) = self.calls.of_post(post) {
            self.calls.handle_posted(call, (post, relays), env, now);
        } else if !self.unsent.handle_posted(post, relays, env, now) {
            self.messages.handle_posted(post, relays, env, now);
        }
        self.drain(now);
    }

    /// The wall clock was read: `wall` is the wall time at `now`. To be called before each other input, since it is cheap and the
    /// wall clock of a machine that slept has jumped: what is judged or made with the time of before is of no use.
    pub fn handle_wall(&mut self, wall: UnixTime, now: Instant) {
        let expected = self.env.wall(now);
        self.env.clock = WallClock::new(wall, now);
        // Of a day that is over, envelopes arrive for one window more.
        let day = TagWindow::at(wall).previous().day();
        self.env.saved.forward_secrets(day);
        // Proofs of work go stale with time alone: replaced now, they are ready for the next call.
        self.order_proofs(now);
        if wall.distance(expected) >= SLEPT {
            self.env.agent.check_bindings(now);
            self.env.out.push(Output::CheckConnections);
        }
    }

    /// Whether a relay has confirmed that it brings this engine's envelopes. Until this is told, one is taken to have; while none has,
    /// no call is placed.
    pub fn handle_listening(&mut self, is_listening: bool) {
        self.env.is_listening = is_listening;
    }

    /// Whether a TURN server gives this engine allocations. Until this is told, one is taken to; while none does, no call is placed.
    pub fn handle_turn_reached(&mut self, reaches_turn: bool) {
        self.env.reaches_turn = reaches_turn;
    }

    /// Other rules hold from now on: the work that envelopes need, in leading zero bits, and how long a ring waits for an answer.
    /// Rings that are posted wait as long as they were told.
    pub fn handle_rules(&mut self, work_bits: u8, no_answer: Duration, now: Instant) {
        self.env.config.work_bits = work_bits;
        self.env.config.no_answer = no_answer;
        self.env.proofs.ask_for(work_bits);
        self.order_proofs(now);
    }

    /// A newer book was downloaded. Calls that ring keep the keys they rang.
    pub fn handle_directory(&mut self, directory: Directory) {
        let env = &mut self.env;
        env.trust
            .replace_directory(directory, &env.lines, &mut env.out);
    }

    /// The contacts as they are saved, with everything that was learnt up to the count `saved` (0 at the start). To be called at the
    /// start, and whenever the user has edited them.
    pub fn handle_contacts(&mut self, contacts: Contacts, saved: u64, now: Instant) {
        self.env.trust.replace_contacts(contacts, saved);
        self.presence.plan_rounds(&mut self.env, now);
        self.drain(now);
    }

    /// What was saved of [`Self::saved_state`]. To be called at the start.
    pub fn handle_saved_state(&mut self, saved_state: SavedState) {
        self.env.saved.restore(saved_state);
    }

    /// What the process before this one saved of [`Self::restart_state`]. To be called at the start, once the lines' sockets exist.
    pub fn handle_restart_state(&mut self, state: RestartState, now: Instant) {
        let age = self.env.wall(now).since(state.written);
        if age <= restart::GOOD_FOR {
            let phones = state
                .phones
                .into_iter()
                .map(|phone| restart::aged(phone, age));
            self.env.agent.restore_bindings(phones.collect(), now);
            let messages = state.final_messages;
            self.env.agent.send_final_messages(messages, now);
        }
        self.unsent.take(state.endings, &mut self.env, now);
        self.drain(now);
    }

    /// A line has a new ring key, or has destroyed an old one. Running calls keep theirs.
    ///
    /// # Errors
    /// [`LineUpdateError::NoSuchLine`], [`LineUpdateError::OtherIdentity`]: an identity never changes.
    pub fn handle_identity(
        &mut self,
        number: Number,
        identity: Identity,
    ) -> Result<(), LineUpdateError> {
        self.env.lines.replace_identity(number, identity)
    }

    /// Does what the user wants of a line.
    ///
    /// # Errors
    /// [`LineCommandError`]; nothing has changed then.
    pub fn handle_command(
        &mut self,
        line: Number,
        command: LineCommand,
        now: Instant,
    ) -> Result<(), LineCommandError> {
        let index = self.env.lines.of_number(line);
        let index = index.ok_or(LineCommandError::NoSuchLine)?;
        command.apply(line, &mut self.env.saved)?;
        match command {
            LineCommand::Call(number) => self.calls.summon(index, number, &mut self.env, now)?,
            LineCommand::HangUp(call) => self.calls.hang_up(index, call, &mut self.env, now)?,
            _ => {}
        }
        if matches!(command, LineCommand::TextRead(_)) {
            self.messages.deliver(&mut self.env, now);
        }
        self.drain(now);
        Ok(())
    }

    /// Sends a text that the user wrote at the screen; [`Self::written`] shows what becomes of it.
    ///
    /// # Errors
    /// [`LineCommandError`]; nothing is sent then.
    pub fn handle_written(
        &mut self,
        line: Number,
        to: Number,
        text: &str,
        now: Instant,
    ) -> Result<(), LineCommandError> {
        let sent = (self.messages).handle_written((line, to), text, &mut self.env, now);
        self.drain(now);
        sent
    }

    /// Time has passed; to be called at [`Self::next_timeout`], or earlier.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.env.agent.handle_timeout(now);
        self.messages.handle_timeout(&mut self.env, now);
        self.presence
            .handle_timeout(&self.calls, &mut self.env, now);
        self.calls.handle_timeout(&mut self.env, now);
        self.unsent.handle_timeout(&mut self.env, now);
        self.believe_notes(now);
        self.open_strangers(now);
        self.drain(now);
    }

    /// Ends every call and begins none. The engine is done when [`Self::is_idle`].
    pub fn shut_down(&mut self, now: Instant) {
        self.env.closing = true;
        // Registrations may have been refreshed, which is not saved at once.
        self.env.restart.note_change();
        self.presence.plan_rounds(&mut self.env, now);
        self.calls.shut_down(&mut self.env, now);
        self.drain(now);
    }
}
