//! Setting up a phone without typing: files of settings for each kind of phone, and one-time links to them ([`links`]).
//!
//! Whoever gets such a file can register as the line, so that a link is good once and for ten minutes. The facts about phones were
//! seen with Linphone and baresip; the files for desk phones follow their makers' documentation and were not tried on hardware.

mod baresip;
mod desk_phones;
mod grandstream;
mod linphone;
mod links;
pub(crate) mod network_server;
mod pnp;
mod phone_setup;
pub(crate) mod registrar;
mod snom;
mod yealink;

use ringfence_phonebook::Number;
use zeroize::Zeroizing;

pub(super) use desk_phones::Desks;
pub(super) use links::{LIFE, Office, Redeemed};
pub(super) use pnp::answer;
use phone_setup::Setup;

/// What is dialled for missed calls ([`ringfence_engine::line::feature_codes`]).
const MAILBOX: &str = "*97";

/// Seconds until a phone registers again: a phone that was unplugged is not rung for longer.
const EXPIRES: u32 = 600;

/// A kind of phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Linphone,
    Baresip,
    Yealink,
    Snom,
    Grandstream,
}

/// How a phone reaches the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Udp,
    Tcp,
    Tls,
}

/// Where a phone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On this machine.
    Here,
    /// On the network of the house.
    Lan,
}

/// What is to be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) number: Number,
    pub(super) model: Model,
    pub(super) place: Place,
    pub(super) wire: Wire,
}

impl Model {
    pub(super) const ALL: [Self; 5] = [
        Self::Linphone,
        Self::Baresip,
        Self::Yealink,
        Self::Snom,
        Self::Grandstream,
    ];

    /// Its name in a form.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Linphone => "linphone",
            Self::Baresip => "baresip",
            Self::Yealink => "yealink",
            Self::Snom => "snom",
            Self::Grandstream => "grandstream",
        }
    }

    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Linphone => "Linphone",
            Self::Baresip => "baresip",
            Self::Yealink => "Yealink",
            Self::Snom => "Snom",
            Self::Grandstream => "Grandstream",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.word() == word)
    }

    /// What a browser calls the file.
    pub(super) fn file(self, line: Number) -> String {
        match self {
            Self::Linphone => format!("linphone-{line}.xml"),
            Self::Baresip => format!("baresip-{line}.txt"),
            Self::Yealink => format!("yealink-{line}.cfg"),
            Self::Snom => format!("snom-{line}.xml"),
            Self::Grandstream => format!("grandstream-{line}.xml"),
        }
    }

    /// The media type of the file.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Linphone | Self::Snom | Self::Grandstream => "application/xml",
            Self::Baresip | Self::Yealink => "text/plain; charset=utf-8",
        }
    }

    /// The file. It holds what opens the line.
    pub(super) fn write(self, setup: &Setup<'_>) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Linphone => linphone::write(setup),
            Self::Baresip => baresip::write(setup),
            Self::Yealink => yealink::write(setup),
            Self::Snom => snom::write(setup),
            Self::Grandstream => grandstream::write(setup),
        })
    }
}

impl Wire {
    pub(super) const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// As a SIP URI names it (RFC 3261 section 25.1).
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.word() == word)
    }
}

impl Place {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Lan => "lan",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        [Self::Here, Self::Lan]
            .into_iter()
            .find(|place| place.word() == word)
    }

    /// On this machine nobody listens in between.
    pub(super) fn usual_wire(self) -> Wire {
        match self {
            Self::Here => Wire::Tcp,
            Self::Lan => Wire::Tls,
        }
    }
}

/// For XML text and attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // XML 1.0 has no words for the others.
            sign if sign.is_control() => escaped.push(' '),
            sign => escaped.push(sign),
        }
    }
    escaped
}

/// For files of one setting a line: no second line comes out of one value.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|sign| if sign.is_control() { ' ' } else { sign })
        .collect()
}

#[cfg(test)]
mod tests {
    use ringfence_media::Srtp;

    use super::*;
    use crate::provisioning::registrar::{Board, BoardLine};
    use crate::state::keystore::SipAccount;
    use crate::state::secret::Secret;

    pub(super) fn board(srtp: Srtp) -> Board {
        let line = |number, name: &str| BoardLine {
            number: Number::new(number),
            name: Some(name.to_owned()),
            account: SipAccount {
                user: number.to_string(),
                password: Secret::new("sword<fish".to_owned()),
            },
        };
        let at = |port| {
            vec![
                ([127, 0, 0, 1], port).into(),
                ([192, 168, 1, 10], port).into(),
            ]
        };
        Board {
            state: "/state".into(),
            lines: vec![line(20_417, "Desk\n<&\"evil"), line(20_418, "Hall")],
            sip: [at(5060), at(5060), at(5061)],
            srtp,
            certificate: None,
            names: Vec::new(),
            lan: Some(([192, 168, 1, 10], 5081).into()),
            provisioning: None,
        }
    }

    fn certificate() -> std::sync::Arc<tokio_rustls::rustls::ServerConfig> {
        let folder = tempfile::tempdir().unwrap();
        let source = crate::net::phone::certificate::CertificateSource::Own {
            folder: folder.path().to_owned(),
            names: crate::net::phone::certificate::CertificateNames::default(),
        };
        crate::net::phone::certificate::server(&source).unwrap()
    }

    fn order(model: Model, place: Place, wire: Wire) -> Order {
        Order {
            number: Number::new(20_417),
            model,
            place,
            wire,
        }
    }

    fn file(model: Model, place: Place, wire: Wire, srtp: Srtp) -> String {
        let board = board(srtp);
        let setup = board.setup(&order(model, place, wire)).unwrap();
        model.write(&setup).to_string()
    }

    #[test]
    fn a_phone_is_told_the_address_in_its_own_place() {
        let board = board(Srtp::Optional);
        let server = |place, wire| board.server(place, wire).unwrap().to_string();
        assert_eq!(server(Place::Here, Wire::Tls), "127.0.0.1:5061");
        assert_eq!(server(Place::Lan, Wire::Tls), "192.168.1.10:5061");
        let alone = Board {
            sip: [vec![], vec![], vec![]],
            ..board
        };
        assert_eq!(alone.server(Place::Lan, Wire::Udp), None);
    }

    #[test]
    fn a_certificate_of_the_users_own_is_for_names() {
        let config = certificate();
        let board = Board {
            certificate: Some(config),
            names: vec!["sip.example.org".to_owned()],
            ..board(Srtp::Optional)
        };
        assert_eq!(board.lan_base().unwrap(), "https://sip.example.org:5081");
        let setup = board
            .setup(&order(Model::Yealink, Place::Lan, Wire::Tls))
            .unwrap();
        assert_eq!(setup.server.to_string(), "sip.example.org:5061");
        assert!(setup.checks && setup.authority_url.is_none());
        let here = board
            .setup(&order(Model::Yealink, Place::Here, Wire::Tcp))
            .unwrap();
        assert_eq!(here.server.to_string(), "127.0.0.1:5060");
    }

    #[test]
    fn a_name_breaks_no_file() {
        for model in Model::ALL {
            let text = file(model, Place::Lan, Wire::Tls, Srtp::Required);
            let is_xml = text.starts_with("<?xml");
            assert!(!is_xml || !text.contains("<&"), "{text}");
            assert!(
                !text
                    .lines()
                    .any(|line| line.starts_with("<&") || line.starts_with("evil")),
                "{text}"
            );
        }
    }

    #[test]
    fn every_file_has_server_user_and_mailbox_and_no_stun() {
        for model in Model::ALL {
            for wire in Wire::ALL {
                let text = file(model, Place::Lan, wire, Srtp::Optional);
                for word in ["192.168.1.10", "20417", "*97"] {
                    assert!(text.contains(word), "{word} is not in {text}");
                }
            }
        }
    }

    #[test]
    fn linphone_gets_hashes_and_no_password() {
        let text = file(Model::Linphone, Place::Here, Wire::Tcp, Srtp::Optional);
        assert!(!text.contains("sword"), "{text}");
        let ha1 = ringfence_sip::digest::ha1(
            ringfence_sip::digest::Algorithm::Md5,
            "20417",
            "ringfence",
            "sword<fish",
        );
        assert!(text.contains(ha1.as_str()), "{text}");
        assert!(
            text.contains("&lt;sip:127.0.0.1:5060;transport=tcp&gt;"),
            "{text}"
        );
    }

    #[test]
    fn sound_is_encrypted_where_its_keys_are_or_where_it_must_be() {
        let encryption = |wire, srtp| {
            let text = file(Model::Linphone, Place::Lan, wire, srtp);
            let word = text
                .split("media_encryption\" overwrite=\"true\">")
                .nth(1)
                .unwrap();
            word.split('<').next().unwrap().to_owned()
        };
        assert_eq!(encryption(Wire::Tcp, Srtp::Optional), "none");
        assert_eq!(encryption(Wire::Tls, Srtp::Optional), "srtp");
        assert_eq!(encryption(Wire::Tcp, Srtp::Required), "srtp");
        assert_eq!(encryption(Wire::Tls, Srtp::Off), "none");
    }
}
