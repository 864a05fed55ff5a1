//! The state folder of a running engine with a passphrase, in use: every byte of every file and every name is searched for what a thief
//! would look for, and every file has to be one that nothing can be read of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence::config::Config;
use ringfence::lines::activate::activate;
use ringfence::net::book::{BookClient, BookCopy};
use ringfence::net::outbound::Outbound;
use ringfence::page::key::PageKey;
use ringfence::state::folder::StateFolder;
use ringfence::state::keystore::{
    ContactsFile, Evidence, EvidenceFolder, Keystore, LineFile, SavedStateFile,
};
use ringfence::state::secret::Secret;
use ringfence_book::{Day, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::line::saved_state::{CallWay, PastCall, SavedState, WaitingText};
use ringfence_engine::sealed::note::NoteId;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::ContactUpdate;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::program::{Program, settings_with};
use crate::servers::{SOON, Servers, call, is_over, sees};

const PASSPHRASE: &str = "correct horse battery staple";
/// The names of a line and of a contact, and a text.
const NAMES: [&str; 3] = [
    "Reception of Frau Zuckmayer",
    "Informant Zebulon",
    "the parcel is ready at nine",
];
/// A number that called and one that is blocked.
const STRANGERS: [u32; 2] = [20_377, 20_388];
/// A hardware address of a desk phone.
const MAC: &str = "001565aabbcc";

fn secret() -> Option<Secret> {
    Some(Secret::new(PASSPHRASE.to_owned()))
}

/// What must not be found.
#[derive(Default)]
struct Wanted {
    numbers: BTreeSet<u32>,
    texts: Vec<Vec<u8>>,
}

impl Wanted {
    fn text(&mut self, text: &str) {
        self.texts.push(text.as_bytes().to_vec());
    }

    /// Each 16 bytes of a key: a part of it is as bad as the whole. Runs of zeros, where there is no second key, are everywhere.
    fn bytes(&mut self, bytes: &[u8]) {
        let chunks = bytes.chunks_exact(16);
        let random = chunks.filter(|chunk| chunk.iter().collect::<BTreeSet<_>>().len() > 6);
        self.texts.extend(random.map(<[u8]>::to_vec));
    }

    fn line(&mut self, line: &LineFile) {
        self.numbers.insert(line.number);
        self.bytes(&line.identity);
        self.bytes(&line.book_key);
        self.text(&line.book_url);
        self.text(line.account.password.expose());
        self.text(line.members.as_ref().unwrap().expose());
    }

    /// What of it is in these bytes.
    fn found_in(&self, place: &[u8]) -> Vec<String> {
        let has = |part: &[u8]| place.windows(part.len()).any(|window| window == part);
        let mut found = Vec::new();
        for text in &self.texts {
            let forms = [
                text.clone(),
                hex::encode(text).into_bytes(),
                hex::encode_upper(text).into_bytes(),
            ];
            let is_there =
                forms.iter().any(|form| has(form)) || in_base64(text).iter().any(|form| has(form));
            if is_there {
                found.push(String::from_utf8_lossy(text).into_owned());
            }
        }
        for number in &self.numbers {
            let decimal = number.to_string();
            let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            // Five digits are found in long ciphertext by chance; a number that somebody wrote stands alone.
            let alone = place
                .windows(decimal.len())
                .enumerate()
                .any(|(at, window)| {
                    let before = at.checked_sub(1).and_then(|at| place.get(at));
                    window == decimal.as_bytes()
                        && !is_word(before)
                        && !is_word(place.get(at + decimal.len()))
                });
            let other = [
                hex::encode(&decimal).into_bytes(),
                number.to_be_bytes().to_vec(),
                number.to_le_bytes().to_vec(),
            ];
            let in_base64 = in_base64(decimal.as_bytes());
            if alone || other.iter().any(|form| has(form)) || in_base64.iter().any(|form| has(form))
            {
                found.push(decimal);
            }
        }
        found
    }
}

/// How bytes look in the middle of base64, at each of the three places within a group.
fn in_base64(bytes: &[u8]) -> Vec<Vec<u8>> {
    let form = |before: usize| {
        let padded = [vec![0; before], bytes.to_vec()].concat();
        let text = STANDARD.encode(&padded);
        let first = (before * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        text.as_bytes()[first..last].to_vec()
    };
    (0..3).map(form).collect()
}

#[test]
fn the_search_finds_each_form() {
    let mut wanted = Wanted::default();
    wanted.text("swordfish");
    wanted.numbers.insert(20_417);
    for place in [
        "xxswordfishxx".to_owned(),
        format!("x{}x", hex::encode("swordfish")),
        STANDARD.encode("swordfish"),
        STANDARD.encode("x swordfish y"),
        STANDARD.encode("xyswordfish y"),
        "lines/20417.json".to_owned(),
        STANDARD.encode("{\"number\":20417}"),
        hex::encode("20417"),
    ] {
        assert_eq!(wanted.found_in(place.as_bytes()).len(), 1, "{place}");
    }
    assert!(wanted.found_in(b"a20417b swordfis").is_empty());
}

/// Every file and folder below `folder`.
fn every_path(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.clone());
        if path.is_dir() {
            every_path(&path, found);
        }
    }
}

/// Whether each line is a container under a passphrase, with nothing beside it.
fn is_sealed(bytes: &[u8]) -> bool {
    let mut containers = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let fields =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    !bytes.is_empty()
        && containers.all(|container| {
            let Ok(container) = container else {
                return false;
            };
            container["format"] == "ringfence-line-1"
                && container["protection"]["kind"] == "passphrase"
                && fields(&container) == ["body", "checksum", "format", "protection"]
                && fields(&container["protection"])
                    == ["kdf", "kind", "memory_kib", "nonce", "passes", "salt"]
        })
}

/// Names that an engine gives and that say nothing but what kind of file it is.
fn is_plain_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap();
    let is_keyed = stem.len() == 32 && stem.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_tile = stem
        .strip_prefix("tile-")
        .is_some_and(|index| index.len() == 4);
    let known = [
        "book",
        "contacts",
        "deltas",
        "evidence",
        "ledger",
        "lines",
        "lock",
        "network",
        "page-token",
        "pending",
        "phones-ca",
        "provisioning-path",
        "restart",
        "roots",
        "salt",
        "replaced",
        "turn",
    ];
    is_keyed || is_tile || known.contains(&stem)
}

/// Asserts that nothing can be read.
fn assert_unreadable(state: &Path, wanted: &Wanted, when: &str) {
    let mut paths = Vec::new();
    every_path(state, &mut paths);
    assert!(paths.len() > 10, "{when}: {paths:?}");
    for path in paths {
        let short = path
            .strip_prefix(state)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            wanted.found_in(short.as_bytes()),
            Vec::<String>::new(),
            "{when}: {short}"
        );
        assert!(is_plain_name(name), "{when}: {short}");
        if path.is_dir() {
            continue;
        }
        // A file may be replaced meanwhile.
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        assert_eq!(
            wanted.found_in(&bytes),
            Vec::<String>::new(),
            "{when}: {short}"
        );
        let is_unreadable = match name {
            "lock" | "contacts.lock" => bytes.is_empty(),
            "salt" => bytes.len() == 16,
            // For phones; it is public.
            "phones-ca.pem" => bytes.starts_with(b"-----BEGIN CERTIFICATE-----"),
            name if name.ends_with(".damaged") => true,
            _ => is_sealed(&bytes),
        };
        assert!(
            is_unreadable,
            "{when}: {short}: {}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

/// A command beside the program, or before it.
fn command(state: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(args)
        .arg("--config")
        .arg(state.with_extension("toml"))
        .env("RINGFENCE_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{args:?}: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Puts into the folder what an engine of some weeks has: texts, past calls, blocked numbers, a contact, evidence, a damaged file, an
/// activation that was interrupted.
fn furnish(state: &StateFolder, store: &mut Keystore, line: &LineFile, copy: &BookCopy) {
    let own = Number::new(line.number);
    let [caller, blocked] = STRANGERS.map(Number::new);
    let mut saved = SavedState::default();
    saved.texts.push_back(WaitingText {
        id: NoteId::from_bytes([7; 16]),
        line: own,
        from: caller,
        dated: UnixTime::from_seconds(1_795_000_000),
        text: Zeroizing::new(NAMES[2].to_owned()),
    });
    saved.calls.push_back(PastCall {
        line: own,
        number: caller,
        way: CallWay::In,
        began: UnixTime::from_seconds(1_795_000_000),
        talked: None,
        is_new: true,
        is_stranger: false,
        quality: None,
    });
    saved.settings.entry(own).or_default().blocked = vec![blocked];
    SavedStateFile::open(state, secret()).write(&saved).unwrap();
    let identity = Identity::generate(&mut rand::rng()).key();
    let damage = |contacts: &mut ringfence_engine::trust::contacts::Contacts| {
        contacts.learn(&ContactUpdate::Pin {
            number: caller,
            identity,
            day: Day::new(20_000),
        });
    };
    ContactsFile::open(state, secret()).edit(damage).unwrap();
    let path = state.join("contacts.json");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let root = *copy.snapshot().unwrap().book.root();
    let split = Evidence::Roots {
        known: Box::new(root),
        shown: Box::new(root),
    };
    let book = ringfence_book::BookKey::from_bytes(&line.book_key).unwrap();
    EvidenceFolder::of(state)
        .keep(&split, &book, Day::new(20_000))
        .unwrap();
    store
        .keep_pending(&[0x3f; 8], b"keys of an activation")
        .unwrap();
    store.mark_redeemed(&[0x3e; 8], line.number).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_passphrase_nothing_of_a_running_engine_can_be_read_also_after_a_kill() {
    let servers = Servers::build().await;
    let [other, _] = servers.stored_engines().await;
    let other_line = other.line.clone();
    let other_state = other.config.state.to_path_buf();
    drop(other);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("state");
    let state = StateFolder::open(&path, secret());
    let client = BookClient::new(&servers.book.url(), &Outbound::direct()).unwrap();
    let mut store = Keystore::open(&path, secret()).unwrap();
    let mut wanted = Wanted::default();
    let mut lines = Vec::new();
    for name in [Some(NAMES[0].to_owned()), None] {
        let code = servers.book.issue().await.unwrap().code;
        wanted.bytes(code.digest().as_bytes());
        lines.push(activate(&mut store, &client, &code, name).await.unwrap());
        servers.book.close_epoch_now().await.unwrap();
    }
    let mut copy = BookCopy::open(&state, servers.book.book_key()).unwrap();
    copy.refresh(&client).await.unwrap();
    // What changes is appended.
    servers.book.close_epoch_now().await.unwrap();
    copy.refresh(&client).await.unwrap();
    furnish(&state, &mut store, &lines[0], &copy);
    drop((store, copy));

    for line in lines.iter().chain([&other_line]) {
        wanted.line(line);
    }
    NAMES.iter().for_each(|name| wanted.text(name));
    wanted.numbers.extend(STRANGERS);
    for text in [
        PASSPHRASE,
        MAC,
        "PRIVATE KEY",
        "http://127.0.",
        "turn:127.0.",
        "127.0.0.1:",
        "\"version\"",
        "ringfence-evidence",
    ] {
        wanted.text(text);
    }
    wanted.text(&servers.relay.url());
    wanted.bytes(b"keys of an activation");

    let settings = format!(
        "{}[page]\nlisten = \"127.0.0.1:0\"\n[provisioning]\nlisten = \"127.0.0.1:0\"\nphones = [{{ mac = {MAC:?}, line = {} }}]\n",
        settings_with("", &[], ""),
        lines[0].number
    );
    let start = |settings: &str| {
        Program::start_with(&path, settings, |command| {
            command.env("RINGFENCE_PASSPHRASE", PASSPHRASE);
        })
    };
    let mut program = start(&settings);
    // The same port after the kill: the phone knows no other.
    let udp_port = format!("udp_port = {}", program.udp().await.port());
    let settings = settings.replace("udp_port = 0", &udp_port);
    let other_program = Program::start_with(&other_state, &settings_with("", &[], ""), |_| {});
    let mut phone = program.phone(&lines[0], 0).await;
    let mut other_phone = other_program.phone(&other_line, 1).await;
    Program::writes(&program.out, &["status page: "]).await;
    let key = PageKey::read(&state).unwrap().expect("the page is open");
    wanted.text(key.token.expose());
    let printed = std::fs::read_to_string(&program.out).unwrap();
    assert!(
        !printed.contains(key.token.expose()),
        "the key of the page is in a log: {printed}"
    );
    assert!(printed.contains("ringfence status --page"), "{printed}");
    assert_eq!(
        command(&path, &["status", "--page"]).trim(),
        key.url().expose()
    );
    call(&mut phone, &mut other_phone, &other_line.number.to_string()).await;
    let number = other_line.number.to_string();
    let begun = Instant::now();
    while !command(&path, &["contacts", "--json"]).contains(&number) {
        assert!(begun.elapsed() < SOON, "no contact was pinned");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    command(&path, &["contacts", "name", &number, NAMES[1]]);
    command(
        &path,
        &[
            "contacts",
            "share",
            &number,
            "--line",
            &lines[0].number.to_string(),
        ],
    );
    command(&path, &["contacts", "verify", &number, "--yes"]);
    assert!(command(&path, &["status"]).contains(&lines[0].number.to_string()));
    assert!(command(&path, &["calls"]).contains(&STRANGERS[0].to_string()));
    assert!(command(&path, &["evidence"]).contains("contradict"));
    assert!(command(&path, &["lines", "--passwords"]).contains(lines[0].account.password.expose()));
    // A call that no phone of the other line takes.
    other_phone.hang_up().await;
    sees(&mut phone, is_over).await;
    other_phone.dial(&lines[1].number.to_string()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    other_phone.hang_up().await;
    let begun = Instant::now();
    while !command(&path, &["calls", "--json"]).contains(&lines[1].number.to_string()) {
        assert!(begun.elapsed() < SOON, "no missed call was noted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    call(&mut phone, &mut other_phone, &number).await;
    assert!(path.join("turn.json").exists(), "no TURN login was kept");
    assert!(
        program
            .limits()
            .contains("Max core file size        0                    0")
    );
    assert_unreadable(&path, &wanted, "in a call");
    program.end_hard();
    assert_unreadable(&path, &wanted, "after a kill");

    let mut program = start(&settings);
    Program::writes(&program.out, &["status page: "]).await;
    let key = PageKey::read(&state).unwrap().expect("the page is open");
    wanted.text(key.token.expose());
    assert!(command(&path, &["contacts"]).contains(NAMES[1]));
    assert_unreadable(&path, &wanted, "after another start");
    // The engine says BYE to the phone that the killed one left in a call.
    sees(&mut phone, is_over).await;
    drop((phone, other_phone));
    program.end("-TERM").await;
    assert_unreadable(&path, &wanted, "at rest");
    let again = Config::with_state(&path);
    assert_eq!(Keystore::look(&again.state, secret()).unwrap().len(), 2);
}
