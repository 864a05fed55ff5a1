//! The whole system as users run it: two engines in two processes, each with a real phone, a phone book, an independent Nostr
//! relay and coturn. Audio is measured at the phones. `phone_matrix` has more phones and settings.

use std::{path::Path, thread, time::Duration};

use ringfence_tests::{
    coturn::CoturnServer,
    deployment::{Deployment, InstalledLine, binary},
    nostr_relay::NostrRelay,
    program::{Program, installed, real_time, skipped},
    real_phone::{PhoneAccount, PhoneModel, RealPhone},
    tone::{HIGH, LOW},
};
use serde_json::Value;

/// Long enough for a ring over a relay that stores every event first.
pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const TALK: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug)]
enum Side {
    Caller,
    Callee,
}

#[test]
fn linphone_calls_baresip_through_two_engines() {
    let Some(network) = network() else { return };
    call(
        &network,
        PhoneModel::Linphone,
        PhoneModel::Baresip,
        Side::Caller,
    );
    call(
        &network,
        PhoneModel::Linphone,
        PhoneModel::Baresip,
        Side::Callee,
    );
}

#[test]
fn baresip_calls_linphone_through_two_engines() {
    let Some(network) = network() else { return };
    call(
        &network,
        PhoneModel::Baresip,
        PhoneModel::Linphone,
        Side::Caller,
    );
    call(
        &network,
        PhoneModel::Baresip,
        PhoneModel::Linphone,
        Side::Callee,
    );
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing_behind_the_other_engine() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, PhoneModel::Linphone, PhoneModel::Baresip);
    caller.command(&format!("call {}", network.lines()[1].number));
    callee.wait_call("incoming", SOON);
    caller.command("hang-up");
    callee.wait_call("ended", SOON);
}

#[test]
fn an_engine_that_is_stopped_hangs_up_for_both_phones() {
    let Some(mut network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, PhoneModel::Baresip, PhoneModel::Linphone);
    connect(&network, &mut caller, &mut callee);
    let took = network.stop_first_engine();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    caller.wait_call("ended", SOON);
    callee.wait_call("ended", SOON);
}

#[test]
fn digits_and_a_hold_cross_both_engines() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, PhoneModel::Linphone, PhoneModel::Baresip);
    connect(&network, &mut caller, &mut callee);
    thread::sleep(Duration::from_secs(1));
    caller.command("digits 1#");
    for digit in ["1", "#"] {
        callee.wait("digit", SOON, |news| {
            news["event"] == "digit" && news["digit"] == digit
        });
    }
    caller.command("hold");
    caller.wait_call("held", SOON);
    thread::sleep(Duration::from_secs(1));
    caller.command("resume");
    caller.wait_call("talking", SOON);
    thread::sleep(TALK);
    caller.command("hang-up");
    callee.wait_call("ended", SOON);
    // Linphone does not record while it holds.
    let heard = caller.quit_and_measure(HIGH);
    assert!(
        heard.carried(TALK),
        "after the hold the caller heard {heard:?}"
    );
}

#[test]
fn linphone_sends_a_text_to_linphone_through_two_engines() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, PhoneModel::Linphone, PhoneModel::Linphone);
    let (from, to) = (&network.lines()[0].number, &network.lines()[1].number);
    caller.command(&format!("text {to} Grüße aus dem Norden"));
    callee.wait("a text", SOON, |news| {
        news["event"] == "text"
            && news["words"] == "Grüße aus dem Norden"
            && news["from"] == from.as_str()
    });
    caller.wait("202", SOON, |news| {
        news["event"] == "text-sent" && news["taken"] == true
    });
}

#[test]
fn linphone_registers_over_tls_by_what_the_demo_prints_and_not_without_its_authority() {
    if !PhoneModel::installed(&[PhoneModel::Linphone]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--json", "--no-call"];
    let mut demo = Program::start(&binary("ringfence"), &arguments, folder.path());
    let said = demo.wait_for_output("\n");
    let said: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let told = |field: &str| said["lines"][0]["sip"][field].as_str().unwrap();
    let ca = Path::new(told("ca"));
    let account = PhoneAccount {
        transport: "tls",
        ca: Some(ca),
        ..PhoneAccount::plain(told("user"), told("password"), told("tls").parse().unwrap())
    };
    RealPhone::start(PhoneModel::Linphone, &account).wait_registered();
    let distrustful = PhoneAccount {
        ca: None,
        ..account
    };
    RealPhone::start(PhoneModel::Linphone, &distrustful).wait("a refusal", SOON, |news| {
        news["event"] == "registration-failed"
    });
}

pub(crate) fn network() -> Option<Deployment> {
    if !PhoneModel::installed(&[PhoneModel::Linphone, PhoneModel::Baresip])
        || !installed(&["turnserver"])
    {
        return None;
    }
    if !NostrRelay::path().is_file() {
        skipped("the relay from PyPI is not in the target folder");
        return None;
    }
    let alone = real_time();
    Some(Deployment::start(
        alone,
        NostrRelay::start(),
        CoturnServer::start(),
    ))
}

fn phones(network: &Deployment, calling: PhoneModel, called: PhoneModel) -> (RealPhone, RealPhone) {
    phones_with(network, calling, called, "PCMU")
}

/// Two phones with only these codecs.
pub(crate) fn phones_with(
    network: &Deployment,
    calling: PhoneModel,
    called: PhoneModel,
    codecs: &str,
) -> (RealPhone, RealPhone) {
    let [first, second] = network.lines();
    let start = |model, line: &InstalledLine, microphone| {
        let account = PhoneAccount {
            microphone,
            codecs,
            ..PhoneAccount::plain(&line.user, &line.password, line.udp)
        };
        RealPhone::start(model, &account)
    };
    let (mut caller, mut callee) = (start(calling, first, LOW), start(called, second, HIGH));
    caller.wait_registered();
    callee.wait_registered();
    (caller, callee)
}

pub(crate) fn connect(network: &Deployment, caller: &mut RealPhone, callee: &mut RealPhone) {
    caller.command(&format!("call {}", network.lines()[1].number));
    callee.wait_call("incoming", SOON);
    caller.wait_call("ringing", SOON);
    callee.command("answer");
    callee.wait_call("talking", SOON);
    caller.wait_call("talking", SOON);
}

fn call(network: &Deployment, calling: PhoneModel, called: PhoneModel, ends: Side) {
    let (mut caller, mut callee) = phones(network, calling, called);
    connect(network, &mut caller, &mut callee);
    thread::sleep(TALK);
    let (ending, other) = match ends {
        Side::Caller => (&mut caller, &mut callee),
        Side::Callee => (&mut callee, &mut caller),
    };
    ending.command("hang-up");
    ending.wait_call("ended", SOON);
    other.wait_call("ended", SOON);
    let (at_caller, at_callee) = (caller.quit_and_measure(HIGH), callee.quit_and_measure(LOW));
    assert!(
        at_caller.carried(TALK),
        "{calling:?} calls {called:?}, the caller heard {at_caller:?}"
    );
    assert!(
        at_callee.carried(TALK),
        "{calling:?} calls {called:?}, the callee heard {at_callee:?}"
    );
}
