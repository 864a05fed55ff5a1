//! What people do in the world: they open engines, plug phones in, dial, pick up, hang up, pull plugs.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_engine::{
    Config, Engine, Line, Step,
    bucket::bucket,
    contacts::Contacts,
    directory::Directory,
    identity::Identity,
    wish::{Wish, WishFault},
};
use ringfence_media::Srtp;
use ringfence_phonebook::{Day, Fetched, Number, book::LISTING_VALID_UNTIL};
use ringfence_sip::{Account, Password, User};

use super::{
    World,
    book::new_identity,
    engine_host::{LineCard, Seat, WORK_BITS},
    handset::{Card, Handset, Make, Notice},
    links::in_house,
};
use crate::tone;

/// TURN credentials that an engine fetches ahead: more than any test has calls.
const CREDENTIALS: usize = 64;

/// Two people who can call each other: engines and phones by their indices in the world.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The caller's engine.
    pub caller: usize,
    /// The callee's engine.
    pub callee: usize,
    /// The caller's phone.
    pub alice: usize,
    /// The callee's phone.
    pub bob: usize,
}

impl World {
    /// Two engines with a line and a phone each.
    pub fn of_two(seed: u64) -> (Self, Pair) {
        let mut world = Self::new(seed);
        let (caller, callee) = (world.open_engine(1), world.open_engine(1));
        let (alice, bob) = (world.plug_in(caller, 0), world.plug_in(callee, 0));
        let pair = Pair {
            caller,
            callee,
            alice,
            bob,
        };
        (world, pair)
    }

    /// Alice dials Bob, and his phone rings.
    pub fn ring(&mut self, pair: Pair) {
        self.dial(pair.alice, self.number(pair.callee, 0));
        self.run_until("the other phone rings", Duration::from_secs(20), |world| {
            world.handset(pair.bob).is_ringing()
        });
    }

    /// Alice calls Bob, he picks up, and both hear each other.
    pub fn call(&mut self, pair: Pair) {
        self.ring(pair);
        self.answer(pair.bob);
        self.run_until("both talk", Duration::from_secs(20), |world| {
            [pair.caller, pair.callee].into_iter().all(|engine| {
                world.has_taken(engine, Step::FirstSound)
                    && world.has_taken(engine, Step::ControlOpen)
            })
        });
    }

    /// Runs until no engine has a call, no relayed address is left, and nothing is on any wire.
    pub fn run_until_quiet(&mut self, limit: Duration) {
        self.run_until("nothing is left of any call", limit, |world| {
            world.is_silent()
                && world.turn.relays() == 0
                && world.seats.iter().all(|seat| seat.engine.is_idle())
        });
    }

    /// Opens an engine with some lines: keys are drawn, codes issued and activated, and every engine renews its copy of
    /// the book.
    pub fn open_engine(&mut self, lines: usize) -> usize {
        self.open(lines, true, Srtp::default())
    }

    /// The same, with another rule for the sound of its phones.
    pub fn open_engine_with(&mut self, lines: usize, srtp: Srtp) -> usize {
        self.open(lines, true, srtp)
    }

    /// The same, but the book has not ended the epoch in which the lines were activated.
    pub fn open_engine_early(&mut self, lines: usize) -> usize {
        self.open(lines, false, Srtp::default())
    }

    fn open(&mut self, lines: usize, is_listed: bool, srtp: Srtp) -> usize {
        let index = self.seats.len();
        let mut rng = ChaCha20Rng::seed_from_u64(self.rng.next_u64());
        let (mut own, mut cards) = (Vec::new(), Vec::new());
        for line in 0..lines {
            let identity = new_identity(&mut rng);
            let (number, binding) = self.phone_book.activate(&identity, self.wall().seconds());
            let user = format!("nightingale-{index}-{line}");
            let password = Password::new(format!("hush-{index}-{line}"));
            self.relay.subscribe(index, bucket(&identity.key(), 0));
            cards.push(LineCard {
                number,
                binding,
                user: user.clone(),
                password: password.clone(),
                identity: identity.to_bytes(),
            });
            own.push(Line {
                number,
                identity,
                binding,
                account: Account {
                    user: User::new(user),
                    password,
                },
            });
        }
        let config = Config {
            work_bits: WORK_BITS,
            srtp,
            video: self.video,
            ..Config::default()
        };
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        if is_listed {
            self.phone_book.close_epoch(self.wall().seconds());
        }
        let fetched = self.phone_book.download(None);
        let Fetched { copy, roots, .. } = fetched.expect("nothing of it was known");
        let engine = Engine::new(
            config,
            own,
            self.phone_book.key(),
            Directory::of(&copy, roots),
            seed,
            (self.wall(), self.now),
        );
        let mut seat = Seat::new(engine, copy, (cards, index), rng);
        for _ in 0..CREDENTIALS {
            let pair = self.turn.credentials(self.wall().seconds(), &mut self.rng);
            seat.credentials.push_back(pair);
        }
        self.seats.push(seat);
        self.renew_books();
        self.drain();
        index
    }

    /// Every engine downloads the book again.
    pub fn renew_books(&mut self) {
        for seat in &mut self.seats {
            let Some(fetched) = self.phone_book.download(Some(seat.book.clone())) else {
                continue;
            };
            let directory = Directory::of(&fetched.copy, fetched.roots);
            seat.book = fetched.copy;
            seat.engine.handle_directory(directory);
        }
    }

    /// A line draws a new ring key and goes on with it; the line's keys afterwards.
    ///
    /// # Panics
    /// When the engine has no such line.
    pub fn renew_ring_key(&mut self, engine: usize, line: usize, today: Day) -> Identity {
        let seat = &mut self.seats[engine];
        let card = &mut seat.lines[line];
        let mut identity = card.identity();
        identity.renew(LISTING_VALID_UNTIL, today, &mut self.rng);
        card.identity = identity.to_bytes();
        let taken = seat.engine.handle_identity(card.number, card.identity());
        taken.expect("it is the line's own identity");
        identity
    }

    /// The person at an engine edits the contacts, with a command beside it.
    pub fn edit_contacts(&mut self, engine: usize, edit: impl FnOnce(&mut Contacts)) {
        self.seats[engine].edit_contacts(self.now, edit);
        self.drain();
    }

    /// Somebody wants something of a line, at a screen.
    ///
    /// # Errors
    /// [`WishFault`].
    pub fn wish(&mut self, engine: usize, line: Number, wish: Wish) -> Result<(), WishFault> {
        let told = self.seats[engine].engine.handle_wish(line, wish, self.now);
        self.drain();
        told
    }

    /// Plugs a phone in at a line of an engine and waits until it is registered.
    ///
    /// # Panics
    /// When it is not registered within a minute.
    pub fn plug_in(&mut self, engine: usize, line: usize) -> usize {
        let index = self.handsets.len();
        let address = in_house(
            engine,
            u8::try_from(100 + index).expect("a world has few phones"),
        );
        let seat = &self.seats[engine];
        let card = Card {
            user: seat.lines[line].user.clone(),
            password: seat.lines[line].password.clone(),
            server: seat.sip(),
            address: SocketAddr::new(address, 5060),
            rtp: SocketAddr::new(address, 7078),
            hz: if index.is_multiple_of(2) {
                tone::LOW
            } else {
                tone::HIGH
            },
        };
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let mut handset = Handset::new(card, seed);
        handset.register(self.now);
        self.handsets.push((handset, engine));
        self.drain();
        self.run_until("a phone is registered", Duration::from_secs(60), |world| {
            world.handset(index).noticed(&Notice::Registered).is_some()
        });
        index
    }

    /// A phone gets a camera, which says VP8 under this number.
    pub fn give_camera(&mut self, phone: usize, payload_type: u8) {
        self.with_handset(phone, |handset, _| handset.give_camera(payload_type));
    }

    /// A phone has lost track of the other side's pictures, and says so.
    pub fn lose_track(&mut self, phone: usize) {
        self.with_handset(phone, |handset, _| handset.lose_track());
    }

    /// Takes the pictures out of the call, or into it again.
    pub fn turn_camera(&mut self, phone: usize, is_on: bool) {
        self.with_handset(phone, |handset, now| handset.turn_camera(is_on, now));
    }

    /// What the person at a phone does.
    pub fn dial(&mut self, phone: usize, number: Number) {
        self.dial_digits(phone, &number.to_string());
    }

    /// Dials whatever the person typed.
    pub fn dial_digits(&mut self, phone: usize, digits: &str) {
        self.with_handset(phone, |handset, now| handset.dial(digits, now));
    }

    /// Writes a text to a number.
    pub fn write(&mut self, phone: usize, to: Number, text: &str) {
        let plain = "text/plain;charset=UTF-8";
        self.write_as(phone, &to.to_string(), (plain, text.as_bytes()));
    }

    /// Writes whatever to whatever the person typed.
    pub fn write_as(&mut self, phone: usize, to: &str, written: (&str, &[u8])) {
        self.with_handset(phone, |handset, now| handset.write_text(to, written, now));
    }

    /// Watches an event package of somebody.
    pub fn watch(&mut self, phone: usize, package: &str, about: &str) {
        self.with_handset(phone, |handset, now| handset.watch(package, about, now));
    }

    /// From now on a phone answers texts with this status.
    pub fn answer_texts(&mut self, phone: usize, status: u16) {
        self.with_handset(phone, |handset, _| handset.answer_texts(status));
    }

    /// The machine of an engine is switched off: all that it has not saved is gone.
    pub fn switch_off(&mut self, engine: usize) {
        self.seats[engine].is_off = true;
    }

    /// A machine is switched on again: its engine starts with what was saved, fetches what relays kept, and its phones
    /// register.
    pub fn switch_on(&mut self, engine: usize) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let moment = (self.wall(), self.now);
        let (key, seat) = (self.phone_book.key(), &mut self.seats[engine]);
        let lines = seat.lines.iter().map(|card| Line {
            number: card.number,
            identity: card.identity(),
            binding: card.binding,
            account: Account {
                user: User::new(card.user.clone()),
                password: card.password.clone(),
            },
        });
        let config = Config {
            work_bits: WORK_BITS,
            ..Config::default()
        };
        let directory = Directory::of(&seat.book, Vec::new());
        let mut fresh = Engine::new(config, lines.collect(), key, directory, seed, moment);
        fresh.handle_contacts(seat.contacts.clone(), 0, self.now);
        fresh.handle_ledger(seat.ledger.0.clone());
        seat.engine = fresh;
        seat.is_off = false;
        self.fetch_notes(engine);
        let now = self.now;
        for (handset, _) in self.handsets.iter_mut().filter(|(_, home)| *home == engine) {
            handset.register(now);
        }
        self.drain();
    }

    /// Picks up.
    pub fn answer(&mut self, phone: usize) {
        self.with_handset(phone, Handset::answer);
    }

    /// Refuses with this status.
    pub fn decline(&mut self, phone: usize, status: u16) {
        self.with_handset(phone, |handset, now| handset.decline(status, now));
    }

    /// Puts the receiver down: gives up, refuses or hangs up, whatever fits.
    pub fn hang_up(&mut self, phone: usize) {
        self.with_handset(phone, Handset::hang_up);
    }

    /// Moves the phone's sound to another port in the running call.
    pub fn reinvite(&mut self, phone: usize, rtp: SocketAddr) {
        self.with_handset(phone, |handset, now| handset.reinvite(rtp, now));
    }

    /// From now on a phone is of another make.
    pub fn become_of_make(&mut self, phone: usize, make: Make) {
        self.with_handset(phone, |handset, _| handset.become_of_make(make));
    }

    /// Registers a phone again.
    pub fn register(&mut self, phone: usize) {
        self.with_handset(phone, Handset::register);
    }

    /// Holds the call, or takes it back.
    pub fn hold(&mut self, phone: usize, is_held: bool) {
        self.with_handset(phone, |handset, now| handset.hold(is_held, now));
    }

    /// Presses a key that the phone tells of by INFO.
    pub fn press(&mut self, phone: usize, key: char) {
        self.with_handset(phone, |handset, now| handset.press(key, now));
    }

    /// Presses a key that the phone tells of within its sound, by its event number.
    pub fn press_in_sound(&mut self, phone: usize, event: u8) {
        self.with_handset(phone, |handset, _| handset.press_in_sound(event));
    }

    /// Dials without an offer.
    pub fn dial_silently(&mut self, phone: usize, number: Number) {
        self.with_handset(phone, |handset, now| {
            handset.dial_silently(&number.to_string(), now);
        });
    }

    /// Hands the phone's call to a number.
    pub fn transfer(&mut self, phone: usize, digits: &str) {
        let to = format!("<sip:{digits}@{}>", self.handsets[phone].0.card().server);
        self.with_handset(phone, |handset, now| handset.refer(&to, now));
    }

    /// Hands the phone's call to whom another phone of this world talks to.
    pub fn transfer_to_call_of(&mut self, phone: usize, other: usize) {
        let replaces = self.handsets[other].0.replaces().expect("it is in a call");
        let replaces = replaces.replace(';', "%3B").replace('=', "%3D");
        let server = self.handsets[phone].0.card().server;
        let to = format!("<sip:1@{server}?Replaces={replaces}>");
        self.with_handset(phone, |handset, now| handset.refer(&to, now));
    }

    /// Takes over the call that another phone is in.
    pub fn take_over(&mut self, phone: usize, other: usize) {
        let replaces = self.handsets[other].0.replaces().expect("it is in a call");
        self.with_handset(phone, |handset, now| handset.take_over(&replaces, now));
    }

    fn with_handset(&mut self, phone: usize, act: impl FnOnce(&mut Handset, Instant)) {
        act(&mut self.handsets[phone].0, self.now);
        self.drain();
    }

    /// Ends an engine's calls as when its machine is told to stop.
    pub fn shut_down(&mut self, engine: usize) {
        let now = self.now;
        self.seats[engine].engine.shut_down(now);
        self.drain();
    }

    /// An engine no longer hears the relay.
    pub fn disconnect(&mut self, engine: usize) {
        self.relay.unsubscribe(engine);
    }

    /// An engine has no TURN credentials left.
    pub fn take_credentials(&mut self, engine: usize) {
        self.seats[engine].credentials.clear();
    }
}
