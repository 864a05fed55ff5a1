//! The lines of a state folder as a table, with what a phone must be told to register.

use crate::config::Config;
use crate::keystore::LineFile;

/// A paragraph a line. Passwords are shown when asked for.
pub(super) fn table(lines: &[LineFile], config: &Config, passwords: bool) -> String {
    if lines.is_empty() {
        return "There is no line yet. Get an activation code from a phone book's operator and run: ringfence activate".to_owned();
    }
    let host = config
        .sip
        .addresses
        .first()
        .map_or_else(String::new, ToString::to_string);
    let paragraphs: Vec<String> = lines
        .iter()
        .map(|line| {
            let name = line.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
            let password = if passwords { line.account.password.expose() } else { "(shown with --passwords)" };
            format!(
                "number     {}{name}\n  server   {host}  udp {}  tcp {}\n  user     {}\n  password {password}",
                line.number, config.sip.udp_port, config.sip.tcp_port, line.account.user,
            )
        })
        .collect();
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zeroize::Zeroizing;

    use super::*;
    use crate::keystore::SipAccount;
    use crate::secret::Secret;

    #[test]
    fn passwords_are_shown_only_when_asked_for() {
        let line = LineFile {
            number: 20_001,
            identity: Zeroizing::new(Vec::new()),
            binding: Vec::new(),
            book_url: String::new(),
            book_key: [0; 32],
            account: SipAccount {
                user: "20001".to_owned(),
                password: Secret::new("swordfish".to_owned()),
            },
            name: Some("Desk".to_owned()),
            ring_key_since: None,
            members: None,
        };
        let config = Config::with_state(Path::new("/tmp/x"));
        let lines = [line];
        assert!(!table(&lines, &config, false).contains("swordfish"));
        let text = table(&lines, &config, true);
        for word in ["swordfish", "20001 (Desk)", "127.0.0.1", "udp 5060"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(table(&[], &config, true).contains("ringfence activate"));
    }
}
