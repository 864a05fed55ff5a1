//! coturn's file of settings, written from a plan. Text only.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::super::addresses::DENIED;
use super::super::plan::TurnPlan;

/// The realm of its users. Names neither place nor operator.
const REALM: &str = "turn";

/// Seconds after which a client must prove itself with a new nonce (RFC 8489 section 9.2).
const NONCE_SECONDS: u32 = 600;

/// coturn sets an allocation's share of the capacity aside for each authenticated client, even if it then gets no allocation.
const RESERVE: u64 = 2;

/// The settings for a server that listens at `listen` and keeps its own files in `folder`.
pub(super) fn write(plan: &TurnPlan, listen: SocketAddr, folder: &Path) -> String {
    let limits = &plan.limits;
    let mut lines = vec![
        format!("listening-ip={}", listen.ip()),
        format!("listening-port={}", listen.port()),
        format!("relay-ip={}", listen.ip()),
        format!("realm={REALM}"),
        "use-auth-secret".to_owned(),
        format!("static-auth-secret={}", plan.secret.text()),
        "fingerprint".to_owned(),
        format!("stale-nonce={NONCE_SECONDS}"),
        format!("total-quota={}", limits.allocations),
        format!("user-quota={}", limits.allocations_per_user),
        format!("max-bps={}", limits.bytes_per_second),
        format!("bps-capacity={}", limits.capacity().saturating_mul(RESERVE)),
    ];
    if let Some(ports) = &plan.ports {
        lines.push(format!("min-port={}", ports.start()));
        lines.push(format!("max-port={}", ports.end()));
    }
    if let Some(external) = plan.external_ip {
        lines.push(format!("external-ip={external}/{}", listen.ip()));
    }
    if plan.allow_private {
        lines.push("allow-loopback-peers".to_owned());
    } else {
        lines.extend(DENIED.map(|(first, last)| format!("denied-peer-ip={first}-{last}")));
    }
    match &plan.tls {
        Some(tls) => lines.extend([
            format!("tls-listening-port={}", tls.listen.port()),
            format!("cert={}", tls.files.certificate.display()),
            format!("pkey={}", tls.files.key.display()),
        ]),
        None => lines.push("no-tls".to_owned()),
    }
    // No protocol but TURN over UDP, TCP and perhaps TLS, no user database, no log but the one that is read here.
    lines.extend(CLOSED.map(str::to_owned));
    lines.push(format!("userdb={}", folder.join("users").display()));
    lines.push(format!("pidfile={}", folder.join("pid").display()));
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").expect("a string takes all text");
    }
    text
}

const CLOSED: [&str; 8] = [
    "no-cli",
    "no-dtls",
    "no-tcp-relay",
    "no-multicast-peers",
    "no-rfc5780",
    "no-software-attribute",
    "log-file=stdout",
    "simple-log",
];

#[cfg(test)]
mod tests {
    use ringfence_book::turn_credentials::TurnSecret;
    use ringfence_daemon::tls::TlsFiles;

    use super::super::super::plan::TurnTls;
    use super::*;

    fn plan(allow_private: bool) -> TurnPlan {
        let listen = "198.51.100.1:3478".parse().unwrap();
        TurnPlan::new(listen, TurnSecret::new("north".into()), allow_private)
    }

    fn lines(plan: &TurnPlan) -> Vec<String> {
        let text = write(plan, plan.listen, Path::new("/folder"));
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_setting_that_excludes_other_clients_is_written() {
        let lines = lines(&plan(false));
        for wanted in [
            "listening-ip=198.51.100.1",
            "use-auth-secret",
            "static-auth-secret=north",
            "no-cli",
            "no-tcp-relay",
            "no-multicast-peers",
            "total-quota=800",
            "user-quota=16",
            "bps-capacity=416000000",
            "denied-peer-ip=10.0.0.0-10.255.255.255",
            "denied-peer-ip=127.0.0.0-127.255.255.255",
            "denied-peer-ip=169.254.0.0-169.254.255.255",
            "denied-peer-ip=100.64.0.0-100.127.255.255",
            "denied-peer-ip=::1-1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "denied-peer-ip=4000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(lines.contains(&wanted.to_owned()), "{wanted}: {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.starts_with("allow")));
    }

    #[test]
    fn the_example_for_a_machine_of_its_own_is_as_strict() {
        let example = include_str!("../../../../../examples/turnserver.conf");
        // It has TLS and a log of its own, and its own place and secret.
        let differ = [
            "listening-ip",
            "relay-ip",
            "static-auth-secret",
            "no-tls",
            "no-dtls",
            "log-file",
            "simple-log",
            "userdb",
            "pidfile",
        ];
        for line in lines(&plan(false)) {
            let name = line.split('=').next().unwrap();
            assert!(
                differ.contains(&name) || example.lines().any(|other| other == line),
                "{line}"
            );
        }
    }

    #[test]
    fn what_the_plan_leaves_open_is_left_out() {
        let closed = lines(&plan(true));
        assert!(!closed.iter().any(|line| line.starts_with("denied")));
        assert!(!closed.iter().any(|line| line.contains("port=5")));
        assert!(closed.contains(&"no-tls".to_owned()));
        let open = TurnPlan {
            tls: Some(TurnTls {
                listen: "198.51.100.1:5349".parse().unwrap(),
                files: TlsFiles {
                    certificate: "/chain.pem".into(),
                    key: "/key.pem".into(),
                },
            }),
            external_ip: Some("203.0.113.1".parse().unwrap()),
            ports: Some(50_000..=50_999),
            ..plan(true)
        };
        let open = lines(&open);
        assert!(!open.contains(&"no-tls".to_owned()));
        for wanted in [
            "external-ip=203.0.113.1/198.51.100.1",
            "min-port=50000",
            "max-port=50999",
            "tls-listening-port=5349",
            "cert=/chain.pem",
            "pkey=/key.pem",
        ] {
            assert!(open.contains(&wanted.to_owned()), "{wanted}: {open:#?}");
        }
    }
}
