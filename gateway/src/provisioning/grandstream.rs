//! Grandstream (GXP, GRP): a `cfgMAC.xml` of P values. Experimental: not tried on hardware. Busy lamps on keys differ between models and
//! must be set by hand.

use ringfence_media::Srtp;

use super::{EXPIRES, MAILBOX, PhoneSetup, PhoneTransport, escape};

pub(super) fn write(setup: &PhoneSetup<'_>) -> String {
    let (account, server) = (&setup.line.account, &setup.server);
    let transport = match setup.transport {
        PhoneTransport::Udp => "0",
        PhoneTransport::Tcp => "1",
        PhoneTransport::Tls => "2",
    };
    let srtp = match setup.srtp {
        Srtp::Required => "2",
        Srtp::Optional if setup.is_encrypted() => "1",
        Srtp::Optional | Srtp::Off => "0",
    };
    let password = account.password.expose().to_owned();
    let values = [
        // Account 1: active, name, server, user, authentication name, password, display name.
        (271, "1".to_owned()),
        (270, setup.title()),
        (47, server.to_string()),
        (35, account.user.clone()),
        (36, account.user.clone()),
        (34, password),
        (3, setup.title()),
        // Registration: on, minutes between two, transport.
        (31, "1".to_owned()),
        (32, (EXPIRES / 60).to_string()),
        (130, transport.to_owned()),
        // SRTP, mailbox, message lamp.
        (183, srtp.to_owned()),
        (33, MAILBOX.to_owned()),
        (99, "1".to_owned()),
        // No NAT traversal, and no STUN server.
        (52, "0".to_owned()),
        (76, String::new()),
    ];
    let mut xml =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gs_provision version=\"1\">\n <config version=\"1\">\n".to_owned();
    for (key, value) in values {
        xml.push_str(&format!("  <P{key}>{}</P{key}>\n", escape(&value)));
    }
    xml.push_str(" </config>\n</gs_provision>\n");
    xml
}
