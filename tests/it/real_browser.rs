//! A browser at the other end of our WebRTC leg: an independent implementation of ICE, DTLS, SRTP and SCTP interoperates with
//! ours through coturn, and neither end uses or names any address but its relayed one.

use std::{net::SocketAddr, thread, time::Duration};

use ringfence_media::{
    Codec, Description, LocalEndpoint,
    far::{FarEvent, Role, TurnAccess, TurnPassword, TurnTransport},
};
use ringfence_tests::{
    browser::{Browser, CHROMIUM},
    browser_sdp::{self, Side},
    coturn::CoturnServer,
    far_end::{FarEnd, LOCAL_ADDRESS},
    program::{installed, real_time},
    tone::{self, HIGH, LOW},
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
/// DTLS 1.2 as the handshake and the browser write it (RFC 9147 section 5.3).
const DTLS_1_3: &str = "FEFC";
/// How long both ends talk.
const TALK: Duration = Duration::from_secs(3);

#[test]
fn a_browser_is_called_and_both_hear_each_other() {
    if !installed(&[CHROMIUM, "turnserver"]) {
        return;
    }
    let _alone = real_time();
    let mut call = Call::prepare(Role::Caller);
    call.browser.send("offer", json!({}));
    let offer = sdp(&call.browser.wait("offer", SOON));
    call.far.connect(browser_sdp::read(&offer)).unwrap();
    call.browser.send(
        "accept",
        json!({ "sdp": browser_sdp::write(&call.ours, Side::Answer) }),
    );
    call.talk_both_ways();
}

#[test]
fn a_browser_calls_and_both_hear_each_other() {
    if !installed(&[CHROMIUM, "turnserver"]) {
        return;
    }
    let _alone = real_time();
    let mut call = Call::prepare(Role::Callee);
    call.browser.send(
        "answer",
        json!({ "sdp": browser_sdp::write(&call.ours, Side::Offer) }),
    );
    let answer = sdp(&call.browser.wait("answer", SOON));
    call.far.connect(browser_sdp::read(&answer)).unwrap();
    call.talk_both_ways();
}

struct Call {
    browser: Browser,
    far: FarEnd,
    ours: Description,
    relay: SocketAddr,
    _coturn: CoturnServer,
}

impl Call {
    fn prepare(role: Role) -> Self {
        let coturn = CoturnServer::start();
        let (username, password) = coturn.credentials("far");
        let turn = TurnAccess {
            addr: coturn.address(),
            transport: TurnTransport::Udp,
            username,
            password: TurnPassword::new(password),
        };
        let far = FarEnd::dial(turn, role, LOW);
        let local = far.allocated();
        let relay = local.relayed_address;
        let browser = Browser::open();
        let (username, credential) = coturn.credentials("browser");
        let server = format!("turn:{}?transport=udp", coturn.address());
        browser.send(
            "begin",
            json!({
                "servers": [{ "urls": server, "username": username, "credential": credential }],
                "hz": HIGH,
                "codecs": [["audio/PCMU", 8000]],
                "offering": role == Role::Caller,
            }),
        );
        Self {
            browser,
            far,
            ours: describe(local),
            relay,
            _coturn: coturn,
        }
    }

    fn talk_both_ways(mut self) {
        self.far.wait("connection", SOON, |event| {
            (*event == FarEvent::Connected).then_some(())
        });
        self.browser.wait("channel-open", SOON);
        self.far.wait("data channel", SOON, |event| {
            (*event == FarEvent::ControlOpen).then_some(())
        });

        self.far.record();
        self.browser.send("record", json!({}));
        thread::sleep(TALK);
        let in_browser = tone::measure(&self.browser.play_back(), LOW);
        let at_ours = tone::measure(&self.far.play_back(), HIGH);
        assert!(
            in_browser.carried(TALK),
            "the browser heard of us {in_browser:?}"
        );
        assert!(at_ours.carried(TALK), "we heard of the browser {at_ours:?}");

        assert!(self.far.control(b"from the engine"));
        assert_eq!(
            self.browser.wait("message", SOON)["text"],
            "from the engine"
        );
        self.browser
            .send("send", json!({ "text": "from the browser" }));
        self.far.wait("message", SOON, |event| {
            (*event == FarEvent::Control(b"from the browser".to_vec())).then_some(())
        });

        let figures = self.figures_with_reports();
        assert_eq!(
            (&figures["local"], &figures["remote"]),
            (&json!("relay"), &json!("relay")),
            "{figures}"
        );
        assert_eq!(figures["remote_address"], self.relay.to_string());
        assert_eq!(figures["codec"], "audio/PCMU");
        assert_eq!(figures["dtls"], DTLS_1_3);
        assert_eq!(
            (&figures["lost"], &figures["lost_by_us"]),
            (&json!(0), &json!(0))
        );

        self.far.close();
        self.far.wait("end", SOON, |event| {
            (*event == FarEvent::Closed).then_some(())
        });
        self.our_address_is_nowhere();
    }

    /// The browser's figures once it has believed our reports: it reckons a round trip from ours about its audio, and knows from ours about
    /// our own how much it ought to have received.
    fn figures_with_reports(&mut self) -> Value {
        for _ in 0..25 {
            self.browser.send("figures", json!({}));
            let figures = self.browser.wait("figures", SOON);
            let number = |name: &str| figures[name].as_f64().unwrap_or_default();
            if number("round_trips") >= 1.0 && number("reports") >= 2.0 {
                assert!(number("round_trip") < 0.5, "{figures}");
                let (sent, received) = (number("sent_by_us"), number("received"));
                assert!(sent > 50.0 && sent <= received + 1.0, "{figures}");
                return figures;
            }
            thread::sleep(Duration::from_secs(1));
        }
        panic!("the browser has no use for our reports");
    }

    /// Neither in clear nor in STUN's XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
    fn our_address_is_nowhere(&self) {
        const MAGIC_COOKIE: u32 = 0x2112_a442;
        let plain = LOCAL_ADDRESS.octets();
        let hidden = (u32::from(LOCAL_ADDRESS) ^ MAGIC_COOKIE).to_be_bytes();
        let sent = self.far.sent();
        assert!(
            sent.len() > 100,
            "a call of seconds is more than {} packets",
            sent.len()
        );
        for packet in sent {
            let text = LOCAL_ADDRESS.to_string();
            for needle in [&plain[..], &hidden, text.as_bytes()] {
                assert!(
                    !packet.windows(needle.len()).any(|bytes| bytes == needle),
                    "{packet:02x?}"
                );
            }
        }
    }
}

fn describe(local: LocalEndpoint) -> Description {
    Description {
        ufrag: local.ufrag,
        pwd: local.pwd,
        fingerprint: local.fingerprint,
        ssrc: local.ssrc,
        relayed_addresses: vec![local.relayed_address],
        codecs: vec![Codec::Pcmu],
        video: None,
    }
}

fn sdp(event: &Value) -> String {
    event["sdp"]
        .as_str()
        .expect("the page sends its SDP")
        .to_owned()
}
