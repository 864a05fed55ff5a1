//! baresip: a line of its `accounts` file, and what belongs into its `config`.

use super::{EXPIRES, MAILBOX, Setup, Wire, one_line};

pub(super) fn write(setup: &Setup<'_>) -> String {
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
        setup.wire.word(),
        account.password.expose(),
    );
    text.push_str("\n# Into ~/.baresip/config\n");
    if setup.is_encrypted() {
        text.push_str("module srtp.so\n");
    }
    text.push_str("module_app mwi.so\n");
    if setup.wire == Wire::Tls
        && let Some(file) = &setup.authority
    {
        text.push_str(&format!(
            "sip_cafile {}\nsip_verify_server yes\n",
            file.display()
        ));
    }
    if setup.is_here {
        text.push_str("# baresip passes loopback over by itself.\nnet_interface 127.0.0.1\n");
    }
    text
}
