//! The costs of SIP towards phones: registrations and calls with digest authentication by SIPp (Debian `sip-tester`), in turns
//! with Kamailio (Debian) as registrar and stateful proxy.
//!
//! Calls are measured with the SIP core alone ([`B2bua`]), because the other costs of a private call (ring, proof of work, TURN,
//! DTLS) have no counterpart in Kamailio. Registrations are measured with it too, and with a whole engine. Rounds are long enough
//! to include the memory of completed transactions.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ringfence_sip::client::{ClientOutput, PhoneClient, PhoneEvent, Registration};
use ringfence_sip::{Password, User};
use ringfence_tests::{
    b2bua::B2bua,
    deployment::{Deployment, InstalledLine},
    program::{Program, installed},
};

use crate::{
    Plan,
    kamailio::Kamailio,
    process::Process,
    registered,
    table::{self, Rounds, row},
};

/// Registrations and calls in a round.
const REGISTRATIONS: u32 = 10_000;
const CALLS: u32 = 2_000;
/// How many of them SIPp begins in a second.
const REGISTRATIONS_PER_SECOND: u32 = 2_000;
const CALLS_PER_SECOND: u32 = 400;
/// Most simultaneous ones.
const AT_ONCE: u32 = 100;
/// SIPp fails after this time.
const LIMIT: Duration = Duration::from_secs(30);

/// A SIP server that is measured.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) processes: Vec<Process>,
}

/// Measures, and prints the results.
pub(crate) fn measure(pair: &Deployment, plan: &Plan) {
    if installed(&["sipp"]) {
        let beside = !plan.alone && installed(&["kamailio"]);
        registrations(pair, beside.then(Kamailio::start).as_ref(), plan);
        calls(beside, plan);
    }
    registered::measure();
}

fn registrations(pair: &Deployment, kamailio: Option<&Kamailio>, plan: &Plan) {
    let (mut engine, mut core, mut theirs) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    for (line, id) in pair.lines().iter().zip(pair.engines()) {
        engine.push(per_core(
            &Server::engine(line, id),
            "register.xml",
            REGISTRATIONS,
            plan,
        ));
    }
    for _ in 0..plan.rounds {
        let b2bua = B2bua::open(&["callee"]);
        core.push(per_core(
            &Server::core(&b2bua),
            "register.xml",
            REGISTRATIONS,
            plan,
        ));
        if let Some(kamailio) = kamailio {
            theirs.push(per_core(
                &kamailio.server("callee"),
                "register.xml",
                REGISTRATIONS,
                plan,
            ));
        }
    }
    let mut rows = vec![
        row!["registered by", "per core-second", "ratio"],
        row![
            "ringfence, the engine",
            engine.shown(),
            engine.over(&theirs)
        ],
        row!["ringfence, its SIP core", core.shown(), core.over(&theirs)],
    ];
    if kamailio.is_some() {
        rows.push(row!["kamailio", theirs.shown(), "1"]);
    }
    table::print("sip: registrations with digest, median (least-most)", &rows);
}

fn calls(beside: bool, plan: &Plan) {
    let (mut core, mut theirs) = (Rounds::default(), Rounds::default());
    for _ in 0..plan.rounds {
        let b2bua = B2bua::open(&["caller", "callee"]);
        let callee = Callee::plug_in(&Server::core(&b2bua));
        let server = Server {
            password: B2bua::password("caller"),
            ..Server::core(&b2bua)
        };
        core.push(per_core(&server, "caller.xml", CALLS, plan));
        drop(callee);
        if beside {
            // A new one: in the previous one, phones that have ended are still registered.
            let kamailio = Kamailio::start();
            let _callee = Callee::plug_in(&kamailio.server("callee"));
            theirs.push(per_core(
                &kamailio.server("callee"),
                "caller.xml",
                CALLS,
                plan,
            ));
        }
    }
    let mut rows = vec![
        row!["connected by", "calls per core-second", "ratio"],
        row!["ringfence, its SIP core", core.shown(), core.over(&theirs)],
    ];
    if beside {
        rows.push(row!["kamailio", theirs.shown(), "1"]);
    }
    table::print(
        "sip: calls with digest, answered and ended at once, median (least-most)",
        &rows,
    );
}

/// Runs a SIPp scenario `count` times. Returns how often the server could do it in a second of processor time.
fn per_core(server: &Server, scenario: &str, count: u32, plan: &Plan) -> f64 {
    let (count, rate) = if plan.bench {
        let calls = scenario == "caller.xml";
        (
            count,
            if calls {
                CALLS_PER_SECOND
            } else {
                REGISTRATIONS_PER_SECOND
            },
        )
    } else {
        (10, 100)
    };
    let user = if scenario == "caller.xml" {
        "caller"
    } else {
        &server.user
    };
    let before: Vec<_> = server
        .processes
        .iter()
        .map(|process| process.look())
        .collect();
    let status = Command::new("sipp")
        .arg(server.address.to_string())
        .arg("-sf")
        .arg(file(scenario))
        .args([
            "-i",
            "127.0.0.1",
            "-s",
            &server.user,
            "-au",
            user,
            "-ap",
            &server.password,
        ])
        // By default SIPp's digest is for a URI without a user, which our core refuses for an INVITE.
        .args(authenticated_uri(server, scenario))
        .args([
            "-m",
            &count.to_string(),
            "-r",
            &rate.to_string(),
            "-l",
            &AT_ONCE.to_string(),
        ])
        .args([
            "-nostdin",
            "-timeout",
            &LIMIT.as_secs().to_string(),
            "-timeout_error",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status()
        .expect("sipp starts");
    assert!(
        status.success(),
        "{scenario} at {}: sipp says {status}",
        server.address
    );
    let costs = server.processes.iter().zip(&before);
    let spent: Duration = costs
        .map(|(process, before)| process.since(before).cpu)
        .sum();
    f64::from(count) / spent.as_secs_f64()
}

/// The URI in the digest of an INVITE: its Request-URI.
fn authenticated_uri(server: &Server, scenario: &str) -> Vec<String> {
    match scenario {
        "caller.xml" => vec![
            "-auth_uri".into(),
            format!("{}@{}", server.user, server.address),
        ],
        _ => Vec::new(),
    }
}

/// A scenario or configuration in this folder.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("bench")
        .join(name)
}

impl Server {
    fn engine(line: &InstalledLine, id: u32) -> Self {
        Self {
            address: line.udp,
            user: line.user.clone(),
            password: line.password.clone(),
            processes: vec![Process(id)],
        }
    }

    /// The back-to-back user agent is a thread of this process, which does nothing else meanwhile.
    fn core(b2bua: &B2bua) -> Self {
        Self {
            address: b2bua.address(),
            user: "callee".into(),
            password: B2bua::password("callee"),
            processes: vec![Process(std::process::id())],
        }
    }
}

/// SIPp as the called phone.
struct Callee {
    _program: Program,
    _folder: tempfile::TempDir,
}

impl Callee {
    fn plug_in(server: &Server) -> Self {
        let own = register(server);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let scenario = file("callee.xml").display().to_string();
        let port = own.port().to_string();
        let arguments = ["-sf", &scenario, "-i", "127.0.0.1", "-p", &port, "-nostdin"];
        let mut program = Program::start("sipp", &arguments, folder.path());
        // It does not report when it listens.
        program.wait_until_ready(|| UdpSocket::bind(own).is_err());
        Self {
            _program: program,
            _folder: folder,
        }
    }
}

/// Registers a phone and returns its address, which is then free.
fn register(server: &Server) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let own = socket.local_addr().expect("it is bound");
    socket
        .connect(server.address)
        .expect("loopback is reachable");
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout is allowed");
    let mut phone = phone(&server.user, &server.password, server.address, own);
    phone.register(Instant::now());
    let mut answer = [0; 8_192];
    loop {
        while let Some(say) = phone.poll() {
            match say {
                ClientOutput::Send(bytes) => drop(socket.send(&bytes)),
                ClientOutput::Event(PhoneEvent::Registered) => return own,
                ClientOutput::Event(event) => panic!("the callee's phone hears {event:?}"),
            }
        }
        let length = socket.recv(&mut answer).expect("the registrar answers");
        phone.handle_packet(answer.get(..length).unwrap_or_default(), Instant::now());
    }
}

/// A phone without a socket.
pub(crate) fn phone(user: &str, password: &str, line: SocketAddr, own: SocketAddr) -> PhoneClient {
    let registration = Registration {
        user: User::new(user),
        password: Password::new(password),
        line,
    };
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&own.port().to_be_bytes());
    PhoneClient::new(registration, own, seed)
}
