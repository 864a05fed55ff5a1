//! A stream to a TURN server (RFC 8656 section 3.1 over TCP, RFC 7065 `turns` over TLS): what a socket that never blocks needs beside
//! itself, so that a task of the runtime and a thread without one use the same.
//!
//! Messages that the socket does not take at once wait here: [`WRITE_QUEUE`] of them, then further ones are dropped whole. The other end
//! can so fill 64 messages of this call's own sound, and no other call's.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use tokio_rustls::rustls::ClientConnection;

use super::SendOutcome;

/// A connection that accepts no bytes for so long is dead.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Messages waiting for a slow connection: 1.3 s of 50 packets a second. Later packets would arrive too late to be played.
pub(super) const WRITE_QUEUE: usize = 64;

/// The state of a stream beside its socket.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    tls: Option<Box<ClientConnection>>,
    /// Bytes that TLS has decrypted, and that were not read yet.
    decrypted: usize,
    /// What the socket has not taken yet; of the first message perhaps only the rest.
    waiting: VecDeque<Vec<u8>>,
    /// Since when the socket takes nothing.
    stuck: Option<Instant>,
    is_dead: bool,
}

impl StreamState {
    /// Over TLS, after its handshake.
    pub(super) fn over_tls(mut tls: ClientConnection) -> Self {
        // One message at a time is given to it, so that the queue here is the bound.
        tls.set_buffer_limit(None);
        Self {
            tls: Some(Box::new(tls)),
            ..Self::default()
        }
    }

    /// Whether the owner is to call [`Self::flush`] when the socket can be written to.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether reads have left bytes here that the socket does not know of any more.
    pub(super) fn keeps_bytes(&self) -> bool {
        self.decrypted > 0
    }

    /// Whether the connection accepted nothing for too long; [`Self::read`] reports it as closed.
    pub(super) fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Sends a message, or lets it wait, or drops it.
    pub(super) fn send(
        &mut self,
        socket: &mut (impl Read + Write),
        message: &[u8],
        now: Instant,
    ) -> SendOutcome {
        self.flush(socket);
        if !self.is_waiting() {
            self.stuck = None;
            let taken = self.write(socket, message);
            if let Some(rest) = message.get(taken..).filter(|rest| !rest.is_empty()) {
                self.waiting.push_back(rest.to_vec());
            }
            return SendOutcome::Sent;
        }
        let stuck = *self.stuck.get_or_insert(now);
        if now.saturating_duration_since(stuck) > WRITE_LIMIT {
            self.is_dead = true;
        }
        if self.is_dead || self.waiting.len() >= WRITE_QUEUE {
            return SendOutcome::Dropped;
        }
        self.waiting.push_back(message.to_vec());
        SendOutcome::Sent
    }

    /// Gives the socket what waits, as far as it takes it.
    pub(super) fn flush(&mut self, socket: &mut (impl Read + Write)) {
        loop {
            self.write_records(socket);
            if self.tls.as_ref().is_some_and(|tls| tls.wants_write()) {
                return;
            }
            let Some(mut first) = self.waiting.pop_front() else {
                return;
            };
            let taken = self.write(socket, &first);
            if taken > 0 {
                self.stuck = None;
            }
            if taken < first.len() {
                first.drain(..taken);
                self.waiting.push_front(first);
                return;
            }
        }
    }

    /// Reads bytes; none at the end of the stream. An error other than [`ErrorKind::WouldBlock`] is such an end, too.
    pub(super) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if self.is_dead {
            return Ok(0);
        }
        let Some(tls) = &mut self.tls else {
            return socket.read(buffer);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => {
                    let length = *read.as_ref().unwrap_or(&0);
                    self.decrypted = self.decrypted.saturating_sub(length);
                    return read;
                }
            }
            if tls.read_tls(socket)? == 0 {
                return Ok(0);
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            self.decrypted = state.plaintext_bytes_to_read();
        }
    }

    /// Tells the server that nothing more comes, if the stream is over TLS (RFC 8446 section 6.1).
    pub(super) fn end(&mut self, socket: &mut (impl Read + Write)) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.write_records(socket);
    }

    /// Writes a message; returns how many bytes of it need not be kept. Those of a broken connection need not: reading tells its end.
    fn write(&mut self, socket: &mut (impl Read + Write), message: &[u8]) -> usize {
        let Some(tls) = &mut self.tls else {
            return match socket.write(message) {
                Ok(taken) => taken,
                Err(error) if is_momentary(&error) => 0,
                Err(_) => message.len(),
            };
        };
        // Into memory, without a limit.
        drop(tls.writer().write_all(message));
        self.write_records(socket);
        message.len()
    }

    fn write_records(&mut self, socket: &mut (impl Read + Write)) {
        let Some(tls) = &mut self.tls else {
            return;
        };
        while tls.wants_write() {
            match tls.write_tls(socket) {
                Ok(taken) if taken > 0 => self.stuck = None,
                _ => return,
            }
        }
    }
}

fn is_momentary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
