//! `ringfence backup` and `restore`, also when they are killed in the middle.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringfence::state::keystore::{Keystore, LineFile, SipAccount};
use ringfence::state::secret::Secret;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::shell::{Engine, Servers, Shell, answer, complaint, free_port, setup_here};

/// Times at which a restore is killed, spread over its whole length.
const KILLS: u32 = 10;

fn line(number: u32) -> LineFile {
    LineFile {
        number,
        identity: Zeroizing::new(vec![1; 65]),
        book_url: String::new(),
        book_key: [0; 32],
        account: SipAccount {
            user: number.to_string(),
            password: Secret::new("swordfish".to_owned()),
        },
        name: None,
        ring_key_due: None,
        members: None,
    }
}

/// A state folder with one line and so many small files beside it.
fn state(folder: &Path, number: u32, beside: usize, passphrase: Option<&str>) {
    let secret = passphrase.map(|text| Secret::new(text.to_owned()));
    let mut store = Keystore::open(folder, secret).unwrap();
    store.save(&line(number)).unwrap();
    let evidence = folder.join("evidence");
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&evidence)
        .unwrap();
    for at in 0..beside {
        let path = evidence.join(format!("{number}-{at}.txt"));
        std::fs::write(&path, [b'x'; 600]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
}

/// Every file below a folder, but for locks.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "lock" {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

fn typed<'a>(command: &'a str, file: &'a Path, state: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let [file, state] = [file, state].map(|path| path.to_str().unwrap());
    [&[command, file, "--state", state], more].concat()
}

#[test]
fn a_backup_brings_lines_back_on_another_machine_and_only_with_its_passphrase() {
    let shell = Shell::open();
    let (old, new, file) = (shell.path("old"), shell.path("new"), shell.path("b"));
    state(&old, 20_001, 2, Some("of the keys"));
    // An engine runs.
    let running = Keystore::open(&old, None).unwrap();
    let backup = typed("backup", &file, &old, &[]);
    let mut command = shell.command(&backup);
    let output = command
        .env("RINGFENCE_PASSPHRASE", "of the keys")
        .output()
        .unwrap();
    assert!(answer(&backup, &output).contains("holds 1 line"));
    drop(running);
    let mut command = shell.command(&backup);
    let output = command
        .env("RINGFENCE_PASSPHRASE", "of the keys")
        .output()
        .unwrap();
    assert!(complaint(&backup, &output, 2).contains("is there already"));
    let bytes = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(!bytes.contains("20001") && !bytes.contains("swordfish"));

    let restore = typed("restore", &file, &new, &["--json"]);
    let with = |passphrase: &str| {
        let mut command = shell.command(&restore);
        command
            .env("RINGFENCE_PASSPHRASE", passphrase)
            .output()
            .unwrap()
    };
    let told = complaint(&restore, &with("wrong"), 1);
    assert!(
        told.contains("passphrase does not open the backup"),
        "{told}"
    );
    assert!(!new.join("lines").exists());
    let value: Value = serde_json::from_str(&answer(&restore, &with("of the keys"))).unwrap();
    assert_eq!(value["lines"][0], 20_001);
    let mut came = files(&new);
    assert_eq!(came.remove(Path::new("restored")), Some(Vec::new()));
    assert_eq!(came, files(&old));
    let told = complaint(&restore, &with("of the keys"), 2);
    assert!(
        told.contains("has lines") && told.contains("--replace"),
        "{told}"
    );

    let half = bytes.len() / 2;
    std::fs::write(&file, &bytes.as_bytes()[..half]).unwrap();
    let told = complaint(&restore, &with("of the keys"), 1);
    assert!(
        told.contains("damaged") && told.contains("another copy"),
        "{told}"
    );
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_state_or_the_new_one_and_can_be_repeated() {
    let shell = Shell::open();
    let (source, target, file) = (shell.path("source"), shell.path("target"), shell.path("b"));
    state(&source, 20_001, 120, None);
    state(&target, 20_009, 3, None);
    let old = files(&target);
    let run = |typed: &[&str]| {
        let mut command = shell.command(typed);
        command
            .env("RINGFENCE_BACKUP_PASSPHRASE", "sesame")
            .spawn()
            .unwrap()
    };
    let backup = typed("backup", &file, &source, &[]);
    assert!(run(&backup).wait().unwrap().success());
    let elsewhere = shell.path("elsewhere");
    let start = Instant::now();
    assert!(
        run(&typed("restore", &file, &elsewhere, &[]))
            .wait()
            .unwrap()
            .success()
    );
    let (new, whole) = (files(&elsewhere), start.elapsed());

    let restore = typed("restore", &file, &target, &["--replace"]);
    let (mut olds, mut news) = (0, 0);
    for kill in 1..=KILLS {
        let mut child = std::process::Command::new(crate::shell::PROGRAM)
            .args(&restore)
            .env("RINGFENCE_BACKUP_PASSPHRASE", "sesame")
            .env("HOME", shell.home.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait(whole * kill / KILLS, &mut child);
        drop(child.kill());
        child.wait().unwrap();
        let found = files(&target);
        if found == old {
            olds += 1;
        } else {
            assert!(
                found == new,
                "kill {kill}: neither the old state nor the new one"
            );
            news += 1;
        }
    }
    assert!(
        olds > 0,
        "no restore was killed before its end ({news} ended)"
    );
    assert!(run(&restore).wait().unwrap().success());
    assert!(files(&target) == new);
    // The old state is beside the new one, under whatever name; nothing half-written is.
    let folders = || {
        std::fs::read_dir(shell.home.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    assert!(
        folders()
            .any(|path| path != source && path.is_dir() && path.join("lines/20009.json").exists())
    );
    assert!(!folders().any(|path| path.join("unfinished").exists()));
}

#[test]
fn bare_names_of_files_and_folders_are_enough() {
    let shell = Shell::open();
    state(&shell.path("old"), 20_001, 0, None);
    let run = |typed: &[&str]| {
        let mut command = shell.command(typed);
        command.env("RINGFENCE_BACKUP_PASSPHRASE", "sesame");
        let output = command.current_dir(shell.home.path()).output().unwrap();
        answer(typed, &output)
    };
    run(&["backup", "b", "--state", "old"]);
    run(&["restore", "b", "--state", "new"]);
    run(&["restore", "b", "--state", "new", "--replace"]);
    assert!(shell.path("new/lines/20001.json").exists());
}

/// Restores onto a disk that has no room for it, then makes room and tries again.
const FULL_DISK: &str = r#"
mount -t tmpfs -o size=200k none "$1" || exit 77
mkdir "$1/state"
shift
"$@" >/dev/null
first=$?
rest=$(ls -A "$DISK" | tr '\n' ' ')
mount -o remount,size=16m "$DISK"
"$@" >&2
echo "$first $rest$?"
"#;

#[test]
fn a_full_disk_leaves_no_half_state_and_the_restore_can_be_repeated() {
    let shell = Shell::open();
    let (source, file, disk) = (shell.path("source"), shell.path("b"), shell.path("disk"));
    state(&source, 20_001, 120, None);
    std::fs::create_dir(&disk).unwrap();
    let target = disk.join("state");
    let backup = typed("backup", &file, &source, &[]);
    let restore = typed("restore", &file, &target, &[]);
    let mut command = shell.command(&backup);
    let output = command
        .env("RINGFENCE_BACKUP_PASSPHRASE", "sesame")
        .output()
        .unwrap();
    answer(&backup, &output);
    let mut command = std::process::Command::new("unshare");
    let output = command
        .args(["-rm", "sh", "-c", FULL_DISK, "sh"])
        .arg(&disk)
        .arg(crate::shell::PROGRAM)
        .args(&restore)
        .env("DISK", &disk)
        .env("HOME", shell.home.path())
        .env("RINGFENCE_BACKUP_PASSPHRASE", "sesame")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || errors.starts_with("unshare: ") {
        assert!(
            std::env::var_os("CI").is_none(),
            "no disk of our own: {errors}"
        );
        skipped("this system does not allow a small disk");
        return;
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed, "1 state 0\n", "{errors}");
    assert!(
        errors.contains("no storage space") && errors.contains("has room"),
        "{errors}"
    );
}

#[expect(
    clippy::print_stderr,
    reason = "the output of a test run must show what was not tested"
)]
fn skipped(why: &str) {
    eprintln!("\n*** SKIPPED: {why} ***\n");
}

/// Until the moment has come or the program has ended.
fn wait(span: Duration, child: &mut std::process::Child) {
    let start = Instant::now();
    while start.elapsed() < span && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_restores_everything_for_another_user_on_another_machine() {
    let servers = Servers::start().await;
    let away = tempfile::tempdir().unwrap();
    let file = away.path().join("b");
    let [file_text, mut old_home] = [file.to_str().unwrap().to_owned(), String::new()];
    // The second time with settings of an earlier version, which named the folder of the old user.
    for is_absolute in [false, true] {
        let (ca, shell) = (away.path().join("ca.pem"), Shell::open());
        let made = rcgen::generate_simple_self_signed(vec!["box".to_owned()]).unwrap();
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let (link, ports) = (servers.link().await, [free_port(), free_port()]);
        let ca_file = ["--ca-file", ca.to_str().unwrap()];
        shell.done(&[&setup_here(&link, &ports)[..], &ca_file].concat());
        std::fs::remove_file(&ca).unwrap();
        let settings = shell.path(".config/ringfence/ringfence.toml");
        let mut text = std::fs::read_to_string(&settings).unwrap();
        old_home.clear();
        old_home.push_str(shell.home.path().to_str().unwrap());
        assert!(!text.contains(&old_home), "{text}");
        if is_absolute {
            text = text.replace("state = \"~/", &format!("state = \"{old_home}/"));
            std::fs::write(&settings, &text).unwrap();
        }
        let account = shell.done(&["lines", "--passwords", "--json"]);
        let backup = ["backup", &file_text, "--replace"];
        let with = |shell: &Shell, typed: &[&str]| {
            let mut command = shell.command(typed);
            let output = command
                .env("RINGFENCE_BACKUP_PASSPHRASE", "of the backup")
                .output()
                .unwrap();
            answer(typed, &output)
        };
        with(&shell, &backup);
        drop(shell);
        let other = Shell::open();
        with(&other, &["restore", &file_text]);
        assert_eq!(other.done(&["lines", "--passwords", "--json"]), account);
        let text = std::fs::read_to_string(other.path(".config/ringfence/ringfence.toml")).unwrap();
        assert!(
            text.contains("state = \"~/.local/share/ringfence\""),
            "{text}"
        );
        assert!(
            !text.contains(&old_home) && text.contains(&ports[0]),
            "{text}"
        );
        // Relays, TURN servers, the authorities: all is there for a start.
        let engine = Engine::start(&other);
        drop(engine);
    }
}
