//! Receiving datagrams in spite of errors.
//!
//! An error of a UDP socket reports an earlier datagram (ICMP: port unreachable, no route, too long for the path;
//! RFC 8085 section 5.2) or a state of this machine that may pass. No such error means that the socket will receive nothing more,
//! so none ends the waiting; a pause keeps a lasting error from using up the processor.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Between an error and the next try: the length of an audio packet.
const PAUSE: Duration = Duration::from_millis(20);

/// Receives with `receive`, one of the socket's `try_recv` functions, until it succeeds; `note` learns of the errors. Cancelling it
/// loses nothing.
pub(crate) async fn recv_resilient<T>(
    socket: &UdpSocket,
    mut receive: impl FnMut() -> io::Result<T>,
    mut note: impl FnMut(ErrorKind),
) -> T {
    loop {
        match socket.readable().await.and_then(|()| receive()) {
            Ok(received) => return received,
            // Another task took the datagram, or its checksum was wrong.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::trace!(kind = ?error.kind(), "nothing was received");
                note(error.kind());
                sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Linux: too long for the path.
    const EMSGSIZE: i32 = 90;

    /// A socket that stays readable.
    #[expect(
        clippy::disallowed_methods,
        reason = "a socket that receives only its own datagram"
    )]
    async fn readable() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let own = socket.local_addr().unwrap();
        socket.send_to(b"x", own).await.unwrap();
        socket.readable().await.unwrap();
        socket
    }

    #[tokio::test(start_paused = true)]
    async fn no_error_ends_the_waiting() {
        let socket = readable().await;
        let mut results = vec![
            Ok(7),
            Err(ErrorKind::NetworkUnreachable.into()),
            Err(io::Error::from_raw_os_error(EMSGSIZE)),
            Err(ErrorKind::ConnectionRefused.into()),
        ];
        let start = Instant::now();
        assert_eq!(
            recv_resilient(&socket, || results.pop().unwrap(), |_| {}).await,
            7
        );
        assert!(start.elapsed() >= 3 * PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_stays_costs_a_try_every_pause() {
        let socket = readable().await;
        let mut tries = 0;
        let receive = || -> io::Result<()> {
            tries += 1;
            Err(ErrorKind::Other.into())
        };
        let waiting = timeout(50 * PAUSE, recv_resilient(&socket, receive, |_| {}));
        assert!(waiting.await.is_err());
        assert!((2..=51).contains(&tries), "{tries} tries in a second");
    }
}
