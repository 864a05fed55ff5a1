//! The peer of `sip`: Kamailio (Debian), a registrar and stateful proxy with digest authentication (`kamailio.cfg`).

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use ringfence_tests::{ports, program::Program};

use crate::{
    process::Process,
    sip::{Server, file},
};

/// The password of every user, as in `kamailio.cfg`.
const PASSWORD: &str = "password";

/// A running Kamailio.
pub(crate) struct Kamailio {
    address: SocketAddr,
    program: Program,
    _folder: tempfile::TempDir,
}

impl Kamailio {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = ports::free_pair();
        let settings = file("kamailio.cfg").display().to_string();
        let here = folder.path().display().to_string();
        let listen = format!("udp:{address}");
        let arguments = [
            "-DD", "-E", "-f", &settings, "-l", &listen, "-Y", &here, "-w", &here,
        ];
        let mut program = Program::start("kamailio", &arguments, folder.path());
        let prober = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        prober
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout is allowed");
        let hello = format!(
            "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKhello\r\nMax-Forwards: 0\r\n\
             From: <sip:a@{address}>;tag=1\r\nTo: <sip:{address}>\r\nCall-ID: hello\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            prober.local_addr().expect("it is bound")
        );
        let mut answer = [0; 2_048];
        program.wait_until_ready(|| {
            prober.send_to(hello.as_bytes(), address).is_ok() && prober.recv(&mut answer).is_ok()
        });
        Self {
            address,
            program,
            _folder: folder,
        }
    }

    /// Its address, and an account.
    pub(crate) fn server(&self, user: &str) -> Server {
        Server {
            address: self.address,
            user: user.to_owned(),
            password: PASSWORD.to_owned(),
            processes: Process(self.program.id()).family(),
        }
    }
}
