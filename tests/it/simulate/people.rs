//! What people do in a course, and how faults are brought about.

use std::time::Duration;

use ringfence_engine::{CallStep, sealed::envelope::VERSION};

use super::{
    course::{Course, Deed},
    faults::Fault,
    view::News,
};

impl Course {
    /// Who calls whom, and when.
    pub(super) fn plan_calls(&mut self) {
        let mut at = Duration::ZERO;
        for _ in 0..1 + self.draw.below(4) {
            at += self.draw.span(50, 2_000);
            let caller = self.draw.below(self.view.phones.len());
            let phones = self.view.phones.iter().enumerate();
            let others =
                phones.filter(|(_, phone)| phone.engine != self.view.phones[caller].engine);
            let others: Vec<usize> = others.map(|(phone, _)| phone).collect();
            let callee = *self.draw.one_of(&others);
            let deed = match self.draw.chance(5) {
                true => Deed::DialNobody(caller),
                false => Deed::Dial(caller, callee),
            };
            self.plan(at, deed);
            if self.draw.chance(8) {
                // Both at once.
                let late = self.draw.span(0, 400);
                self.plan(at + late, Deed::Dial(callee, caller));
            }
            if self.draw.chance(20) {
                let late = self.draw.span(0, 25_000);
                self.plan(at + late, Deed::HangUp(caller));
            }
            at += self.draw.span(500, 30_000);
        }
    }

    /// What people do about it.
    pub(super) fn react(&mut self, news: News) {
        match news {
            News::Rings(phone) => {
                let (deed, longest) = match self.draw.below(20) {
                    0..=13 => (Deed::Answer(phone), 5_000),
                    14..=15 => (Deed::Decline(phone), 3_000),
                    16 => (Deed::Answer(phone), 35_000),
                    _ => return,
                };
                let after = self.draw.span(50, longest);
                self.plan(after, deed);
            }
            News::Talks(phone) if self.view.phones[phone].has_given_up => {
                self.plan(Duration::from_millis(300), Deed::HangUp(phone));
            }
            News::Talks(phone) => self.plan_talk(phone),
            News::Step(..) => self.note_rings(news),
        }
    }

    /// From a ring on, phones may ring.
    pub(super) fn note_rings(&mut self, news: News) {
        let News::Step(engine, CallStep::RingPosted) = news else {
            return;
        };
        let phones = self.view.phones.iter();
        for phone in phones.filter(|phone| phone.engine == engine) {
            let (caller, callee) = (phone.number.clone(), phone.peer.clone());
            self.promises.note_ring(caller, callee, self.world.clock());
        }
    }

    fn plan_talk(&mut self, phone: usize) {
        let longest = *self.draw.one_of(&[2_000, 8_000, 8_000, 30_000]);
        let talk = self.draw.span(20, longest);
        if self.draw.chance(80) {
            self.plan(talk, Deed::HangUp(phone));
        }
        if self.draw.chance(10) {
            let (hold, resume) = (self.draw.span(10, longest), self.draw.span(200, 9_000));
            self.plan(hold, Deed::Hold(phone, true));
            self.plan(hold + resume, Deed::Hold(phone, false));
        }
    }

    /// Does what is due.
    pub(super) fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Dial(phone, callee) => {
                let number = self.view.phones[callee].number.clone();
                self.dial(phone, number);
            }
            Deed::DialNobody(phone) => {
                let number = self.world.unassigned().to_string();
                self.dial(phone, number);
            }
            Deed::Answer(phone) if self.world.handset(phone).is_ringing() => {
                self.world.answer(phone);
            }
            Deed::Decline(phone) if self.world.handset(phone).is_ringing() => {
                self.world.decline(phone, 486);
            }
            Deed::HangUp(phone) => {
                self.view.phones[phone].has_given_up = !self.world.handset(phone).is_talking();
                self.world.hang_up(phone);
            }
            Deed::Hold(phone, is_held) if self.world.handset(phone).is_talking() => {
                self.view.phones[phone].is_held |= is_held;
                self.world.hold(phone, is_held);
            }
            Deed::Answer(_) | Deed::Decline(_) | Deed::Hold(..) => {}
            Deed::Break(index) => self.break_down(index),
            Deed::Mend(index) => self.mend(index),
        }
    }

    fn dial(&mut self, phone: usize, number: String) {
        if !self.world.handset(phone).is_free() {
            return;
        }
        let here = &mut self.view.phones[phone];
        here.peer.clone_from(&number);
        (here.is_held, here.has_given_up) = (false, false);
        let engine = here.engine;
        self.report.calls += 1;
        self.world.renew_credentials(engine);
        self.world.dial_digits(phone, &number);
    }

    fn break_down(&mut self, index: usize) {
        let planned = self.faults[index];
        let now = self.world.clock();
        *self.report.faults.entry(planned.fault.name()).or_default() += 1;
        self.changed = Some(now);
        if !planned.fault.is_instant() {
            self.active.push(index);
            if let Some(lasts) = planned.lasts {
                self.plan(lasts, Deed::Mend(index));
            }
        }
        match planned.fault {
            Fault::TurnDies(server) => self.world.kill_turn(server),
            Fault::AllTurnDie => self.kill_all_turn(),
            Fault::BoxReboots => {
                self.world
                    .restart_relay(planned.lasts.unwrap_or(Duration::from_secs(40)));
                self.kill_all_turn();
            }
            Fault::TurnRefuses(server, code) => {
                self.world.turn.server_mut(server).refuse_with(Some(code));
            }
            Fault::RelayAway => {
                self.world
                    .restart_relay(planned.lasts.unwrap_or(Duration::from_secs(90)));
            }
            Fault::RelayLate(delay) => self.world.links.relay.delay = delay,
            Fault::RelayLost(engine) => {
                let span = self.draw.span(0, 20_000);
                self.world.lose_relay_connection(engine, span);
            }
            Fault::CutOff(engine, end) => self.world.cut_off(engine, end),
            Fault::Unplugged(engine) => self.world.unplug(engine),
            Fault::AddressChanges(engine) => {
                self.world.change_address(engine);
                let span = self.draw.span(100, 17_000);
                self.world.lose_relay_connection(engine, span);
            }
            Fault::NatForgets(engine) => self.world.forget_mappings(engine),
            Fault::BadLinks(loss, delay) => self.spoil_links(loss, delay),
            Fault::BadLan => {
                self.world.links.sip.loss = 0.1;
                self.world.links.sip.jitter = Duration::from_millis(50);
            }
            Fault::ClockSet(engine, error) => {
                self.clock_errors.insert(engine, error);
                self.world.set_clock(engine, error);
            }
            Fault::EngineKilled(engine) => {
                self.world.kill(engine);
                self.view.note_killed(engine, now);
            }
            Fault::PhoneReboots(phone) => self.world.reboot(phone),
            Fault::StolenRing { keys, callee, age } => self.ring_as_thief(keys, callee, age),
            Fault::Junk => self.post_junk(),
            Fault::Replay => {
                let passed = self.world.relay.passed();
                let newest: Vec<_> = passed.iter().rev().take(20).cloned().collect();
                for (_, sealed) in newest {
                    self.world.repost(sealed);
                }
            }
        }
    }

    /// Ends a fault that lasts.
    fn mend(&mut self, index: usize) {
        if !self.active.contains(&index) {
            return;
        }
        self.active.retain(|active| *active != index);
        self.changed = Some(self.world.clock());
        match self.faults[index].fault {
            Fault::TurnDies(server) => self.world.restart_turn(server),
            Fault::AllTurnDie => self.restart_all_turn(),
            Fault::BoxReboots => {
                self.world.relay.is_down = false;
                self.restart_all_turn();
            }
            Fault::RelayAway => self.world.relay.is_down = false,
            Fault::TurnRefuses(server, _) => self.world.turn.server_mut(server).refuse_with(None),
            Fault::RelayLate(_) => self.world.links.relay = self.links.relay,
            Fault::CutOff(engine, end) => self.world.mend(engine, end),
            Fault::Unplugged(engine) => self.world.plug_in(engine),
            Fault::BadLinks(..) => {
                (self.world.links.turn, self.world.links.relayed) =
                    (self.links.turn, self.links.relayed);
            }
            Fault::BadLan => self.world.links.sip = self.links.sip,
            Fault::EngineKilled(engine) if self.world.host(engine).is_off() => {
                self.world.restart(engine);
                self.view.started.insert(engine, self.world.clock());
                self.world.renew_credentials(engine);
            }
            // A wrong clock stays wrong.
            _ => {}
        }
    }

    fn kill_all_turn(&mut self) {
        for server in 0..self.servers {
            self.world.kill_turn(server);
        }
    }

    fn restart_all_turn(&mut self) {
        for server in 0..self.servers {
            self.world.restart_turn(server);
        }
    }

    fn spoil_links(&mut self, loss: u32, delay: Duration) {
        let links = &mut self.world.links;
        for link in [&mut links.turn, &mut links.relayed] {
            link.delay += delay / 3;
            link.jitter = delay / 3;
            // Three links from engine to engine.
            link.loss = 0.01 * f64::from(loss) / 3.0;
            link.duplicates = 0.03;
        }
    }

    fn ring_as_thief(&mut self, keys: usize, callee: usize, age: Duration) {
        let rings = self.world.opened_rings();
        let media = match rings.last() {
            Some(ring) => ring.media().to_vec(),
            None => self.draw.bytes(60),
        };
        let number = self.world.number(callee, 0);
        let caller = self.world.number(keys, 0).to_string();
        let dated = self.world.clock().saturating_sub(age);
        self.promises.note_ring(caller, number.to_string(), dated);
        let date = self.world.wall().before(age);
        self.world.ring_with_keys_of(keys, number, &media, date);
    }

    fn post_junk(&mut self) {
        for _ in 0..5 {
            let mut bytes = self.draw.bytes(1_024);
            bytes[0] = VERSION;
            self.world.post_as_attacker(0, bytes);
        }
    }
}
