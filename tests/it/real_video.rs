//! Real phones see each other through two engines: VP8 that baresip encodes is decoded by another one (RFC 7741).

use std::{fs, path::Path, thread, time::Duration};

use ringfence_tests::{
    phone::{Model, Phone},
    tone::{HIGH, LOW},
};

use crate::real_phones::{SOON, TALK, Way, connect, network, phones};

const SEEING: Way = Way {
    transport: "udp",
    codec: "PCMU,VP8",
};

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

#[test]
fn baresip_and_baresip_see_and_hear_each_other() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, Model::Baresip, Model::Baresip, SEEING);
    connect(&network, &mut caller, &mut callee);
    thread::sleep(TALK);
    for phone in [&mut caller, &mut callee] {
        phone.order("figures");
        let figures = phone.wait("figures", SOON, |news| news["event"] == "figures");
        let words = figures["words"].as_str().unwrap_or_default();
        // Those that it decoded, of 25 a second; the last word of its line.
        let shown = words.lines().find(|line| line.contains("vidisp"));
        let shown = shown.and_then(|line| line.rsplit_once('=')?.1.parse::<u32>().ok());
        assert!(shown.is_some_and(|frames| frames >= 60), "{words}");
        assert_eq!(look(phone), Some((352, 288)), "{words}");
    }
    caller.order("hang-up");
    callee.wait_call("ended", SOON);
    for (phone, hz) in [(caller, HIGH), (callee, LOW)] {
        let heard = phone.quit_and_listen(hz);
        assert!(heard.carried(TALK), "{heard:?}");
    }
}
