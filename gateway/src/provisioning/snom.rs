//! Snom (D1, D3, D7, D8 series): settings as XML. Experimental: not tried on hardware.

use ringfence_media::Srtp;

use super::{EXPIRES, MAILBOX, PhoneSetup, PhoneTransport, escape};

/// Keys that are set as busy lamps.
const MOST_LAMPS: usize = 9;

pub(super) fn write(setup: &PhoneSetup<'_>) -> String {
    let (account, server) = (&setup.line.account, &setup.server);
    let savp = match setup.srtp {
        Srtp::Required => "mandatory",
        Srtp::Optional if setup.is_encrypted() => "optional",
        Srtp::Optional | Srtp::Off => "off",
    };
    let host = format!("{server};transport={}", setup.transport.word());
    let entries = [
        ("user_active", "on".to_owned()),
        ("user_realname", setup.title()),
        ("user_name", account.user.clone()),
        ("user_pname", account.user.clone()),
        ("user_pass", account.password.expose().to_owned()),
        ("user_host", host.clone()),
        ("user_outbound", format!("sip:{host}")),
        ("user_expiry", EXPIRES.to_string()),
        ("user_mailbox", MAILBOX.to_owned()),
        (
            "user_srtp",
            if setup.is_encrypted() { "on" } else { "off" }.to_owned(),
        ),
        ("user_savp", savp.to_owned()),
        ("user_ice", "off".to_owned()),
        ("stun_server", String::new()),
    ];
    let mut xml =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<settings>\n <phone-settings e=\"2\">\n"
            .to_owned();
    for (name, value) in entries {
        xml.push_str(&format!(
            "  <{name} idx=\"1\" perm=\"RW\">{}</{name}>\n",
            escape(&value)
        ));
    }
    // A Snom treats these in its own way, by default 911, 112, 110 and 999: it may use another identity, and show no answer.
    xml.push_str("  <keyboard_lock_emergency perm=\"RW\"></keyboard_lock_emergency>\n");
    xml.push_str(" </phone-settings>\n <functionKeys e=\"2\">\n");
    for (key, other) in setup.others.iter().take(MOST_LAMPS).enumerate() {
        let (key, number) = (key + 1, other.number);
        let label = escape(&other.name.clone().unwrap_or_else(|| number.to_string()));
        xml.push_str(&format!(
            "  <fkey idx=\"{key}\" context=\"1\" label=\"{label}\" perm=\"RW\">blf sip:{number}@{}</fkey>\n",
            server.host
        ));
    }
    xml.push_str(" </functionKeys>\n");
    if let Some(url) = setup
        .authority_url
        .as_ref()
        .filter(|_| setup.transport == PhoneTransport::Tls)
    {
        xml.push_str(&format!(
            " <certificates>\n  <certificate url=\"{}\" />\n </certificates>\n",
            escape(url)
        ));
    }
    xml.push_str("</settings>\n");
    xml
}
