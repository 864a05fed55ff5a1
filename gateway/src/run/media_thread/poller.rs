//! `epoll`, level-triggered: a socket is told of as long as something can be read from it, so that one read a packet is enough.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::{Errno, Result};

/// Events that are taken at once.
const EVENTS: usize = 64;

/// The longest wait: `epoll_wait` counts milliseconds in 31 bits.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Waits for many sockets at once.
#[derive(Debug)]
pub(super) struct Poller(OwnedFd);

/// What can be done with the socket of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    pub(super) token: u64,
    pub(super) can_read: bool,
    pub(super) can_write: bool,
}

impl Poller {
    pub(super) fn new() -> Result<Self> {
        epoll::create(CreateFlags::CLOEXEC).map(Self)
    }

    /// Watches a socket, which `token` names.
    pub(super) fn add(&self, socket: impl AsFd, token: u64) -> Result<()> {
        epoll::add(&self.0, socket, EventData::new_u64(token), EventFlags::IN)
    }

    /// Changes whether it matters that the socket can be written to.
    pub(super) fn watch_writing(&self, socket: impl AsFd, token: u64, matters: bool) -> Result<()> {
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, matters);
        epoll::modify(&self.0, socket, EventData::new_u64(token), flags)
    }

    /// Forgets a socket. One that is closed is forgotten by itself.
    pub(super) fn remove(&self, socket: impl AsFd) {
        // One that was not watched is as forgotten.
        epoll::delete(&self.0, socket).ok();
    }

    /// Waits until something can be done, or until `at`.
    pub(super) fn wait(&self, at: Option<Instant>, now: Instant) -> Result<Vec<Readiness>> {
        let blank = epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = [blank; EVENTS];
        let limit = at.map(|at| {
            let wait = at.saturating_duration_since(now).min(LONGEST);
            Timespec {
                tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            }
        });
        let count = match epoll::wait(&self.0, &mut events[..], limit.as_ref()) {
            Err(Errno::INTR) => 0,
            waited => waited?,
        };
        Ok(events.iter().take(count).map(Readiness::of).collect())
    }
}

impl Readiness {
    fn of(event: &epoll::Event) -> Self {
        let flags = event.flags;
        Self {
            token: event.data.u64(),
            // An error is read, too.
            can_read: flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP),
            can_write: flags.contains(EventFlags::OUT),
        }
    }
}
