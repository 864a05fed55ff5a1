//! The memory of a registered phone in the SIP core, with simulated time.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use ringfence_sip::client::{ClientOutput, PhoneClient, PhoneEvent};
use ringfence_sip::{
    Account, Algorithms, Config, Flow, Output, Password, Transport, User, UserAgent,
};

use crate::{
    process::Process,
    sip::phone,
    table::{self, row},
};

/// Lines, each with the maximum number of phones.
const LINES: usize = 256;
const PHONES: u16 = 8;
/// Time until all transactions have ended.
const EMPTY: Duration = Duration::from_secs(40);
const PASSWORD: &str = "password";

/// Measures, and prints the results.
pub(crate) fn measure() {
    let line: SocketAddr = (Ipv4Addr::LOCALHOST, 5_060).into();
    let users: Vec<String> = (0..LINES).map(|number| format!("{number}")).collect();
    let account = |user: &String| Account {
        user: User::new(user.clone()),
        password: Password::new(PASSWORD),
    };
    let config = Config {
        realm: "bench".into(),
        accounts: users.iter().map(account).collect(),
        algorithms: Algorithms::default(),
    };
    let mut agent = UserAgent::new(config, [7; 32]);
    let own = Process(std::process::id());
    let mut now = Instant::now();
    // The first round's memory, mainly for open transactions, is reused by later rounds.
    let mut before = None;
    for round in 0..PHONES {
        for (user, number) in users.iter().zip(0_u16..) {
            let port = 10_000 + round * 256 + number;
            let peer = (Ipv4Addr::LOCALHOST, port).into();
            let flow = Flow {
                transport: Transport::Udp,
                local: line,
                peer,
                connection: 0,
            };
            register_at(
                &mut agent,
                &mut phone(user, PASSWORD, line, peer),
                flow,
                now,
            );
        }
        now += EMPTY;
        while agent.next_timeout().is_some_and(|(at, _)| at <= now) {
            agent.handle_timeout(now);
        }
        before.get_or_insert_with(|| own.anonymous());
    }
    let more = own.anonymous().saturating_sub(before.unwrap_or_default());
    #[expect(
        clippy::cast_precision_loss,
        reason = "some megabytes, some thousand phones"
    )]
    let each = more as f64 / (LINES * usize::from(PHONES - 1)) as f64;
    table::print(
        "sip: memory of the SIP core",
        &[row!["kB/registered phone", format!("{each:.1}")]],
    );
}

/// Exchanges messages until the phone is registered.
fn register_at(agent: &mut UserAgent, phone: &mut PhoneClient, flow: Flow, now: Instant) {
    phone.register(now);
    loop {
        while let Some(say) = phone.poll() {
            match say {
                ClientOutput::Send(bytes) => agent.handle_packet(flow, &bytes, now),
                ClientOutput::Event(PhoneEvent::Registered) => return,
                ClientOutput::Event(event) => panic!("a phone hears {event:?}"),
            }
        }
        while let Some(output) = agent.poll() {
            if let Output::Send { bytes, .. } = output {
                phone.handle_packet(&bytes, now);
            }
        }
    }
}
