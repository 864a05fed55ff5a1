//! `ringfence setup` and `run` at a terminal, typed by a person: wrong answers, a slip in the passphrase, Ctrl-C, and the same again.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::shell::{PROGRAM, Servers, Shell, free_port};

const LIMIT: Duration = Duration::from_secs(60);

/// A program at a pseudoterminal (`script` of util-linux).
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
    /// What was looked at.
    seen: usize,
}

impl Terminal {
    fn open(shell: &Shell, typed: &[&str]) -> Self {
        let words: Vec<String> = typed.iter().map(|word| format!("'{word}'")).collect();
        // Ctrl-C is of no use to a program that was started by one which ignores it, as a shell has it in the background.
        let line = format!(
            "exec env --default-signal=INT {PROGRAM} {}",
            words.join(" ")
        );
        let mut command = shell.of(Command::new("script"), &["-qefc", &line, "/dev/null"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (keyboard, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen = Arc::<Mutex<String>>::default();
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..read]);
                shown.lock().unwrap().push_str(&text);
            }
        });
        Self {
            child,
            keyboard,
            screen,
            seen: 0,
        }
    }

    /// Waits until this is shown, after what was looked at before.
    fn sees(&mut self, words: &str) {
        let start = Instant::now();
        loop {
            let screen = self.screen.lock().unwrap().clone();
            if let Some(at) = screen[self.seen..].find(words) {
                self.seen += at + words.len();
                return;
            }
            assert!(
                start.elapsed() < LIMIT,
                "{words} is not in {}",
                &screen[self.seen..]
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn types(&mut self, text: &str) {
        writeln!(self.keyboard, "{text}").unwrap();
    }

    fn presses_ctrl_c(&mut self) {
        self.keyboard.write_all(b"\x03").unwrap();
    }

    fn ends(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            let screen = self.screen.lock().unwrap();
            assert!(start.elapsed() < LIMIT, "it goes on: {screen}");
            drop(screen);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
    }
}

/// `setup` with what a test must choose: ports, and private addresses.
fn setup(ports: &[String; 2]) -> Vec<&str> {
    let [sip, tls] = ports;
    vec![
        "setup",
        "--allow-private",
        "--sip-port",
        sip,
        "--tls-port",
        tls,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_and_a_passphrase_are_all_that_is_typed_and_slips_cost_a_line() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let link = servers.link().await;
    let ports = [free_port(), free_port()];
    let start = Instant::now();
    let mut screen = Terminal::open(&shell, &setup(&ports));
    screen.sees("link that you were sent");
    screen.types("http://127.0.0.1:9/");
    screen.sees("no connection");
    screen.types(&link);
    screen.sees("signature of epoch");
    screen.sees("Where are the phones");
    screen.types("upstairs");
    screen.sees("`here`, `lan` or an IP address");
    screen.types("192.0.2.77");
    screen.sees("192.0.2.77 is no address of this machine");
    screen.types("");
    screen.sees("Passphrase (nothing is shown): ");
    screen.types("corgi");
    screen.sees("Again: ");
    screen.types("korgi");
    screen.sees("differs");
    screen.sees("Passphrase (nothing is shown): ");
    screen.types("corgi");
    screen.sees("Again: ");
    screen.types("corgi");
    screen.sees("number     2");
    screen.sees("Start it in this terminal now (y/n) [y]: ");
    let shown = screen.screen.lock().unwrap().clone();
    screen.types("");
    screen.sees("1 line ready");
    let took = start.elapsed();
    assert!(took < LIMIT, "{took:?}");
    screen.presses_ctrl_c();
    assert!(screen.ends().success());
    for word in ["Nostr", "TURN", "\u{2588}"] {
        assert!(!shown.contains(word), "{word} is in {shown}");
    }
    assert!(
        !shell
            .path(".config/ringfence/ringfence.toml.answers")
            .exists()
    );

    // A slip in the passphrase ends in another try, not in the shell.
    let mut screen = Terminal::open(&shell, &["run"]);
    for slip in ["corg", "corgo"] {
        screen.sees("Passphrase of the keys: ");
        screen.types(slip);
        screen.sees("This is not the passphrase");
    }
    screen.sees("Passphrase of the keys: ");
    screen.types("corgi");
    screen.sees("1 line ready");
    screen.presses_ctrl_c();
    assert!(screen.ends().success());
    let mut screen = Terminal::open(&shell, &["lines"]);
    for slip in ["a", "b", "c"] {
        screen.sees("Passphrase of the keys: ");
        screen.types(slip);
    }
    screen.sees("the passphrase does not open");
    assert!(!screen.ends().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_before_ctrl_c_is_offered_again() {
    let (servers, shell) = (Servers::start().await, Shell::open());
    let link = servers.link().await;
    let ports = [free_port(), free_port()];
    let mut screen = Terminal::open(&shell, &setup(&ports));
    screen.sees("link that you were sent");
    screen.types(&link);
    screen.sees("Where are the phones");
    screen.presses_ctrl_c();
    assert!(!screen.ends().success());
    let answers = std::fs::metadata(shell.path(".config/ringfence/ringfence.toml.answers"));
    assert_eq!(answers.unwrap().permissions().mode() & 0o777, 0o600);
    let mut screen = Terminal::open(&shell, &setup(&ports));
    screen.sees(&format!("[{link}]"));
    screen.types("");
    screen.sees("Where are the phones");
    screen.types("");
    screen.sees("Passphrase (nothing is shown): ");
    screen.presses_ctrl_c();
    assert!(!screen.ends().success());
    // The settings are written: no question is left but the passphrase.
    let mut screen = Terminal::open(&shell, &["setup"]);
    screen.sees(&format!("[{link}]"));
    screen.types("");
    screen.sees("Passphrase (nothing is shown): ");
    screen.types("");
    screen.sees("number     2");
    screen.sees("Start it in this terminal now");
    screen.types("n");
    assert!(screen.ends().success());
    assert!(
        !shell
            .path(".config/ringfence/ringfence.toml.answers")
            .exists()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_and_turn_servers_are_asked_for_and_tried_only_where_the_book_names_none() {
    let (servers, shell) = (
        Servers::of(|book| (book.relays, book.turn) = Default::default()).await,
        Shell::open(),
    );
    let link = servers.link().await;
    let ports = [free_port(), free_port()];
    let mut screen = Terminal::open(&shell, &setup(&ports));
    screen.sees("link that you were sent");
    screen.types(&link);
    screen.sees("Where are the phones");
    screen.types("");
    screen.sees("Nostr relays");
    screen.types("nostr.org");
    screen.sees("nostr.org");
    screen.sees("not a ws:// or wss:// URL");
    screen.types(&servers.relay.url());
    screen.sees("TURN servers");
    screen.types("turn.example.org");
    screen.sees("To do");
    let turn = format!("turn:{}", servers.turn.local_addr());
    screen.types(&turn);
    screen.sees("Secret shared with them");
    screen.types("of another server");
    screen.sees("To do");
    screen.sees("TURN servers");
    screen.types(&turn);
    screen.sees("Secret shared with them");
    screen.types("a-secret-of-the-turn-server");
    screen.sees("Passphrase (nothing is shown): ");
    screen.types("");
    screen.sees("Start it in this terminal now");
    screen.types("y");
    screen.sees("1 line ready");
    screen.presses_ctrl_c();
    assert!(screen.ends().success());
}
