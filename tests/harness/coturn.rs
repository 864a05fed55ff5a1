//! coturn, the TURN server that most operators use (RFC 8656), on loopback with time-limited REST credentials
//! (draft-uberti-behave-turn-rest-00).
//!
//! The credentials are computed here and not by the code under test, so both are checked.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use tempfile::TempDir;

use crate::{ports, program::Program};

/// A running coturn.
#[derive(Debug)]
pub struct CoturnServer {
    address: SocketAddr,
    secret: String,
    program: Program,
    _folder: TempDir,
}

/// How many seconds the credentials of these tests are valid.
const CREDENTIAL_LIFE: u64 = 3600;

impl CoturnServer {
    /// Starts it for UDP and TCP, without TLS. It relays to loopback addresses, which a public server must not do.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further settings.
    pub fn start_with(further: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = ports::free_pair();
        let secret = format!("secret of port {}", address.port()).replace(' ', "-");
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let settings = [
            format!("listening-ip={}", address.ip()),
            format!("listening-port={}", address.port()),
            format!("relay-ip={}", address.ip()),
            "realm=tests.ringfence".into(),
            "use-auth-secret".into(),
            format!("static-auth-secret={secret}"),
            "allow-loopback-peers".into(),
            "fingerprint".into(),
            "no-cli".into(),
            "no-tls".into(),
            "no-dtls".into(),
            "no-rfc5780".into(),
            "no-multicast-peers".into(),
            format!("userdb={}", inside("users")),
            format!("pidfile={}", inside("pid")),
            "log-file=stdout".into(),
            "simple-log".into(),
        ];
        let further = further.iter().map(|setting| (*setting).to_owned());
        let settings: Vec<_> = settings.into_iter().chain(further).collect();
        fs::write(folder.path().join("settings"), settings.join("\n")).expect("the folder is ours");
        let program = Program::start("turnserver", &["-c", &inside("settings")], folder.path());
        let mut coturn = Self {
            address,
            secret,
            program,
            _folder: folder,
        };
        coturn.wait_until_ready();
        coturn
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Kills it and starts it anew at the same address: all allocations are gone.
    pub fn restart(&mut self) {
        self.program.start_again();
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let address = self.address;
        let prober = UdpSocket::bind((address.ip(), 0)).expect("a free port");
        prober
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout is allowed");
        self.program
            .wait_until_ready(|| answers_binding_request(&prober, address));
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Where it listens, for UDP and for TCP.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The secret from which credentials are computed.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// A user name and password that are valid for an hour. `user` distinguishes them from others of the same second.
    pub fn credentials(&self, user: &str) -> (String, String) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is later than 1970")
            .as_secs();
        let username = format!("{}:{user}", now + CREDENTIAL_LIFE);
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(username.as_bytes());
        let password = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        (username, password)
    }
}

/// Sends a STUN Binding request (RFC 8489 section 5) and checks the transaction id of the response.
fn answers_binding_request(socket: &UdpSocket, server: SocketAddr) -> bool {
    const REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xa4\x42are you up..";
    let mut answer = [0; 512];
    socket.send_to(&REQUEST, server).is_ok()
        && socket.recv_from(&mut answer).is_ok_and(|(length, from)| {
            from == server
                && length >= REQUEST.len()
                && answer.starts_with(&[1, 1])
                && answer[4..20] == REQUEST[4..20]
        })
}
