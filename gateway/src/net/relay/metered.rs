//! A stream that breaks when more bytes come than a relay has to send. Not all bytes become messages, which `connection` counts: a message
//! may have any number of empty frames (RFC 6455 section 5.4), and each costs work.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ringfence_daemon::limits::{Bucket, Rate};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::now;

/// Bytes that are counted as one.
const BLOCK: usize = 1_024;

/// Blocks of a relay: three for each message that it may send, of which an event with an envelope fills two.
const BLOCKS: Rate = Rate::new(7_500, Duration::from_micros(555));

/// A stream whose input is bounded. Beyond the bound, reading fails with [`ErrorKind::QuotaExceeded`], which no network says.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    blocks: Bucket,
    /// Bytes since the last whole block.
    rest: usize,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            blocks: Bucket::default(),
            rest: 0,
        }
    }

    pub(super) const fn get_ref(&self) -> &S {
        &self.stream
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.rest += bytes;
        while self.rest >= BLOCK {
            self.rest -= BLOCK;
            let taken = self.blocks.take(BLOCKS, now());
            taken.map_err(|_| ErrorKind::QuotaExceeded)?;
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        Poll::Ready(this.count(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
