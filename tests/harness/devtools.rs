//! A headless Chromium that is controlled as a user controls one, by addresses, keys and screenshots. It uses the DevTools
//! protocol over one WebSocket on loopback, and keeps every error that the browser reports.

use std::{
    fmt, fs,
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket, client};

use crate::{
    browser::{CHROMIUM, FLAGS},
    program::Program,
};

/// How long a response may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The interval between two checks of a condition.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A browser with one page.
pub struct Devtools {
    socket: WebSocket<TcpStream>,
    session: String,
    asked: u64,
    complaints: Vec<String>,
    _program: Program,
    _folder: TempDir,
}

impl Devtools {
    /// Starts it with an empty page.
    pub fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let profile = folder.path().join("profile");
        let data = format!("--user-data-dir={}", profile.display());
        let further = [
            data.as_str(),
            "--remote-debugging-port=0",
            "--lang=en",
            "--hide-scrollbars",
            "about:blank",
        ];
        let arguments: Vec<&str> = FLAGS.into_iter().chain(further).collect();
        let mut program = Program::start(CHROMIUM, &arguments, folder.path());
        let told = profile.join("DevToolsActivePort");
        let place = || {
            let text = fs::read_to_string(&told).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some((port.parse::<u16>().ok()?, path.trim().to_owned()))
        };
        program.wait_until_ready(|| place().is_some());
        let (port, path) = place().expect("it was just there");
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = client(url, stream).expect("the browser speaks WebSocket");
        let mut browser = Self {
            socket,
            session: String::new(),
            asked: 0,
            complaints: Vec::new(),
            _program: program,
            _folder: folder,
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let targets = self.ask("Target.getTargets", json!({}));
        let pages = targets["targetInfos"]
            .as_array()
            .expect("a list of targets");
        let page = pages.iter().find(|target| target["type"] == "page");
        let page = page.expect("it has one page")["targetId"].clone();
        let session = self.ask(
            "Target.attachToTarget",
            json!({ "targetId": page, "flatten": true }),
        );
        self.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in [
            "Page.enable",
            "Runtime.enable",
            "Log.enable",
            "Accessibility.enable",
        ] {
            self.ask(domain, json!({}));
        }
        self.resize(1_000, 900);
    }

    /// Sets the size of the window, in pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
    }

    /// Sends a request and waits for the response. Events that arrive meanwhile are recorded.
    ///
    /// # Panics
    /// When the request fails, or there is no response in time.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut question = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            question["sessionId"] = json!(self.session);
        }
        self.socket
            .send(Message::text(question.to_string()))
            .expect("the browser listens");
        loop {
            let text = self.socket.read().expect("the browser answers");
            let Ok(text) = text.to_text() else { continue };
            let Ok(mut word) = serde_json::from_str::<Value>(text) else {
                continue;
            };
            if word["id"] == id {
                assert!(word["error"].is_null(), "{method}: {}", word["error"]);
                return word["result"].take();
            }
            self.note(&word);
        }
    }

    fn note(&mut self, word: &Value) {
        let complaint = match word["method"].as_str() {
            Some("Log.entryAdded") if word["params"]["entry"]["level"] == "error" => {
                &word["params"]["entry"]["text"]
            }
            Some("Runtime.exceptionThrown") => &word["params"]["exceptionDetails"],
            Some("Runtime.consoleAPICalled") if word["params"]["type"] == "error" => {
                &word["params"]["args"]
            }
            Some("Page.javascriptDialogOpening") => &word["params"],
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }

    /// All reported errors: of scripts, violations of the content security policy, dialogs.
    pub fn complaints(&mut self) -> &[String] {
        // Events that are under way arrive before the next response.
        self.evaluate("0");
        &self.complaints
    }

    /// Goes to an address and waits until it is loaded.
    pub fn go(&mut self, url: &str) {
        self.ask("Page.navigate", json!({ "url": url }));
        self.wait_for("document.readyState === 'complete' && location.protocol === 'http:'");
    }

    /// The value of a JavaScript expression.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.ask("Runtime.evaluate", asked);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].take()
    }

    /// Waits until an expression holds. An expression that throws does not hold yet: an element may be missing while the browser
    /// still reads the page.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_for(&mut self, expression: &str) {
        let give_up = Instant::now() + PATIENCE;
        let guarded = format!(
            "(() => {{ try {{ return {expression} }} catch (e) {{ return String(e) }} }})()"
        );
        loop {
            let value = self.evaluate(&guarded);
            if value == true {
                return;
            }
            assert!(
                Instant::now() < give_up,
                "{expression} never held (last: {value}) in: {}",
                self.evaluate("document.body?.innerText")
            );
            thread::sleep(CHECK_INTERVAL);
        }
    }

    /// Presses a key: `Tab`, `Enter` or ` `.
    pub fn press(&mut self, key: &str) {
        let (code, number, text) = match key {
            "Tab" => ("Tab", 9, ""),
            "Enter" => ("Enter", 13, "\r"),
            " " => ("Space", 32, " "),
            other => panic!("no key {other:?}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({ "type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// Types a text into the focused element.
    pub fn write(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text }));
    }

    /// Sets the preferred colour scheme, `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        );
    }

    /// Allows or forbids scripts.
    pub fn run_scripts(&mut self, on: bool) {
        self.ask(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": !on }),
        );
    }

    /// The accessibility tree of the page: roles and names.
    pub fn accessible(&mut self) -> Vec<(String, String)> {
        let tree = self.ask("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("a tree has nodes");
        let seen = nodes.iter().filter(|node| node["ignored"] != true);
        let text = |value: &Value| {
            value["value"]
                .as_str()
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        seen.map(|node| (text(&node["role"]), text(&node["name"])))
            .collect()
    }

    /// Writes a screenshot to a PNG file.
    pub fn picture(&mut self, file: &Path) {
        let shot = self.ask(
            "Page.captureScreenshot",
            json!({ "format": "png", "captureBeyondViewport": true }),
        );
        let png = STANDARD
            .decode(shot["data"].as_str().expect("base64"))
            .expect("base64");
        fs::write(file, png).expect("the folder is writable");
    }
}

impl fmt::Debug for Devtools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Devtools(..)")
    }
}
