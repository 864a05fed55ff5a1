//! A phone transfers its private call to a number, or to a party that it already talks to. The tests check whose audio reaches
//! whom, what the phone is told, and what the two outside parties learn of each other.

use std::time::Duration;

use ringfence_engine::CallStep;
use ringfence_tests::{
    tone::LOW,
    world::{CallPair, World, handset::HandsetEvent},
};

/// Alice and Bob talk; Carol, with another engine, has no call. Phones with an even index send a low tone, the others a high one,
/// so that Bob (1) and Carol (2) can be distinguished.
struct Party {
    world: World,
    pair: CallPair,
    carol: usize,
    carols: usize,
}

fn party(seed: u64) -> Party {
    let (mut world, pair) = World::of_two(seed);
    let carols = world.open_engine(1);
    let carol = world.add_phone(carols, 0);
    world.run_for(Duration::from_secs(1));
    world.call(pair);
    world.run_for(Duration::from_secs(1));
    Party {
        world,
        pair,
        carol,
        carols,
    }
}

impl Party {
    /// One of the two transfers the other to Carol, who answers. Returns the transferred party's phone.
    fn hand_over(&mut self, from: usize) -> usize {
        let Self {
            world, carol, pair, ..
        } = self;
        let number = world.number(self.carols, 0).to_string();
        world.transfer(from, &number);
        world.run_until("Carol's phone rings", Duration::from_secs(3), |world| {
            world.handset(*carol).is_ringing()
        });
        world.answer(*carol);
        world.run_until("the phone is free", Duration::from_secs(3), |world| {
            world.handset(from).is_free()
        });
        if from == pair.alice {
            pair.bob
        } else {
            pair.alice
        }
    }

    fn assert_hear_each_other(&mut self, one: usize, other: usize) {
        let before = [one, other].map(|phone| self.world.handset(phone).received_audio().packets());
        let talk = Duration::from_secs(2);
        self.world.run_for(talk);
        for (phone, before) in [one, other].into_iter().zip(before) {
            let packets = self.world.handset(phone).received_audio().packets() - before;
            assert!(packets > 90, "{phone} heard {packets}\n{:?}", self.world);
        }
    }
}

#[test]
fn a_blind_transfer_joins_the_two_others_whichever_side_had_called() {
    let both: [fn(CallPair) -> usize; 2] = [|pair| pair.alice, |pair| pair.bob];
    for (seed, from) in both.into_iter().enumerate() {
        let mut party = party(seed as u64);
        let from = from(party.pair);
        let left = party.hand_over(from);
        let course: Vec<&HandsetEvent> = party.world.handset(from).events();
        let told: Vec<&&HandsetEvent> = course
            .iter()
            .filter(|notice| matches!(notice, HandsetEvent::TransferStatus(_)))
            .collect();
        let line = |text: &str| HandsetEvent::TransferStatus(text.to_owned());
        assert_eq!(
            told,
            [
                &&line("SIP/2.0 100 Trying"),
                &&line("SIP/2.0 180 Ringing"),
                &&line("SIP/2.0 200 OK")
            ]
        );
        let carol = party.carol;
        party.assert_hear_each_other(left, carol);
        // The other party's tone, and not only some packets.
        let teller = if left == 1 {
            (carol, ringfence_tests::tone::HIGH)
        } else {
            (carol, LOW)
        };
        let heard = party
            .world
            .handset(teller.0)
            .received_audio()
            .heard(teller.1);
        assert!(heard.tone > Duration::from_secs(1), "{heard:?}");
        // Either party ends both calls by hanging up.
        party.world.hang_up(left);
        party.world.run_for(Duration::from_secs(3));
        assert!(party.world.handset(carol).is_free());
        assert_eq!(party.world.turn.relays(), 0);
    }
}

#[test]
fn the_two_outside_learn_nothing_of_each_other() {
    let mut party = party(5);
    let (alice, bob) = (party.pair.alice, party.pair.bob);
    party.hand_over(alice);
    party.world.run_for(Duration::from_secs(2));
    let world = &party.world;
    // Carol's display shows the transferring party, and Bob's engine learnt only of Alice's.
    let shown = world.number(party.pair.caller, 0).to_string();
    let rings = HandsetEvent::Ringing { caller: shown };
    assert!(world.handset(party.carol).events().contains(&&rings));
    assert_eq!(world.host(party.pair.callee).heard_of().len(), 1);
    assert_eq!(world.host(party.carols).heard_of().len(), 1);
    let theirs = world.host(party.pair.callee).heard_of()[0].encode();
    assert_ne!(theirs, world.host(party.carols).heard_of()[0].encode());
    assert!(!world.handset(bob).events().contains(&&HandsetEvent::HungUp));
    assert!(world.has_reached(party.pair.caller, CallStep::HandedOver));
    assert!(!world.has_reached(party.pair.callee, CallStep::HandedOver));
}

#[test]
fn a_transfer_without_answer_gives_the_call_back() {
    let mut party = party(6);
    let (alice, bob) = (party.pair.alice, party.pair.bob);
    let number = party.world.number(party.carols, 0).to_string();
    party.world.transfer(alice, &number);
    party.world.run_for(Duration::from_secs(32));
    let last = HandsetEvent::TransferStatus("SIP/2.0 480 Temporarily Unavailable".to_owned());
    assert!(party.world.handset(alice).events().contains(&&last));
    party.assert_hear_each_other(alice, bob);
    // First to a number that does not exist, then to one that does.
    party.world.transfer(alice, "99");
    party.world.run_for(Duration::from_secs(1));
    party.assert_hear_each_other(alice, bob);
    let left = party.hand_over(alice);
    let carol = party.carol;
    party.assert_hear_each_other(left, carol);
}

#[test]
fn a_phone_may_hang_up_before_the_other_one_answers() {
    let mut party = party(7);
    let (alice, bob, carol) = (party.pair.alice, party.pair.bob, party.carol);
    let number = party.world.number(party.carols, 0).to_string();
    party.world.transfer(alice, &number);
    party.world.hang_up(alice);
    party
        .world
        .run_until("Carol's phone rings", Duration::from_secs(3), |world| {
            world.handset(carol).is_ringing()
        });
    assert!(party.world.handset(bob).is_talking());
    party.world.answer(carol);
    party.world.run_for(Duration::from_secs(1));
    party.assert_hear_each_other(bob, carol);
}

#[test]
fn who_is_handed_over_may_hang_up_meanwhile() {
    for is_answered in [false, true] {
        let mut party = party(8);
        let (alice, bob, carol) = (party.pair.alice, party.pair.bob, party.carol);
        let number = party.world.number(party.carols, 0).to_string();
        party.world.transfer(alice, &number);
        party
            .world
            .run_until("Carol's phone rings", Duration::from_secs(3), |world| {
                world.handset(carol).is_ringing()
            });
        if is_answered {
            party.world.answer(carol);
            party.world.run_for(Duration::from_secs(1));
        }
        party.world.hang_up(bob);
        party.world.run_for(Duration::from_secs(11));
        assert!(party.world.handset(carol).is_free(), "{:?}", party.world);
        assert!(party.world.handset(alice).is_free());
        assert_eq!(party.world.turn.relays(), 0);
    }
}

#[test]
fn an_attended_transfer_joins_two_running_calls() {
    let mut party = party(9);
    let (alice, bob, carol) = (party.pair.alice, party.pair.bob, party.carol);
    // A second phone of Alice's line calls Carol first.
    let second = party.world.add_phone(party.pair.caller, 0);
    party.world.run_for(Duration::from_secs(1));
    let number = party.world.number(party.carols, 0);
    party.world.dial(second, number);
    party
        .world
        .run_until("Carol's phone rings", Duration::from_secs(3), |world| {
            world.handset(carol).is_ringing()
        });
    party.world.answer(carol);
    party.world.run_for(Duration::from_secs(1));
    party.world.hold(alice, true);
    party.world.run_for(Duration::from_secs(1));
    party.world.transfer_to_call_of(alice, second);
    party.world.run_for(Duration::from_secs(1));
    assert!(party.world.handset(alice).is_free() && party.world.handset(second).is_free());
    party.assert_hear_each_other(bob, carol);
    party.world.hang_up(carol);
    party.world.run_for(Duration::from_secs(3));
    assert!(party.world.handset(bob).is_free());
    assert_eq!(party.world.turn.relays(), 0);
}

#[test]
fn a_call_of_another_line_is_no_call_to_be_joined_with() {
    let mut world = World::new(1);
    let (here, there) = (world.open_engine(2), world.open_engine(2));
    let phones = [world.add_phone(here, 0), world.add_phone(there, 0)];
    let others = [world.add_phone(here, 1), world.add_phone(there, 1)];
    for (line, [from, to]) in [phones, others].into_iter().enumerate() {
        world.dial(from, world.number(there, line));
        world.run_until("it rings", Duration::from_secs(3), |world| {
            world.handset(to).is_ringing()
        });
        world.answer(to);
        world.run_for(Duration::from_secs(1));
    }
    world.transfer_to_call_of(phones[0], others[0]);
    world.take_over(phones[1], others[1]);
    world.run_for(Duration::from_secs(2));
    for phone in [phones[0], others[0], others[1]] {
        assert!(world.handset(phone).is_talking(), "{world:?}");
    }
    assert!(
        world
            .handset(phones[1])
            .events()
            .contains(&&HandsetEvent::Refused(481))
    );
}

#[test]
fn another_phone_of_the_line_takes_a_call_over() {
    let mut party = party(10);
    let (alice, bob) = (party.pair.alice, party.pair.bob);
    let second = party.world.add_phone(party.pair.caller, 0);
    party.world.run_for(Duration::from_secs(1));
    party.world.take_over(second, alice);
    party.world.run_for(Duration::from_secs(1));
    assert!(
        party
            .world
            .handset(alice)
            .events()
            .contains(&&HandsetEvent::HungUp)
    );
    party.assert_hear_each_other(second, bob);
    party.world.hang_up(second);
    party.world.run_for(Duration::from_secs(3));
    assert!(party.world.handset(bob).is_free());
}
