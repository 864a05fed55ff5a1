//! How long a caller waits: from INVITE to ringing at the callee's phone, and from the answer to audio in both directions.
//!
//! The first is compared with the relay's own time for an event of the same size between two connections of the same library,
//! measured in turns: the engines cannot be faster than that.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use ringfence::net::{
    outbound::Outbound,
    relay::{EventSigningKey, OutgoingEvent, RelayInbox, Relays},
    tls,
};
use ringfence_book::nostr_event::ENVELOPE_BYTES;
use ringfence_tests::deployment::Deployment;
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    Plan,
    flow::{End, PACKET_TIME},
    phone_bank::{self, PhoneBank},
    table::{self, Rounds, row},
};

/// The interval between two calls, in which engines replenish proofs of work and warm allocations, as they do in use.
const PAUSE: Duration = Duration::from_millis(1_000);
/// How long a step may take.
const STEP: Duration = Duration::from_secs(10);

/// Two connections to the relay, as engines have them.
pub(crate) struct Post {
    runtime: Runtime,
    sender: Relays,
    _listener: Relays,
    incoming: RelayInbox,
}

/// Measures, and prints the results.
pub(crate) fn measure(pair: &Deployment, plan: &Plan) {
    let mut phones = [0, 1].map(|engine| PhoneBank::open(&pair.lines_of(engine)));
    let mut post = Post::open(&pair.relay());
    let (mut ringing, mut delivery, mut over, mut sound) = (
        Rounds::default(),
        Rounds::default(),
        Rounds::default(),
        Rounds::default(),
    );
    let quarter = plan.setups.div_ceil(4);
    let (mut first, mut last) = (Rounds::default(), Rounds::default());
    for done in 0..plan.setups {
        thread::sleep(PAUSE);
        let delivered = millis(post.deliver());
        let [from, to] = &mut phones;
        let mut ends = [End::open(), End::open()];
        let call = phone_bank::call(from, to, ends.each_ref().map(End::socket));
        let until_sound = millis(first_sound(&mut ends, call.answered));
        sound.push(until_sound);
        if done < quarter {
            first.push(until_sound);
        }
        if done + quarter >= plan.setups {
            last.push(until_sound);
        }
        phone_bank::hang_up(from, to, &call);
        ringing.push(millis(call.ringing));
        delivery.push(delivered);
        over.push(millis(call.ringing) - delivered);
    }
    let line = |name: &str, rounds: &Rounds| {
        row![
            name,
            rounds.shown(),
            format!("{:.1}", rounds.quantile(0.99))
        ]
    };
    table::print(
        &format!("setup: {} calls, ms", plan.setups),
        &[
            row!["from - to", "median (least-most)", "p99"],
            line("INVITE - callee's phone rings", &ringing),
            line("the relay alone", &delivery),
            line("difference", &over),
            line("answer - sound both ways", &sound),
            line("of it the first quarter", &first),
            line("of it the last quarter", &last),
        ],
    );
}

impl Post {
    /// Connects.
    pub(crate) fn open(url: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        // A separate bucket, to which the engines are not subscribed.
        let connect = || async {
            let trusted = tls::client(None).expect("the compiled-in roots parse");
            let outbound = Outbound::new(trusted, None);
            let relays = Relays::connect(&[url.to_owned()], 1, &BTreeSet::from([1]), &outbound);
            let (relays, incoming) = relays.expect("the relay's URL is good");
            let mut state = relays.state();
            let listening = state.wait_for(|state| state.listening == 1);
            timeout(STEP, listening)
                .await
                .expect("the relay listens")
                .expect("it stays");
            (relays, incoming)
        };
        let (sender, (listener, incoming)) =
            runtime.block_on(async { (connect().await.0, connect().await) });
        Self {
            runtime,
            sender,
            _listener: listener,
            incoming,
        }
    }

    /// How long the relay takes for an event.
    pub(crate) fn deliver(&mut self) -> Duration {
        let letter = OutgoingEvent {
            key: EventSigningKey::generate(),
            work_nonce: 0,
            bucket: 1,
            bytes: vec![7; ENVELOPE_BYTES],
            is_note: false,
        };
        let start = Instant::now();
        self.runtime.block_on(async {
            let (sent, arrived) = tokio::join!(self.sender.publish(letter), async {
                timeout(STEP, self.incoming.recv())
                    .await
                    .expect("the relay delivers")
                    .expect("it stays");
                start.elapsed()
            });
            sent.expect("the relay takes it");
            arrived
        })
    }
}

/// From the answer to the later of the two first packets. Both phones send as soon as they have a destination.
fn first_sound(ends: &mut [End; 2], answered: Duration) -> Duration {
    let mut received = [None, None];
    let mut due = Instant::now();
    phone_bank::wait("sound both ways", || {
        if due <= Instant::now() {
            due += PACKET_TIME;
            for end in ends.iter_mut() {
                end.send(0);
            }
        }
        for (end, received) in ends.iter().zip(&mut received) {
            if let Ok(Some(time_stamp)) = end.receive() {
                received.get_or_insert(time_stamp.arrived);
            }
        }
        Some(received[0]?.max(received[1]?).saturating_sub(answered))
    })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
