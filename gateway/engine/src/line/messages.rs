//! Texts on their way: from a phone to the relays, and from the relays to the phones of a line (RFC 3428).
//!
//! A phone gets 202 once every piece of its text is with at least one relay, and 503 when no relay took one of them; it never learns
//! whether the text is read, since nothing comes back. A text that arrived is saved before phones get it, one at a time for each line
//! and in the order in which they were written, until one has taken it; so a phone that is off, or a restart, loses none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use ringfence_book::Number;
use ringfence_sip as sip;
use zeroize::Zeroizing;

use super::command::LineCommandError;
use super::emergency_numbers;
use super::outgoing_text::{OutgoingText, Writer};
use super::saved_state::{TEXTS, WaitingText};
use super::written::{WrittenText, WrittenTexts};
use crate::environment::Environment;
use crate::output::PostId;
use crate::sealed::note::NoteId;
use crate::sealed::note::body::TextBody;
use crate::sealed::note::pieces::TextPieces;
use crate::sealed::note::plain::{is_readable, read};
use crate::sealed::note::sealing::TextDraft;
use crate::sealed::rejected::EnvelopeError;
use crate::time::Timer;
use crate::trust::contacts::{PeerIdentity, ShownBy};
use crate::trust::directory::LookupError;

/// Texts that wait for proofs of work or relays at once; one more is answered 503.
const MAX_OUTGOING: usize = 64;

/// How long a text may wait for proofs of work and relays: less than a phone waits (RFC 3261 timer F, 32 s).
const POSTING_LIMIT: Duration = Duration::from_secs(15);

/// After phones did not take a text: the first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// The content type in which phones get a text.
const PLAIN: &str = "text/plain;charset=UTF-8";

/// All texts on their way.
#[derive(Debug, Default)]
pub(crate) struct MessageQueue {
    outgoing: BTreeMap<Writer, OutgoingText>,
    written: WrittenTexts,
    pieces: TextPieces,
    /// Texts that phones are being sent.
    arriving: BTreeMap<sip::TextId, NoteId>,
    pauses: BTreeMap<Number, DeliveryPause>,
    /// The status by which the phones of a line refused MESSAGE as such.
    refusals: BTreeMap<Number, u16>,
}

/// Why a line's texts wait.
#[derive(Clone, Copy, Debug)]
struct DeliveryPause {
    /// `None`: until another phone registers.
    until: Option<Instant>,
    span: Duration,
}

impl MessageQueue {
    /// Proofs of work that texts wait for.
    pub(crate) fn lacks(&self) -> usize {
        let waiting = self.outgoing.values().filter(|text| text.posts.is_none());
        waiting.map(|text| text.draft.pieces()).sum()
    }

    /// No text waits for a relay.
    pub(crate) fn is_idle(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// The status by which phones of a line said that they take no MESSAGE.
    pub(crate) fn refusal(&self, line: Number) -> Option<u16> {
        self.refusals.get(&line).copied()
    }

    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let outgoing = self.outgoing.values().map(|text| text.until);
        let pauses = self.pauses.values().filter_map(|pause| pause.until);
        let outgoing = outgoing.map(|at| (at, Timer::TextPosting));
        let pauses = pauses.map(|at| (at, Timer::TextDelivery));
        outgoing.chain(pauses).min_by_key(|(at, _)| *at)
    }

    /// A phone sends a text.
    pub(crate) fn handle_text(
        &mut self,
        text: sip::TextId,
        (user, to): (&sip::User, &str),
        written: &sip::Body,
        env: &mut Environment,
        now: Instant,
    ) {
        let line = env.lines.of_user(user).ok_or(403_u16);
        match line.and_then(|line| self.accept_text((line, to), written, env, now)) {
            Ok(accepted) => {
                self.outgoing.insert(Writer::Phone(text), accepted);
                self.send_waiting(env, now);
            }
            Err(status) => env.agent.answer_text(text, status, now),
        }
    }

    /// The user writes a text at the screen.
    pub(crate) fn handle_written(
        &mut self,
        (number, to): (Number, Number),
        text: &str,
        env: &mut Environment,
        now: Instant,
    ) -> Result<(), LineCommandError> {
        let line = env.lines.of_number(number);
        let line = line.ok_or(LineCommandError::NoSuchLine)?;
        if text.trim().is_empty() {
            return Err(LineCommandError::NotAText);
        }
        let written = sip::Body {
            content_type: PLAIN.to_owned(),
            bytes: text.as_bytes().to_vec(),
        };
        let accepted = self.accept_text((line, &to.to_string()), &written, env, now);
        let accepted = accepted.map_err(|status| match status {
            403 => LineCommandError::KeyChanged,
            404 => LineCommandError::NoSuchNumber,
            503 => LineCommandError::Unavailable,
            _ => LineCommandError::NotAText,
        })?;
        let id = self.written.add((number, to), env.wall(now));
        self.outgoing.insert(Writer::Screen(id), accepted);
        self.send_waiting(env, now);
        Ok(())
    }

    /// What became of the texts of the screen.
    pub(crate) fn written(&self) -> Vec<WrittenText> {
        self.written.all()
    }

    fn accept_text(
        &self,
        (line, to): (usize, &str),
        written: &sip::Body,
        env: &mut Environment,
        now: Instant,
    ) -> Result<OutgoingText, u16> {
        // The phone book may list the same digits for a person, who is not who the writer means.
        if emergency_numbers::is_emergency(to, &env.config.emergency_numbers) {
            return Err(emergency_numbers::STATUS);
        }
        let body = read(written)?;
        if env.closing || self.outgoing.len() >= MAX_OUTGOING {
            return Err(503);
        }
        let callee = env.callee(to).map_err(|error| match error {
            LookupError::NoTile => 503_u16,
            _ => 404,
        })?;
        if env.has_changed(callee.peer(), ShownBy::Book, now) {
            return Err(403);
        }
        Ok(OutgoingText {
            line,
            callee,
            draft: TextDraft::new(body, &mut env.rng),
            posts: None,
            until: now + POSTING_LIMIT,
        })
    }

    /// Seals and posts the texts for which there are proofs of work.
    pub(crate) fn send_waiting(&mut self, env: &mut Environment, now: Instant) {
        let screen = &mut self.written;
        self.outgoing.retain(|text, outgoing| {
            if outgoing.posts.is_some() {
                return true;
            }
            match outgoing.post(env, now) {
                Ok(posts) => {
                    outgoing.posts = posts;
                    true
                }
                Err(status) => {
                    text.answer(status, screen, env, now);
                    false
                }
            }
        });
    }

    /// The shell reports how many relays took a post; one that is no piece of a text changes nothing.
    pub(crate) fn handle_posted(
        &mut self,
        post: PostId,
        relays: usize,
        env: &mut Environment,
        now: Instant,
    ) {
        let mut texts = self.outgoing.iter_mut();
        let found = texts.find_map(|(text, outgoing)| {
            let posts = outgoing.posts.as_mut()?;
            posts.remove(&post).then_some((*text, posts.is_empty()))
        });
        let status = match found {
            Some(_) if relays == 0 => 503,
            Some((_, true)) => 202,
            _ => return,
        };
        if let Some((text, _)) = found {
            self.outgoing.remove(&text);
            text.answer(status, &mut self.written, env, now);
        }
    }

    /// A verified piece of a text arrived.
    pub(crate) fn handle_piece(
        &mut self,
        line: usize,
        (id, sender): (NoteId, PeerIdentity),
        body: TextBody,
        env: &mut Environment,
        now: Instant,
    ) -> Result<(), EnvelopeError> {
        let line = env.lines.number(line).ok_or(EnvelopeError::NotOurs)?;
        // Ordinary: relays give out again what was taken before the last restart.
        let is_known = (env.saved.state()).knows(sender.number, (body.from.dated, id));
        if is_known || !env.is_welcome(line, sender, now) {
            return Ok(());
        }
        let wall = env.wall(now);
        let is_contact = |number| env.is_contact(line, number, now);
        let Some(whole) = self.pieces.add(id, body, is_contact, wall)? else {
            return Ok(());
        };
        let text = std::str::from_utf8(&whole.bytes).map_err(|_| EnvelopeError::Body)?;
        if !is_readable(text) {
            return Err(EnvelopeError::Body);
        }
        let text = WaitingText {
            id,
            line,
            from: sender.number,
            dated: whole.dated,
            text: Zeroizing::new(text.to_owned()),
        };
        let waiting = env.saved.state().texts.iter();
        let owners = waiting.map(|text| env.owner(text.line, text.from, now));
        let gone = TEXTS.make_room(owners, env.owner(line, sender.number, now))?;
        env.saved.keep_text(text, gone, wall);
        self.deliver(env, now);
        Ok(())
    }

    /// Gives every line's phones the oldest text that waits for them, if none is on its way.
    pub(crate) fn deliver(&mut self, env: &mut Environment, now: Instant) {
        for line in 0..env.lines.as_slice().len() {
            if let Some((text, note)) = self.deliver_to(line, env, now) {
                self.arriving.insert(text, note);
            }
        }
    }

    fn deliver_to(
        &self,
        line: usize,
        env: &mut Environment,
        now: Instant,
    ) -> Option<(sip::TextId, NoteId)> {
        let line = env.lines.get(line)?;
        let pause = self.pauses.get(&line.number);
        let is_paused = pause.is_some_and(|pause| pause.until.is_none_or(|until| now < until));
        let texts = env.saved.state().texts.iter();
        let mut texts = texts.filter(|text| text.line == line.number);
        let is_away = |text: &WaitingText| self.arriving.values().any(|id| *id == text.id);
        let first = texts.next().filter(|text| !is_paused && !is_away(text))?;
        let contact = env.trust.contacts().get(first.from);
        let caller = sip::CallerId {
            number: first.from.to_string(),
            name: contact.and_then(|contact| contact.name.clone()),
        };
        let written = sip::Body {
            content_type: PLAIN.to_owned(),
            bytes: first.text.as_bytes().to_vec(),
        };
        // Notes of another age are not taken, so that this is within days of our own clock.
        let sent = SystemTime::UNIX_EPOCH + Duration::from_secs(first.dated.seconds());
        let written = (&written, Some(sent));
        // Without a phone it waits for the next one that registers.
        let text = env
            .agent
            .send_text(&line.account.user, &caller, written, now);
        text.ok().map(|text| (text, first.id))
    }

    /// A phone has taken a text.
    pub(crate) fn handle_text_taken(
        &mut self,
        text: sip::TextId,
        env: &mut Environment,
        now: Instant,
    ) {
        // A text that was read at the screen meanwhile is gone; the next one can follow.
        if let Some((line, note)) = self.arrived(text, env) {
            self.pauses.remove(&line);
            self.refusals.remove(&line);
            env.saved.remove_text(note);
        }
        self.deliver(env, now);
    }

    /// No phone took a text: it is offered to them again later, or to the next phone if these take no MESSAGE at all.
    pub(crate) fn handle_text_refused(
        &mut self,
        text: sip::TextId,
        status: u16,
        env: &Environment,
        now: Instant,
    ) {
        let Some((line, _)) = self.arrived(text, env) else {
            return;
        };
        let is_unsupported = matches!(status, 405 | 415 | 501);
        let before = self.pauses.get(&line).map(|pause| pause.span * 2);
        let span = before.unwrap_or(FIRST_PAUSE).min(LONGEST_PAUSE);
        let until = (!is_unsupported).then(|| now + span);
        self.pauses.insert(line, DeliveryPause { until, span });
        if is_unsupported {
            self.refusals.insert(line, status);
        }
    }

    /// Another phone registered for a line: it gets what waits.
    pub(crate) fn handle_phone_joined(
        &mut self,
        user: &sip::User,
        env: &mut Environment,
        now: Instant,
    ) {
        let line = env.lines.of_user(user);
        if let Some(number) = line.and_then(|line| env.lines.number(line)) {
            self.pauses.remove(&number);
            self.deliver(env, now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, env: &mut Environment, now: Instant) {
        let screen = &mut self.written;
        self.outgoing.retain(|text, outgoing| {
            let is_late = outgoing.until <= now;
            if is_late {
                text.answer(503, screen, env, now);
            }
            !is_late
        });
        let is_over = |pause: &DeliveryPause| pause.until.is_some_and(|until| until <= now);
        if self.pauses.values().any(is_over) {
            for pause in self.pauses.values_mut().filter(|pause| is_over(pause)) {
                // The span stays, for the next pause; the timer has fired.
                pause.until = Some(now);
            }
            self.deliver(env, now);
            self.pauses
                .retain(|_, pause| pause.until.is_none_or(|until| now < until));
        }
    }

    fn arrived(&mut self, text: sip::TextId, env: &Environment) -> Option<(Number, NoteId)> {
        let id = self.arriving.remove(&text)?;
        let mut texts = env.saved.state().texts.iter();
        let waiting = texts.find(|text| text.id == id)?;
        Some((waiting.line, id))
    }
}
