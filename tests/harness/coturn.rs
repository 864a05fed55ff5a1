//! coturn, the TURN server that most operators use (RFC 8656), on loopback with time-limited REST credentials
//! (draft-uberti-behave-turn-rest-00).
//!
//! The credentials are computed here and not by the code under test, so both are checked.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
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
    folder: TempDir,
}

const CERTIFICATE: &str = "certificate.pem";

/// How many seconds the credentials of these tests are valid.
const CREDENTIAL_LIFE: u64 = 3600;

impl CoturnServer {
    /// Starts it on loopback for UDP and TCP, without TLS. It relays to loopback addresses, which a public server must not do.
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, &[])
    }

    /// The same at another address, with further settings.
    pub fn start_at(ip: Ipv4Addr, further: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(folder, ip, further)
    }

    /// With TLS too, at the same port as TCP; its certificate is at [`Self::certificate`].
    pub fn start_with_tls(ip: Ipv4Addr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = rcgen::generate_simple_self_signed([ip.to_string()]).expect("a certificate");
        let [certificate, key] = [CERTIFICATE, "key.pem"].map(|name| folder.path().join(name));
        fs::write(&certificate, made.cert.pem()).expect("the folder is ours");
        fs::write(&key, made.signing_key.serialize_pem()).expect("the folder is ours");
        let settings = [
            format!("cert={}", certificate.display()),
            format!("pkey={}", key.display()),
        ];
        Self::start_in(folder, ip, &settings)
    }

    fn start_in(folder: TempDir, ip: Ipv4Addr, further: &[String]) -> Self {
        let address = ports::free_pair_at(ip);
        let secret = format!("secret of port {}", address.port()).replace(' ', "-");
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let mut settings = vec![
            format!("listening-ip={}", address.ip()),
            format!("relay-ip={}", address.ip()),
            format!("listening-port={}", address.port()),
            "realm=tests.ringfence".into(),
            "use-auth-secret".into(),
            format!("static-auth-secret={secret}"),
            "allow-loopback-peers".into(),
            "fingerprint".into(),
            // Nonces that a call outlives; the default is ten minutes.
            "stale-nonce=60".into(),
            "no-cli".into(),
            "no-dtls".into(),
            "no-rfc5780".into(),
            "no-multicast-peers".into(),
            format!("userdb={}", inside("users")),
            format!("pidfile={}", inside("pid")),
            "log-file=stdout".into(),
            "simple-log".into(),
        ];
        if !further.iter().any(|line| line.starts_with("cert=")) {
            settings.push("no-tls".into());
        }
        settings.extend_from_slice(further);
        fs::write(folder.path().join("settings"), settings.join("\n")).expect("the folder is ours");
        let program = Program::start("turnserver", &["-c", &inside("settings")], folder.path());
        let mut coturn = Self {
            address,
            secret,
            program,
            folder,
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

    /// Its address, without the port.
    ///
    /// # Panics
    /// Never: it was started at an IPv4 address.
    pub fn ip(&self) -> Ipv4Addr {
        match self.address {
            SocketAddr::V4(address) => *address.ip(),
            SocketAddr::V6(_) => panic!("it was started at an IPv4 address"),
        }
    }

    /// The file with its certificate, which signs itself.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join(CERTIFICATE)
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
