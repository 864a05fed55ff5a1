//! The file of settings that `ringfence setup` writes: the answers, each with a comment.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::cli::paths::below_home;
use crate::config::{Config, ConfigError, raw};
use crate::net::socks::SocksProxy;
use crate::turn::TurnEndpoint;

/// The answers.
#[derive(Clone, Debug, Default)]
pub(super) struct SettingsFile {
    pub(super) state: PathBuf,
    pub(super) relays: Vec<String>,
    pub(super) listen: Vec<IpAddr>,
    pub(super) udp_and_tcp: u16,
    pub(super) tls: u16,
    pub(super) turn: Vec<TurnEndpoint>,
    pub(super) turn_secret: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) proxy: Option<SocksProxy>,
    pub(super) notifications: bool,
    pub(super) allow_private: bool,
}

impl SettingsFile {
    /// The file's text.
    pub(super) fn text(&self) -> String {
        let proxy = self.proxy.as_ref();
        let proxy = proxy.map(ToString::to_string).unwrap_or_default();
        let list = |texts: Vec<String>| {
            let quoted: Vec<String> = texts.iter().map(quoted_text).collect();
            format!("[{}]", quoted.join(", "))
        };
        let shown = |list: &[IpAddr]| list.iter().map(ToString::to_string).collect();
        let turn = self.turn.iter().map(ToString::to_string).collect();
        format!(
            "# Written by `ringfence setup`. Settings that are not here have their defaults; examples/ringfence.toml explains them all.\n\
             # A running engine reads this file again at SIGHUP.\n\n\
             # Folder of the keys.\n\
             state = {}\n\n\
             # Nostr relays; empty: those which the phone book names.\n\
             relays = {}\n\n\
             # Authorities to trust beside the system's, for phone book, relays and TURN servers.\n\
             ca_file = {}\n\n\
             # SOCKS5 proxy to phone book and relays, for example Tor's: socks5h://127.0.0.1:9050\n\
             proxy = {}\n\n\
             # Whether this desktop shows missed calls and texts.\n\
             notifications = {}\n\n\
             [sip]\n\
             # Addresses at which phones register.\n\
             listen = {}\n\
             udp_port = {}\n\
             tcp_port = {}\n\
             tls_port = {}\n\n\
             [turn]\n\
             # TURN servers; empty: those which the phone book names, with logins from it.\n\
             urls = {}\n\
             secret = {}\n\
             allow_private = {}\n",
            quoted(&self.state),
            list(self.relays.clone()),
            self.ca_file
                .as_deref()
                .map_or_else(|| quoted_text(""), quoted),
            quoted_text(proxy),
            self.notifications,
            list(shown(&self.listen)),
            self.udp_and_tcp,
            self.udp_and_tcp,
            self.tls,
            list(turn),
            quoted_text(&self.turn_secret),
            self.allow_private,
        )
    }

    /// The settings that the file will hold, checked as when it is read.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let raw = raw::parse(&self.text()).map_err(|(line, message)| ConfigError::Syntax {
            path: PathBuf::from("the answers"),
            line,
            message,
        })?;
        Config::try_from(raw)
    }
}

fn quoted(path: &Path) -> String {
    quoted_text(below_home(path))
}

fn quoted_text(text: impl AsRef<str>) -> String {
    toml::Value::String(text.as_ref().to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_as_it_was_answered() {
        let draft = SettingsFile {
            state: "/home/a \"b\"/keys".into(),
            relays: vec!["wss://relay.example.org".to_owned()],
            listen: vec![[127, 0, 0, 1].into(), [192, 168, 1, 10].into()],
            udp_and_tcp: 5070,
            tls: 5071,
            turn: vec!["turns:turn.example.org".parse().unwrap()],
            turn_secret: "a\\b\"c".to_owned(),
            ca_file: Some("/etc/box ca.pem".into()),
            proxy: Some("socks5h://127.0.0.1:9050".parse().unwrap()),
            notifications: true,
            allow_private: true,
        };
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        let (state, other) = (home.join(".local/share/ringfence"), "/home/a".into());
        let below = SettingsFile {
            state: state.clone(),
            ..draft.clone()
        };
        assert!(
            below
                .text()
                .contains("state = \"~/.local/share/ringfence\"")
        );
        assert_eq!(*below.config().unwrap().state, *state);
        let other = SettingsFile {
            state: other,
            ..draft.clone()
        };
        assert!(other.text().contains("state = \"/home/a\""));
        let config = draft.config().unwrap();
        assert_eq!(*config.state, *draft.state);
        assert_eq!(config.relays, draft.relays);
        assert_eq!(config.sip.addresses, draft.listen);
        assert_eq!((config.sip.tcp_port, config.sip.tls_port), (5070, 5071));
        assert_eq!(config.turn.urls, draft.turn);
        let login =
            crate::config::TurnLogin::Shared(crate::state::secret::Secret::new(draft.turn_secret));
        assert_eq!(config.turn.login, login);
        assert!(config.turn.allow_private && config.notifications);
        assert_eq!((config.ca_file, config.proxy), (draft.ca_file, draft.proxy));
    }
}
