//! What breaks in the simulated network beside links that lose packets: TURN servers die and start again, engines are cut off or change
//! their address, translators forget.

use std::{net::Ipv4Addr, time::Duration};

use super::{World, links::Endpoint};

/// When an engine notices that its connection to the relay stands still (a ping every 12 seconds, 5 seconds for the answer).
const NOTICED: Duration = Duration::from_secs(17);

/// When a stream goes on after its link is mended (RFC 6298: the first repetition).
const RESUMED: Duration = Duration::from_secs(1);

/// How wrong the wall clock of a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// It shows a later time.
    Ahead(Duration),
    /// It shows an earlier time.
    Behind(Duration),
}

impl World {
    /// Adds a TURN server to the network and to the settings of engines that are opened from now on; returns its number.
    pub fn add_turn_server(&mut self) -> usize {
        self.turn.add((self.now, self.wall().seconds()))
    }

    /// Changes the TURN servers in an engine's settings, the first one first.
    pub fn use_turn_servers(&mut self, engine: usize, servers: &[usize]) {
        let servers = servers.iter().map(|number| self.turn.server(*number));
        let addresses = servers.map(|server| server.address()).collect();
        self.hosts[engine].turn_servers = addresses;
    }

    /// Kills a TURN server: its allocations are gone, and it answers nothing.
    pub fn kill_turn(&mut self, server: usize) {
        self.turn.server_mut(server).kill();
    }

    /// Starts a TURN server again. It knows no client.
    pub fn restart_turn(&mut self, server: usize) {
        let (now, unix) = (self.now, self.wall().seconds());
        self.turn.server_mut(server).restart(now, unix);
    }

    /// Nothing passes any more between an engine and a TURN server or the relay, either way.
    pub fn cut_off(&mut self, engine: usize, from: Endpoint) {
        let us = Endpoint::Engine(engine);
        self.cuts.extend([(us, from), (from, us)]);
        if from == Endpoint::Relay {
            self.lose_relay_connection(engine, NOTICED);
        }
    }

    /// Ends [`cut_off`](Self::cut_off).
    pub fn mend(&mut self, engine: usize, from: Endpoint) {
        let us = Endpoint::Engine(engine);
        self.cuts.remove(&(us, from));
        self.cuts.remove(&(from, us));
        if from == Endpoint::Relay && !self.is_connected(engine) {
            self.connect_relay_in(engine, RESUMED);
        }
    }

    /// Nothing passes any more from one end to the other; the opposite direction is as before.
    pub fn cut_one_way(&mut self, from: Endpoint, to: Endpoint) {
        self.cuts.insert((from, to));
    }

    /// Pulls an engine's plug: nothing passes between it and the internet.
    pub fn unplug(&mut self, engine: usize) {
        for end in self.outside() {
            self.cut_off(engine, end);
        }
    }

    /// Ends [`unplug`](Self::unplug).
    pub fn plug_in(&mut self, engine: usize) {
        for end in self.outside() {
            self.mend(engine, end);
        }
    }

    /// Gives an engine's machine another address at its provider: sockets of the old one are dead. The connection to the relay is one of
    /// them; when its engine makes it anew is for the test to say ([`lose_relay_connection`](Self::lose_relay_connection)).
    pub fn change_address(&mut self, engine: usize) {
        let former = self.hosts[engine].uplink.addresses().count();
        let provider = u8::try_from(engine).expect("a world has few engines");
        let network = u8::try_from(56 + former).expect("it does not move often");
        let address = Ipv4Addr::new(12, 34, network, 100 + provider);
        self.hosts[engine].uplink.change_address(address);
    }

    /// Sets the wall clock of an engine's machine so far ahead, or behind. It runs on from there.
    pub fn set_clock(&mut self, engine: usize, error: ClockError) {
        self.host_mut(engine).clock_error = error;
    }

    /// The translator before an engine forgets its mappings: the next packet of each socket comes from another port.
    pub fn forget_mappings(&mut self, engine: usize) {
        self.hosts[engine].uplink.forget_mappings();
    }

    pub(super) fn is_cut_off(&self, engine: usize, from: Endpoint) -> bool {
        self.cuts.contains(&(Endpoint::Engine(engine), from))
    }

    fn outside(&self) -> Vec<Endpoint> {
        let servers = (0..self.turn.count()).map(Endpoint::Turn);
        servers.chain([Endpoint::Relay]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringfence_engine::{CallStep, EndReason};

    use crate::world::{
        CallPair, World, handset::HandsetEvent, links::Endpoint, turn_packets::Stun,
    };

    /// Two engines with a phone each, and two TURN servers that both know.
    fn two_servers(seed: u64) -> (World, CallPair) {
        let (mut world, pair) = World::of_two(seed);
        assert_eq!(world.add_turn_server(), 1);
        for engine in [pair.caller, pair.callee] {
            world.use_turn_servers(engine, &[0, 1]);
        }
        (world, pair)
    }

    fn relays(world: &World) -> [usize; 2] {
        [0, 1].map(|number| world.turn.server(number).relays())
    }

    fn heard(world: &World, pair: CallPair) -> [usize; 2] {
        [pair.alice, pair.bob].map(|phone| world.handset(phone).received_audio().packets())
    }

    /// The codes of the error responses that an engine got from a server since then.
    fn errors(world: &World, (server, engine): (usize, usize), since: Duration) -> Vec<u16> {
        let packets = world.trace().iter().filter(|packet| packet.at >= since);
        let its = packets.filter(|packet| {
            (packet.from, packet.to) == (Endpoint::Turn(server), Endpoint::Engine(engine))
        });
        let codes = its.filter_map(|packet| {
            let stun = Stun::read(&packet.bytes)?;
            let (_, code) = stun.attributes.iter().find(|(kind, _)| *kind == 0x0009)?;
            Some(100 * u16::from(*code.get(2)?) + u16::from(*code.get(3)?))
        });
        codes.collect()
    }

    #[test]
    fn a_call_uses_a_server_that_lives_and_does_not_refuse() {
        let (mut world, pair) = two_servers(1);
        world.call(pair);
        // The callee takes another one than the caller.
        assert_eq!(relays(&world), [1, 1]);
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(5));
        world.kill_turn(0);
        world.call(pair);
        world.run_for(Duration::from_secs(1));
        assert_eq!(relays(&world), [0, 2]);
        world.hang_up(pair.alice);
        world.run_until_quiet(Duration::from_secs(5));
        world.restart_turn(0);
        world.turn.server_mut(1).refuse_with(Some(508));
        world.call(pair);
        world.run_for(Duration::from_secs(1));
        assert_eq!(relays(&world), [2, 0]);
    }

    #[test]
    fn two_sides_at_two_servers_hear_each_other() {
        let (mut world, pair) = two_servers(2);
        world.use_turn_servers(pair.callee, &[1, 0]);
        world.call(pair);
        assert_eq!(relays(&world), [1, 1]);
        let between = |packet: &&crate::world::links::TracedPacket| {
            (packet.from, packet.to) == (Endpoint::Relayed(0), Endpoint::Relayed(1))
        };
        assert!(world.trace().iter().any(|packet| between(&packet)));
        assert_eq!(world.turn.misdirected(), []);
    }

    #[test]
    fn a_dead_server_carries_nothing_and_a_restarted_one_knows_no_allocation() {
        for answers_strangers in [true, false] {
            let (mut world, pair) = World::of_two(3);
            world.call(pair);
            world.turn.server_mut(0).answers_strangers = answers_strangers;
            world.kill_turn(0);
            assert!(!world.turn.server(0).is_alive());
            // What was on its way.
            world.run_for(Duration::from_millis(50));
            let before = heard(&world, pair);
            world.run_for(Duration::from_secs(3));
            assert_eq!(heard(&world, pair), before);
            let restarted = world.clock();
            world.restart_turn(0);
            world.run_for(Duration::from_secs(5));
            let codes = errors(&world, (0, pair.caller), restarted);
            // Each side deletes the allocation that it had before, which this server has never made.
            if answers_strangers {
                assert!(codes.contains(&437), "{codes:?}");
            } else {
                assert!(!codes.contains(&437), "{codes:?}");
            }
            assert_eq!(world.turn.relays(), 2);
            world.hang_up(pair.alice);
            world.run_until_quiet(Duration::from_secs(5));
            assert_eq!(world.turn.relays(), 0);
        }
    }

    #[test]
    fn an_engine_that_is_cut_off_hears_nothing_until_it_is_mended() {
        let (mut world, pair) = two_servers(4);
        world.call(pair);
        world.cut_off(pair.caller, Endpoint::Turn(1));
        world.run_for(Duration::from_secs(1));
        let before = heard(&world, pair);
        world.cut_off(pair.caller, Endpoint::Turn(0));
        world.run_for(Duration::from_secs(3));
        let gap = heard(&world, pair);
        assert!(gap[0] - before[0] < 5 && gap[1] - before[1] < 5);
        world.mend(pair.caller, Endpoint::Turn(0));
        world.run_for(Duration::from_secs(3));
        let after = heard(&world, pair);
        assert!(after[0] - gap[0] > 140 && after[1] - gap[1] > 140);
    }

    #[test]
    fn an_engine_that_is_unplugged_can_neither_call_nor_be_called_and_is_back_when_it_is_plugged_in()
     {
        let (mut world, pair) = World::of_two(5);
        world.unplug(pair.caller);
        world.dial(pair.alice, world.number(pair.callee, 0));
        world.run_for(Duration::from_secs(6));
        assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoMedia)));
        assert_eq!(world.relay.passed().len(), 0);
        world.plug_in(pair.caller);
        world.run_until("connected", Duration::from_secs(2), |world| {
            world.is_connected(pair.caller)
        });
        world.call(pair);
    }

    /// The first packets after it come from other ports: the server takes them for those of a stranger.
    #[test]
    fn a_translator_that_forgets_gives_a_socket_another_port() {
        let (mut world, pair) = World::of_two(6);
        world.call(pair);
        world.forget_mappings(pair.caller);
        world.run_for(Duration::from_millis(100));
        let before = heard(&world, pair);
        world.run_for(Duration::from_millis(700));
        assert_eq!(heard(&world, pair), before);
        assert_eq!(world.turn.relays(), 2);
    }

    #[test]
    fn an_engine_with_another_address_sends_nothing_from_the_old_one_and_calls_from_the_new() {
        let (mut world, pair) = World::of_two(7);
        world.call(pair);
        let [lan, old] = world.host(pair.caller).addresses()[..] else {
            panic!("one in the LAN, and one at the provider");
        };
        world.change_address(pair.caller);
        let addresses = world.host(pair.caller).addresses();
        assert!(addresses.len() == 3 && addresses[..2] == [lan, old]);
        world.run_for(Duration::from_millis(100));
        let before = heard(&world, pair);
        world.run_for(Duration::from_millis(700));
        assert_eq!(heard(&world, pair), before);
        world.hang_up(pair.alice);
        world.hang_up(pair.bob);
        world.run_for(Duration::from_secs(5));
        world.call(pair);
        let mapped = world.trace().iter().rev().find_map(|packet| {
            let is_its = packet.to == Endpoint::Engine(pair.caller);
            let stun = Stun::read(&packet.bytes).filter(|_| is_its)?;
            let mut addresses = stun.addresses().into_iter();
            addresses.find(|address| address.ip() == world.host(pair.caller).addresses()[2])
        });
        assert!(mapped.is_some(), "the server saw the new address");
    }

    #[test]
    fn a_restarted_relay_has_lost_its_subscriptions_and_gets_them_and_what_waited_again() {
        let (mut world, pair) = World::of_two(8);
        world.restart_relay(Duration::from_secs(3));
        world.dial(pair.alice, world.number(pair.callee, 0));
        world.run_for(Duration::from_millis(2_900));
        assert!(!world.is_connected(pair.caller) && !world.is_connected(pair.callee));
        assert!(!world.handset(pair.bob).is_ringing());
        world.run_until("rings", Duration::from_secs(3), |world| {
            world.handset(pair.bob).is_ringing()
        });
        assert!(world.is_connected(pair.caller) && world.is_connected(pair.callee));
    }

    #[test]
    fn a_relay_that_does_not_come_back_takes_nothing_and_no_one_is_rung_later() {
        let (mut world, pair) = World::of_two(9);
        world.restart_relay(Duration::from_secs(40));
        world.dial(pair.alice, world.number(pair.callee, 0));
        world.run_until("refused", Duration::from_secs(12), |world| {
            let events = world.handset(pair.alice).events();
            events.contains(&&HandsetEvent::Refused(503))
        });
        assert!(world.has_reached(pair.caller, CallStep::Ended(EndReason::NoRelay)));
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.relay.passed().len(), 0);
        assert!(world.is_connected(pair.callee));
        world.call(pair);
    }
}
