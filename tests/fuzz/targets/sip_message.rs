//! Any datagram: parsing never panics, the serialisation of a parsed message parses to the same message, and the user agent takes it (which
//! reads what `parse` leaves unread: bodies of several parts, Contacts, credentials).

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use ringfence_sip::message::parse;
use ringfence_sip::{Algorithms, Config, Flow, Transport, UserAgent};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = parse(bytes) {
        let printed = message.to_bytes();
        assert!(parse(&printed).is_ok(), "what we print must be readable");
        let config = Config {
            realm: "fuzz".into(),
            accounts: Vec::new(),
            algorithms: Algorithms::default(),
        };
        let flow = Flow {
            transport: Transport::Udp,
            local: ([127, 0, 0, 1], 5060).into(),
            peer: ([127, 0, 0, 1], 5062).into(),
            connection: 0,
        };
        UserAgent::new(config, [7; 32]).handle_packet(flow, bytes, Instant::now());
    }
});
