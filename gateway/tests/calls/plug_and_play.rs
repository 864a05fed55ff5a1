//! Desk phones that set themselves up, in a network of their own: two namespaces with a wire between them, the engine at one end and
//! phones that were just unpacked at the other. Needs root; CI has it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringfence::net::book::BookCopy;
use serde_json::Value;

use crate::servers::{SOON, Servers};

const ENGINE: &str = "10.77.0.1";
const PHONE: &str = "10.77.0.2";
const MAC: &str = "001565aabbcc";

/// Two ends of a wire. Gone with the test.
struct Wire {
    engine: String,
    phone: String,
}

fn run(command: &str) -> bool {
    let mut words = command.split(' ');
    let program = words.next().unwrap();
    let status = Command::new(program)
        .args(words)
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

impl Wire {
    /// Lays it; `None` where that is not allowed.
    fn lay() -> Option<Self> {
        let id = std::process::id();
        let wire = Self {
            engine: format!("rf{id}e"),
            phone: format!("rf{id}p"),
        };
        let (e, p) = (&wire.engine, &wire.phone);
        let steps = [
            format!("ip netns add {e}"),
            format!("ip netns add {p}"),
            format!("ip link add {e} netns {e} type veth peer name {p} netns {p}"),
            format!("ip -n {e} addr add {ENGINE}/24 dev {e}"),
            format!("ip -n {p} addr add {PHONE}/24 dev {p}"),
            format!("ip -n {e} link set {e} up"),
            format!("ip -n {p} link set {p} up"),
            format!("ip -n {e} link set lo up"),
            format!("ip -n {p} route add 224.0.0.0/4 dev {p}"),
        ];
        steps.iter().all(|step| run(step)).then_some(wire)
    }

    /// What a phone that asks the whole network gets.
    fn unpack(&self, mac: &str, vendor: &str) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/phones/unpacked.py");
        let output = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.phone,
                "python3",
                "-B",
                script,
                PHONE,
                mac,
                vendor,
            ])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"))
    }

    /// The status with which an address of the engine answers.
    fn fetch(&self, path: &str) -> String {
        let url = format!("http://{ENGINE}:5081{path}");
        let get = "import sys,urllib.request,urllib.error\ntry: print(urllib.request.urlopen(sys.argv[1]).status)\nexcept urllib.error.HTTPError as e: print(e.code)";
        let output = Command::new("ip")
            .args(["netns", "exec", &self.phone, "python3", "-c", get, &url])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in [&self.engine, &self.phone] {
            run(&format!("ip netns del {name}"));
        }
    }
}

/// The engine behind the wire.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        // It has ended already, mostly.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the output of a test run must show what was not tested"
)]
fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("\n*** SKIPPED plug and play: {why} ***\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_phone_that_is_named_finds_its_settings_by_itself_and_no_other_does() {
    let Some(wire) = Wire::lay() else {
        return skipped("no network namespaces: it needs root and iproute2");
    };
    let servers = Servers::build().await;
    let [stored, _] = servers.stored_engines().await;
    let mut copy = BookCopy::open(&stored.config.state, servers.book.book_key()).unwrap();
    copy.refresh(&stored.client).await.unwrap();
    let (state, line) = (stored.config.state.clone(), stored.line.clone());
    drop(stored);
    let settings = format!(
        "state = {state:?}\n[sip]\nlisten = [\"127.0.0.1\", \"{ENGINE}\"]\n[page]\nlisten = \"127.0.0.1:0\"\n\
         [turn]\nurls = [\"turn:127.0.0.1:9\"]\nsecret = \"x\"\nallow_private = true\n\
         [provisioning]\nlisten = \"{ENGINE}:5081\"\nplug_and_play = true\nphones = [{{ mac = \"{MAC}\", line = {} }}]\n",
        line.number
    );
    let file = |name: &str| state.with_extension(name);
    std::fs::write(file("toml"), settings).unwrap();
    let output = |name| std::fs::File::create(file(name)).unwrap();
    let child = Command::new("ip")
        .args([
            "netns",
            "exec",
            &wire.engine,
            env!("CARGO_BIN_EXE_ringfence"),
            "run",
            "--config",
        ])
        .arg(file("toml"))
        .env_remove("RINGFENCE_PASSPHRASE")
        .stdin(Stdio::null())
        .stdout(output("out"))
        .stderr(output("log"))
        .spawn()
        .unwrap();
    let _engine = Engine(child);
    let start = Instant::now();
    while !std::fs::read_to_string(file("out"))
        .unwrap()
        .contains("status page: ")
    {
        let log = || std::fs::read_to_string(file("log")).unwrap();
        assert!(start.elapsed() < 2 * SOON, "{}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told = wire.unpack(MAC, "Yealink");
    assert_eq!(told["status"], 200);
    let settings = told["file"].as_str().unwrap();
    for word in [
        format!("account.1.user_name = {}\n", line.number),
        format!("account.1.password = {}\n", line.account.password.expose()),
        format!("account.1.sip_server.1.address = {ENGINE}\n"),
        "account.1.sip_server.1.transport_type = 2\n".to_owned(),
        format!("static.trusted_certificates.url = http://{ENGINE}:5081/ca.pem\n"),
    ] {
        assert!(settings.contains(&word), "{word} is not in {settings}");
    }
    let snom = wire.unpack(MAC, "snom");
    assert!(
        snom["url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/snom-{MAC}.htm")),
        "{snom}"
    );
    assert!(
        snom["file"]
            .as_str()
            .unwrap()
            .contains("<user_savp idx=\"1\" perm=\"RW\">optional</user_savp>")
    );

    let stranger = wire.unpack("001565aabbcd", "Yealink");
    assert_eq!(
        (&stranger["status"], &stranger["url"]),
        (&Value::Null, &Value::Null),
        "a stranger hears nothing"
    );
    let base = told["url"]
        .as_str()
        .unwrap()
        .strip_prefix(&format!("http://{ENGINE}:5081"))
        .unwrap()
        .to_owned();
    assert_eq!(wire.fetch(&format!("{base}{MAC}.cfg")), "200");
    assert_eq!(wire.fetch("/ca.pem"), "200");
    for path in [
        format!("{base}001565aabbcd.cfg"),
        format!("{base}y000000000000.cfg"),
        format!("/p/{}/{MAC}.cfg", "0".repeat(64)),
        "/p/guess".to_owned(),
        "/".to_owned(),
        "/api/status".to_owned(),
    ] {
        assert_eq!(wire.fetch(&path), "404", "{path}");
    }
    let log = std::fs::read_to_string(file("log")).unwrap();
    assert!(
        log.contains("phones on the network can fetch their settings, with passwords, unencrypted"),
        "{log}"
    );
    assert!(
        !log.contains(MAC) && !log.contains(line.account.password.expose()),
        "{log}"
    );
}
