//! The paths of speech: what is measured, and what carries it.

use std::net::Ipv4Addr;

use ringfence_media::Codec;
use ringfence_tests::{
    deployment::Deployment, faulty_wire::FaultyWire, program::installed, real_phone::PhoneModel,
};

use super::{chromium::ChromiumPairs, listeners::Listener};
use crate::{measured, phone_bank::PhoneBank, rtpengine::Rtpengines, turn_hop::TurnHops};

/// Lines of each engine.
const LINES: usize = 4;

/// A way from phone to phone, or from browser to browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SpeechPath {
    /// Two engines, with phones that have G.711.
    Pcmu,
    /// The same with G.722.
    G722,
    /// The same with Opus, of which the phones expect no loss, because their engine has none to report.
    Opus,
    /// The same with Opus that expects a loss of 10 % and carries what repairs a lost packet (RFC 7587 section 4).
    OpusFec,
    /// Two rtpengines, with phones that have G.711: a plain relay.
    Rtpengine,
    /// Chromium's Opus.
    Chromium,
    /// Chromium's Opus with redundancy (RFC 2198).
    ChromiumRed,
    /// Two engines, and at the second a real phone that has G.711.
    Linphone,
    /// The same.
    Baresip,
    /// The same.
    Baresip4,
    /// The same.
    Pjsua,
}

/// What carries the speech.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum SpeechCarrier {
    Engines {
        phones: Box<[PhoneBank; 2]>,
        pair: Box<Deployment>,
    },
    Relays(Box<Rtpengines>),
    Browser(Box<ChromiumPairs>),
    Listeners {
        bank: PhoneBank,
        listeners: Vec<Listener>,
        _pair: Box<Deployment>,
    },
}

impl SpeechPath {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "pcmu",
            Self::G722 => "g722",
            Self::Opus => "opus",
            Self::OpusFec => "opus-fec",
            Self::Rtpengine => "rtpengine",
            Self::Chromium => "chromium",
            Self::ChromiumRed => "chromium-red",
            Self::Linphone => "linphone",
            Self::Baresip => "baresip",
            Self::Baresip4 => "baresip4",
            Self::Pjsua => "pjsua",
        }
    }

    /// What was recorded: a phone's packets of this encoding, or what a phone or a browser played.
    pub(super) const fn recorded(self) -> &'static str {
        match self {
            Self::Linphone | Self::Baresip | Self::Baresip4 | Self::Pjsua => "phone",
            Self::Pcmu | Self::Rtpengine => "pcmu",
            Self::G722 => "g722",
            Self::Opus => "opus",
            Self::OpusFec => "opus-fec",
            Self::Chromium | Self::ChromiumRed => "browser",
        }
    }

    /// What phones say.
    pub(super) const fn codec(self) -> Codec {
        match self {
            Self::G722 => Codec::G722,
            Self::Opus | Self::OpusFec => Codec::Opus,
            _ => Codec::Pcmu,
        }
    }

    /// Starts what carries it, with the wires of both hops; `None` if a program is missing.
    pub(super) fn start(self) -> Option<(SpeechCarrier, [FaultyWire; 2])> {
        match self {
            Self::Pcmu | Self::G722 | Self::Opus | Self::OpusFec => {
                let (pair, wires) = measured::start_over_wires(LINES)?;
                let mut phones = [0, 1].map(|engine| PhoneBank::open(&pair.lines_of(engine)));
                phones.iter_mut().for_each(|bank| bank.speak(self.codec()));
                let carrier = SpeechCarrier::Engines {
                    phones: Box::new(phones),
                    pair: Box::new(pair),
                };
                Some((carrier, wires))
            }
            Self::Rtpengine => {
                if !installed(&["rtpengine", "turnserver"]) {
                    return None;
                }
                // The forwarder is the one that speaks TURN, and both hops are on its way.
                let mut wires = Vec::new();
                let hops = TurnHops::start_through(|coturn| {
                    let here = Ipv4Addr::LOCALHOST;
                    let far = FaultyWire::to(coturn, here);
                    let near = FaultyWire::to(far.address(), here);
                    let entry = near.address();
                    wires.extend([near, far]);
                    entry
                });
                let wires = wires.try_into().expect("there are two");
                Some((
                    SpeechCarrier::Relays(Box::new(Rtpengines::start(hops))),
                    wires,
                ))
            }
            Self::Chromium | Self::ChromiumRed => {
                let (pairs, wires) = ChromiumPairs::start(self == Self::ChromiumRed)?;
                Some((SpeechCarrier::Browser(Box::new(pairs)), wires))
            }
            Self::Linphone => Self::start_listeners(PhoneModel::Linphone),
            Self::Baresip => Self::start_listeners(PhoneModel::Baresip),
            Self::Baresip4 => Self::start_listeners(PhoneModel::Baresip4),
            Self::Pjsua => Self::start_listeners(PhoneModel::Pjsua),
        }
    }
}

impl SpeechPath {
    fn start_listeners(model: PhoneModel) -> Option<(SpeechCarrier, [FaultyWire; 2])> {
        if !PhoneModel::installed(&[model]) {
            return None;
        }
        let (pair, wires) = measured::start_over_wires(LINES)?;
        let bank = PhoneBank::open(&pair.lines_of(0));
        let lines = pair.lines_of(1).into_iter();
        let listeners = lines.map(|line| Listener::start(model, line)).collect();
        let carrier = SpeechCarrier::Listeners {
            bank,
            listeners,
            _pair: Box::new(pair),
        };
        Some((carrier, wires))
    }
}
