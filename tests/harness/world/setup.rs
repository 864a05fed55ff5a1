//! How a world is set up and changed: engines with their lines, phones, the phone book's copies, machines that are switched off.

use std::{net::SocketAddr, time::Duration};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use ringfence_book::{Day, Fetched, Root};
use ringfence_engine::{
    Config, Engine, Line, line::identity::Identity, line::saved_state::SavedState,
    sealed::bucket::bucket, trust::directory::Directory,
};
use ringfence_media::Srtp;
use ringfence_sip::{Account, CallLimits, Password, User};

use super::{
    World,
    audio::SoundChange,
    engine_host::{EngineHost, LineSecrets, WORK_BITS},
    handset::{Handset, HandsetBehaviour, HandsetConfig, HandsetEvent},
    links::lan_address,
};
use crate::tone;

/// TURN credentials that an engine has in advance: more than any test has calls.
const CREDENTIALS: usize = 64;

/// Two parties who can call each other. Engines and phones are named by their indices in the world.
#[derive(Clone, Copy, Debug)]
pub struct CallPair {
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
    pub fn of_two(seed: u64) -> (Self, CallPair) {
        let mut world = Self::new(seed);
        let (caller, callee) = (world.open_engine(1), world.open_engine(1));
        let (alice, bob) = (world.add_phone(caller, 0), world.add_phone(callee, 0));
        let pair = CallPair {
            caller,
            callee,
            alice,
            bob,
        };
        (world, pair)
    }

    /// Opens an engine with this many lines. Their keys are generated, their codes issued and activated, and every engine updates
    /// its copy of the book.
    pub fn open_engine(&mut self, lines: usize) -> usize {
        self.open(lines, true, Srtp::default())
    }

    /// The same, with another SRTP setting towards its phones.
    pub fn open_engine_with(&mut self, lines: usize, srtp: Srtp) -> usize {
        self.open(lines, true, srtp)
    }

    /// The same, but the book has not ended the epoch in which the lines were activated.
    pub fn open_engine_early(&mut self, lines: usize) -> usize {
        self.open(lines, false, Srtp::default())
    }

    fn open(&mut self, lines: usize, is_listed: bool, srtp: Srtp) -> usize {
        let index = self.hosts.len();
        let mut rng = ChaCha20Rng::seed_from_u64(self.rng.next_u64());
        let (mut own, mut cards) = (Vec::new(), Vec::new());
        for line in 0..lines {
            let identity = Identity::generate(&mut rng);
            let number = self.phone_book.activate(&identity, self.wall().seconds());
            let user = format!("nightingale-{index}-{line}");
            let password = Password::new(format!("hush-{index}-{line}"));
            self.relay.subscribe(index, bucket(&identity.key(), 0));
            cards.push(LineSecrets {
                number,
                user: user.clone(),
                password: password.clone(),
                identity: identity.to_bytes(),
            });
            own.push(Line {
                number,
                identity,
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
            emergency_numbers: self.emergency_numbers.clone(),
            ..Config::default()
        };
        let limits = |most| CallLimits {
            calls: most,
            calls_per_line: most,
        };
        let config = Config {
            max_calls: self.most_calls.unwrap_or(config.max_calls),
            phone_calls: self.most_calls.map_or(config.phone_calls, limits),
            ..config
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
        let mut host = EngineHost::new(engine, copy, (cards, index), rng);
        let servers = 0..self.turn.count();
        host.turn_servers = servers
            .map(|number| self.turn.server(number).address())
            .collect();
        self.hosts.push(host);
        self.renew_credentials(index);
        self.renew_books();
        self.drain();
        index
    }

    /// Gives an engine TURN credentials of now, as its shell fetches them ahead of calls.
    pub fn renew_credentials(&mut self, engine: usize) {
        let unix = self.wall().seconds();
        let pairs = (0..CREDENTIALS).map(|_| self.turn.credentials(unix, &mut self.rng));
        self.hosts[engine].credentials = pairs.collect();
    }

    /// Every engine updates its copy of the book.
    pub fn renew_books(&mut self) {
        for engine in 0..self.hosts.len() {
            self.renew_book_of(engine);
        }
    }

    /// One engine updates its copy of the book.
    pub fn renew_book_of(&mut self, engine: usize) {
        self.touched.insert(engine);
        let host = &mut self.hosts[engine];
        if let Some(fetched) = self.phone_book.download(Some(host.book.clone())) {
            let directory = Directory::of(&fetched.copy, fetched.roots);
            host.book = fetched.copy;
            host.engine.handle_directory(directory);
        }
    }

    /// Gives a line a new ring key, and the book ends an epoch with it.
    ///
    /// # Panics
    /// When the engine has no such line.
    pub fn publish_ring_key(&mut self, engine: usize, line: usize) {
        let (today, unix) = (self.wall().day(), self.wall().seconds());
        let secrets = &mut self.hosts[engine].lines[line];
        let mut identity = secrets.identity();
        identity.prepare(None, &mut self.rng);
        self.phone_book.rotate(secrets.number, &identity);
        identity.promote(today);
        secrets.identity = identity.to_bytes();
        let number = secrets.number;
        let taken = self
            .host_mut(engine)
            .engine
            .handle_identity(number, identity);
        taken.expect("it is the line's own identity");
        self.phone_book.close_epoch(unix);
    }

    /// Gives a line a new ring key. Returns the line's keys afterwards.
    ///
    /// # Panics
    /// When the engine has no such line.
    pub fn renew_ring_key(&mut self, engine: usize, line: usize, today: Day) -> Identity {
        self.touched.insert(engine);
        let host = &mut self.hosts[engine];
        let secrets = &mut host.lines[line];
        let mut identity = secrets.identity();
        identity.renew(today, &mut self.rng);
        secrets.identity = identity.to_bytes();
        let taken = host
            .engine
            .handle_identity(secrets.number, secrets.identity());
        taken.expect("it is the line's own identity");
        identity
    }

    /// Adds a phone to a line of an engine and runs until it is registered.
    ///
    /// # Panics
    /// When it is not registered within a minute.
    pub fn add_phone(&mut self, engine: usize, line: usize) -> usize {
        let index = self.handsets.len();
        let address = lan_address(
            engine,
            u8::try_from(100 + index).expect("a world has few phones"),
        );
        let host = &self.hosts[engine];
        let config = HandsetConfig {
            user: host.lines[line].user.clone(),
            password: host.lines[line].password.clone(),
            server: host.sip(),
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
        let mut handset = Handset::new(config, seed);
        handset.register(self.now);
        self.handsets.push((handset, engine));
        self.drain();
        self.run_until("a phone is registered", Duration::from_secs(60), |world| {
            world
                .handset(index)
                .time_of(&HandsetEvent::Registered)
                .is_some()
        });
        index
    }

    /// A phone sends its sound in packets of 120 ms from now on, for tests that want to know that it is heard, and not how it sounds: most of
    /// what a simulated call costs is packets of sound, and frames are as many.
    pub fn thin_sound(&mut self, phone: usize) {
        self.with_handset(phone, |handset, _| handset.thin_sound());
    }

    /// A phone changes something of the sound that it sends.
    pub fn change_sound(&mut self, phone: usize, change: SoundChange) {
        self.with_handset(phone, |handset, _| handset.change_sound(change));
    }

    /// A phone sends sound before it has answered, or after the call.
    pub fn speak_out_of_turn(&mut self, phone: usize) {
        self.with_handset(phone, |handset, now| handset.speak_out_of_turn(now));
    }

    /// Gives a phone a camera that offers VP8 under this payload type.
    pub fn give_camera(&mut self, phone: usize, payload_type: u8) {
        self.with_handset(phone, |handset, _| handset.give_camera(payload_type));
    }

    /// Kills an engine: what was not saved is lost, and its sockets are gone.
    pub fn kill(&mut self, engine: usize) {
        self.host_mut(engine).kill();
    }

    /// Starts a killed engine again, with the saved state, and fetches what the relay stored. Its phones do nothing.
    pub fn restart(&mut self, engine: usize) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let moment = (self.wall(), self.now);
        let (key, host) = (self.phone_book.key(), &mut self.hosts[engine]);
        let lines = host.lines.iter().map(|secrets| Line {
            number: secrets.number,
            identity: secrets.identity(),
            account: Account {
                user: User::new(secrets.user.clone()),
                password: secrets.password.clone(),
            },
        });
        let config = Config {
            work_bits: WORK_BITS,
            ..Config::default()
        };
        let directory = Directory::of(&host.book, Vec::<Root>::new());
        let mut fresh = Engine::new(config, lines.collect(), key, directory, seed, moment);
        fresh.handle_contacts(host.contacts.clone(), 0, self.now);
        fresh.handle_saved_state(host.saved_state.0.clone());
        fresh.handle_restart_state(host.restart.0.clone(), self.now);
        host.start(fresh);
        self.fetch_notes(engine);
        self.drain();
    }

    /// Starts an engine again with another saved state than its last one: a backup.
    pub fn restart_with(&mut self, engine: usize, saved_state: SavedState) {
        self.kill(engine);
        self.hosts[engine].saved_state.0 = saved_state;
        self.restart(engine);
    }

    /// Kills an engine, and starts it again later.
    pub fn kill_for(&mut self, engine: usize, span: Duration) {
        self.kill(engine);
        self.run_for(span);
        self.restart(engine);
    }

    /// Switches an engine's machine off. State that was not saved is lost.
    pub fn switch_off(&mut self, engine: usize) {
        self.kill(engine);
    }

    /// Switches a machine on again. Its engine starts with the saved state and fetches what the relay stored; its phones
    /// register.
    pub fn switch_on(&mut self, engine: usize) {
        self.restart(engine);
        let now = self.now;
        for (handset, _) in self.handsets.iter_mut().filter(|(_, home)| *home == engine) {
            handset.register(now);
        }
        self.drain();
    }

    /// Puts a machine to sleep for this long, while the others live. No timer of its engine runs on.
    pub fn sleep(&mut self, engine: usize, span: Duration) {
        self.host_mut(engine).is_off = true;
        self.run_for(span);
        self.host_mut(engine).wake(span);
        for engine in 0..self.hosts.len() {
            self.renew_credentials(engine);
        }
    }

    /// Changes how a phone behaves from now on.
    pub fn set_behaviour(&mut self, phone: usize, behaviour: HandsetBehaviour) {
        self.with_handset(phone, |handset, _| handset.set_behaviour(behaviour));
    }

    /// Shuts an engine down, which ends its calls.
    pub fn shut_down(&mut self, engine: usize) {
        if let Some(now) = self.clock_of(engine) {
            self.hosts[engine].engine.shut_down(now);
        }
        self.drain();
    }

    /// Disconnects an engine from the relay.
    pub fn disconnect(&mut self, engine: usize) {
        self.relay.unsubscribe(engine);
    }

    /// Takes all TURN credentials from an engine.
    pub fn take_credentials(&mut self, engine: usize) {
        self.hosts[engine].credentials.clear();
    }
}
