//! Linphone's remote provisioning: sections and entries of its configuration as XML (`lpconfig.xsd`). The file contains digest hashes of
//! the password for both algorithms instead of the password.

use ringfence_sip::digest::{Algorithm, ha1};

use super::{EXPIRES, MAILBOX, PhoneSetup, PhoneTransport, escape};

/// Sections with their entries.
type Sections<'a> = Vec<(&'a str, Vec<(&'a str, String)>)>;

pub(super) fn write(setup: &PhoneSetup<'_>) -> String {
    let mut xml =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<config xmlns=\"http://www.linphone.org/xsds/lpconfig.xsd\">\n".to_owned();
    for (section, entries) in sections(setup) {
        xml.push_str(&format!("  <section name=\"{section}\">\n"));
        for (name, value) in entries {
            let value = escape(&value);
            xml.push_str(&format!(
                "    <entry name=\"{name}\" overwrite=\"true\">{value}</entry>\n"
            ));
        }
        xml.push_str("  </section>\n");
    }
    xml.push_str("</config>\n");
    xml
}

fn sections<'a>(setup: &PhoneSetup<'_>) -> Sections<'a> {
    let flag = |on: bool| if on { "1" } else { "0" }.to_owned();
    let text = str::to_owned;
    let mut sip = vec![
        ("default_proxy", text("0")),
        // Its own ports are random: the usual ones may be taken on its machine.
        ("sip_port", text("-1")),
        ("sip_tcp_port", text("-1")),
        ("sip_tls_port", text("-1")),
        (
            "media_encryption",
            text(if setup.is_encrypted() { "srtp" } else { "none" }),
        ),
        ("media_encryption_mandatory", flag(setup.must_encrypt())),
        ("use_info", text("0")),
        ("use_rfc2833", text("1")),
        ("register_only_when_network_is_up", text("0")),
    ];
    if setup.transport == PhoneTransport::Tls {
        sip.push(("verify_server_certs", flag(setup.checks)));
        sip.push(("verify_server_cn", flag(setup.checks)));
        if let Some(file) = &setup.authority {
            sip.push(("root_ca", file.display().to_string()));
        }
    }
    vec![
        ("sip", sip),
        ("proxy_0", proxy(setup)),
        ("auth_info_0", account(setup, Algorithm::Md5)),
        ("auth_info_1", account(setup, Algorithm::Sha256)),
        ("net", vec![("firewall_policy", text("0"))]),
        ("rtp", vec![("audio_rtp_port", text("-1"))]),
    ]
}

fn proxy<'a>(setup: &PhoneSetup<'_>) -> Vec<(&'a str, String)> {
    let (server, user) = (&setup.server, &setup.line.account.user);
    let route = format!("<sip:{server};transport={}>", setup.transport.word());
    let name = setup.title().replace(['"', '\\'], "'");
    vec![
        ("reg_proxy", route.clone()),
        ("reg_route", route.replace('>', ";lr>")),
        ("reg_identity", format!("\"{name}\" <sip:{user}@{server}>")),
        ("realm", setup.realm.to_owned()),
        ("reg_expires", EXPIRES.to_string()),
        ("reg_sendregister", "1".to_owned()),
        ("publish", "0".to_owned()),
        ("quality_reporting_enabled", "0".to_owned()),
        ("voicemail_uri", format!("sip:{MAILBOX}@{server}")),
    ]
}

fn account<'a>(setup: &PhoneSetup<'_>, algorithm: Algorithm) -> Vec<(&'a str, String)> {
    let account = &setup.line.account;
    let hash = ha1(
        algorithm,
        &account.user,
        setup.realm,
        account.password.expose(),
    );
    vec![
        ("username", account.user.clone()),
        ("ha1", hash.to_string()),
        ("realm", setup.realm.to_owned()),
        ("algorithm", algorithm.as_str().to_owned()),
    ]
}
