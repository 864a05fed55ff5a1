//! Real phones see each other through two engines: VP8 that baresip encodes is decoded by another one (RFC 7741).

use std::{fs, path::Path, thread, time::Duration};

use ringfence_tests::{
    deployment::Line,
    real_phone::{Account, Model, Phone},
    tone::{HIGH, LOW},
};

use crate::real_phones::{SOON, TALK, connect, network, phones_with};

/// What phones with a camera have.
const SEEING: &str = "PCMU,VP8";

/// Width and height of a PNG file (its first chunk is IHDR).
fn size(picture: &Path) -> Option<(u32, u32)> {
    let bytes = fs::read(picture).ok()?;
    let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    (bytes.get(..8)? == b"\x89PNG\r\n\x1a\n").then_some((number(16)?, number(20)?))
}

/// What a phone sees at this moment.
fn look(phone: &mut Phone) -> Option<(u32, u32)> {
    let seen = phone.home().join("seen.png");
    let _ = fs::remove_file(&seen);
    phone.order("look");
    // It is written with the next picture.
    for _ in 0..50 {
        thread::sleep(Duration::from_millis(100));
        if let Some(size) = size(&seen) {
            return Some(size);
        }
    }
    None
}

/// What a phone says of the pictures that it shows.
fn figures(phone: &mut Phone) -> serde_json::Value {
    phone.order("figures");
    phone.wait("figures", SOON, |news| news["event"] == "figures")
}

/// Pictures that baresip has decoded: the last word of a line in its own words.
fn shown(phone: &mut Phone) -> u32 {
    let figures = figures(phone);
    let words = figures["words"].as_str().unwrap_or_default();
    let line = words.lines().find(|line| line.contains("vidisp"));
    let shown = line.and_then(|line| line.rsplit_once('=')?.1.parse().ok());
    shown.unwrap_or_else(|| panic!("no figures: {words}"))
}

#[test]
fn baresip_and_baresip_see_and_hear_each_other() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones_with(&network, Model::Baresip, Model::Baresip, SEEING);
    connect(&network, &mut caller, &mut callee);
    thread::sleep(TALK);
    for phone in [&mut caller, &mut callee] {
        // Of 25 a second.
        let shown = shown(phone);
        assert!(shown >= 60, "{phone:?} has shown {shown}");
        assert_eq!(look(phone), Some((352, 288)), "{phone:?}");
    }
    caller.order("hang-up");
    callee.wait_call("ended", SOON);
    for (phone, hz) in [(caller, HIGH), (callee, LOW)] {
        let heard = phone.quit_and_listen(hz);
        assert!(heard.carried(TALK), "{heard:?}");
    }
}

/// The callee's first pictures go nowhere, so that the caller sees what the callee sends when it is asked for a whole one:
/// in SRTCP (RFC 3711 section 3.4), which another implementation has to open.
#[test]
fn baresip_and_baresip_see_each_other_encrypted() {
    let Some(network) = network() else { return };
    let start = |line: &Line| {
        let account = Account {
            transport: "tls",
            ca: Some(&line.ca),
            srtp: "required",
            codecs: SEEING,
            ..Account::plain(&line.user, &line.password, line.tls)
        };
        Phone::start(Model::Baresip, &account)
    };
    let [first, second] = network.lines();
    let (mut caller, mut callee) = (start(first), start(second));
    caller.wait_registered();
    callee.wait_registered();
    connect(&network, &mut caller, &mut callee);
    thread::sleep(TALK);
    for phone in [&mut caller, &mut callee] {
        let words = figures(phone)["words"].to_string();
        assert!(!words.contains("menc: (none)"), "{words}");
        let shown = shown(phone);
        assert!(shown >= 60, "{phone:?} has shown {shown}: {words}");
    }
    caller.order("hang-up");
    callee.wait_call("ended", SOON);
}

#[test]
fn linphone_and_baresip_see_each_other() {
    let Some(network) = network() else { return };
    let ways = [
        (Model::Linphone, Model::Baresip),
        (Model::Baresip, Model::Linphone),
    ];
    for (calling, called) in ways {
        let (mut caller, mut callee) = phones_with(&network, calling, called, SEEING);
        connect(&network, &mut caller, &mut callee);
        thread::sleep(TALK);
        let (linphone, baresip) = match calling {
            Model::Linphone => (&mut caller, &mut callee),
            _ => (&mut callee, &mut caller),
        };
        let rate = figures(linphone)["framerate"].as_f64();
        assert!(
            rate.is_some_and(|rate| rate > 10.0),
            "{calling:?} calls: {rate:?}"
        );
        // Linphone's camera has one picture, and sends it once a second.
        let is_shown = (0..10).any(|_| {
            thread::sleep(Duration::from_secs(1));
            shown(baresip) >= 2
        });
        assert!(is_shown, "{calling:?} calls: {}", figures(baresip)["words"]);
        assert!(look(baresip).is_some());
        caller.order("hang-up");
        callee.wait_call("ended", SOON);
    }
}
