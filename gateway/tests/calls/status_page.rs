//! The user's page of `ringfence run` as strangers find it: other programs and users of this machine, web sites that the user visits,
//! and people who write to the user.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use ringfence::page::client;
use ringfence::page::key::{self, PageKey};
use ringfence::state::keystore::{ContactsFile, LineFile, SavedStateFile};
use ringfence_book::{Day, Number};
use ringfence_engine::line::identity::Identity;
use ringfence_engine::line::saved_state::{SavedState, WaitingText};
use ringfence_engine::sealed::note::NoteId;
use ringfence_engine::time::UnixTime;
use ringfence_engine::trust::contacts::{ContactUpdate, Contacts};
use zeroize::Zeroizing;

use crate::program::{Program, settings};
use crate::servers::{SOON, Servers};

/// A text or name that an attacker may choose.
const HOSTILE: &str = "</p><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";

/// A running engine and its page.
struct EngineProcess {
    program: Program,
    state: PathBuf,
    line: LineFile,
    key: PageKey,
    _servers: Servers,
}

/// An answer, as bytes came.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl EngineProcess {
    /// An engine with a hostile contact and a hostile text.
    async fn open() -> Self {
        let servers = Servers::build().await;
        let [stored, other] = servers.stored_engines().await;
        let (state, line) = (stored.config.state.clone(), stored.line.clone());
        let number = Number::new(other.line.number);
        drop((stored, other));
        let pin = |contacts: &mut Contacts| {
            let identity = Identity::generate(&mut rand::rng()).key();
            contacts.learn(&ContactUpdate::Pin {
                number,
                identity,
                day: Day::new(20_000),
            });
            contacts.name(number, &HOSTILE[..60]).unwrap();
        };
        ContactsFile::open(&state, None).edit(pin).unwrap();
        let mut saved_state = SavedState::default();
        saved_state.texts.push_back(WaitingText {
            id: NoteId::from_bytes([7; 16]),
            line: Number::new(line.number),
            from: number,
            dated: UnixTime::from_seconds(1_795_000_000),
            text: Zeroizing::new(HOSTILE.to_owned()),
        });
        SavedStateFile::open(&state, None)
            .write(&saved_state)
            .unwrap();
        let program = Program::start_with(
            &state,
            &(settings("", &[]) + "[page]\nlisten = \"127.0.0.1:0\"\n"),
            |_| {},
        );
        Program::writes(&program.out, &["status page: http://"]).await;
        let key = PageKey::read(&state).unwrap().expect("the page is open");
        Self {
            program,
            state: state.to_path_buf(),
            line,
            key,
            _servers: servers,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a browser's connection, not the gateway's"
    )]
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.key.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        let host = self.key.address.to_string();
        if !headers.iter().any(|(name, _)| *name == "host") {
            request += &format!("host: {host}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!(
            "content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let plain = |line: &&str| !line.to_ascii_lowercase().starts_with("date:");
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.lines().filter(plain).collect::<Vec<_>>().join("\n"),
            body: body.to_owned(),
        }
    }

    /// The cookie of a first visit.
    fn cookie(&self) -> String {
        let first = self.ask(
            "GET",
            &format!("/?token={}", self.key.token.expose()),
            &[],
            "",
        );
        assert_eq!(first.status, 303);
        let line = first
            .head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "))
            .unwrap();
        assert!(
            line.contains("HttpOnly") && line.contains("SameSite=Strict"),
            "{line}"
        );
        assert!(
            !first.head.to_lowercase().contains(self.key.token.expose()),
            "the cookie is not the key"
        );
        line.split(';').next().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("cookie", &self.cookie())], "")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_every_path_gets_one_and_the_same_answer() {
    let engine = EngineProcess::open().await;
    let line = engine.line.number;
    let reference = engine.ask("GET", "/", &[], "");
    assert_eq!(reference.status, 403);
    let wrong = "0".repeat(64);
    for path in [
        "/",
        "/nothing",
        "/page.css",
        "/calls",
        "/contacts",
        "/api/status",
        &format!("/lines/{line}"),
        &format!("/lines/{}", line + 1),
        &format!("/?token={wrong}"),
        &format!("/api/status?token={}", engine.key.token.expose()),
    ] {
        assert_eq!(engine.ask("GET", path, &[], ""), reference, "{path}");
    }
    let post = format!("/lines/{line}/command");
    assert_eq!(engine.ask("POST", &post, &[], "act=undisturbed"), reference);
    let bearer = format!("Bearer {wrong}");
    assert_eq!(
        engine.ask("GET", "/api/status", &[("authorization", &bearer)], ""),
        reference
    );
    assert!(
        !reference.head.to_lowercase().contains("access-control"),
        "{}",
        reference.head
    );
    assert_eq!(engine.get("/api/status").status, 200);
    assert_eq!(engine.get("/nothing").status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_web_site_neither_reads_the_page_nor_changes_anything() {
    let engine = EngineProcess::open().await;
    let (cookie, port) = (engine.cookie(), engine.key.address.port());
    for host in [
        format!("evil.example:{port}"),
        "127.0.0.1:1".to_owned(),
        "127.0.0.1".to_owned(),
    ] {
        let headers = [("cookie", cookie.as_str()), ("host", host.as_str())];
        assert_eq!(engine.ask("GET", "/", &headers, "").status, 421, "{host}");
    }
    let line = engine.line.number;
    let post = format!("/lines/{line}/command");
    let own = format!("http://127.0.0.1:{port}");
    let do_not_disturb = async || {
        let status = client::status(&engine.state).await.unwrap();
        status.lines[0].do_not_disturb
    };
    for origin in [
        Some("http://evil.example"),
        Some("null"),
        Some("http://127.0.0.1:1"),
        None,
    ] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        assert_eq!(
            engine
                .ask("POST", &post, &headers, "act=undisturbed")
                .status,
            403,
            "{origin:?}"
        );
        assert!(!do_not_disturb().await);
    }
    let headers = [("cookie", cookie.as_str()), ("origin", own.as_str())];
    assert_eq!(
        engine
            .ask(
                "POST",
                &post,
                &headers,
                "act=undisturbed&back=//evil.example"
            )
            .status,
        303
    );
    assert!(do_not_disturb().await, "the page itself may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_is_shown_and_never_run() {
    let engine = EngineProcess::open().await;
    for path in ["/", "/calls", "/contacts"] {
        let page = engine.get(path);
        assert_eq!(page.status, 200);
        for tag in ["<script>alert", "<img src=x", "</p><script"] {
            assert!(!page.body.contains(tag), "{path}: {}", page.body);
        }
        let policy = page
            .head
            .lines()
            .find_map(|line| line.strip_prefix("content-security-policy: "))
            .unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    assert!(engine.get("/calls").body.contains("&lt;script&gt;alert(1)"));
    let status = client::status(&engine.state).await.unwrap();
    assert_eq!(status.lines[0].texts_waiting, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_was_read_on_the_page_waits_no_more_after_a_restart() {
    let mut engine = EngineProcess::open().await;
    let (cookie, line) = (engine.cookie(), engine.line.number);
    let own = format!("http://{}", engine.key.address);
    let headers = [("cookie", cookie.as_str()), ("origin", own.as_str())];
    let read = format!("act=read&back=/calls&text={}", "07".repeat(16));
    let post = format!("/lines/{line}/command");
    assert_eq!(engine.ask("POST", &post, &headers, &read).status, 303);
    assert_eq!(
        engine.ask("POST", &post, &headers, &read).status,
        409,
        "it is gone"
    );
    assert_eq!(engine.program.end("-TERM").await.0, Some(0));
    assert!(
        SavedStateFile::open(&engine.state, None)
            .read()
            .unwrap()
            .texts
            .is_empty()
    );
    assert!(
        !key::file(&engine.state).exists(),
        "the key of a page that is closed is gone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_for_a_phone_is_good_once_and_looking_ahead_does_not_use_it_up() {
    let engine = EngineProcess::open().await;
    let line = Number::new(engine.line.number);
    let link = client::provision(&engine.state, line).await.unwrap();
    assert_eq!(link.expires_in_seconds, 600);
    let url = link.url.as_str();
    let path = url
        .strip_prefix(&format!("http://{}", engine.key.address))
        .unwrap();
    assert_eq!(engine.ask("HEAD", path, &[], "").status, 404);
    let first = engine.ask("GET", path, &[], "");
    assert_eq!(first.status, 200);
    assert!(first.body.contains("ha1"), "{}", first.body);
    assert!(!first.body.contains(engine.line.account.password.expose()));
    let second = engine.ask("GET", path, &[], "");
    assert_eq!(second.status, 404);
    assert_eq!(
        engine.ask("GET", &format!("/p/{}", "0".repeat(64)), &[], ""),
        second,
        "as one that never was"
    );
    assert!(
        client::provision(&engine.state, Number::new(1))
            .await
            .is_err(),
        "no such line"
    );
    let mut last = 0;
    for _ in 0..40 {
        last = engine.ask("GET", "/p/guess", &[], "").status;
    }
    assert_eq!(last, 429, "guessing is slowed down");
}
