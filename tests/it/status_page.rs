//! The status page in a real browser during a real call: what is visible, what a screen reader is given, what works by keyboard,
//! and that contacts' names are not interpreted as HTML. And Linphone, which is set up without typing anything.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use ringfence::{
    page::key::PageKey,
    selfcall::{
        StackOptions,
        phone::TonePhone,
        stack::{Stack, StackEnd},
    },
    softphone::{PhoneEvent, Registration},
};
use ringfence_book::Number;
use ringfence_engine::line::command::LineCommand;
use ringfence_sip::{Password, User};
use ringfence_tests::{
    browser::CHROMIUM,
    devtools::Devtools,
    page_checks::{check_page, check_structure, screenshots},
    program::{installed, real_time},
    real_phone::{PhoneAccount, PhoneModel, RealPhone},
    tone::{HIGH, LOW},
};
use serde_json::Value;
use tokio::{runtime::Runtime, time::timeout};

const SOON: Duration = Duration::from_secs(20);

/// A contact's name that contains HTML.
const HOSTILE: &str = "\"><img src=x onerror=alert(1)><b>Bob";

/// Two engines with a phone each, and the browser.
struct Scene {
    runtime: Runtime,
    stack: Stack,
    phones: [TonePhone; 2],
}

impl Scene {
    fn set() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (stack, phones) = runtime.block_on(async {
            let stack = Stack::start(&StackOptions::default()).await.unwrap();
            let [a, b] = &stack.ends;
            let phones = [plug_in(a, LOW, HIGH).await, plug_in(b, HIGH, LOW).await];
            (stack, phones)
        });
        Self {
            runtime,
            stack,
            phones,
        }
    }

    fn line(&self, side: usize) -> u32 {
        self.stack.ends[side].line.number
    }

    /// The first phone calls the second, which answers.
    fn call(&mut self) {
        let number = self.line(1).to_string();
        let [a, b] = &mut self.phones;
        self.runtime.block_on(async {
            a.dial(&number).await;
            sees(b, |event| matches!(event, PhoneEvent::Incoming { .. })).await;
            b.pick_up().await;
            sees(a, |event| matches!(event, PhoneEvent::Answered { .. })).await;
        });
    }

    fn do_not_disturb(&self) -> bool {
        let line = Number::new(self.line(0));
        let enquiry = self.stack.ends[0].gateway.handle();
        let picture = self.runtime.block_on(enquiry.snapshot()).unwrap();
        picture.saved_state.do_not_disturb(line)
    }

    fn end(self) {
        self.runtime.block_on(self.stack.stop());
    }
}

async fn plug_in(end: &StackEnd, says: f64, hears: f64) -> TonePhone {
    let registration = Registration {
        user: User::new(end.line.account.user.clone()),
        password: Password::new(end.line.account.password.expose()),
        line: end.gateway.udp()[0],
    };
    let mut relays = end.relays.clone();
    let listening = relays.wait_for(|state| state.listening > 0);
    timeout(SOON, listening).await.unwrap().unwrap();
    let mut phone = TonePhone::plug_in(registration, says, hears).await.unwrap();
    sees(&mut phone, |event| *event == PhoneEvent::Registered).await;
    phone
}

async fn sees(phone: &mut TonePhone, wanted: impl Fn(&PhoneEvent) -> bool) {
    let search = async {
        while let Some((_, event)) = phone.event().await {
            if wanted(&event) {
                return;
            }
        }
        panic!("the phone ended");
    };
    timeout(SOON, search).await.expect("the phone sees it soon");
}

/// Presses Tab until this element has the focus.
fn tab_to(browser: &mut Devtools, id: &str) {
    for _ in 0..60 {
        browser.press("Tab");
        if browser.evaluate("document.activeElement?.id") == id {
            return;
        }
    }
    panic!("no keyboard gets to {id}");
}

const POINTS: &str = "(document.querySelector('polyline.heard')?.getAttribute('points') ?? '').trim().split(/\\s+/).filter(Boolean).length";

/// Cells and texts that are wider than what they are in.
const CLIPPED: &str = "[...document.querySelectorAll('.wide, section, nav, .digits')].filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML.slice(0, 200))";

/// The HTTP status of an address.
fn status_of(url: &str) -> String {
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_live_call_draws_its_curves_and_everything_can_be_done_by_keyboard() {
    if !installed(&[CHROMIUM]) {
        return;
    }
    let _alone = real_time();
    let mut scene = Scene::set();
    let mut browser = Devtools::open();
    browser.go(scene.stack.ends[0].page.url().expose());
    assert_eq!(
        browser.evaluate("location.pathname + location.search"),
        "/",
        "the key has left the address bar"
    );
    assert_eq!(
        browser.evaluate("document.cookie"),
        "",
        "no script sees the key"
    );
    browser.wait_for("document.getElementById('said').textContent === 'No call.'");

    scene.call();
    browser.wait_for(&format!("{POINTS} >= 2"));
    let before = browser.evaluate(POINTS).as_u64().unwrap();
    browser.wait_for(&format!("{POINTS} > {before} + 4"));
    let said = format!("Talking with {}.", scene.line(1));
    assert_eq!(
        browser.evaluate("document.getElementById('said').textContent"),
        said
    );
    browser.wait_for("parseFloat(document.querySelector('.plot-name + .heard b').textContent) > 4");

    let switch = format!("dnd-{}", scene.line(0));
    browser.evaluate("document.activeElement.blur()");
    tab_to(&mut browser, &switch);
    browser.press(" ");
    browser.wait_for(&format!(
        "document.getElementById('{switch}').getAttribute('aria-checked') === 'true'"
    ));
    browser.wait_for(&format!("document.activeElement.id === '{switch}'"));
    assert!(scene.do_not_disturb());
    check_page(&mut browser, "overview");

    let contact = format!("/contacts/{}", scene.line(1));
    let base = browser
        .evaluate("location.origin")
        .as_str()
        .unwrap()
        .to_owned();
    browser.go(&format!("{base}{contact}"));
    tab_to(&mut browser, "name");
    browser.write(HOSTILE);
    browser.press("Enter");
    browser.wait_for("document.querySelector('h1').textContent.includes('<img src=x')");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('img[src=x], h1 b').length"),
        0
    );
    check_page(&mut browser, "contact");
    for (path, name) in [
        ("/".to_owned(), "overview-named"),
        ("/calls".to_owned(), "calls"),
        ("/contacts".to_owned(), "contacts"),
        (format!("/lines/{}", scene.line(0)), "line"),
        ("/help".to_owned(), "help"),
    ] {
        browser.go(&format!("{base}{path}"));
        check_page(&mut browser, name);
    }
    browser.go(&format!("{base}/lines/{}", scene.line(0)));
    browser.evaluate("document.querySelector('form[action$=provision] button').click()");
    browser.wait_for("document.getElementById('link-text') !== null");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('svg.qr').length"),
        0,
        "a Linphone on this machine has no camera that sees the screen"
    );
    check_page(&mut browser, "link");
    browser.prefer("light");
    let pages = [
        ("".to_owned(), "overview"),
        ("/calls".to_owned(), "calls"),
        ("/contacts".to_owned(), "contacts"),
        (contact.clone(), "contact"),
        (format!("/lines/{}", scene.line(0)), "line"),
        ("/help".to_owned(), "help"),
    ];
    browser.go(&base);
    browser.wait_for("document.querySelector('[id^=hangup]') !== null");
    browser.evaluate("document.querySelector('[id^=hangup]').click()");
    browser.wait_for("document.getElementById('said').textContent === 'No call.'");
    // Written down when the other side has had time to hear of the end.
    browser.go(&format!("{base}/calls"));
    browser.wait_for("document.querySelector('#history tbody tr') !== null");
    for width in [390, 1_280] {
        browser.resize(width, 844);
        for (path, name) in &pages {
            browser.go(&format!("{base}{path}"));
            browser.picture(&screenshots().join(format!("{name}-{width}.png")));
            check_structure(&mut browser, &format!("{name} at {width}"));
            assert_eq!(
                browser.evaluate(CLIPPED),
                Value::Array(vec![]),
                "{name} at {width}"
            );
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
    scene.end();
}

#[test]
#[ignore = "makes the README's picture anew: a minute of a call, in examples/status-page.png"]
fn the_picture_of_the_readme() {
    let mut scene = Scene::set();
    scene.call();
    let mut browser = Devtools::open();
    browser.resize(860, 700);
    browser.go(scene.stack.ends[0].page.url().expose());
    let base = browser
        .evaluate("location.origin")
        .as_str()
        .unwrap()
        .to_owned();
    browser.go(&format!("{base}/contacts/{}", scene.line(1)));
    tab_to(&mut browser, "name");
    browser.write("Ana");
    browser.press("Enter");
    browser.wait_for("document.querySelector('h1').textContent.startsWith('Ana')");
    browser.evaluate("[...document.querySelectorAll('button')].find((one) => one.textContent.includes('verified')).click()");
    browser.wait_for("document.querySelector('.mark') !== null");
    browser.go(&base);
    for _ in 0..3 {
        // Every wait lasts at most half a minute.
        let before = browser.evaluate(POINTS).as_u64().unwrap();
        browser.wait_for(&format!("{POINTS} > {before} + 17"));
    }
    let file: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "..",
        "examples",
        "status-page.png",
    ]
    .iter()
    .collect();
    browser.picture(&file);
    scene.end();
}

#[test]
fn without_scripts_the_page_does_the_same() {
    if !installed(&[CHROMIUM]) {
        return;
    }
    let _alone = real_time();
    let scene = Scene::set();
    let mut browser = Devtools::open();
    browser.run_scripts(false);
    browser.go(scene.stack.ends[0].page.url().expose());
    let switch = format!("dnd-{}", scene.line(0));
    let pressed =
        format!("document.getElementById('{switch}')?.getAttribute('aria-checked') === 'true'");
    tab_to(&mut browser, &switch);
    browser.press("Enter");
    browser.wait_for(&pressed);
    assert!(scene.do_not_disturb());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    scene.end();
}

#[test]
fn a_call_from_the_page_rings_the_own_phone_first_and_then_both_hear_each_other() {
    for model in [PhoneModel::Linphone, PhoneModel::Baresip] {
        if !PhoneModel::installed(&[model]) {
            continue;
        }
        let _alone = real_time();
        let mut scene = Scene::set();
        let (own, other) = (Number::new(scene.line(0)), Number::new(scene.line(1)));
        let end = &scene.stack.ends[0];
        let account = &end.line.account;
        let account = PhoneAccount {
            codecs: "PCMU",
            microphone: LOW,
            ..PhoneAccount::plain(
                &account.user,
                account.password.expose(),
                end.gateway.udp()[0],
            )
        };
        let mut phone = RealPhone::start(model, &account);
        phone.wait_registered();
        let handle = end.gateway.handle();
        let told = handle.command(own, LineCommand::Call(other));
        assert_eq!(scene.runtime.block_on(told), Some(Ok(())), "{model:?}");
        phone.wait_call("incoming", SOON);
        phone.command("answer");
        let callee = &mut scene.phones[1];
        scene.runtime.block_on(async {
            sees(callee, |event| matches!(event, PhoneEvent::Incoming { .. })).await;
            callee.pick_up().await;
            let hears = async {
                while callee.heard().tone < Duration::from_secs(2) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(SOON, hears)
                .await
                .expect("the callee hears the phone");
            callee.hang_up().await;
        });
        phone.wait_call("ended", SOON);
        let heard = phone.quit_and_measure(HIGH);
        assert!(heard.tone > Duration::from_secs(1), "{model:?}: {heard:?}");
        scene.end();
    }
}

#[test]
fn a_linphone_that_knows_nothing_is_set_up_by_a_link_and_is_called() {
    if !PhoneModel::installed(&[PhoneModel::Linphone]) {
        return;
    }
    let _alone = real_time();
    let mut scene = Scene::set();
    let end = &scene.stack.ends[1];
    let state = end.page.state().to_owned();
    assert!(PageKey::read(&state).unwrap().is_some());
    let link = ringfence::page::client::provision(&state, Number::new(scene.line(1)));
    let link = scene.runtime.block_on(link).unwrap();
    let account = PhoneAccount {
        transport: "tcp",
        codecs: "PCMU",
        microphone: HIGH,
        ..PhoneAccount::plain("", "", end.gateway.tcp()[0])
    };
    let url = link.url.as_str();
    let mut linphone = RealPhone::start_provisioned(PhoneModel::Linphone, &account, url);
    linphone.wait_registered();
    assert_eq!(status_of(url), "404", "the link is good once");
    let number = scene.line(1).to_string();
    let [caller, builtin] = &mut scene.phones;
    scene.runtime.block_on(async {
        caller.dial(&number).await;
        sees(builtin, |event| {
            matches!(event, PhoneEvent::Incoming { .. })
        })
        .await;
    });
    linphone.wait_call("incoming", SOON);
    linphone.command("answer");
    linphone.wait_call("talking", SOON);
    let hears = async {
        while caller.heard().tone < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    scene
        .runtime
        .block_on(async { timeout(SOON, hears).await })
        .expect("the caller hears Linphone");
    linphone.command("hang-up");
    linphone.wait_call("ended", SOON);
    scene.end();
}
