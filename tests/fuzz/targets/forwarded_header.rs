//! Any forwarding header of a proxy: only trusted proxies are believed, and of several lines the last counts.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use ringfence_daemon::forwarded::ForwardedHeader;

fuzz_target!(|text: &str| {
    let peer = IpAddr::from([10, 0, 0, 1]);
    for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        let lines = || text.lines();
        assert_eq!(header.visitor(peer, lines(), |_| false), peer);
        let _ = header.visitor(peer, lines(), |_| true);
        let nearest = match header {
            ForwardedHeader::XForwardedFor => "192.0.2.1",
            ForwardedHeader::Forwarded => "for=192.0.2.1",
        };
        let seen = header.visitor(peer, lines().chain([nearest]), |address| address == peer);
        assert_eq!(seen, IpAddr::from([192, 0, 2, 1]));
    }
});
