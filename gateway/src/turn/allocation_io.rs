//! A far leg that has no call: lets it talk to its TURN server, and gives its relayed address back (RFC 8656).
//!
//! Calls drive their legs themselves, together with the phone's sound.

use std::time::{Duration, Instant};

use ringfence_media::far::{FarEvent, FarLeg, FarOutput};
use tokio::time::sleep_until;

use super::TurnSocket;
use crate::clock;

/// How long the last bytes may take to leave a stream that is closed.
const FLUSH: Duration = Duration::from_millis(200);

/// Ends a leg that no call has, and waits until the server has confirmed that, or the leg has given up.
pub(crate) async fn give_back(mut leg: FarLeg, mut turn: TurnSocket) {
    let mut buffer = Vec::new();
    leg.close(clock::now());
    loop {
        while send(&mut leg, &turn).is_some() {}
        if leg.next_alarm().is_none() {
            break;
        }
        step(&mut leg, &mut turn, &mut buffer, None).await;
    }
    turn.close(FLUSH).await;
}

/// Sends what the leg wants to be sent, up to the next thing that it has to say.
pub(crate) fn send(leg: &mut FarLeg, turn: &TurnSocket) -> Option<FarEvent> {
    while let Some(output) = leg.poll() {
        match output {
            // A full wire loses packets; the leg repeats its requests.
            FarOutput::ToServer(bytes) => drop(turn.send(&bytes)),
            FarOutput::Event(event) => return Some(event),
        }
    }
    None
}

/// Waits for the server, the leg's next alarm or `wake`, and tells the leg.
pub(crate) async fn step(
    leg: &mut FarLeg,
    turn: &mut TurnSocket,
    buffer: &mut Vec<u8>,
    wake: Option<Instant>,
) {
    let alarm = leg.next_alarm().map(|(at, _)| at).into_iter().chain(wake);
    let alarm = async {
        match alarm.min() {
            Some(at) => sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        open = turn.recv(buffer) => {
            if open {
                leg.handle_turn(buffer, clock::now());
            } else {
                leg.handle_turn_closed(clock::now());
            }
        }
        () = alarm => leg.handle_timeout(clock::now()),
    }
}
