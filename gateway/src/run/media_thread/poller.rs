//! `epoll`, level-triggered: a socket is told of as long as something can be read from it, so that one read a packet is enough.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
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

/// What one wait found; used again for the next.
pub(super) struct Ready(Vec<epoll::Event>);

/// What can be done with the socket of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketReadiness {
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

    /// Waits until something can be done, or until `at`, and puts it into `ready`.
    pub(super) fn wait(&self, ready: &mut Ready, at: Option<Instant>, now: Instant) -> Result<()> {
        ready.0.clear();
        let limit = at.map(|at| {
            let wait = at.saturating_duration_since(now).min(LONGEST);
            Timespec {
                tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            }
        });
        match epoll::wait(&self.0, spare_capacity(&mut ready.0), limit.as_ref()) {
            Err(Errno::INTR) => Ok(()),
            waited => waited.map(drop),
        }
    }
}

impl Ready {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(EVENTS))
    }

    /// Whether there may be more than was taken.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= EVENTS
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = SocketReadiness> {
        self.0.iter().map(SocketReadiness::of)
    }
}

impl SocketReadiness {
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
