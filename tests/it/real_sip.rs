//! Real phones with the SIP core alone: registering, calling, cancelling, refusing and hanging up work in both directions.

use std::{thread, time::Duration};

use ringfence_tests::{
    b2bua::B2bua,
    program::real_time,
    real_phone::{PhoneAccount, PhoneModel, RealPhone},
    tone::{HIGH, LOW},
};

const SOON: Duration = Duration::from_secs(8);
const TALK: Duration = Duration::from_secs(3);

const CALLER: &str = "20001";
const CALLEE: &str = "20002";

#[test]
fn linphone_calls_baresip_and_both_hear_each_other() {
    with_phones(
        PhoneModel::Linphone,
        PhoneModel::Baresip,
        |mut caller, mut callee| {
            talk(&mut caller, &mut callee);
            caller.command("hang-up");
            callee.wait_call("ended", SOON);
            both_heard(caller, callee);
        },
    );
}

#[test]
fn baresip_calls_linphone_and_both_hear_each_other() {
    with_phones(
        PhoneModel::Baresip,
        PhoneModel::Linphone,
        |mut caller, mut callee| {
            talk(&mut caller, &mut callee);
            callee.command("hang-up");
            caller.wait_call("ended", SOON);
            both_heard(caller, callee);
        },
    );
}

#[test]
fn a_call_given_up_while_ringing_stops_the_ringing() {
    for (calling, called) in [
        (PhoneModel::Linphone, PhoneModel::Baresip),
        (PhoneModel::Baresip, PhoneModel::Linphone),
    ] {
        with_phones(calling, called, |mut caller, mut callee| {
            caller.command(&format!("call {CALLEE}"));
            callee.wait_call("incoming", SOON);
            caller.wait_call("ringing", SOON);
            caller.command("hang-up");
            callee.wait_call("ended", SOON);
            caller.wait_call("ended", SOON);
        });
    }
}

#[test]
fn a_refusal_reaches_the_caller() {
    for (calling, called) in [
        (PhoneModel::Linphone, PhoneModel::Baresip),
        (PhoneModel::Baresip, PhoneModel::Linphone),
    ] {
        with_phones(calling, called, |mut caller, mut callee| {
            caller.command(&format!("call {CALLEE}"));
            callee.wait_call("incoming", SOON);
            callee.command("refuse");
            assert_eq!(caller.wait_call("ended", SOON)["status"], 486);
            callee.wait_call("ended", SOON);
        });
    }
}

#[test]
fn a_wrong_password_is_refused() {
    for model in [PhoneModel::Linphone, PhoneModel::Baresip] {
        if !PhoneModel::installed(&[model]) {
            return;
        }
        let exchange = B2bua::open(&[CALLER]);
        let mut phone = RealPhone::start(
            model,
            &PhoneAccount {
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
    exchange: &B2bua,
    user: &'a str,
    password: &'a str,
    microphone: f64,
) -> PhoneAccount<'a> {
    PhoneAccount {
        microphone,
        ..PhoneAccount::plain(user, password, exchange.address())
    }
}

fn with_phones(calling: PhoneModel, called: PhoneModel, call: impl FnOnce(RealPhone, RealPhone)) {
    if !PhoneModel::installed(&[calling, called]) {
        return;
    }
    let _alone = real_time();
    let exchange = B2bua::open(&[CALLER, CALLEE]);
    let start = |model, user, microphone| {
        RealPhone::start(
            model,
            &account(&exchange, user, &B2bua::password(user), microphone),
        )
    };
    let (mut caller, mut callee) = (start(calling, CALLER, LOW), start(called, CALLEE, HIGH));
    caller.wait_registered();
    callee.wait_registered();
    call(caller, callee);
}

fn talk(caller: &mut RealPhone, callee: &mut RealPhone) {
    caller.command(&format!("call {CALLEE}"));
    callee.wait_call("incoming", SOON);
    callee.command("answer");
    callee.wait_call("talking", SOON);
    caller.wait_call("talking", SOON);
    thread::sleep(TALK);
}

fn both_heard(caller: RealPhone, callee: RealPhone) {
    let (at_caller, at_callee) = (caller.quit_and_measure(HIGH), callee.quit_and_measure(LOW));
    assert!(at_caller.carried(TALK), "the caller heard {at_caller:?}");
    assert!(at_callee.carried(TALK), "the callee heard {at_callee:?}");
}
