//! The page of a new engine, as a browser uses it: the next step, a contact, a text, a call without a phone; and the desktop's notification.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::shell::{Engine, Servers, Shell, settled};

/// The running engine's page.
struct Page {
    address: String,
    token: String,
}

impl Page {
    fn of(shell: &Shell) -> Self {
        let printed = shell.done(&["status", "--page"]);
        let (address, token) = printed.trim().split_once("/?token=").unwrap();
        Self {
            address: address.strip_prefix("http://").unwrap().to_owned(),
            token: token.to_owned(),
        }
    }

    /// The answer as text: status, headers and body.
    #[expect(
        clippy::disallowed_methods,
        reason = "a browser's connection to the page"
    )]
    fn ask(&self, method: &str, path: &str, form: &str) -> String {
        let Self { address, token } = self;
        let mut stream = TcpStream::connect(address).unwrap();
        let asked = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(asked.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask("GET", path, "")
    }

    fn waits_for(&self, path: &str, words: &str) -> String {
        let start = Instant::now();
        loop {
            let shown = self.get(path);
            if shown.contains(words) {
                return shown;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{words}: {shown}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_user_is_led_on_and_writes_a_text_which_the_desktop_shows_without_its_words() {
    let servers = Servers::start().await;
    let shell = settled(&servers).await;
    let settings = shell.path(".config/ringfence/ringfence.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let text = text.replace("notifications = false", "notifications = true");
    std::fs::write(&settings, text).unwrap();
    let (stubs, shown) = (shell.path("stubs"), shell.path("shown"));
    std::fs::create_dir(&stubs).unwrap();
    let stub = stubs.join("notify-send");
    std::fs::write(
        &stub,
        format!("#!/bin/sh\necho \"$@\" >>{}\n", shown.display()),
    )
    .unwrap();
    std::fs::set_permissions(&stub, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", stubs.display(), std::env::var("PATH").unwrap());
    let _engine = Engine::start_with(&shell, &[("PATH", &path)]);
    let page = Page::of(&shell);
    let lines: serde_json::Value = serde_json::from_str(&shell.done(&["lines", "--json"])).unwrap();
    let own = lines[0]["number"].to_string();

    let home = page.get("/");
    assert!(
        home.contains("Next step") && home.contains("Set up a phone for line"),
        "{home}"
    );
    assert!(page.get("/help").contains("<dt>safety number</dt>"));

    let other = if own == "20000" { "20001" } else { "20000" };
    let form = format!("number={other}&name=Bob");
    let added = page.ask("POST", "/contacts/add", &form);
    assert!(
        added.starts_with("HTTP/1.1 303") && added.contains(&format!("/contacts/{other}")),
        "{added}"
    );
    let again = page.ask("POST", "/contacts/add", &form);
    assert!(again.contains("a contact already"), "{again}");
    let unknown = page.ask("POST", "/contacts/add", "number=7&name=");
    assert!(unknown.contains("has no such number"), "{unknown}");
    let contact = page.get(&format!("/contacts/{other}"));
    assert!(
        contact.contains("Bob") && contact.contains("No phone is registered"),
        "{contact}"
    );
    let call = format!("act=call&number={other}&back=/");
    let call = page.ask("POST", &format!("/lines/{own}/command"), &call);
    assert!(
        call.starts_with("HTTP/1.1 409") && call.contains("no phone is registered"),
        "{call}"
    );

    // To itself: the text comes back over the relay, and no phone takes it.
    let form = format!("line={own}&number={own}&text=secret+words&back=/calls");
    let sent = page.ask("POST", "/write", &form);
    assert!(sent.starts_with("HTTP/1.1 303"), "{sent}");
    let calls = page.waits_for("/calls", "a relay keeps it for the other side");
    drop(calls);
    page.waits_for("/calls", "secret words");
    let start = Instant::now();
    while !shown.exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "no notification");
        std::thread::sleep(Duration::from_millis(50));
    }
    let notified = std::fs::read_to_string(&shown).unwrap();
    assert!(notified.contains("New text"), "{notified}");
    assert!(
        !notified.contains("secret") && !notified.contains(&own),
        "{notified}"
    );
}
