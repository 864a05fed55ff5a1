//! One call on a media thread: its bridge, its sockets, and what waits for the event loop.

mod sockets;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_engine::{CallLabel, MediaEvent, MediaOrder};
use ringfence_media::far::TurnWay;
use ringfence_media::{BridgeEvent, BridgeOutput};
use rustix::io::Result;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, UnboundedSender};

pub(super) use self::sockets::Source;
use self::sockets::send;
use super::poller::Poller;
use super::{CallOrder, ThreadCallParts, ThreadReport};
use crate::net::rtp_ports::RtpPorts;
use crate::run::allocated_media::{AllocatedMedia, Unused};
use crate::run::media_task::MediaTaskEvent;
use crate::run::recovery::SearchTerms;
use crate::turn::SendOutcome;
use crate::turn::wire::{TurnWire, WireRead};

/// How often the event loop gets the figures of a call so far.
const STATS: Duration = Duration::from_secs(1);

/// Whether a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    GoesOn,
    Over,
}

/// A call.
#[derive(Debug)]
pub(super) struct ThreadCall {
    id: u64,
    label: CallLabel,
    media: AllocatedMedia,
    turn: TurnWire,
    /// Whether the server has closed the connection, from which nothing comes any more.
    is_turn_closed: bool,
    /// Whether the poller tells when the connection can be written to.
    watches_writing: bool,
    /// Only the first are read: before the phone is known that has the call, no phone sends media.
    ports: Vec<RtpPorts>,
    watched_ports: Option<SocketAddr>,
    /// Sockets that are not read until a time.
    paused: Vec<(Source, Instant)>,
    events: Sender<MediaTaskEvent>,
    /// Events for which the loop had no room. Nothing is read from the TURN server meanwhile.
    held: VecDeque<MediaTaskEvent>,
    reports: UnboundedSender<Box<ThreadReport>>,
    /// What the task was told last.
    search: Option<SearchTerms>,
    stats_at: Instant,
    is_closing: bool,
    /// The timeout that the reactor has for this call.
    pub(super) queued: Option<Instant>,
    /// Counts the calls of the thread.
    _counted: Arc<()>,
}

impl ThreadCall {
    pub(super) fn new(
        new: ThreadCallParts,
        reports: UnboundedSender<Box<ThreadReport>>,
        counted: Arc<()>,
        now: Instant,
    ) -> Self {
        Self {
            id: 0,
            label: new.label,
            media: new.media,
            turn: new.turn,
            is_turn_closed: false,
            watches_writing: false,
            ports: new.ports,
            watched_ports: None,
            paused: Vec::new(),
            events: new.events,
            held: VecDeque::new(),
            reports,
            search: None,
            stats_at: now + STATS,
            is_closing: false,
            queued: None,
            _counted: counted,
        }
    }

    /// Has the sockets watched.
    pub(super) fn begin(
        &mut self,
        id: u64,
        poller: &Poller,
        buffer: &mut [u8],
        now: Instant,
    ) -> Result<()> {
        self.id = id;
        poller.add(&self.turn, Source::Turn.token(id))?;
        self.watch_ports(poller)?;
        // A stream may have kept bytes that the system knows nothing of.
        self.read(Source::Turn, poller, buffer, now);
        Ok(())
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let stats = (!self.is_closing).then_some(self.stats_at);
        let paused = self.paused.iter().map(|(_, until)| *until);
        let others = stats.into_iter().chain(self.media.next_timeout());
        paused.chain(others).min()
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, poller: &Poller, now: Instant) -> Result<()> {
        self.media.handle_timeout(now);
        if !self.is_closing && self.stats_at <= now {
            self.stats_at = now + STATS;
            let figures = Box::new(self.media.bridge().stats());
            let stats = MediaTaskEvent::Stats(self.label, figures);
            // A loop that is behind can do without this second.
            self.events.try_send(stats).ok();
        }
        self.resume(poller, now)
    }

    /// Reads from a socket that may have something.
    pub(super) fn read(
        &mut self,
        source: Source,
        poller: &Poller,
        buffer: &mut [u8],
        now: Instant,
    ) {
        if source == Source::Turn {
            return self.read_turn(poller, buffer, now);
        }
        let Some(socket) = self.phone_socket(source) else {
            return;
        };
        match socket.recv_from(buffer) {
            Ok((length, from)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                let bridge = self.media.bridge();
                match source {
                    Source::Audio => bridge.handle_rtp(from, bytes, now),
                    Source::AudioControl => bridge.handle_rtcp(from, bytes, now),
                    _ => bridge.handle_video(from, bytes, now),
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => self.pause(source, poller, now),
        }
    }

    fn read_turn(&mut self, poller: &Poller, buffer: &mut [u8], now: Instant) {
        while !self.is_turn_closed {
            match self.turn.read(buffer) {
                WireRead::Bytes(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    self.media.bridge().handle_turn(bytes, now);
                    if !self.turn.keeps_bytes() {
                        return;
                    }
                }
                WireRead::Nothing => return,
                WireRead::Trouble => return self.pause(Source::Turn, poller, now),
                WireRead::Closed => self.handle_turn_closed(poller, now),
            }
        }
    }

    /// The connection to the TURN server can be written to.
    pub(super) fn handle_writable(&mut self) {
        self.turn.flush();
    }

    /// Carries out an order.
    pub(super) fn carry_out(
        &mut self,
        order: CallOrder,
        poller: &Poller,
        now: Instant,
    ) -> Result<()> {
        match order {
            CallOrder::Engine(order) => {
                if let MediaOrder::Attach(terms) = &*order {
                    self.ports.retain(|ports| ports.local() == terms.local);
                    self.watch_ports(poller)?;
                }
                if let Err(failure) = self.media.carry_out(*order, now) {
                    self.notify(MediaEvent::Refused(failure));
                }
            }
            CallOrder::Adopt(way, turn) => self.adopt(*way, turn, poller, now),
            CallOrder::NetworkChange if self.turn.has_own_address() => {
                self.media.bridge().handle_network_change(now);
            }
            CallOrder::NetworkChange => self.media.bridge().handle_turn_unreachable(now),
            CallOrder::Close => {}
            #[cfg(test)]
            CallOrder::Panic => panic!("a fault of the media core"),
        }
        Ok(())
    }

    /// Takes another way out, if it is of use; whichever it does not use then is released by its task. One that the system does not watch
    /// is of no use.
    fn adopt(&mut self, way: TurnWay, turn: TurnWire, poller: &Poller, now: Instant) {
        let adopted = match poller.add(&turn, Source::Turn.token(self.id)) {
            Ok(()) => self.media.adopt(way, now),
            Err(_) => Err(Box::new(way)),
        };
        let (left, wire) = match adopted {
            Ok(left) => {
                self.paused.retain(|(source, _)| *source != Source::Turn);
                (self.is_turn_closed, self.watches_writing) = (false, false);
                (Box::new(left), std::mem::replace(&mut self.turn, turn))
            }
            Err(refused) => (refused, turn),
        };
        poller.remove(&wire);
        self.report(ThreadReport::Release(left, wire));
    }

    /// Ends the call: nothing passes any more. Returns the call if its last packets are to leave.
    pub(super) fn close(mut self: Box<Self>, poller: &Poller, now: Instant) -> Option<Box<Self>> {
        if self.is_closing {
            return Some(self);
        }
        self.ports.clear();
        let figures = Box::new(self.media.bridge().stats());
        self.report(ThreadReport::Closing(figures));
        let this = *self;
        match this.media.into_unused() {
            Unused::Waiting(way, checks, home) => {
                poller.remove(&this.turn);
                let unused = ThreadReport::Unused(way, this.turn, checks, home);
                this.reports.send(Box::new(unused)).ok();
                None
            }
            Unused::Bridge(mut media) => {
                media.bridge().close(now);
                Some(Box::new(Self {
                    media,
                    is_closing: true,
                    held: VecDeque::new(),
                    ..this
                }))
            }
        }
    }

    /// The last packets have left.
    pub(super) fn end(self) {
        self.turn.close();
    }

    /// Carries out everything that the bridge asks.
    pub(super) fn settle(&mut self, poller: &Poller, now: Instant) -> Result<Handled> {
        self.drain(now);
        if self.turn.is_dead() && !self.is_turn_closed {
            self.handle_turn_closed(poller, now);
            self.drain(now);
        }
        let is_waiting = self.turn.is_waiting() && !self.is_turn_closed;
        let is_watched = !self
            .paused
            .iter()
            .any(|(source, _)| *source == Source::Turn);
        if is_waiting != self.watches_writing && is_watched && !self.is_turn_closed {
            poller.watch_writing(&self.turn, Source::Turn.token(self.id), is_waiting)?;
            self.watches_writing = is_waiting;
        }
        if !self.held.is_empty() {
            self.pause(Source::Turn, poller, now);
        }
        if self.is_closing {
            // A far leg that has closed has no timeout.
            return Ok(match self.media.bridge().next_timeout() {
                Some(_) => Handled::GoesOn,
                None => Handled::Over,
            });
        }
        self.report_search();
        Ok(Handled::GoesOn)
    }

    fn drain(&mut self, now: Instant) {
        self.send_held();
        while let Some(output) = self.media.bridge().poll() {
            match output {
                BridgeOutput::ToServer(bytes) => {
                    if self.turn.send(&bytes, now) == SendOutcome::Unreachable {
                        self.media.bridge().handle_turn_unreachable(now);
                    }
                }
                BridgeOutput::ToPhone { to, bytes } => {
                    let ports = self.ports.first();
                    send(ports.map(|ports| &ports.audio), &bytes, to);
                }
                BridgeOutput::VideoToPhone { to, bytes } => {
                    let ports = self.ports.first();
                    send(ports.and_then(|ports| ports.video.as_ref()), &bytes, to);
                }
                BridgeOutput::Event(event) if !self.is_closing => {
                    if let BridgeEvent::Failed(error) = &event {
                        tracing::info!(call = %self.label, "the media path failed: {error}");
                    }
                    self.notify(MediaEvent::Bridge(event));
                }
                BridgeOutput::Event(_) => {}
            }
        }
    }

    /// Tells the engine, or keeps the event until the loop has room.
    fn notify(&mut self, event: MediaEvent) {
        let event = MediaTaskEvent::Engine(self.label, event);
        let sent = match self.held.is_empty() {
            true => self.events.try_send(event),
            false => Err(TrySendError::Full(event)),
        };
        if let Err(TrySendError::Full(event)) = sent {
            self.held.push_back(event);
        }
    }

    fn send_held(&mut self) {
        while let Some(event) = self.held.pop_front() {
            // Without a loop, the task is about to end the call.
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                return self.held.push_front(event);
            }
        }
    }

    /// Tells the task what is wanted of it now.
    fn report_search(&mut self) {
        let bridge = self.media.bridge();
        let search = bridge.wants_way().then(|| SearchTerms {
            own: self.turn.peer_addr().ip(),
            is_elsewhere: bridge.wants_elsewhere(),
            relays_ipv6: bridge.relays_ipv6(),
        });
        if search != self.search {
            self.search = search;
            self.report(ThreadReport::Search(search));
        }
    }

    fn report(&self, report: ThreadReport) {
        // Without a task the call is being closed.
        self.reports.send(Box::new(report)).ok();
    }

    fn handle_turn_closed(&mut self, poller: &Poller, now: Instant) {
        self.is_turn_closed = true;
        poller.remove(&self.turn);
        self.media.bridge().handle_turn_closed(now);
    }
}

#[cfg(test)]
impl ThreadCall {
    pub(super) fn media(&mut self) -> &mut AllocatedMedia {
        &mut self.media
    }
}

#[cfg(test)]
pub(in crate::run::media_thread) mod tests {
    use ringfence_media::far::{FarConfig, TurnAccess, TurnPassword, TurnTransport};
    use tokio::sync::mpsc::{UnboundedReceiver, channel, unbounded_channel};

    use super::*;
    use crate::clock;

    /// A call whose TURN server never answers, and what its task would get.
    pub(in crate::run::media_thread) fn unconnected()
    -> (Box<ThreadCall>, UnboundedReceiver<Box<ThreadReport>>) {
        let turn = TurnWire::to_nowhere();
        let config = FarConfig {
            turn: TurnAccess {
                addr: turn.peer_addr(),
                transport: TurnTransport::Udp,
                username: "user".to_owned(),
                password: TurnPassword::new("password".to_owned()),
            },
            local: ([127, 0, 0, 1], 9).into(),
            allow_private_addresses: true,
            permitted: Vec::new(),
            relays_ipv6: false,
        };
        let (now, (reports, received)) = (clock::now(), unbounded_channel());
        let new = ThreadCallParts {
            label: CallLabel::default(),
            media: AllocatedMedia::new(TurnWay::new(config, now), None, now),
            turn,
            ports: Vec::new(),
            events: channel(1).0,
        };
        let call = ThreadCall::new(new, reports, Arc::default(), now);
        (Box::new(call), received)
    }
}
