//! Video between real phones through two engines: VP8 that one baresip encodes is decoded by another (RFC 7741).

use std::{fs, path::Path, thread, time::Duration};

use ringfence_tests::{
    deployment::InstalledLine,
    real_phone::{PhoneAccount, PhoneModel, RealPhone},
    tone::{HIGH, LOW},
};

use crate::real_phones::{SOON, TALK, connect, network, phones_with};

/// The codecs of phones with a camera.
const SEEING: &str = "PCMU,VP8";

/// Width and height of a PNG file (its first chunk is IHDR).
fn size(picture: &Path) -> Option<(u32, u32)> {
    let bytes = fs::read(picture).ok()?;
    let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    (bytes.get(..8)? == b"\x89PNG\r\n\x1a\n").then_some((number(16)?, number(20)?))
}

/// The current video frame at a phone.
fn look(phone: &mut RealPhone) -> Option<(u32, u32)> {
    let seen = phone.home().join("seen.png");
    let _ = fs::remove_file(&seen);
    phone.command("snapshot");
    // The snapshot is written with the next frame.
    for _ in 0..50 {
        thread::sleep(Duration::from_millis(100));
        if let Some(size) = size(&seen) {
            return Some(size);
        }
    }
    None
}

/// A phone's statistics of received video.
fn figures(phone: &mut RealPhone) -> serde_json::Value {
    phone.command("video-stats");
    phone.wait("video statistics", SOON, |news| {
        news["event"] == "video-stats"
    })
}

/// Frames that baresip has decoded: the last word of a line of its statistics.
fn shown(phone: &mut RealPhone) -> u32 {
    let figures = figures(phone);
    let words = figures["words"].as_str().unwrap_or_default();
    let line = words.lines().find(|line| line.contains("vidisp"));
    let shown = line.and_then(|line| line.rsplit_once('=')?.1.parse().ok());
    shown.unwrap_or_else(|| panic!("no figures: {words}"))
}

#[test]
fn baresip_and_baresip_see_and_hear_each_other() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) =
        phones_with(&network, PhoneModel::Baresip, PhoneModel::Baresip, SEEING);
    connect(&network, &mut caller, &mut callee);
    thread::sleep(TALK);
    for phone in [&mut caller, &mut callee] {
        // Of 25 frames a second.
        let shown = shown(phone);
        assert!(shown >= 60, "{phone:?} has shown {shown}");
        assert_eq!(look(phone), Some((352, 288)), "{phone:?}");
    }
    caller.command("hang-up");
    callee.wait_call("ended", SOON);
    for (phone, hz) in [(caller, HIGH), (callee, LOW)] {
        let heard = phone.quit_and_measure(hz);
        assert!(heard.carried(TALK), "{heard:?}");
    }
}

/// The callee's first frames are lost, so the caller sees video only after it has requested a keyframe, in SRTCP (RFC 3711
/// section 3.4) that another implementation has to open.
#[test]
fn baresip_and_baresip_see_each_other_encrypted() {
    let Some(network) = network() else { return };
    let start = |line: &InstalledLine| {
        let account = PhoneAccount {
            transport: "tls",
            ca: Some(&line.ca),
            srtp: "required",
            codecs: SEEING,
            ..PhoneAccount::plain(&line.user, &line.password, line.tls)
        };
        RealPhone::start(PhoneModel::Baresip, &account)
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
    caller.command("hang-up");
    callee.wait_call("ended", SOON);
}

#[test]
fn linphone_and_baresip_see_each_other() {
    let Some(network) = network() else { return };
    let ways = [
        (PhoneModel::Linphone, PhoneModel::Baresip),
        (PhoneModel::Baresip, PhoneModel::Linphone),
    ];
    for (calling, called) in ways {
        let (mut caller, mut callee) = phones_with(&network, calling, called, SEEING);
        connect(&network, &mut caller, &mut callee);
        thread::sleep(TALK);
        let (linphone, baresip) = match calling {
            PhoneModel::Linphone => (&mut caller, &mut callee),
            _ => (&mut callee, &mut caller),
        };
        let rate = figures(linphone)["framerate"].as_f64();
        assert!(
            rate.is_some_and(|rate| rate > 10.0),
            "{calling:?} calls: {rate:?}"
        );
        // Linphone's camera sends one still image once a second.
        let is_shown = (0..10).any(|_| {
            thread::sleep(Duration::from_secs(1));
            shown(baresip) >= 2
        });
        assert!(is_shown, "{calling:?} calls: {}", figures(baresip)["words"]);
        assert!(look(baresip).is_some());
        caller.command("hang-up");
        callee.wait_call("ended", SOON);
    }
}
