//! The whole thing as its users have it: two engines in two processes, each with a phone of its own, a phone book, an
//! independent Nostr relay and coturn. The phones' sound is judged at the phones.

use std::{thread, time::Duration};

use ringfence_tests::{
    coturn::Coturn,
    network::{Line, Network},
    nostr_relay::NostrRelay,
    phone::{Account, Model, Phone},
    program::{installed, real_time, skipped},
    tone::{HIGH, LOW},
};

/// Enough for a ring over a relay that stores every event first.
const SOON: Duration = Duration::from_secs(10);
const TALK: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug)]
struct Way {
    transport: &'static str,
    codec: &'static str,
}

const USUAL: Way = Way {
    transport: "udp",
    codec: "PCMU",
};

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
        Model::Linphone,
        Model::Baresip,
        USUAL,
        Side::Caller,
    );
    call(
        &network,
        Model::Linphone,
        Model::Baresip,
        USUAL,
        Side::Callee,
    );
}

#[test]
fn baresip_calls_linphone_through_two_engines() {
    let Some(network) = network() else { return };
    call(
        &network,
        Model::Baresip,
        Model::Linphone,
        USUAL,
        Side::Caller,
    );
    call(
        &network,
        Model::Baresip,
        Model::Linphone,
        USUAL,
        Side::Callee,
    );
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing_behind_the_other_engine() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, Model::Linphone, Model::Baresip, USUAL);
    caller.order(&format!("call {}", network.lines()[1].number));
    callee.wait_call("incoming", SOON);
    caller.order("hang-up");
    callee.wait_call("ended", SOON);
}

#[test]
fn an_engine_that_is_stopped_hangs_up_for_both_phones() {
    let Some(mut network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, Model::Baresip, Model::Linphone, USUAL);
    connect(&network, &mut caller, &mut callee);
    let took = network.stop_first_engine();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    caller.wait_call("ended", SOON);
    callee.wait_call("ended", SOON);
}

#[test]
fn digits_and_a_hold_cross_both_engines() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, Model::Linphone, Model::Baresip, USUAL);
    connect(&network, &mut caller, &mut callee);
    thread::sleep(Duration::from_secs(1));
    caller.order("digits 1#");
    for digit in ["1", "#"] {
        callee.wait("digit", SOON, |news| {
            news["event"] == "digit" && news["digit"] == digit
        });
    }
    caller.order("hold");
    caller.wait_call("held", SOON);
    thread::sleep(Duration::from_secs(1));
    caller.order("resume");
    caller.wait_call("talking", SOON);
    thread::sleep(TALK);
    caller.order("hang-up");
    callee.wait_call("ended", SOON);
    // Linphone does not record while it holds.
    let heard = caller.quit_and_listen(HIGH);
    assert!(
        heard.carried(TALK),
        "after the hold the caller heard {heard:?}"
    );
}

#[test]
fn linphone_sends_a_text_to_linphone_through_two_engines() {
    let Some(network) = network() else { return };
    let (mut caller, mut callee) = phones(&network, Model::Linphone, Model::Linphone, USUAL);
    let (from, to) = (&network.lines()[0].number, &network.lines()[1].number);
    caller.order(&format!("text {to} Grüße aus dem Norden"));
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
#[ignore = "takes minutes: tests/run --phones"]
fn every_phone_with_every_codec_over_every_transport() {
    let Some(network) = network() else { return };
    let models = [Model::Linphone, Model::Baresip];
    for (caller, callee) in models
        .into_iter()
        .flat_map(|caller| models.map(|callee| (caller, callee)))
    {
        for transport in ["udp", "tcp"] {
            for codec in ["PCMU", "PCMA", "G722", "opus"] {
                call(
                    &network,
                    caller,
                    callee,
                    Way { transport, codec },
                    Side::Caller,
                );
            }
        }
    }
}

fn network() -> Option<Network> {
    if !Model::installed(&[Model::Linphone, Model::Baresip]) || !installed(&["turnserver"]) {
        return None;
    }
    if !NostrRelay::path().is_file() {
        skipped("the relay from PyPI is not in the target folder");
        return None;
    }
    let alone = real_time();
    Some(Network::start(alone, NostrRelay::start(), Coturn::start()))
}

fn phones(network: &Network, calling: Model, called: Model, way: Way) -> (Phone, Phone) {
    let [first, second] = network.lines();
    let start = |model, line: &Line, microphone| {
        let server = match way.transport {
            "udp" => line.udp,
            _ => line.tcp,
        };
        let account = Account {
            transport: way.transport,
            codecs: way.codec,
            microphone,
            ..Account::plain(&line.user, &line.password, server)
        };
        Phone::start(model, &account)
    };
    let (mut caller, mut callee) = (start(calling, first, LOW), start(called, second, HIGH));
    caller.wait_registered();
    callee.wait_registered();
    (caller, callee)
}

fn connect(network: &Network, caller: &mut Phone, callee: &mut Phone) {
    caller.order(&format!("call {}", network.lines()[1].number));
    callee.wait_call("incoming", SOON);
    caller.wait_call("ringing", SOON);
    callee.order("answer");
    callee.wait_call("talking", SOON);
    caller.wait_call("talking", SOON);
}

fn call(network: &Network, calling: Model, called: Model, way: Way, ends: Side) {
    let (mut caller, mut callee) = phones(network, calling, called, way);
    connect(network, &mut caller, &mut callee);
    thread::sleep(TALK);
    let (ending, other) = match ends {
        Side::Caller => (&mut caller, &mut callee),
        Side::Callee => (&mut callee, &mut caller),
    };
    ending.order("hang-up");
    ending.wait_call("ended", SOON);
    other.wait_call("ended", SOON);
    let (at_caller, at_callee) = (caller.quit_and_listen(HIGH), callee.quit_and_listen(LOW));
    assert!(
        at_caller.carried(TALK),
        "{calling:?} calls {called:?}, {way:?}: the caller heard {at_caller:?}"
    );
    assert!(
        at_callee.carried(TALK),
        "{calling:?} calls {called:?}, {way:?}: the callee heard {at_callee:?}"
    );
}
