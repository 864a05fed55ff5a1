//! Real phones that listen: each is called by a plain phone that speaks, and records what it plays.

use std::path::Path;
use std::time::Duration;

use ringfence_tests::{
    deployment::InstalledLine,
    faulty_wire::FaultyWire,
    real_phone::{PhoneAccount, PhoneModel, RealPhone},
};

use super::{
    set,
    speech_phone::{SpeechPhones, talk},
};
use crate::phone_bank::{self, PhoneBank};

const SOON: Duration = Duration::from_secs(10);

/// A real phone, and the number that it has.
#[derive(Debug)]
pub(super) struct Listener {
    phone: RealPhone,
    number: String,
}

impl Listener {
    /// Registers it to a line.
    pub(super) fn start(model: PhoneModel, line: &InstalledLine) -> Self {
        let account = PhoneAccount::plain(&line.user, &line.password, line.udp);
        let mut phone = RealPhone::start(model, &account);
        phone.wait_registered();
        Self {
            phone,
            number: line.number.clone(),
        }
    }
}

/// Lets each phone listen to one who speaks, and writes down what it played: `ROW-CALL.wav`.
pub(super) fn listen(
    (bank, listeners): (&mut PhoneBank, &mut [Listener]),
    mut calls: Vec<SpeechPhones>,
    tell: impl FnMut(Duration),
    wires: &[FaultyWire; 2],
    (row, here): (&str, &Path),
) {
    let pairs = listeners.iter_mut().zip(&calls);
    let ids: Vec<_> = pairs
        .map(|(listener, call)| {
            phone_bank::call_out(bank, &listener.number, &call.sockets[0], || {
                listener.phone.wait_call("incoming", SOON);
                listener.phone.command("answer");
            })
        })
        .collect();
    talk(&mut calls, tell);
    set(wires, Default::default());
    for (index, (listener, id)) in listeners.iter_mut().zip(&ids).enumerate() {
        phone_bank::hang_up_out(bank, id, || {
            listener.phone.wait_call("ended", SOON);
        });
        let played = listener.phone.recording();
        let written = played.write(&here.join(format!("{row}-{index}.wav")));
        written.expect("the target folder is ours");
    }
}
