//! Whatever ends an answered call on one side is told to the other by every way that is left: the data channel, sealed datagrams from
//! relayed address to relayed address, and, where neither passes, an envelope of the caller over the relay. A callee's engine posts nothing:
//! with nothing else left its caller ends by itself after a minute.

use std::time::Duration;

use ringfence_tests::world::{
    CallPair, World,
    links::{Endpoint, PacketKind, TracedPacket},
};

/// What ends the call on one side.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Its person hangs up.
    HangUp,
    /// Its phone is dead: its engine notices after half a minute.
    DeadPhone,
    /// Its engine is shut down.
    ShutDown,
    /// It hears nothing for a minute.
    Silence,
}

/// What still passes from the one side to the other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    All,
    DataChannel,
    Datagrams,
    Relay,
    Nothing,
}

const SOON: Duration = Duration::from_millis(1_500);

/// The data channel comes first: both sides' slots, a round trip, and then the way of a datagram.
const BY_DATAGRAM: Duration = Duration::from_millis(1_700);

/// Two seconds without a word, and the relay's round trip.
const BY_RELAY: Duration = Duration::from_millis(2_500);

fn talking(seed: u64) -> (World, CallPair) {
    let (mut world, pair) = World::of_two(seed);
    world.call(pair);
    world.run_for(Duration::from_secs(45));
    (world, pair)
}

/// Lets pass only what is left.
fn leave(world: &mut World, left: Left) {
    world.filter_packets(move |packet| match packet.kind {
        PacketKind::Sip | PacketKind::Rtp => true,
        PacketKind::Envelope => left != Left::Nothing,
        PacketKind::Dtls => matches!(left, Left::All | Left::DataChannel),
        PacketKind::Datagram => matches!(left, Left::All | Left::Datagrams),
        _ => matches!(left, Left::All | Left::DataChannel | Left::Datagrams),
    });
}

/// Ends the call on the side of `phone`; how long that may take.
fn end(world: &mut World, (phone, engine): (usize, usize), end: End) -> Duration {
    match end {
        End::HangUp => world.hang_up(phone),
        End::DeadPhone => {
            let phone = Endpoint::Phone(phone);
            world.cut_one_way(phone, Endpoint::Engine(engine));
            return Duration::from_secs(40);
        }
        End::ShutDown => world.shut_down(engine),
        End::Silence => {
            world.cut_one_way(Endpoint::Turn(0), Endpoint::Engine(engine));
            return Duration::from_secs(61);
        }
    }
    Duration::ZERO
}

/// Otherwise a relay would see of calls over bad wires that they were answered, and when they ended.
#[test]
fn a_hang_up_whose_answer_is_lost_is_told_to_no_relay() {
    for lost in [PacketKind::Dtls, PacketKind::Datagram] {
        let (mut world, pair) = talking(2);
        let posts = |world: &World| {
            let envelopes = world.trace().iter();
            let posted = |packet: &&TracedPacket| {
                packet.to == Endpoint::Relay && packet.kind == PacketKind::Envelope
            };
            envelopes.filter(posted).count()
        };
        let before = posts(&world);
        world.filter_packets(move |packet| {
            let is_to_caller = packet.to == Endpoint::Engine(pair.caller);
            !(is_to_caller && [lost, PacketKind::Dtls].contains(&packet.kind))
        });
        world.hang_up(pair.alice);
        world.run_until("the other is told", SOON, |world| {
            !world.handset(pair.bob).is_talking()
        });
        world.run_for(Duration::from_secs(15));
        assert_eq!(posts(&world), before);
        assert_eq!(world.turn.relays(), 0);
    }
}

#[test]
fn each_end_of_a_call_is_told_to_the_other_side_by_what_is_left() {
    let hang_ups = [
        Left::All,
        Left::DataChannel,
        Left::Datagrams,
        Left::Relay,
        Left::Nothing,
    ];
    let others = [End::DeadPhone, End::ShutDown, End::Silence]
        .into_iter()
        .flat_map(|how| [Left::All, Left::Relay].map(|left| (how, left)));
    for (how, left) in hang_ups
        .map(|left| (End::HangUp, left))
        .into_iter()
        .chain(others)
    {
        for by_caller in [true, false] {
            // The callee posts nothing, and its engine is over when it is shut down.
            let is_told = match left {
                Left::Relay => by_caller,
                Left::Nothing => false,
                _ => true,
            };
            if !is_told && matches!(how, End::DeadPhone | End::Silence) {
                // Both sides hear nothing and end at the same time.
                continue;
            }
            let name = format!("{how:?}, {left:?} is left, by the caller: {by_caller}");
            let (mut world, pair) = talking(1);
            let (one, other) = match by_caller {
                true => ((pair.alice, pair.caller), pair.bob),
                false => ((pair.bob, pair.callee), pair.alice),
            };
            leave(&mut world, left);
            let time = end(&mut world, one, how);
            let is_over = |world: &World| !world.handset(other).is_talking();
            let within = match left {
                Left::Relay if is_told => time + BY_RELAY,
                Left::Datagrams => time + BY_DATAGRAM,
                _ if is_told => time + SOON,
                _ => Duration::from_secs(62),
            };
            let is_late = world.never(within, is_over);
            assert!(!is_late, "{name}: not told within {within:?}\n{world:?}");
        }
    }
}
