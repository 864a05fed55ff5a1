//! Any messages in any order with any times between them: the agent never panics, and what it sends is valid SIP.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use ringfence_sip::message::parse;
use ringfence_sip::{
    Account, Algorithms, Config, Flow, Output, Password, Transport, User, UserAgent,
};

fuzz_target!(|script: Vec<(u16, &[u8])>| {
    let config = Config {
        realm: "fuzz".into(),
        accounts: vec![Account {
            user: User::new("alice"),
            password: Password::new("secret"),
        }],
        algorithms: Algorithms::default(),
    };
    let flow = Flow {
        transport: Transport::Udp,
        local: ([127, 0, 0, 1], 5060).into(),
        peer: ([127, 0, 0, 1], 5062).into(),
        connection: 0,
    };
    let mut agent = UserAgent::new(config, [7; 32]);
    let mut now = Instant::now();
    for (wait, bytes) in script {
        agent.handle_packet(flow, bytes, now);
        now += Duration::from_millis(u64::from(wait));
        agent.handle_timeout(now);
        while let Some(output) = agent.poll() {
            if let Output::Send { bytes, .. } = output {
                assert!(parse(&bytes).is_ok(), "what we send must be readable");
            }
        }
    }
});
