//! Input and output of an allocation that belongs to no call, and its release (RFC 8656 section 7.2).
//!
//! Calls drive theirs in their media task.

use std::time::{Duration, Instant};

use ringfence_media::far::{TurnWay, WayOutput};

use super::TurnSocket;
use crate::clock::{self, until};

/// How long the last bytes may take to leave a stream that is closed.
const FLUSH: Duration = Duration::from_millis(200);

/// Releases an allocation, and waits until the server has confirmed that, or its limit has passed.
pub(crate) async fn release(mut way: TurnWay, mut turn: TurnSocket) {
    let mut buffer = Vec::new();
    way.release(clock::now());
    loop {
        while send(&mut way, &mut turn).is_some() {}
        if way.next_timeout().is_none() {
            break;
        }
        step(&mut way, &mut turn, &mut buffer, None).await;
    }
    turn.close(FLUSH).await;
}

/// Sends what is to be sent, up to the next output of another kind.
pub(crate) fn send(way: &mut TurnWay, turn: &mut TurnSocket) -> Option<WayOutput> {
    while let Some(output) = way.poll() {
        match output {
            // A full socket loses packets; the TURN client repeats its requests.
            WayOutput::ToServer(bytes) => drop(turn.send(&bytes)),
            output => return Some(output),
        }
    }
    None
}

/// Waits for the server, the next timeout or `wake`, and hands it on.
pub(crate) async fn step(
    way: &mut TurnWay,
    turn: &mut TurnSocket,
    buffer: &mut Vec<u8>,
    wake: Option<Instant>,
) {
    let timeout = way.next_timeout().map(|(at, _)| at).into_iter().chain(wake);
    let timeout = timeout.min();
    tokio::select! {
        open = turn.recv(buffer) => {
            if open {
                way.handle_turn(buffer, clock::now());
            } else {
                way.handle_turn_closed(clock::now());
            }
        }
        () = until(timeout) => way.handle_timeout(clock::now()),
    }
}
