//! Provisioning: files of settings for each kind of phone, one-time links to them, and the server from which phones on the network fetch
//! them.
//!
//! Such a file lets a phone register as the line, so a link works once and for ten minutes. The files for Linphone and baresip were
//! tried with these programs. Those for Yealink, Snom and Grandstream, and the answer to phones that search by multicast (`pnp`), are
//! **experimental**: they follow the makers' documentation. A report of a phone of the maker that sets itself up, registers over TLS and
//! calls, with its model and firmware, removes the mark.

mod baresip;
pub(crate) mod desk_phones;
mod grandstream;
mod links;
mod linphone;
pub(crate) mod network_server;
mod phone_setup;
mod pnp;
pub(crate) mod registrar;
pub(crate) mod service;
mod snom;
mod yealink;

use ringfence_book::Number;
use ringfence_sip::xml::escape;
use zeroize::Zeroizing;

use desk_phones::DeskPhones;
use links::LinkOutcome;
pub(crate) use links::{LINK_LIFE, OneTimeLinks};
use phone_setup::PhoneSetup;
use registrar::RegistrarInfo;

/// The feature code that lists missed calls ([`ringfence_engine::line::feature_codes`]).
const MAILBOX: &str = "*97";

/// Seconds until a phone must register again. Until then the engine rings a phone that was unplugged.
const EXPIRES: u32 = 600;

/// A kind of phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhoneKind {
    Linphone,
    Baresip,
    Yealink,
    Snom,
    Grandstream,
}

/// How a phone reaches the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhoneTransport {
    Udp,
    Tcp,
    Tls,
}

/// Where a phone is, which decides the address at which it registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhoneLocation {
    /// On this machine.
    Here,
    /// On the local network.
    Lan,
}

/// A phone that is to be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetupRequest {
    pub(crate) number: Number,
    pub(crate) model: PhoneKind,
    pub(crate) location: PhoneLocation,
    pub(crate) transport: PhoneTransport,
}

impl PhoneKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Linphone,
        Self::Baresip,
        Self::Yealink,
        Self::Snom,
        Self::Grandstream,
    ];

    /// Its name in forms and in the API.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Linphone => "linphone",
            Self::Baresip => "baresip",
            Self::Yealink => "yealink",
            Self::Snom => "snom",
            Self::Grandstream => "grandstream",
        }
    }

    /// Its name on the page.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Linphone => "Linphone",
            Self::Baresip => "baresip",
            Self::Yealink => "Yealink",
            Self::Snom => "Snom",
            Self::Grandstream => "Grandstream",
        }
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.word() == word)
    }

    /// The name of the file that a browser saves.
    pub(crate) fn file(self, line: Number) -> String {
        match self {
            Self::Linphone => format!("linphone-{line}.xml"),
            Self::Baresip => format!("baresip-{line}.txt"),
            Self::Yealink => format!("yealink-{line}.cfg"),
            Self::Snom => format!("snom-{line}.xml"),
            Self::Grandstream => format!("grandstream-{line}.xml"),
        }
    }

    /// The media type of the file.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Linphone | Self::Snom | Self::Grandstream => "application/xml",
            Self::Baresip | Self::Yealink => "text/plain; charset=utf-8",
        }
    }

    /// The file of settings. It contains the line's credentials.
    pub(crate) fn write(self, setup: &PhoneSetup<'_>) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Self::Linphone => linphone::write(setup),
            Self::Baresip => baresip::write(setup),
            Self::Yealink => yealink::write(setup),
            Self::Snom => snom::write(setup),
            Self::Grandstream => grandstream::write(setup),
        })
    }
}

impl PhoneTransport {
    pub(crate) const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// As a SIP URI names it (RFC 3261 section 25.1).
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.word() == word)
    }
}

impl PhoneLocation {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Lan => "lan",
        }
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        [Self::Here, Self::Lan]
            .into_iter()
            .find(|location| location.word() == word)
    }

    /// TLS on the network; on this machine, traffic does not leave it.
    pub(crate) fn default_transport(self) -> PhoneTransport {
        match self {
            Self::Here => PhoneTransport::Tcp,
            Self::Lan => PhoneTransport::Tls,
        }
    }
}

/// Replaces control characters, for files with one setting on each line: a value must not begin another line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|sign| if sign.is_control() { ' ' } else { sign })
        .collect()
}

#[cfg(test)]
mod tests {
    use ringfence_media::Srtp;

    use super::*;
    use crate::provisioning::registrar::{LineAccount, RegistrarInfo};
    use crate::state::keystore::SipAccount;
    use crate::state::secret::Secret;

    pub(crate) fn registrar(srtp: Srtp) -> RegistrarInfo {
        let line = |number, name: &str| LineAccount {
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
        RegistrarInfo {
            state: std::path::Path::new("/state").into(),
            lines: vec![line(20_417, "Desk\n<&\"evil"), line(20_418, "Hall")],
            sip: [at(5060), at(5060), at(5061)],
            srtp,
            certificate: None,
            outbound: crate::net::outbound::Outbound::direct(),
            names: Vec::new(),
            lan: Some(([192, 168, 1, 10], 5081).into()),
            provisioning: None,
        }
    }

    fn certificate() -> std::sync::Arc<tokio_rustls::rustls::ServerConfig> {
        let folder = tempfile::tempdir().unwrap();
        let source = crate::net::phone::certificate::CertificateSource::Own {
            folder: folder.path().into(),
            names: crate::net::phone::certificate::CertificateNames::default(),
        };
        crate::net::phone::certificate::server(&source).unwrap()
    }

    fn request(
        model: PhoneKind,
        location: PhoneLocation,
        transport: PhoneTransport,
    ) -> SetupRequest {
        SetupRequest {
            number: Number::new(20_417),
            model,
            location,
            transport,
        }
    }

    fn file(
        model: PhoneKind,
        location: PhoneLocation,
        transport: PhoneTransport,
        srtp: Srtp,
    ) -> String {
        let registrar = registrar(srtp);
        let setup = registrar
            .phone_setup(&request(model, location, transport))
            .unwrap();
        model.write(&setup).to_string()
    }

    #[test]
    fn a_phone_gets_the_address_that_it_can_reach() {
        let registrar = registrar(Srtp::Optional);
        let server =
            |location, transport| registrar.server(location, transport).unwrap().to_string();
        assert_eq!(
            server(PhoneLocation::Here, PhoneTransport::Tls),
            "127.0.0.1:5061"
        );
        assert_eq!(
            server(PhoneLocation::Lan, PhoneTransport::Tls),
            "192.168.1.10:5061"
        );
        let alone = RegistrarInfo {
            sip: [vec![], vec![], vec![]],
            ..registrar
        };
        assert_eq!(alone.server(PhoneLocation::Lan, PhoneTransport::Udp), None);
    }

    #[test]
    fn a_certificate_of_the_users_own_is_for_names() {
        let config = certificate();
        let registrar = RegistrarInfo {
            certificate: Some(config),
            names: vec!["sip.example.org".to_owned()],
            ..registrar(Srtp::Optional)
        };
        assert_eq!(
            registrar.lan_base().unwrap(),
            "https://sip.example.org:5081"
        );
        let setup = registrar
            .phone_setup(&request(
                PhoneKind::Yealink,
                PhoneLocation::Lan,
                PhoneTransport::Tls,
            ))
            .unwrap();
        assert_eq!(setup.server.to_string(), "sip.example.org:5061");
        assert!(setup.checks && setup.authority_url.is_none());
        let here = registrar
            .phone_setup(&request(
                PhoneKind::Yealink,
                PhoneLocation::Here,
                PhoneTransport::Tcp,
            ))
            .unwrap();
        assert_eq!(here.server.to_string(), "127.0.0.1:5060");
    }

    #[test]
    fn a_name_cannot_break_a_file() {
        for model in PhoneKind::ALL {
            let text = file(
                model,
                PhoneLocation::Lan,
                PhoneTransport::Tls,
                Srtp::Required,
            );
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
        for model in PhoneKind::ALL {
            for transport in PhoneTransport::ALL {
                let text = file(model, PhoneLocation::Lan, transport, Srtp::Optional);
                for word in ["192.168.1.10", "20417", "*97"] {
                    assert!(text.contains(word), "{word} is not in {text}");
                }
            }
        }
    }

    #[test]
    fn linphone_gets_hashes_and_no_password() {
        let text = file(
            PhoneKind::Linphone,
            PhoneLocation::Here,
            PhoneTransport::Tcp,
            Srtp::Optional,
        );
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
    fn linphone_listens_at_ports_of_its_own_choice() {
        for location in [PhoneLocation::Here, PhoneLocation::Lan] {
            let transport = location.default_transport();
            let text = file(PhoneKind::Linphone, location, transport, Srtp::Optional);
            for port in ["sip_port", "sip_tcp_port", "sip_tls_port"] {
                let entry = format!("<entry name=\"{port}\" overwrite=\"true\">-1</entry>");
                assert!(text.contains(&entry), "{text}");
            }
        }
    }

    #[test]
    fn a_snom_dials_emergency_numbers_as_all_others_so_that_its_display_shows_the_answer() {
        let lan = PhoneLocation::Lan;
        let text = file(PhoneKind::Snom, lan, lan.default_transport(), Srtp::Off);
        let list = "<keyboard_lock_emergency perm=\"RW\"></keyboard_lock_emergency>";
        assert!(text.contains(list), "{text}");
    }

    #[test]
    fn media_are_encrypted_over_tls_or_where_they_must_be() {
        let encryption = |transport, srtp| {
            let text = file(PhoneKind::Linphone, PhoneLocation::Lan, transport, srtp);
            let word = text
                .split("media_encryption\" overwrite=\"true\">")
                .nth(1)
                .unwrap();
            word.split('<').next().unwrap().to_owned()
        };
        assert_eq!(encryption(PhoneTransport::Tcp, Srtp::Optional), "none");
        assert_eq!(encryption(PhoneTransport::Tls, Srtp::Optional), "srtp");
        assert_eq!(encryption(PhoneTransport::Tcp, Srtp::Required), "srtp");
        assert_eq!(encryption(PhoneTransport::Tls, Srtp::Off), "none");
    }
}
