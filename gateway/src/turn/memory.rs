//! A wire in memory, for tests whose clock runs on only when every side waits.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncWrite, DuplexStream};

/// Writes a message without waiting. False if the wire does not take all of it.
pub(super) fn write(stream: &mut DuplexStream, message: &[u8]) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let written = Pin::new(stream).poll_write(&mut context, message);
    matches!(written, Poll::Ready(Ok(length)) if length == message.len())
}
