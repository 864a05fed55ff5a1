//! Texts on their way: from a phone to the relays, and from the relays to the phones of a line.
//!
//! A phone hears 202 once every piece of its text is with at least one relay, and 503 when no relay took one of them; it never hears
//! whether somebody reads it, since nothing comes back. A text that came is saved before phones get it, one at a time for each line
//! and in the order in which they were written, until one has taken it; so a phone that is off, or a restart, loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use ringfence_phonebook::Number;
use ringfence_sip as sip;
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::line::saved_state::WaitingText;
use crate::output::{Output, Post, PostId};
use crate::sealed::bucket::bucket;
use crate::sealed::envelope::Outside;
use crate::sealed::note::NoteId;
use crate::sealed::note::body::TextBody;
use crate::sealed::note::opening::Sender;
use crate::sealed::note::pieces::Pieces;
use crate::sealed::note::plain::{is_readable, read};
use crate::sealed::note::sealing::Draft;
use crate::sealed::rejected::Rejected;
use crate::sealed::ring::BookView;
use crate::sealed::ring::outgoing::Caller;
use crate::trust::contacts::ShownBy;
use crate::trust::directory::{CalleeKeys, LookupError};

/// Texts that wait for stamps or relays at once; one more is answered 503.
const MOST_LEAVING: usize = 64;

/// How long a text may wait for stamps and relays: less than a phone waits (RFC 3261 timer F, 32 s).
const PATIENCE: Duration = Duration::from_secs(15);

/// After phones did not take a text: the first pause, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// How a text is given to phones.
const PLAIN: &str = "text/plain;charset=UTF-8";

/// All texts on their way.
#[derive(Debug, Default)]
pub(crate) struct Courier {
    leaving: BTreeMap<sip::TextId, Leaving>,
    pub(crate) pieces: Pieces,
    /// Texts that phones are being sent.
    arriving: BTreeMap<sip::TextId, NoteId>,
    pauses: BTreeMap<Number, Pause>,
    /// What phones said that take no texts, by line.
    deaf: BTreeMap<Number, u16>,
}

/// A phone's text.
#[derive(Debug)]
struct Leaving {
    line: usize,
    callee: CalleeKeys,
    draft: Draft,
    /// Those that no relay has taken yet; `None` while there are too few stamps.
    posts: Option<BTreeSet<PostId>>,
    until: Instant,
}

/// Why a line's texts wait.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// `None`: until another phone comes.
    until: Option<Instant>,
    span: Duration,
}

impl Courier {
    /// Stamps that texts wait for.
    pub(crate) fn lacks(&self) -> usize {
        let waiting = self.leaving.values().filter(|text| text.posts.is_none());
        waiting.map(|text| text.draft.pieces()).sum()
    }

    /// No text waits for a relay.
    pub(crate) fn is_idle(&self) -> bool {
        self.leaving.is_empty()
    }

    /// The status by which phones of a line said that they take no texts.
    pub(crate) fn deaf(&self, line: Number) -> Option<u16> {
        self.deaf.get(&line).copied()
    }

    pub(crate) fn next_alarm(&self) -> Option<(Instant, &'static str)> {
        let leaving = self.leaving.values().map(|text| text.until);
        let pauses = self.pauses.values().filter_map(|pause| pause.until);
        let leaving = leaving.map(|at| (at, "no relay took a text"));
        let pauses = pauses.map(|at| (at, "a text is given to phones again"));
        leaving.chain(pauses).min_by_key(|(at, _)| *at)
    }
}

impl Engine {
    /// A phone sends a text.
    pub(crate) fn handle_text(
        &mut self,
        text: sip::TextId,
        (user, to): (&sip::User, &str),
        written: &sip::Written,
        now: Instant,
    ) {
        match self.take_text(text, (user, to), written, now) {
            Ok(()) => self.send_texts(now),
            Err(status) => self.agent.answer_text(text, status, now),
        }
    }

    fn take_text(
        &mut self,
        text: sip::TextId,
        (user, to): (&sip::User, &str),
        written: &sip::Written,
        now: Instant,
    ) -> Result<(), u16> {
        let line = self
            .lines
            .iter()
            .position(|line| line.account.user == *user);
        let line = line.ok_or(403_u16)?;
        let body = read(written)?;
        if self.closing || self.courier.leaving.len() >= MOST_LEAVING {
            return Err(503);
        }
        let callee = self.callee(to, now).map_err(|fault| match fault {
            LookupError::NoTile => 503_u16,
            _ => 404,
        })?;
        if self.has_changed(callee.number, callee.identity, ShownBy::Book, now) {
            return Err(403);
        }
        let leaving = Leaving {
            line,
            callee,
            draft: Draft::new(body, &mut self.rng),
            posts: None,
            until: now + PATIENCE,
        };
        self.courier.leaving.insert(text, leaving);
        Ok(())
    }

    /// Seals and posts the texts for which there are stamps.
    pub(crate) fn send_texts(&mut self, now: Instant) {
        let waiting = self.courier.leaving.iter();
        let waiting: Vec<_> = waiting
            .filter(|(_, leaving)| leaving.posts.is_none())
            .map(|(text, _)| *text)
            .collect();
        for text in waiting {
            let Some(mut leaving) = self.courier.leaving.remove(&text) else {
                continue;
            };
            match self.post_text(&leaving, now) {
                Ok(posts) => {
                    leaving.posts = posts;
                    self.courier.leaving.insert(text, leaving);
                }
                Err(status) => self.agent.answer_text(text, status, now),
            }
        }
    }

    /// `None` while there are too few stamps; a status when it cannot be sealed.
    fn post_text(
        &mut self,
        leaving: &Leaving,
        now: Instant,
    ) -> Result<Option<BTreeSet<PostId>>, u16> {
        let wall = self.wall(now);
        let Some(line) = self.lines.get(leaving.line) else {
            return Err(403);
        };
        let Some(stamps) = self.stock.take(leaving.draft.pieces(), wall) else {
            return Ok(None);
        };
        let caller = Caller {
            identity: &line.identity,
            binding: &line.binding,
            book: BookView::NONE,
        };
        let bucket = bucket(&leaving.callee.identity, self.config.bucket_bits);
        let mut posts = BTreeSet::new();
        for (index, stamp) in stamps.into_iter().enumerate() {
            let outside = Outside {
                bucket,
                event_key: stamp.event_key,
            };
            let (draft, callee) = (&leaving.draft, &leaving.callee);
            let sealed = draft.seal(index, &caller, callee, &outside, wall, &mut self.rng);
            // What a phone hears of a number that nobody answers.
            let envelope = sealed.map_err(|_| 480_u16)?;
            self.posts += 1;
            let id = PostId(self.posts);
            posts.insert(id);
            self.out.push_back(Output::Post(Post {
                id,
                stamp,
                bucket,
                envelope,
                is_note: true,
            }));
        }
        Ok(Some(posts))
    }

    /// How many relays took a piece, if it is one.
    pub(crate) fn handle_piece_posted(&mut self, post: PostId, relays: usize, now: Instant) {
        let mut texts = self.courier.leaving.iter_mut();
        let found = texts.find_map(|(text, leaving)| {
            let posts = leaving.posts.as_mut()?;
            posts.remove(&post).then_some((*text, posts.is_empty()))
        });
        let status = match found {
            Some(_) if relays == 0 => 503,
            Some((_, true)) => 202,
            _ => return,
        };
        if let Some((text, _)) = found {
            self.courier.leaving.remove(&text);
            self.agent.answer_text(text, status, now);
        }
    }

    /// A verified piece of a text came.
    pub(crate) fn handle_piece(
        &mut self,
        line: usize,
        (id, sender): (NoteId, Sender),
        body: TextBody,
        now: Instant,
    ) -> Result<(), Rejected> {
        let line = self.lines.get(line).ok_or(Rejected::NotOurs)?.number;
        // Ordinary: relays give out again what was taken before the last restart.
        if self.ledger.knows(id) || !self.is_welcome(line, sender, now) {
            return Ok(());
        }
        let wall = self.wall(now);
        let Some(whole) = self.courier.pieces.add(id, body, wall)? else {
            return Ok(());
        };
        let text = std::str::from_utf8(&whole.bytes).map_err(|_| Rejected::Body)?;
        if !is_readable(text) {
            return Err(Rejected::Body);
        }
        let text = WaitingText {
            id,
            line,
            from: sender.number,
            dated: whole.dated,
            text: Zeroizing::new(text.to_owned()),
        };
        self.ledger.keep_text(text, wall)?;
        self.ledger_changed = true;
        self.deliver_texts(now);
        Ok(())
    }

    /// Gives every line's phones the oldest text that waits for them, if none is on its way.
    pub(crate) fn deliver_texts(&mut self, now: Instant) {
        for line in 0..self.lines.len() {
            if let Some((text, note)) = self.give_text(line, now) {
                self.courier.arriving.insert(text, note);
            }
        }
    }

    fn give_text(&mut self, line: usize, now: Instant) -> Option<(sip::TextId, NoteId)> {
        let line = self.lines.get(line)?;
        let pause = self.courier.pauses.get(&line.number);
        let is_paused = pause.is_some_and(|pause| pause.until.is_none_or(|until| now < until));
        let mut texts = self
            .ledger
            .texts
            .iter()
            .filter(|text| text.line == line.number);
        let is_away = |text: &WaitingText| self.courier.arriving.values().any(|id| *id == text.id);
        let first = texts.next().filter(|text| !is_paused && !is_away(text))?;
        let caller = sip::Caller {
            number: first.from.to_string(),
            name: self
                .address_book
                .contacts()
                .get(first.from)
                .and_then(|contact| contact.name.clone()),
        };
        let written = sip::Written {
            kind: PLAIN.to_owned(),
            body: first.text.as_bytes().to_vec(),
        };
        // Without a phone it waits for the next one that registers.
        // It is within days of our own clock: notes of another age are not taken.
        let sent = SystemTime::UNIX_EPOCH + Duration::from_secs(first.dated.seconds());
        let written = (&written, Some(sent));
        let text = self.agent.text(&line.account.user, &caller, written, now);
        text.ok().map(|text| (text, first.id))
    }

    /// A phone has it.
    pub(crate) fn handle_text_taken(&mut self, text: sip::TextId, now: Instant) {
        let Some(line) = self.arrived(text) else {
            // Read at the screen meanwhile: the next one can go.
            return self.deliver_texts(now);
        };
        self.courier.pauses.remove(&line.0);
        self.courier.deaf.remove(&line.0);
        self.ledger.texts.retain(|text| text.id != line.1);
        self.ledger_changed = true;
        self.deliver_texts(now);
    }

    /// No phone took it: it is given to them again later, or to the next phone if these take no texts at all.
    pub(crate) fn handle_text_refused(&mut self, text: sip::TextId, status: u16, now: Instant) {
        let Some((line, _)) = self.arrived(text) else {
            return;
        };
        let is_deaf = matches!(status, 405 | 415 | 501);
        let before = self.courier.pauses.get(&line).map(|pause| pause.span * 2);
        let span = before.unwrap_or(FIRST_PAUSE).min(LONGEST_PAUSE);
        let until = (!is_deaf).then(|| now + span);
        self.courier.pauses.insert(line, Pause { until, span });
        if is_deaf {
            self.courier.deaf.insert(line, status);
        }
    }

    /// Another phone joined a line: it gets what waits.
    pub(crate) fn handle_phone_joined(&mut self, user: &sip::User, now: Instant) {
        let line = self.lines.iter().find(|line| line.account.user == *user);
        if let Some(number) = line.map(|line| line.number) {
            self.courier.pauses.remove(&number);
            self.deliver_texts(now);
        }
    }

    pub(crate) fn handle_courier_timeout(&mut self, now: Instant) {
        let late = self.courier.leaving.iter();
        let late: Vec<_> = late
            .filter(|(_, leaving)| leaving.until <= now)
            .map(|(text, _)| *text)
            .collect();
        for text in late {
            self.courier.leaving.remove(&text);
            self.agent.answer_text(text, 503, now);
        }
        let is_over = |pause: &Pause| pause.until.is_some_and(|until| until <= now);
        if self.courier.pauses.values().any(is_over) {
            for pause in self
                .courier
                .pauses
                .values_mut()
                .filter(|pause| is_over(pause))
            {
                // The span stays, for the next pause; the alarm has gone off.
                pause.until = Some(now);
            }
            self.deliver_texts(now);
            self.courier
                .pauses
                .retain(|_, pause| pause.until.is_none_or(|until| now < until));
        }
    }

    fn arrived(&mut self, text: sip::TextId) -> Option<(Number, NoteId)> {
        let id = self.courier.arriving.remove(&text)?;
        let waiting = self.ledger.texts.iter().find(|text| text.id == id)?;
        Some((waiting.line, id))
    }
}
