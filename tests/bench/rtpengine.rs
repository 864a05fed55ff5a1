//! The peer of `calls`: two rtpengines (Debian `rtpengine-daemon`, in user space), controlled over their `ng` protocol (bencode
//! in UDP). The first converts a phone's RTP to SRTP and the second converts it back, so each does the work of one engine under
//! the same load. The SRTP between them passes through coturn ([`turn_hop`](crate::turn_hop)), as that of engines does.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use ringfence_tests::{ports, program::Program};
use tempfile::TempDir;

use crate::{process::Process, turn_hop::TurnHops};

/// The suite that engines negotiate too.
const SUITE: &str = "AEAD_AES_128_GCM";
/// Suites that rtpengine prefers.
const NOT: [&str; 3] = [
    "AEAD_AES_256_GCM",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_192_CM_HMAC_SHA1_80",
];

/// Two rtpengines, back to back.
#[derive(Debug)]
pub(crate) struct Rtpengines {
    pair: [Rtpengine; 2],
    hops: TurnHops,
    calls: usize,
}

/// A call: its id at both rtpengines, and its way through coturn.
#[derive(Debug)]
pub(crate) struct RelayedCall {
    id: String,
    hop: usize,
}

#[derive(Debug)]
struct Rtpengine {
    program: Program,
    control: UdpSocket,
    asked: u32,
    _folder: TempDir,
}

/// A bencode value (BEP 3), as far as `ng` uses it.
#[derive(Debug)]
enum Value {
    Text(Vec<u8>),
    Pairs(BTreeMap<Vec<u8>, Self>),
    /// A number or a list, which are ignored.
    Other,
}

impl Rtpengines {
    /// Starts them, with one way through coturn.
    pub(crate) fn start(hops: TurnHops) -> Self {
        Self {
            pair: [Rtpengine::start(20_000), Rtpengine::start(24_000)],
            hops,
            calls: 0,
        }
    }

    pub(crate) fn processes(&self) -> [Process; 2] {
        self.pair.each_ref().map(|one| Process(one.program.id()))
    }

    /// Process id of coturn.
    pub(crate) fn coturn(&self) -> u32 {
        self.hops.coturn()
    }

    /// Sets up a call between two phones.
    pub(crate) fn call(&mut self, ends: [&UdpSocket; 2]) -> RelayedCall {
        self.calls += 1;
        let id = format!("call-{}", self.calls);
        let [end_a, end_b] = ends;
        let described = |end: &UdpSocket| plain(end.local_addr().expect("it is bound"));
        let connect = |end: &UdpSocket, to| end.connect(to).expect("loopback is reachable");
        let [first, second] = &mut self.pair;
        let hop = self.hops.open();
        let encrypted = first.describe("offer", &id, "RTP/SAVP", &described(end_a));
        let sound_a = sound_at(&encrypted);
        let encrypted = moved(&encrypted, hop.forwarder);
        let offered = second.describe("offer", &id, "RTP/AVP", &encrypted);
        let encrypted = second.describe("answer", &id, "RTP/SAVP", &described(end_b));
        assert!(encrypted.contains(SUITE), "another suite: {encrypted}");
        let sound_b = sound_at(&encrypted);
        let encrypted = moved(&encrypted, hop.relayed);
        let answered = first.describe("answer", &id, "RTP/AVP", &encrypted);
        connect(end_a, sound_at(&answered));
        connect(end_b, sound_at(&offered));
        let hop = self.hops.join(hop, [sound_a, sound_b]);
        RelayedCall { id, hop }
    }

    pub(crate) fn hang_up(&mut self, call: &RelayedCall) {
        let id = call.id.as_str();
        for one in &mut self.pair {
            one.ask(
                &[("command", "delete"), ("call-id", id), ("from-tag", "a")],
                &[],
            );
        }
        self.hops.close(call.hop);
    }
}

impl Rtpengine {
    fn start(first_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = ports::free_pair();
        let (least, most) = (first_port.to_string(), (first_port + 3_900).to_string());
        let mut program = Program::start(
            "rtpengine",
            &[
                "--config-file=none",
                "-f",
                "-E",
                "-t",
                "-1",
                "-L",
                "3",
                "--num-threads=2",
                "-i",
                "127.0.0.1",
                "-n",
                &address.to_string(),
                "-m",
                &least,
                "-M",
                &most,
            ],
            folder.path(),
        );
        let control = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        control.connect(address).expect("loopback is reachable");
        control
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout is allowed");
        let mut answer = [0; 64];
        program.wait_until_ready(|| {
            control.send(b"0 d7:command4:pinge").is_ok() && control.recv(&mut answer).is_ok()
        });
        control
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout is allowed");
        Self {
            program,
            control,
            asked: 0,
            _folder: folder,
        }
    }

    /// Passes a description and returns the one for the other side.
    fn describe(&mut self, command: &str, id: &str, transport: &str, sdp: &str) -> String {
        let mut pairs = vec![
            ("command", command),
            ("call-id", id),
            ("from-tag", "a"),
            ("sdp", sdp),
            ("ICE", "remove"),
            ("DTLS", "off"),
            ("transport-protocol", transport),
        ];
        if command == "answer" {
            pairs.push(("to-tag", "b"));
        }
        let unwanted = NOT.map(|suite| format!("SDES-no-{suite}"));
        let flags: Vec<&str> = unwanted
            .iter()
            .map(String::as_str)
            .chain(["trust-address"])
            .collect();
        let lists = [
            ("flags", flags.as_slice()),
            ("rtcp-mux", &["accept"]),
            ("replace", &["origin", "session-connection"]),
        ];
        let answer = self.ask(&pairs, &lists);
        let Some(Value::Text(sdp)) = answer.get(&b"sdp"[..]) else {
            panic!("rtpengine says {answer:?} to {command}")
        };
        String::from_utf8_lossy(sdp).into_owned()
    }

    fn ask(
        &mut self,
        pairs: &[(&str, &str)],
        lists: &[(&str, &[&str])],
    ) -> BTreeMap<Vec<u8>, Value> {
        self.asked += 1;
        let text = |text: &str| format!("{}:{text}", text.len());
        let mut entries: BTreeMap<&str, String> = pairs
            .iter()
            .map(|(key, value)| (*key, text(value)))
            .collect();
        for (key, items) in lists {
            let items: String = items.iter().map(|item| text(item)).collect();
            entries.insert(key, format!("l{items}e"));
        }
        let entries: String = entries
            .iter()
            .map(|(key, value)| text(key) + value)
            .collect();
        let cookie = format!("{} ", self.asked);
        self.control
            .send(format!("{cookie}d{entries}e").as_bytes())
            .expect("rtpengine listens");
        let mut answer = vec![0; 65_535];
        loop {
            let length = self.control.recv(&mut answer).expect("rtpengine answers");
            if let Some(mut rest) = answer
                .get(..length)
                .and_then(|all| all.strip_prefix(cookie.as_bytes()))
            {
                match read(&mut rest) {
                    Some(Value::Pairs(pairs)) => return pairs,
                    other => panic!("rtpengine says {other:?}"),
                }
            }
        }
    }
}

/// A phone's offer or answer.
fn plain(sound: SocketAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\na=rtcp-mux\r\n",
        ip = sound.ip(),
        port = sound.port()
    )
}

/// The same description with another address of its sound. Both are on loopback.
fn moved(sdp: &str, to: SocketAddr) -> String {
    let old = format!("m=audio {} ", sound_at(sdp).port());
    let lines = sdp.lines().filter(|line| !line.starts_with("a=rtcp:"));
    let lines = lines.map(|line| line.replace(&old, &format!("m=audio {} ", to.port())) + "\r\n");
    lines.collect()
}

fn sound_at(sdp: &str) -> SocketAddr {
    let port = sdp.lines().find_map(|line| {
        line.strip_prefix("m=audio ")?
            .split(' ')
            .next()?
            .parse()
            .ok()
    });
    (Ipv4Addr::LOCALHOST, port.expect("a description of sound")).into()
}

/// Reads one value from the front.
fn read(bytes: &mut &[u8]) -> Option<Value> {
    match bytes.first()? {
        b'i' => {
            let end = bytes.iter().position(|byte| *byte == b'e')?;
            *bytes = bytes.get(end + 1..)?;
            Some(Value::Other)
        }
        kind @ (b'l' | b'd') => {
            let is_list = *kind == b'l';
            *bytes = bytes.get(1..)?;
            let mut items = Vec::new();
            while *bytes.first()? != b'e' {
                items.push(read(bytes)?);
            }
            *bytes = bytes.get(1..)?;
            if is_list {
                return Some(Value::Other);
            }
            let mut pairs = BTreeMap::new();
            let mut items = items.into_iter();
            while let (Some(Value::Text(key)), Some(value)) = (items.next(), items.next()) {
                pairs.insert(key, value);
            }
            Some(Value::Pairs(pairs))
        }
        _ => {
            let colon = bytes.iter().position(|byte| *byte == b':')?;
            let length: usize = std::str::from_utf8(bytes.get(..colon)?)
                .ok()?
                .parse()
                .ok()?;
            let text = bytes.get(colon + 1..)?.get(..length)?.to_vec();
            *bytes = bytes.get(colon + 1 + length..)?;
            Some(Value::Text(text))
        }
    }
}
