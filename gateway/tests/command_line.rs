//! The program as a person runs it in a shell: what it answers, and how it says that something is wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ringfence::state::keystore::{Keystore, LineFile, SipAccount};
use ringfence::state::secret::Secret;
use ringfence_book::NumberPlan;
use ringfence_phonebook::PhoneBook;
use ringfence_phonebook::config::Database;
use zeroize::Zeroizing;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A code that the phone book never issued.
const NO_CODE: &str = "K50T-V99H-4BZP-EFG8-R8RS-0PME-4KDE";

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringfence");

/// Runs it, or a program that runs it, without a terminal to ask at.
fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new("setsid")
        .args(["--wait", program])
        .args(arguments)
        .env_remove("RUST_LOG")
        .env_remove("RINGFENCE_PASSPHRASE")
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs `ringfence lines` on an empty state folder.
fn lines(out: Stdio) -> Output {
    let state = tempfile::tempdir().unwrap();
    Command::new(PROGRAM)
        .args(["lines", "--state"])
        .arg(state.path())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

#[test]
fn a_reader_that_has_gone_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = lines(writer.into());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert_eq!(errors, "");
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let output = lines(full.unwrap().into());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("standard output"), "{errors}");
}

/// What is wrong, what is typed, the exit status, and words of the one line that says so.
struct Case<'a> {
    wrong: &'a str,
    typed: Vec<&'a str>,
    status: i32,
    words: [&'a str; 2],
}

/// One line on standard error: what is wrong, and what to do.
fn check(case: &Case<'_>, output: &Output) {
    let (wrong, errors) = (case.wrong, String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(case.status), "{wrong}: {errors}");
    let told: Vec<_> = errors
        .lines()
        .filter(|line| line.starts_with("ringfence: "))
        .collect();
    let [line] = told[..] else {
        panic!("{wrong}: not one line but {errors}")
    };
    assert!(
        line.contains(". To do: ") && line.ends_with('.'),
        "{wrong}: {line}"
    );
    for word in case.words {
        assert!(line.contains(word), "{wrong}: {word} is not in: {line}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A state folder whose line was encrypted with a passphrase.
fn encrypted(state: &Path) {
    let mut store = Keystore::open(state, Some(Secret::new("right".to_owned()))).unwrap();
    let line = LineFile {
        number: 20_001,
        identity: Zeroizing::new(vec![1; 65]),
        book_url: String::new(),
        book_key: [0; 32],
        account: SipAccount {
            user: "20001".to_owned(),
            password: Secret::new("swordfish".to_owned()),
        },
        name: None,
        ring_key_due: None,
        members: None,
    };
    store.save(&line).unwrap();
}

#[test]
fn whatever_is_wrong_is_one_line_with_a_remedy_and_an_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [half, empty, used, sealed, open, missing] = [
        "half.toml",
        "empty",
        "used",
        "sealed",
        "open",
        "missing.toml",
    ]
    .map(path);
    std::fs::write(&half, "no_answer_seconds = 30\n[turn]\nsecret = \"sword").unwrap();
    let _running = Keystore::open(&used, None).unwrap();
    encrypted(&sealed);
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "a socket of another program, which has the engine's port"
    )]
    let taken = UdpSocket::bind(ANY_PORT).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let case = |wrong, typed, status, words| Case {
        wrong,
        typed,
        status,
        words,
    };
    let cases = [
        case(
            "a half-written file",
            vec!["run", "--config", text(&half)],
            2,
            ["half.toml, line 3: ", "correct that line"],
        ),
        case(
            "no such file",
            vec!["run", "--config", text(&missing)],
            2,
            ["missing.toml", "--config"],
        ),
        case(
            "no line",
            vec!["run", "--state", text(&empty)],
            1,
            ["there is no line", "ringfence setup"],
        ),
        case(
            "a second engine",
            vec!["run", "--state", text(&used)],
            1,
            ["another ringfence is using", "stop it first"],
        ),
        case(
            "a folder open to others",
            vec!["run", "--state", text(&open)],
            1,
            ["open to other users", "chmod go-rwx"],
        ),
        case(
            "keys without their passphrase",
            vec!["run", "--state", text(&sealed)],
            1,
            ["no passphrase was given", "RINGFENCE_PASSPHRASE"],
        ),
        case(
            "a word that is no code",
            vec![
                "activate",
                "--phonebook",
                "http://127.0.0.1:9",
                "--code",
                "hello",
                "--state",
                text(&empty),
            ],
            2,
            ["not an activation code", "nothing was sent"],
        ),
        case(
            "a book without encryption",
            vec![
                "activate",
                "--phonebook",
                "http://book.example.org",
                "--code",
                NO_CODE,
                "--state",
                text(&empty),
            ],
            2,
            ["without encryption", "https://"],
        ),
        case(
            "a book that is away",
            vec![
                "activate",
                "--phonebook",
                "http://127.0.0.1:9",
                "--code",
                NO_CODE,
                "--state",
                text(&empty),
            ],
            1,
            ["no connection", "check the URL"],
        ),
        case(
            "a port in use",
            vec!["demo", "--once", "--sip-port", &port],
            1,
            [&port, "another port"],
        ),
    ];
    for case in cases {
        let output = run(PROGRAM, &case.typed);
        check(&case, &output);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !errors.contains("sword"),
            "{}: a secret in {errors}",
            case.wrong
        );
    }
}

#[test]
fn a_wrong_passphrase_is_told_apart_and_the_right_one_may_come_from_the_service_manager() {
    let folder = tempfile::tempdir().unwrap();
    let (state, credentials) = (
        folder.path().join("state"),
        folder.path().join("credentials"),
    );
    encrypted(&state);
    std::fs::create_dir(&credentials).unwrap();
    let handed_over = |passphrase: &str| {
        std::fs::write(credentials.join("ringfence.passphrase"), passphrase).unwrap();
        let state = text(&state).to_owned();
        Command::new(PROGRAM)
            .args(["lines", "--state", &state])
            .env_remove("RINGFENCE_PASSPHRASE")
            .env("CREDENTIALS_DIRECTORY", &credentials)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let words = ["the passphrase does not open", "check RINGFENCE_PASSPHRASE"];
    let case = Case {
        wrong: "a wrong passphrase",
        typed: Vec::new(),
        status: 1,
        words,
    };
    check(&case, &handed_over("wrong\n"));
    let right = handed_over("right\n");
    assert!(
        right.status.success(),
        "{}",
        String::from_utf8_lossy(&right.stderr)
    );
    assert!(String::from_utf8_lossy(&right.stdout).contains("20001"));
}

#[test]
fn a_folder_that_may_not_be_written_is_a_line_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o500)).unwrap();
    let state = folder.path().join("state");
    let typed = ["run", "--state", text(&state)];
    // Not even root may write there without its capabilities.
    let mut bare = vec!["--bounding-set=-all", "--inh-caps=-all", PROGRAM];
    bare.extend(typed);
    let output = run("setpriv", &bare);
    let words = ["permission denied", "belongs to this user"];
    check(
        &Case {
            wrong: "no permission",
            typed: Vec::new(),
            status: 1,
            words,
        },
        &output,
    );
}

/// Fills a disk of one page with what an activation keeps first, then makes room and tries again.
const FULL_DISK: &str = r#"
mount -t tmpfs -o size=4k none "$1" || exit 77
shift
"$@"
first=$?
mount -o remount,size=1m "$DISK"
"$@" >&2
echo "$first $?"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_neither_the_code_nor_the_keys() {
    let book = PhoneBook::start(ringfence_phonebook::config::Config {
        listen: ANY_PORT,
        database: Database::Memory,
        plan: NumberPlan::new(20_000, 1).unwrap(),
        ..Default::default()
    })
    .await
    .unwrap();
    let code = book.issue().await.unwrap().code.text();
    let disk = tempfile::tempdir().unwrap();
    let (disk, state) = (
        text(disk.path()),
        text(&disk.path().join("state")).to_owned(),
    );
    let url = book.url();
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", FULL_DISK, "sh", disk])
        .args([
            PROGRAM,
            "activate",
            "--phonebook",
            &url,
            "--code",
            &code,
            "--state",
            &state,
        ])
        .env("DISK", disk)
        .env_remove("RUST_LOG")
        .env_remove("RINGFENCE_PASSPHRASE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || errors.starts_with("unshare: ") {
        assert!(
            std::env::var_os("CI").is_none(),
            "no disk of our own: {errors}"
        );
        skipped("this system does not allow a disk of one page");
        return;
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.ends_with("1 0\n"), "{printed}{errors}");
    let told: Vec<_> = errors
        .lines()
        .filter(|line| line.starts_with("ringfence: "))
        .collect();
    let [line] = told[..] else { panic!("{errors}") };
    assert!(
        line.contains("no storage space") && line.contains("has room"),
        "{line}"
    );
    assert!(
        errors.contains("is yours."),
        "the second try gets the number: {errors}"
    );
}

#[expect(
    clippy::print_stderr,
    reason = "the output of a test run must show what was not tested"
)]
fn skipped(why: &str) {
    eprintln!("\n*** SKIPPED: {why} ***\n");
}

#[test]
fn a_clock_that_is_an_hour_off_is_told_with_what_to_do() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // A phone book that answers nothing but the time, an hour before ours.
    let past = std::time::UNIX_EPOCH + ringfence::clock::since_epoch()
        - std::time::Duration::from_secs(3_600);
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ndate: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        httpdate::fmt_http_date(past)
    );
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let state = tempfile::tempdir().unwrap();
    let state = text(state.path()).to_owned() + "/state";
    let typed = [
        "activate",
        "--phonebook",
        &url,
        "--code",
        NO_CODE,
        "--state",
        &state,
    ];
    let output = run(PROGRAM, &typed);
    answering.join().unwrap();
    let words = ["status 503", "try again later"];
    check(
        &Case {
            wrong: "a book that fails",
            typed: Vec::new(),
            status: 1,
            words,
        },
        &output,
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    let clock = "this machine's clock is about 60 minutes ahead of the phone book's";
    assert!(
        errors.contains(clock) && errors.contains("To do: set the clock"),
        "{errors}"
    );
}

#[test]
fn it_prints_its_manual_and_its_completions() {
    let print = |arguments: &[&str]| {
        let output = run(PROGRAM, arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(print(&["man"]).contains("ringfence \\- Private calls"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            print(&["completions", shell]).contains("activate"),
            "{shell}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    print(&["man", text(folder.path())]);
    let page = std::fs::read_to_string(folder.path().join("ringfence-run.1")).unwrap();
    assert!(page.contains("SIGHUP"), "{page}");
    for command in [
        "setup", "status", "doctor", "backup", "restore", "lines", "contacts",
    ] {
        let page = folder.path().join(format!("ringfence-{command}.1"));
        assert!(page.exists(), "{command} has no manual");
    }
}
