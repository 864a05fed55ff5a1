//! A far leg that connects or talks and whose way out is lost, or the other side's: it notices, takes another way, and meets the other side where that
//! has gone. ICE credentials, DTLS and SRTP go on as they are.
//!
//! A side that has moved says so with its next connectivity check, whose integrity (RFC 8445 section 7.1) only it can make. No other
//! message is needed while one of the two still is where it was.

use std::net::SocketAddr;
use std::time::Instant;

use super::error::FarLegError;
use super::event::FarEvent;
use super::leg::{CONNECTION_LIMIT, FarLeg, LegPhase};
use super::peer;
use super::relayed_addresses;
use super::remotes;
use super::replies::transaction;
use super::search::{SearchStep, WaySearch};
use super::way::TurnWay;

impl FarLeg {
    /// Goes on over another way out, and returns the old one, which is to be released. The other side learns of it by a connectivity
    /// check, which leaves with the next [`poll`](Self::poll); `WayFound` follows.
    ///
    /// # Errors
    /// The new way, if none is wanted (any more), or if it is of no use: it does not stand, is of another address family, or has an
    /// address that the call has already.
    pub fn adopt(&mut self, way: TurnWay, now: Instant) -> Result<TurnWay, Box<TurnWay>> {
        let Some(address) = self.usable_address(&way) else {
            return Err(Box::new(way));
        };
        let old = std::mem::replace(&mut self.way, way);
        self.held.forget();
        let (stray, unsent) = old.losses();
        self.counters.stray += stray;
        self.counters.unsent += unsent;
        let nth = self.own.len();
        self.own.push(address);
        self.moves.spend(now);
        for (remote, _) in self.remotes.all() {
            self.way.open(remote, now);
        }
        match &mut self.phase {
            LegPhase::Connecting { until, .. } => *until = now + CONNECTION_LIMIT,
            LegPhase::Waiting { is_lost } => *is_lost = false,
            _ => {}
        }
        if let Some(search) = self.search_mut() {
            search.handle_adopted(now);
        }
        self.emit(FarEvent::WayFound(address));
        self.with_peer(now, |peer, now| peer.move_to(address, nth, now));
        self.drive(now);
        Ok(old)
    }

    /// Learns a further relayed address of the other side, which the other engine has told. Checks go there; sound does when they are
    /// answered. An address that cannot be a relayed one, or one too many, changes nothing.
    pub fn meet(&mut self, remote: SocketAddr, now: Instant) {
        if self.has_peer() && self.may_meet(remote, now) {
            let priority = self.remotes.newest_priority();
            self.join(remote, priority, now);
            self.check_anew(now);
            self.drive(now);
        }
    }

    /// This machine reaches the world another way than before: the own server is asked at once whether the allocation still stands, and
    /// not after a silence.
    pub fn handle_network_change(&mut self, now: Instant) {
        self.check(now);
        if let Some(search) = self.search_mut() {
            search.ask_now(now);
        }
        self.search(now);
        self.drive(now);
    }

    /// Whether a new way out is wanted.
    pub fn wants_way(&self) -> bool {
        match &self.phase {
            LegPhase::Connecting { search, .. } | LegPhase::Talking { search, .. } => {
                search.wants_way()
            }
            LegPhase::Waiting { is_lost } => *is_lost,
            LegPhase::Ending | LegPhase::Closed => false,
        }
    }

    /// Whether the own relayed addresses are of IPv6.
    pub fn relays_ipv6(&self) -> bool {
        self.own.first().is_some_and(SocketAddr::is_ipv6)
    }

    /// Whether the new way is of use at another server only: the own one answers, and the other side is not heard, or does not hear.
    pub fn wants_elsewhere(&self) -> bool {
        match &self.phase {
            LegPhase::Connecting { search, .. } | LegPhase::Talking { search, .. } => {
                search.wants_elsewhere()
            }
            _ => false,
        }
    }

    /// Whether a packet from an address that was not accepted is a check of the other side, which has gone there; accepts the address
    /// then.
    pub(super) fn meet_checking(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        let (LegPhase::Connecting { peer, .. } | LegPhase::Talking { peer, .. }) = &self.phase
        else {
            return false;
        };
        let Some(priority) = remotes::check_priority(bytes) else {
            return false;
        };
        if !peer.is_check(bytes, now) || !self.may_meet(from, now) {
            return false;
        }
        self.join(from, priority, now);
        true
    }

    /// The other side was heard.
    pub(super) fn heard(&mut self, now: Instant) {
        let is_news = self.search_mut().map(|search| search.handle_heard(now));
        self.note_heard(is_news);
    }

    /// Sound of the other side was heard.
    pub(super) fn heard_sound(&mut self, now: Instant) {
        let is_news = self.search_mut().map(|search| search.handle_sound(now));
        self.note_heard(is_news);
    }

    fn note_heard(&mut self, is_news: Option<bool>) {
        let Some(is_news) = is_news else {
            return;
        };
        self.way.note_alive();
        if is_news {
            self.emit(FarEvent::Heard);
        }
        if matches!(self.phase, LegPhase::Talking { .. }) {
            self.way.be_calm();
        }
    }

    /// A packet leaves that may be a check of the path in use.
    pub(super) fn checked(&mut self, to: SocketAddr, bytes: &[u8], now: Instant) {
        if let LegPhase::Talking { peer, search } = &mut self.phase
            && peer::is_check(bytes)
            && peer.destination() == Some(to)
            && let Some(transaction) = transaction(bytes)
        {
            search.handle_checked(transaction, now);
        }
    }

    /// The other side has answered a check, so that it hears this one.
    pub(super) fn answered(&mut self, bytes: &[u8], now: Instant) {
        if let (Some(search), Some(transaction)) = (self.search_mut(), transaction(bytes)) {
            search.handle_answered(transaction, now);
        }
    }

    /// The way out is of no use: another one is wanted. A leg that never had an address has failed, and so has one whose server refuses all
    /// addresses of the other side from the beginning: other servers may, too. A server that has forgotten the allocation refuses everything.
    pub(super) fn lost(&mut self, error: FarLegError, now: Instant) {
        let is_refused = error == FarLegError::Forbidden
            && matches!(&self.phase, LegPhase::Connecting { search, .. } if !search.wants_way());
        if self.own.is_empty() || is_refused {
            self.fail(error, now);
            return;
        }
        if !self.moves.allows(now) {
            return;
        }
        if error == FarLegError::LOGIN_OVER
            && let Some(search) = self.search_mut()
        {
            // The path lives until there is another one, so that nothing is to be told.
            search.handle_login_over();
            return;
        }
        let is_news = match &mut self.phase {
            LegPhase::Connecting { search, .. } | LegPhase::Talking { search, .. } => {
                search.handle_lost()
            }
            LegPhase::Waiting { is_lost } => !std::mem::replace(is_lost, true),
            LegPhase::Ending | LegPhase::Closed => false,
        };
        if is_news {
            self.emit(FarEvent::WayLost);
        }
    }

    /// Does what the silence of the other side asks for.
    pub(super) fn search(&mut self, now: Instant) {
        let may_move = self.moves.allows(now);
        while let Some(search) = self.search_mut()
            && let Some(step) = search.step(now)
        {
            let answer_limit = search.answer_limit();
            match step {
                SearchStep::Ask => self.way.check(answer_limit, now),
                SearchStep::Hurry => {
                    self.with_peer(now, |peer, now| peer.handle_timeout(now));
                }
                SearchStep::CheckAnew => self.check_anew(now),
                SearchStep::Unheard => self.emit(FarEvent::Unheard),
                SearchStep::Doubt if may_move => {}
                SearchStep::Doubt => search.put_off_doubt(now),
                SearchStep::Over => self.emit(FarEvent::GivenUp),
            }
        }
    }

    fn check_anew(&mut self, now: Instant) {
        let remotes = self.remotes.all();
        self.with_peer(now, |peer, now| peer.check_anew(&remotes, now));
    }

    fn join(&mut self, remote: SocketAddr, priority: u32, now: Instant) {
        self.remotes.join(remote, priority, now);
        self.way.open(remote, now);
        self.with_peer(now, |peer, now| {
            peer.note_change(now);
            Ok(())
        });
    }

    fn may_meet(&self, remote: SocketAddr, now: Instant) -> bool {
        relayed_addresses::is_usable(remote, self.way.allows_private_addresses())
            && self.is_same_family(remote)
            && !self.own.contains(&remote)
            && self.remotes.may_join(now)
    }

    fn usable_address(&self, way: &TurnWay) -> Option<SocketAddr> {
        let address = way.address().filter(|_| way.is_standing())?;
        let is_new = !self.own.contains(&address) && !self.remotes.admit(address);
        (self.wants_way() && is_new && self.is_same_family(address)).then_some(address)
    }

    fn is_same_family(&self, address: SocketAddr) -> bool {
        let first = self.own.first();
        first.is_some_and(|own| own.is_ipv4() == address.is_ipv4())
    }

    fn search_mut(&mut self) -> Option<&mut WaySearch> {
        match &mut self.phase {
            LegPhase::Connecting { search, .. } | LegPhase::Talking { search, .. } => Some(search),
            _ => None,
        }
    }

    pub(super) fn has_peer(&self) -> bool {
        matches!(
            self.phase,
            LegPhase::Connecting { .. } | LegPhase::Talking { .. }
        )
    }
}
