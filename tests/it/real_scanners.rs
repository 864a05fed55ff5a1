//! Common attack tools against a running engine: sipvicious (svmap, svwar, svcrack) finds lines and guesses passwords, sipsak
//! floods, SIPp plays unusual scenarios (`tests/sipp/`). Afterwards the engine serves phones as before, and its log contains
//! nothing of the requests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::{Deployment, InstalledLine},
    nostr_relay::NostrRelay,
    program::{installed, real_time, skipped},
};
use tempfile::TempDir;

#[test]
fn svmap_and_svwar_find_a_server_and_no_line() {
    let Some(scene) = scene(&["svmap", "svwar", "sipp"]) else {
        return;
    };
    let line = scene.line();
    let found = scene.run("svmap", &["-p", &line.udp.port().to_string()]);
    assert!(found.contains(&line.udp.to_string()), "{found}");
    let names = ["100", "admin", &line.user, "20000", "99999"].join("\n");
    let dictionary = scene.write("names", &names);
    for method in ["REGISTER", "INVITE"] {
        let port = line.udp.port().to_string();
        let arguments = ["-p", &port, "-m", method, "--force", "-d", &dictionary];
        let found = scene.run("svwar", &arguments);
        assert!(found.contains("found nothing"), "{method}: {found}");
    }
    scene.assert_unmoved();
}

#[test]
fn svcrack_is_slowed_down_after_ten_guesses() {
    let Some(scene) = scene(&["svcrack", "sipp"]) else {
        return;
    };
    let crack = |wrong_before: usize| {
        let guesses = (0..wrong_before).map(|guess| format!("guess-{guess}"));
        let guesses: Vec<_> = guesses.chain([scene.line().password.clone()]).collect();
        let dictionary = scene.write("guesses", &guesses.join("\n"));
        let (port, user) = (scene.line().udp.port().to_string(), &scene.line().user);
        scene.run("svcrack", &["-p", &port, "-u", user, "-d", &dictionary])
    };
    // Guessing works if the password is among the first ten tries.
    let found = crack(3);
    assert!(found.contains(&scene.line().password), "{found}");
    // The right password comes too soon after the tenth wrong one, and is refused without being checked.
    let found = crack(11);
    assert!(!found.contains(&scene.line().password), "{found}");
    scene.assert_unmoved();
}

#[test]
fn odd_requests_have_their_answers_and_floods_change_nothing() {
    let Some(scene) = scene(&["sipp", "sipsak"]) else {
        return;
    };
    for transport in ["u1", "t1"] {
        for (scenario, count) in [
            ("out_of_nowhere", 50),
            ("registration", 20),
            ("given_up", 3),
        ] {
            scene.sipp(scenario, transport, count);
        }
    }
    let to = format!("sip:{}@{}", scene.line().user, scene.line().udp);
    scene.run("sipsak", &["-s", &to]);
    scene.run("sipsak", &["-F", "-e", "500", "-s", &to]);
    // sipsak may damage its own request so much that it gets no response, which it reports as a failure.
    scene.try_to("sipsak", &["-R", "-t", "200", "-s", &to]);
    scene.assert_unmoved();
}

/// A running engine, and a folder for the attack tools.
struct Scene {
    network: Deployment,
    folder: TempDir,
}

fn scene(programs: &[&str]) -> Option<Scene> {
    if !installed(&[programs, &["turnserver"]].concat()) {
        return None;
    }
    if !NostrRelay::path().is_file() {
        skipped("the relay from PyPI is not in the target folder");
        return None;
    }
    let alone = real_time();
    Some(Scene {
        network: Deployment::start(alone, NostrRelay::start(), CoturnServer::start()),
        folder: tempfile::tempdir().expect("a temporary folder"),
    })
}

impl Scene {
    fn line(&self) -> &InstalledLine {
        &self.network.lines()[0]
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.folder.path().join(name);
        fs::write(&file, text).expect("the folder is ours");
        file.display().to_string()
    }

    /// Runs a program, which must succeed, and returns what it printed.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let (good, said) = self.try_to(program, arguments);
        assert!(good, "{program} {arguments:?}: {said}");
        said
    }

    fn try_to(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        // `timeout` of coreutils, so that no tool can block the tests.
        let mut command = Command::new("timeout");
        command.args(["60", program]).args(arguments);
        if program.starts_with("sv") {
            command.args(["-b", "127.0.0.1", "127.0.0.1"]);
        }
        let output = command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("timeout starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        (output.status.success(), said)
    }

    fn sipp(&self, scenario: &str, transport: &str, count: u32) {
        let [line, other] = self.network.lines();
        let server = match transport {
            "u1" => line.udp,
            _ => line.tcp,
        };
        let (user, password) = (&line.user, &line.password);
        let login = format!("[authentication username={user} password={password}]");
        let users = self.write("users.csv", &format!("SEQUENTIAL\n{user};{login};\n"));
        let called = format!("{}@{server}", other.number);
        let mut arguments = vec!["-sf", "", "-inf", &users, "-s", &other.number];
        let (server, count, file) = (server.to_string(), count.to_string(), scenario_of(scenario));
        arguments[1] = &file;
        arguments.extend([&server, "-i", "127.0.0.1", "-t", transport, "-m", &count]);
        // The URI of the digest; SIPp's default is that of the server.
        if scenario == "given_up" {
            arguments.extend(["-auth_uri", &called]);
        }
        arguments.extend(["-l", "2", "-timeout", "40", "-timeout_error", "-nostdin"]);
        arguments.extend(["-trace_err", "-error_file", "sipp-errors"]);
        let (good, _) = self.try_to("sipp", &arguments);
        let errors = fs::read_to_string(self.folder.path().join("sipp-errors"));
        assert!(good, "{scenario} over {transport}: {errors:?}");
    }

    /// The engine serves a phone as before, and its log does not mention the attack.
    fn assert_unmoved(&self) {
        self.sipp("registration", "u1", 1);
        let log = self.network.log(0);
        for word in ["WARN", "ERROR", "panicked", &self.line().user] {
            assert!(!log.contains(word), "{word}:\n{log}");
        }
    }
}

fn scenario_of(name: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp");
    folder.join(format!("{name}.xml")).display().to_string()
}
