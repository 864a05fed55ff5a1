//! Pairs of peers in one headless Chromium, relay-only over coturn, each peer behind one of the two wires: its Opus, with or without
//! redundancy, its repair and its playout.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ringfence_tests::{
    browser::{Browser, CHROMIUM},
    coturn::CoturnServer,
    faulty_wire::FaultyWire,
    program::{installed, target_folder},
};
use serde_json::{Value, json};

use super::ITEMS;

const PAGE: &str = include_str!("pairs.html");
const RATE: u32 = 16_000;
/// How long the peers are connected before they speak.
const LEAD: Duration = Duration::from_secs(1);
/// How long is listened after the last item.
const DRAIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(40);
const GLANCE: Duration = Duration::from_millis(20);

/// A browser, and what its peers need.
pub(super) struct ChromiumPairs {
    browser: Browser,
    servers: Value,
    is_red: bool,
    is_loaded: bool,
    _coturn: CoturnServer,
}

impl ChromiumPairs {
    /// Starts it, with the wires of both peers; `None` if a program is missing.
    pub(super) fn start(is_red: bool) -> Option<(Self, [FaultyWire; 2])> {
        if !installed(&[CHROMIUM, "turnserver"]) {
            return None;
        }
        let coturn = CoturnServer::start();
        let wires = [(); 2].map(|()| FaultyWire::to(coturn.address(), Ipv4Addr::LOCALHOST));
        let servers = wires.each_ref().map(|wire| {
            let (username, credential) = coturn.credentials("quality");
            let url = format!("turn:{}?transport=udp", wire.address());
            json!({ "urls": url, "username": username, "credential": credential })
        });
        let pairs = Self {
            browser: Browser::open_page(PAGE),
            servers: json!(servers),
            is_red,
            is_loaded: false,
            _coturn: coturn,
        };
        Some((pairs, wires))
    }

    /// Lets a pair say each list of items, and writes down what was heard. `tell` hears how long the speech has lasted.
    pub(super) fn talk(
        &mut self,
        items: &[Vec<usize>],
        item: Duration,
        tell: &mut impl FnMut(Duration),
        described: &mut Value,
        here: &Path,
    ) {
        self.load();
        let connect = json!({ "count": items.len(), "servers": self.servers, "red": self.is_red });
        self.browser.send("connect", connect);
        self.browser.wait("connected", PATIENCE);
        let speak = json!({ "said": items, "after": LEAD.as_secs_f64() });
        self.browser.send("speak", speak);
        let spoken = self.browser.wait("speaking", PATIENCE)["at"].clone();
        let (start, count) = (Instant::now() + LEAD, items.iter().map(Vec::len).max());
        let length = item * count.unwrap_or_default() as u32 + DRAIN;
        while start.elapsed() < length {
            if Instant::now() > start {
                tell(start.elapsed());
            }
            thread::sleep(GLANCE);
        }
        let (mut heard, mut figures) = (Vec::new(), Vec::new());
        for index in 0..items.len() {
            self.browser.send("play_back", json!({ "index": index }));
            let told = self.browser.wait("heard", PATIENCE);
            heard.push(told["at"].clone());
            figures.push(told["figures"].clone());
            let clip = self.browser.recording();
            described["rate"] = json!(clip.rate);
            let bytes: Vec<u8> = clip
                .samples
                .iter()
                .flat_map(|it| it.to_le_bytes())
                .collect();
            let name = format!(
                "{}-{index}.pcm",
                described["row"].as_str().unwrap_or_default()
            );
            fs::write(here.join(name), bytes).expect("the target folder is ours");
        }
        described["spoken"] = json!(vec![spoken; items.len()]);
        described["heard"] = json!(heard);
        described["figures"] = json!(figures);
        self.browser.send("hang_up", json!({}));
        self.browser.wait("closed", PATIENCE);
    }

    /// Gives the page the speech, once.
    fn load(&mut self) {
        let speech = target_folder().join("quality/speech");
        for index in (0..ITEMS).filter(|_| !self.is_loaded) {
            let samples = fs::read(speech.join(format!("{index}.16k")));
            let pcm = BASE64_STANDARD.encode(samples.expect("the speech was made"));
            let item = json!({ "index": index, "pcm": pcm, "rate": RATE });
            self.browser.send("load", item);
        }
        self.is_loaded = true;
    }
}
