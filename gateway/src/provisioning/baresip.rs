//! baresip: a line for its `accounts` file, and settings for its `config`.

use super::{EXPIRES, MAILBOX, PhoneSetup, PhoneTransport, one_line};

pub(super) fn write(setup: &PhoneSetup<'_>) -> String {
    let (server, account) = (&setup.server, &setup.line.account);
    let name = one_line(&setup.title()).replace(['"', '\\', '<', '>', ';', '&'], "'");
    let media = match (setup.is_encrypted(), setup.must_encrypt()) {
        (_, true) => ";mediaenc=srtp-mand",
        (true, false) => ";mediaenc=srtp",
        (false, false) => "",
    };
    let mut text = format!(
        "# Into ~/.baresip/accounts, one line. Missed calls: dial {MAILBOX}.\n\"{name}\" <sip:{}@{server};transport={}>;auth_pass={};regint={EXPIRES}{media};mwi=yes\n",
        account.user,
        setup.transport.word(),
        account.password.expose(),
    );
    text.push_str("\n# Into ~/.baresip/config\n");
    if setup.is_encrypted() {
        text.push_str("module srtp.so\n");
    }
    text.push_str("module_app mwi.so\n");
    if setup.transport == PhoneTransport::Tls
        && let Some(file) = &setup.authority
    {
        text.push_str(&format!(
            "sip_cafile {}\nsip_verify_server yes\n",
            file.display()
        ));
    }
    if setup.is_here {
        text.push_str("# baresip ignores loopback by default.\nnet_interface 127.0.0.1\n");
    }
    text
}
