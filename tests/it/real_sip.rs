//! Real phones on the SIP core alone: what they register, call, cancel, refuse and hang up works both ways.

use std::{thread, time::Duration};

use ringfence_tests::{
    b2bua::Exchange,
    program::real_time,
    real_phone::{Account, Model, Phone},
    tone::{HIGH, LOW},
};

const SOON: Duration = Duration::from_secs(8);
const TALK: Duration = Duration::from_secs(3);

const CALLER: &str = "20001";
const CALLEE: &str = "20002";

#[test]
fn linphone_calls_baresip_and_both_hear_each_other() {
    with_phones(Model::Linphone, Model::Baresip, |mut caller, mut callee| {
        talk(&mut caller, &mut callee);
        caller.order("hang-up");
        callee.wait_call("ended", SOON);
        both_heard(caller, callee);
    });
}

#[test]
fn baresip_calls_linphone_and_both_hear_each_other() {
    with_phones(Model::Baresip, Model::Linphone, |mut caller, mut callee| {
        talk(&mut caller, &mut callee);
        callee.order("hang-up");
        caller.wait_call("ended", SOON);
        both_heard(caller, callee);
    });
}

#[test]
fn a_call_given_up_while_ringing_stops_the_ringing() {
    for (calling, called) in [
        (Model::Linphone, Model::Baresip),
        (Model::Baresip, Model::Linphone),
    ] {
        with_phones(calling, called, |mut caller, mut callee| {
            caller.order(&format!("call {CALLEE}"));
            callee.wait_call("incoming", SOON);
            caller.wait_call("ringing", SOON);
            caller.order("hang-up");
            callee.wait_call("ended", SOON);
            caller.wait_call("ended", SOON);
        });
    }
}

#[test]
fn a_refusal_reaches_the_caller() {
    for (calling, called) in [
        (Model::Linphone, Model::Baresip),
        (Model::Baresip, Model::Linphone),
    ] {
        with_phones(calling, called, |mut caller, mut callee| {
            caller.order(&format!("call {CALLEE}"));
            callee.wait_call("incoming", SOON);
            callee.order("refuse");
            assert_eq!(caller.wait_call("ended", SOON)["status"], 486);
            callee.wait_call("ended", SOON);
        });
    }
}

#[test]
fn a_wrong_password_is_refused() {
    for model in [Model::Linphone, Model::Baresip] {
        if !Model::installed(&[model]) {
            return;
        }
        let exchange = Exchange::open(&[CALLER]);
        let mut phone = Phone::start(
            model,
            &Account {
                password: "guess",
                ..account(&exchange, CALLER, "", LOW)
            },
        );
        phone.wait("refusal", SOON, |news| {
            news["event"] == "registration-failed"
        });
    }
}

fn account<'a>(
    exchange: &Exchange,
    user: &'a str,
    password: &'a str,
    microphone: f64,
) -> Account<'a> {
    Account {
        microphone,
        ..Account::plain(user, password, exchange.address())
    }
}

fn with_phones(calling: Model, called: Model, call: impl FnOnce(Phone, Phone)) {
    if !Model::installed(&[calling, called]) {
        return;
    }
    let _alone = real_time();
    let exchange = Exchange::open(&[CALLER, CALLEE]);
    let start = |model, user, microphone| {
        Phone::start(
            model,
            &account(&exchange, user, &Exchange::password(user), microphone),
        )
    };
    let (mut caller, mut callee) = (start(calling, CALLER, LOW), start(called, CALLEE, HIGH));
    caller.wait_registered();
    callee.wait_registered();
    call(caller, callee);
}

fn talk(caller: &mut Phone, callee: &mut Phone) {
    caller.order(&format!("call {CALLEE}"));
    callee.wait_call("incoming", SOON);
    callee.order("answer");
    callee.wait_call("talking", SOON);
    caller.wait_call("talking", SOON);
    thread::sleep(TALK);
}

fn both_heard(caller: Phone, callee: Phone) {
    let (at_caller, at_callee) = (caller.quit_and_listen(HIGH), callee.quit_and_listen(LOW));
    assert!(at_caller.carried(TALK), "the caller heard {at_caller:?}");
    assert!(at_callee.carried(TALK), "the callee heard {at_callee:?}");
}
