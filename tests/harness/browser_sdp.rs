//! Converts a [`Description`] to the SDP that a browser expects (RFC 8829, 8839, 8843), and back.
//!
//! Engines never exchange SDP; a browser needs it. It has one audio section and one data section in one bundle. Only the needed
//! lines are parsed and the rest is trusted, since the test's own browser writes it.

use std::{fmt::Write as _, net::SocketAddr};

use ringfence_media::{Codec, Description};

/// Whether the description is an offer or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The controlling ICE agent. An engine that is called is the DTLS client as well.
    Offer,
    /// The controlled ICE agent. An engine that calls is the DTLS server.
    Answer,
}

/// Writes SDP for the browser's `setRemoteDescription`.
pub fn write(description: &Description, side: Side) -> String {
    let types: Vec<_> = description
        .codecs
        .iter()
        .map(|codec| codec.far_payload_type().to_string())
        .collect();
    let mut sdp =
        String::from("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n");
    let mut line = |text: String| write!(sdp, "{text}\r\n").expect("a string can always grow");
    line(format!("m=audio 9 UDP/TLS/RTP/SAVPF {}", types.join(" ")));
    for common in transport(description, side, 0) {
        line(common);
    }
    line("a=sendrecv".into());
    line("a=rtcp-mux".into());
    for codec in &description.codecs {
        line(format!(
            "a=rtpmap:{} {}",
            codec.far_payload_type(),
            codec.rtpmap()
        ));
    }
    line("a=msid:- sound".into());
    line(format!("a=ssrc:{} cname:-", description.ssrc));
    line("m=application 9 UDP/DTLS/SCTP webrtc-datachannel".into());
    for common in transport(description, side, 1) {
        line(common);
    }
    line("a=sctp-port:5000".into());
    sdp
}

fn transport(description: &Description, side: Side, mid: u8) -> Vec<String> {
    let fingerprint: Vec<_> = description
        .fingerprint
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let mut lines = vec![
        "c=IN IP4 0.0.0.0".to_owned(),
        format!("a=mid:{mid}"),
        format!("a=ice-ufrag:{}", description.ufrag),
        format!("a=ice-pwd:{}", description.pwd),
        format!("a=fingerprint:sha-256 {}", fingerprint.join(":")),
        format!(
            "a=setup:{}",
            if side == Side::Offer {
                "active"
            } else {
                "passive"
            }
        ),
    ];
    for (place, relay) in description.relayed_addresses.iter().enumerate() {
        let (ip, port) = (relay.ip(), relay.port());
        lines.push(format!(
            "a=candidate:{place} 1 udp {} {ip} {port} typ relay raddr 0.0.0.0 rport 0",
            16_777_215 - place
        ));
    }
    lines
}

/// Parses the browser's SDP.
///
/// # Panics
/// When a line that a call needs is missing.
pub fn read(sdp: &str) -> Description {
    let values = |name: &'static str| {
        sdp.lines()
            .filter_map(move |line| line.strip_prefix("a=")?.strip_prefix(name))
    };
    let first = |name: &'static str| {
        values(name)
            .next()
            .unwrap_or_else(|| panic!("the browser wrote no a={name}"))
    };
    let fingerprint: Vec<u8> = first("fingerprint:sha-256 ")
        .split(':')
        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    let mut relays: Vec<_> = values("candidate:").filter_map(relay).collect();
    relays.dedup();
    Description {
        ufrag: first("ice-ufrag:").to_owned(),
        pwd: first("ice-pwd:").to_owned(),
        fingerprint: fingerprint.try_into().expect("SHA-256 has 32 bytes"),
        ssrc: first("ssrc:")
            .split(' ')
            .next()
            .and_then(|ssrc| ssrc.parse().ok())
            .expect("an SSRC is a number"),
        relayed_addresses: relays,
        codecs: codecs(sdp),
        video: None,
    }
}

/// The address of a relay candidate; `None` for other candidates.
fn relay(candidate: &str) -> Option<SocketAddr> {
    let words: Vec<_> = candidate.split(' ').collect();
    let &[_, "1", "udp", _, ip, port, "typ", "relay", ..] = words.as_slice() else {
        return None;
    };
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

fn codecs(sdp: &str) -> Vec<Codec> {
    let audio = sdp.lines().find_map(|line| {
        line.strip_prefix("m=audio 9 UDP/TLS/RTP/SAVPF ")
            .or(line.strip_prefix("m=audio "))
    });
    let types = audio
        .unwrap_or_default()
        .split(' ')
        .filter_map(|payload_type| payload_type.parse().ok());
    types.filter_map(Codec::from_far_payload_type).collect()
}
