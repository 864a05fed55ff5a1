//! Any messages in any order with any times between them, from phones or out of the file that outlives the process: the agent never
//! panics, and what it sends is valid SIP.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use ringfence_sip::message::parse;
use ringfence_sip::{
    Account, Algorithms, Config, FinalMessage, Flow, Output, Password, SavedBinding, Transport,
    User, UserAgent,
};

/// The file that outlives the process has these bytes.
fn restore(agent: &mut UserAgent, flow: Flow, bytes: &[u8], now: Instant) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let message = FinalMessage {
        user: User::new("alice"),
        flow,
        contact: "sip:alice@127.0.0.1:5062".into(),
        instance: None,
        bytes: bytes.to_vec(),
    };
    let binding = SavedBinding {
        user: User::new("alice"),
        local: flow.local,
        peer: flow.peer,
        contact: text.clone(),
        instance: Some(text.clone()),
        call_id: text,
        number: 1,
        packages: Vec::new(),
        refuses_unsolicited: false,
        remaining: Duration::from_secs(60),
    };
    agent.send_final_messages(vec![message], now);
    agent.restore_bindings(vec![binding], now);
}

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
        if wait & 1 == 0 {
            agent.handle_packet(flow, bytes, now);
        } else {
            restore(&mut agent, flow, bytes, now);
        }
        now += Duration::from_millis(u64::from(wait));
        agent.handle_timeout(now);
        while let Some(output) = agent.poll() {
            if let Output::Send { bytes, .. } = output {
                assert!(parse(&bytes).is_ok(), "what we send must be readable");
            }
        }
    }
});
