//! Input and output of a far leg that belongs to no call: drives its TURN client, and releases its allocation (RFC 8656 section 7.2).
//!
//! Calls drive their legs in their media task.

use std::time::{Duration, Instant};

use ringfence_media::far::{FarEvent, FarLeg, FarOutput};

use super::TurnSocket;
use crate::clock::{self, until};

/// How long the last bytes may take to leave a stream that is closed.
const FLUSH: Duration = Duration::from_millis(200);

/// Releases the allocation of a leg, and waits until the server has confirmed that, or the leg has given up.
pub(crate) async fn release(mut leg: FarLeg, mut turn: TurnSocket) {
    let mut buffer = Vec::new();
    leg.close(clock::now());
    loop {
        while send(&mut leg, &turn).is_some() {}
        if leg.next_timeout().is_none() {
            break;
        }
        step(&mut leg, &mut turn, &mut buffer, None).await;
    }
    turn.close(FLUSH).await;
}

/// Sends what the leg wants to send, up to its next event.
pub(crate) fn send(leg: &mut FarLeg, turn: &TurnSocket) -> Option<FarEvent> {
    while let Some(output) = leg.poll() {
        match output {
            // A full socket loses packets; the leg repeats its requests.
            FarOutput::ToServer(bytes) => drop(turn.send(&bytes)),
            FarOutput::Event(event) => return Some(event),
        }
    }
    None
}

/// Waits for the server, the leg's next timeout or `wake`, and hands it to the leg.
pub(crate) async fn step(
    leg: &mut FarLeg,
    turn: &mut TurnSocket,
    buffer: &mut Vec<u8>,
    wake: Option<Instant>,
) {
    let timeout = leg.next_timeout().map(|(at, _)| at).into_iter().chain(wake);
    let timeout = timeout.min();
    tokio::select! {
        open = turn.recv(buffer) => {
            if open {
                leg.handle_turn(buffer, clock::now());
            } else {
                leg.handle_turn_closed(clock::now());
            }
        }
        () = until(timeout) => leg.handle_timeout(clock::now()),
    }
}
