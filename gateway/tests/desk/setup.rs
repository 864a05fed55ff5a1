//! `ringfence setup`: from nothing to a line, once and again.

use std::os::unix::fs::PermissionsExt;

use ringfence::state::keystore::SavedStateFile;
use ringfence_book::Number;
use ringfence_daemon::tls::TlsFiles;
use serde_json::Value;

use crate::shell::{Servers, Shell, answer, free_port, setup_here};

/// Everything that a setup without a terminal needs.
fn options<'a>(url: &'a str, code: &'a str, ports: [&'a str; 2]) -> Vec<&'a str> {
    vec![
        "setup",
        "--phonebook",
        url,
        "--code",
        code,
        "--no-passphrase",
        "--phones",
        "here",
        "--sip-port",
        ports[0],
        "--tls-port",
        ports[1],
        "--allow-private",
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_nothing_to_an_account_with_one_command_and_the_same_again() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let (url, code) = (servers.book.url(), servers.code().await);
    let ports = [free_port(), free_port()];
    let typed = options(&url, &code, [&ports[0], &ports[1]]);
    let printed = shell.done(&typed);
    for word in ["number     2", "Linphone", ";auth_pass=", "ringfence run"] {
        assert!(printed.contains(word), "{word} is not in {printed}");
    }
    // A code to scan would hold an address of this machine, which no other can use.
    assert!(!printed.contains('\u{2588}'));
    let file = shell.path(".config/ringfence/ringfence.toml");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let lines = || -> Value {
        serde_json::from_str(&shell.done(&["lines", "--json", "--passwords"])).unwrap()
    };
    let first = lines();
    assert_eq!(first[0]["udp"].to_string(), ports[0]);
    assert!(shell.path(".local/share/ringfence/lines").exists());
    let contacts_only = || {
        let mut saved = SavedStateFile::open(&shell.path(".local/share/ringfence"), None);
        let number = u32::try_from(lines()[0]["number"].as_u64().unwrap()).unwrap();
        saved.read().unwrap().contacts_only(Number::new(number))
    };
    assert!(!contacts_only(), "everyone rings unless told otherwise");

    // Stopped before it could print: the same code again is the same line, with the same password.
    let mut again = vec!["setup", "--phonebook", &url, "--code", &code, "--json"];
    again.extend(["--rings-from", "contacts"]);
    let again: Value = serde_json::from_str(&shell.done(&again)).unwrap();
    assert_eq!(again["lines"][0]["password"], first[0]["password"]);
    assert_eq!(lines().as_array().unwrap().len(), 1);
    assert!(contacts_only());
    // Without a code it says what there is.
    assert!(shell.done(&["setup"]).contains("ringfence run"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setup_that_stops_half_way_goes_on_when_it_is_run_again() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let (url, code) = (servers.book.url(), servers.code().await);
    let ports = [free_port(), free_port()];
    let unknown = servers.unknown_code();
    let refused = shell.fails(&options(&url, &unknown, [&ports[0], &ports[1]]), 1);
    assert!(refused.contains("refused the activation code"), "{refused}");
    let file = shell.path(".config/ringfence/ringfence.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let again = [
        "setup",
        "--phonebook",
        &url,
        "--code",
        &code,
        "--no-passphrase",
    ];
    assert!(shell.done(&again).contains("number     2"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_there_are_never_lost() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let (url, code) = (servers.book.url(), servers.code().await);
    let ports = [free_port(), free_port()];
    let folder = shell.path(".config/ringfence");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ringfence.toml");
    let old = "no_answer_seconds = 42\n";
    std::fs::write(&file, old).unwrap();
    let mut typed = options(&url, &code, [&ports[0], &ports[1]]);
    let complaint = shell.fails(&typed, 2);
    assert!(
        complaint.contains("settings in") && complaint.contains("--replace"),
        "{complaint}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), old);
    typed.push("--replace");
    shell.done(&typed);
    let kept = std::fs::read_dir(&folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.extension()
            .is_some_and(|end| end == "old")
            .then_some(path)
    });
    assert_eq!(std::fs::read_to_string(kept.unwrap()).unwrap(), old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_told_before_the_code_is_sent() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let (url, code) = (servers.book.url(), servers.code().await);
    #[expect(clippy::disallowed_methods, reason = "a socket of another program")]
    let other = std::net::UdpSocket::bind(crate::shell::ANY_PORT).unwrap();
    let [taken, free] = [other.local_addr().unwrap().port().to_string(), free_port()];
    let told = shell.fails(&options(&url, &code, [&taken, &free]), 1);
    assert!(told.contains(&taken) && told.contains("another"), "{told}");
    let told = shell.fails(&options(&url, "hello", [&free, &free]), 2);
    assert!(told.contains("nothing was sent"), "{told}");
    let told = shell.fails(&options("http://127.0.0.1:9", &code, [&free, &free]), 1);
    assert!(told.contains("no connection"), "{told}");
    let no_code = ["setup", "--phonebook", &url];
    assert!(shell.fails(&no_code, 2).contains("--code is needed"));
    // None of that spent the code.
    let ports = [free_port(), free_port()];
    shell.done(&options(&url, &code, [&ports[0], &ports[1]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_file_name_for_the_settings_is_enough() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let (url, code) = (servers.book.url(), servers.code().await);
    let ports = [free_port(), free_port()];
    let mut typed = options(&url, &code, [&ports[0], &ports[1]]);
    typed.extend(["--config", "e1.toml", "--state", "keys"]);
    let mut command = shell.command(&typed);
    let output = command.current_dir(shell.home.path()).output().unwrap();
    assert!(answer(&typed, &output).contains("number     2"));
    assert!(shell.path("e1.toml").exists() && shell.path("keys/lines").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_enough_and_a_service_is_installed_only_when_it_is_wanted() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let ports = [free_port(), free_port()];
    // Stands for the service manager, and writes down what it was told.
    let (stubs, told) = (shell.path("stubs"), shell.path("told"));
    std::fs::create_dir(&stubs).unwrap();
    for name in ["systemctl", "loginctl"] {
        let stub = stubs.join(name);
        let script = format!("#!/bin/sh\necho {name} \"$@\" >>{}\n", told.display());
        std::fs::write(&stub, script).unwrap();
        std::fs::set_permissions(&stub, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", stubs.display(), std::env::var("PATH").unwrap());
    let setup = |more: &[&str]| {
        let link = futures(servers.link());
        let typed = [&setup_here(&link, &ports)[..], &["--replace"], more].concat();
        let output = shell.command(&typed).env("PATH", &path).output().unwrap();
        answer(&typed, &output)
    };
    let unit = shell.path(".config/systemd/user/ringfence.service");
    assert!(setup(&[]).contains("number     2"));
    assert!(!unit.exists() && !told.exists());
    setup(&["--service"]);
    let told = std::fs::read_to_string(told).unwrap();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "systemctl --user daemon-reload",
            "systemctl --user enable --now ringfence.service",
            "loginctl enable-linger"
        ]
    );
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(
        text.contains("/.config/ringfence/ringfence.toml\""),
        "{text}"
    );
    let analyzer = std::process::Command::new("systemd-analyze")
        .args(["--user", "verify"])
        .arg(&unit)
        .env("XDG_RUNTIME_DIR", shell.home.path())
        .output();
    match analyzer {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && !said.contains("ringfence"),
                "{said}"
            );
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error}");
        }
    }
}

/// Waits for a future from a closure of a test that runs on several threads.
fn futures<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_community_with_an_authority_of_its_own_is_joined_with_one_option_more() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["ca.pem", "key.pem"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = TlsFiles {
        certificate: certificate.clone(),
        key,
    };
    let (servers, shell) = (
        Servers::of(|book| book.tls = Some(files)).await,
        Shell::open(),
    );
    let link = servers.link().await;
    assert!(link.starts_with("https://"));
    let ports = [free_port(), free_port()];
    let mut typed = setup_here(&link, &ports);
    let told = shell.fails(&typed, 1);
    assert!(told.contains("--ca-file FILE"), "{told}");
    typed.extend(["--ca-file", certificate.to_str().unwrap()]);
    assert!(shell.done(&typed).contains("number     2"));
    // The engine trusts it too, and from a copy of its own.
    std::fs::remove_file(&certificate).unwrap();
    let _engine = crate::shell::Engine::start(&shell);
}
