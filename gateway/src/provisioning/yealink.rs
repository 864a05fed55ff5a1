//! Yealink (T2, T3, T4, T5 series): a `MAC.cfg`, one parameter a line. Experimental: not tried on hardware.

use ringfence_media::Srtp;

use super::{EXPIRES, MAILBOX, PhoneSetup, PhoneTransport, one_line};

/// The first key that is a busy lamp; key 1 is the line itself.
const FIRST_LAMP: usize = 2;
/// Keys that are set as busy lamps.
const MOST_LAMPS: usize = 9;
/// The key type for a busy lamp field.
const BUSY_LAMP: u8 = 16;

pub(super) fn write(setup: &PhoneSetup<'_>) -> String {
    let (account, server) = (&setup.line.account, &setup.server);
    let title = one_line(&setup.title());
    let transport = match setup.transport {
        PhoneTransport::Udp => 0,
        PhoneTransport::Tcp => 1,
        PhoneTransport::Tls => 2,
    };
    let srtp = match setup.srtp {
        Srtp::Required => 2,
        Srtp::Optional if setup.is_encrypted() => 1,
        Srtp::Optional | Srtp::Off => 0,
    };
    let mut text = format!(
        "#!version:1.0.0.1\n\
         account.1.enable = 1\n\
         account.1.label = {title}\n\
         account.1.display_name = {title}\n\
         account.1.user_name = {user}\n\
         account.1.auth_name = {user}\n\
         account.1.password = {password}\n\
         account.1.sip_server.1.address = {ip}\n\
         account.1.sip_server.1.port = {port}\n\
         account.1.sip_server.1.transport_type = {transport}\n\
         account.1.sip_server.1.expires = {EXPIRES}\n\
         account.1.srtp_encryption = {srtp}\n\
         account.1.nat.nat_traversal = 0\n\
         account.1.subscribe_mwi = 1\n\
         voice_mail.number.1 = {MAILBOX}\n\
         sip.nat_stun.enable = 0\n\
         static.security.trust_certificates = {check}\n",
        user = account.user,
        password = account.password.expose(),
        ip = server.host,
        port = server.port,
        check = u8::from(setup.transport == PhoneTransport::Tls),
    );
    if let Some(url) = setup
        .authority_url
        .as_ref()
        .filter(|_| setup.transport == PhoneTransport::Tls)
    {
        text.push_str(&format!("static.trusted_certificates.url = {url}\n"));
    }
    for (key, other) in (FIRST_LAMP..).zip(setup.others.iter().take(MOST_LAMPS)) {
        let name = other
            .name
            .as_deref()
            .map_or_else(|| other.number.to_string(), one_line);
        text.push_str(&format!(
            "linekey.{key}.type = {BUSY_LAMP}\nlinekey.{key}.line = 1\nlinekey.{key}.value = {}\nlinekey.{key}.label = {name}\n",
            other.number
        ));
    }
    text
}
