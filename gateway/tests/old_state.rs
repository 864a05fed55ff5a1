//! State folders of an earlier engine open in this one, with the same content. `state-0.1` was written before files had a checksum,
//! once without and once with the passphrase below; its keys belong to no line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use ringfence::Secret;
use ringfence::state::keystore::{Keystore, LineFile, SipAccount};
use ringfence_book::{Day, IdentityKey, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::line::saved_state::{
    CallWay, LineSettings, PastCall, REMEMBERED, SavedState, WaitingText,
};
use ringfence_engine::sealed::note::NoteId;
use ringfence_engine::sealed::replay::Records;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::{Contact, Contacts, OtherKey, ShownBy};
use ringfence_engine::trust::secrets::PairSecrets;
use tempfile::TempDir;
use zeroize::Zeroizing;

const PASSPHRASE: &str = "correct horse";
const PENDING: (&[u8], &[u8]) = (&[0x3f, 0xa1], b"keys of an activation");
const REDEEMED: (&[u8], u32) = (&[0x77], 20_002);

fn identity(seed: u8) -> Identity {
    Identity::generate(&mut ChaCha20Rng::from_seed([seed; 32]))
}

/// The keys as version 3 wrote them, with a last day in the place of the serial.
fn old_identity(seed: u8) -> Zeroizing<Vec<u8>> {
    let mut bytes = identity(seed).to_bytes();
    bytes[0] = 3;
    bytes[65..69].copy_from_slice(&40_000_u32.to_be_bytes());
    bytes
}

fn key(seed: u8) -> IdentityKey {
    identity(seed).key()
}

fn lines() -> [LineFile; 2] {
    let line = |number: u32, name: Option<&str>| LineFile {
        number,
        identity: old_identity(1),
        book_url: "https://book.example.org".to_owned(),
        book_key: [9; 32],
        account: SipAccount {
            user: number.to_string(),
            password: Secret::new("swordfish".to_owned()),
        },
        name: name.map(str::to_owned),
        ring_key_due: name.map(|_| 1_800_000_000),
        members: name.map(|_| Secret::new("token".to_owned())),
    };
    [line(20_001, Some("Büro")), line(20_002, None)]
}

fn contacts() -> Contacts {
    let mut contacts = Contacts::default();
    let contact = |number, seed| Contact {
        number: Number::new(number),
        identity: key(seed),
        since: Day::new(20_700),
        verified: seed == 2,
        name: (seed == 2).then(|| "Zoë".to_owned()),
        other: (seed == 2).then(|| OtherKey {
            identity: key(4),
            since: Day::new(20_701),
            shown_by: ShownBy::Book,
        }),
        sees: [Number::new(20_001)].into_iter().collect(),
    };
    assert!(contacts.insert(contact(24_440, 2)) && contacts.insert(contact(24_441, 3)));
    contacts
}

fn saved() -> SavedState {
    let (id, line) = (NoteId::from_bytes([7; 16]), Number::new(20_001));
    let from = Number::new(24_440);
    let dated = UnixTime::from_millis(1_800_000_000_123).before(REMEMBERED);
    let mut notes = Records::default();
    notes.add(from, (dated, id));
    SavedState {
        notes,
        texts: [WaitingText {
            id,
            line,
            from,
            dated: UnixTime::from_millis(1_799_000_000_000),
            text: Zeroizing::new("grüß \"dich\"\n".to_owned()),
        }]
        .into(),
        calls: [PastCall {
            line,
            number: from,
            way: CallWay::In,
            began: UnixTime::from_millis(1_798_000_000_000),
            talked: Some(Duration::from_secs(61)),
            is_new: false,
            is_stranger: false,
            quality: None,
        }]
        .into(),
        settings: BTreeMap::from([(
            line,
            LineSettings {
                do_not_disturb: true,
                contacts_only: false,
                blocked: vec![Number::new(24_449), Number::new(24_441)],
            },
        )]),
        secrets: PairSecrets::default(),
    }
}

/// A copy of a folder with the modes that an engine gives.
fn copy(from: &Path, to: &Path) {
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    std::fs::create_dir_all(to).unwrap();
    mode(to, 0o700);
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        let to = to.join(name);
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
            mode(&to, 0o600);
        }
    }
}

fn old(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state-0.1");
    copy(&old.join(name), folder.path());
    folder
}

fn assert_line(line: &LineFile, expected: &LineFile) {
    assert_eq!(line.number, expected.number);
    assert_eq!(*line.identity, *expected.identity);
    assert_eq!(line.book_url, expected.book_url);
    assert_eq!(line.book_key, expected.book_key);
    assert_eq!(line.account.user, expected.account.user);
    let passwords = [line, expected].map(|line| line.account.password.expose());
    assert_eq!(passwords[0], passwords[1]);
    assert_eq!(line.name, expected.name);
    assert_eq!(line.ring_key_due, expected.ring_key_due);
    let tokens = [line, expected].map(|line| line.members.as_ref().map(Secret::expose));
    assert_eq!(tokens[0], tokens[1]);
}

#[test]
fn a_state_folder_of_an_earlier_engine_opens_with_the_same_content() {
    for (name, passphrase) in [("plain", None), ("passphrase", Some(PASSPHRASE))] {
        let folder = old(name);
        let secret = passphrase.map(|text| Secret::new(text.to_owned()));
        let mut store = Keystore::open(folder.path(), secret).unwrap();
        let found = store.lines().unwrap();
        for (line, expected) in found.iter().zip(lines()) {
            assert_line(line, &expected);
        }
        assert_eq!(found.len(), 2);
        assert!(store.contacts().read().unwrap() == contacts(), "{name}");
        assert!(store.saved_state().read().unwrap() == saved(), "{name}");
        let pending = store.pending(PENDING.0).unwrap().unwrap();
        assert_eq!(pending.as_slice(), PENDING.1);
        assert_eq!(store.redeemed(REDEEMED.0), Ok(Some(REDEEMED.1)));
    }
}

#[test]
fn a_line_that_is_written_again_has_a_checksum_from_then_on() {
    let folder = old("plain");
    let path = folder.path().join("lines/20001.json");
    let has_checksum = || std::fs::read_to_string(&path).unwrap().contains("checksum");
    assert!(!has_checksum());
    let mut store = Keystore::open(folder.path(), None).unwrap();
    store.save(&lines()[0]).unwrap();
    assert!(has_checksum());
    assert_line(&store.lines().unwrap()[0], &lines()[0]);
}

#[test]
fn the_program_shows_what_the_earlier_one_had_saved() {
    for (name, passphrase) in [("plain", ""), ("passphrase", PASSPHRASE)] {
        let folder = old(name);
        let shown = |command: &str| {
            let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
                .args([command, "--state"])
                .arg(folder.path())
                .env("RINGFENCE_PASSPHRASE", passphrase)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        for (command, word) in [("lines", "Büro"), ("contacts", "Zoë"), ("calls", "24440")] {
            let text = shown(command);
            assert!(text.contains(word), "{command}: {text}");
        }
    }
}

/// Every file below a folder, with its path there.
fn every_file(folder: &Path, below: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        if folder.join(&path).is_dir() {
            found.extend(every_file(folder, &path));
        } else {
            let bytes = std::fs::read(folder.join(&path)).unwrap();
            found.push((path.to_str().unwrap().to_owned(), bytes));
        }
    }
    found
}

#[test]
fn what_an_earlier_engine_left_readable_beside_a_passphrase_is_sealed_when_the_folder_is_opened() {
    let folder = old("passphrase");
    let path = folder.path();
    for (name, text) in [
        ("page-token", "http://127.0.0.1:1/?token=00"),
        ("provisioning-path", "a secret path"),
        ("phones-ca.key", "-----BEGIN PRIVATE KEY-----"),
        ("evidence/record-0000000007-0a1b.json", "20001"),
        ("book/0011223344556677/network.json", "book.example.org"),
        ("book/0011223344556677/roots.0a1b.new", "half"),
    ] {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        mode(&file, 0o600);
        if name.contains('/') {
            mode(file.parent().unwrap(), 0o700);
        }
    }
    for folder in ["book", "evidence"] {
        std::fs::set_permissions(path.join(folder), PermissionsExt::from_mode(0o700)).unwrap();
    }
    let secret = || Some(Secret::new(PASSPHRASE.to_owned()));
    for _ in 0..2 {
        let mut store = Keystore::open(path, secret()).unwrap();
        for (line, expected) in store.lines().unwrap().iter().zip(lines()) {
            assert_line(line, &expected);
        }
        assert_eq!(
            store.pending(PENDING.0).unwrap().unwrap().as_slice(),
            PENDING.1
        );
        assert_eq!(store.redeemed(REDEEMED.0), Ok(Some(REDEEMED.1)));
        assert!(store.contacts().read().unwrap() == contacts());
        let files = every_file(path, Path::new(""));
        for (name, bytes) in &files {
            let is_sealed =
                bytes.starts_with(b"{") && String::from_utf8_lossy(bytes).contains("argon2id");
            assert!(
                is_sealed || ["lock", "salt", "contacts.lock"].contains(&name.as_str()),
                "{name}"
            );
            for word in ["20001", "20002", "3fa1", "77.", "0011223344556677", "0a1b"] {
                assert!(!name.contains(word), "{name}");
            }
        }
        // Two lines, two of activations, contacts, calls, lock, salt, the path, evidence, the book.
        assert_eq!(files.len(), 11, "{files:?}");
    }
    // Stopped between the two halves of a change of name: the line is there once.
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state-0.1/passphrase/lines/20001.json"),
        path.join("lines/20001.json"),
    )
    .unwrap();
    std::fs::set_permissions(
        path.join("lines/20001.json"),
        PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    assert_eq!(Keystore::look(path, secret()).unwrap().len(), 2);
    assert_eq!(
        Keystore::open(path, secret())
            .unwrap()
            .lines()
            .unwrap()
            .len(),
        2
    );
    assert!(!path.join("lines/20001.json").exists());
}
