//! Applies changed settings to a running engine. Calls go on; settings that need a restart are named in the log.
//!
//! New settings are checked before the old ones are dropped: with a malformed relay URL, a TURN server that refuses the login, or a
//! file that is half written, everything stays as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_book::NetworkSettings;
use ringfence_daemon::log::{Dial, FilterError};
use tokio::time::timeout;

use crate::config::{Config, ConfigError};
use crate::run::assemble::{AssembleError, change};
use crate::run::gateway::Gateway;
use crate::run::parts::SettingsChange;
use crate::turn::probe::{TurnProbeError, probe};

/// How long new relays may take to confirm the subscription before they replace the old ones, so that no ring is missed.
const OVERLAP: Duration = Duration::from_secs(5);

/// Why changed settings were not applied. Everything stays as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The settings are malformed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A server or a file that they name cannot be used.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The TURN server refuses the login.
    #[error(transparent)]
    Turn(#[from] TurnProbeError),
}

impl ReloadError {
    /// What is wrong without the name of a file, a server or a line: for the log.
    #[must_use]
    pub fn unnamed(&self) -> String {
        match self {
            Self::Config(error) => error.unnamed(),
            Self::Assemble(AssembleError::Turn(fault)) => fault.unnamed(),
            Self::Assemble(AssembleError::Relay(_)) => "the relays cannot be used".to_owned(),
            Self::Assemble(fault) => fault.to_string(),
            Self::Turn(fault) => fault.to_string(),
        }
    }

    /// What the person can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Config(error) => error.remedy(),
            Self::Assemble(fault) => fault.remedy(),
            Self::Turn(fault) => fault.remedy(),
        }
    }
}

/// A running engine to which changed settings are applied.
#[derive(Debug)]
pub struct Reloader<'a> {
    /// The engine.
    pub gateway: &'a Gateway,
    /// The filter of the log.
    pub dial: &'a Dial,
    /// The buckets to which its lines subscribe.
    pub buckets: &'a BTreeSet<u16>,
    /// The network settings of the phone book.
    pub network: &'a NetworkSettings,
}

impl Reloader<'_> {
    /// Applies `new` and returns the settings in force from now on: those that need a restart are still the old ones, and are named
    /// in the log.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn apply(&self, old: &Config, new: Config) -> Result<Config, ReloadError> {
        let waiting = needs_restart(old, &new);
        let outbound = self.gateway.outbound();
        let (before, after) = ((old, self.network), (&new, self.network));
        let change = change(before, after, self.buckets, outbound).await?;
        if let Some(turn) = &change.turn {
            match probe(turn).await {
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) => tracing::warn!(
                    "calls will have no sound: {error}. To do: {}",
                    error.remedy()
                ),
                Ok(took) => tracing::info!(?took, "the TURN server gives relayed addresses"),
            }
        }
        overlap(&change).await;
        self.gateway.change(change).await;
        if old.log != new.log {
            self.set_log_filter(&new.log);
        }
        for setting in waiting {
            tracing::warn!("the setting `{setting}` has changed and needs a restart");
        }
        Ok(Config {
            state: old.state.clone(),
            ca_file: old.ca_file.clone(),
            proxy: old.proxy.clone(),
            notifications: old.notifications,
            log_format: old.log_format,
            max_calls: old.max_calls,
            sound_rate: old.sound_rate,
            sip: old.sip.clone(),
            phonebook: old.phonebook.clone(),
            page: old.page,
            provisioning: old.provisioning.clone(),
            metrics: old.metrics,
            ..new
        })
    }

    fn set_log_filter(&self, filter: &str) {
        match self.dial.turn(filter) {
            Ok(()) => {}
            Err(error @ FilterError::Environment(_)) => tracing::info!("{error}"),
            Err(error) => tracing::warn!("the log filter stays as it was: {error}"),
        }
    }
}

/// Waits until a new relay listens, so that the old ones are not left before.
pub(crate) async fn overlap(change: &SettingsChange) {
    if let Some((relays, _)) = &change.relays {
        let mut state = relays.state();
        let listens = state.wait_for(|state| state.listening > 0);
        if timeout(OVERLAP, listens).await.is_err() {
            tracing::warn!(
                "no new Nostr relay has confirmed the subscription yet. To do: check the network and the setting `relays`"
            );
        }
    }
}

/// The settings that differ and apply only from the next start.
#[must_use]
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("state", *old.state != *new.state),
        ("ca_file", old.ca_file != new.ca_file),
        ("proxy", old.proxy != new.proxy),
        ("notifications", old.notifications != new.notifications),
        ("log_format", old.log_format != new.log_format),
        ("max_calls", old.max_calls != new.max_calls),
        ("sound_rate", old.sound_rate != new.sound_rate),
        ("sip", old.sip != new.sip),
        ("phonebook", old.phonebook != new.phonebook),
        ("page", old.page != new.page),
        ("provisioning", old.provisioning != new.provisioning),
        ("metrics", old.metrics != new.metrics),
    ]
    .into_iter()
    .filter_map(|(setting, differs)| differs.then_some(setting))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::net::relay::RelayListError;

    #[test]
    fn what_needs_a_restart_is_named_and_nothing_else() {
        let old = Config::with_state(Path::new("/a"));
        assert_eq!(needs_restart(&old, &old), Vec::<&str>::new());
        let mut new = Config {
            log: "warn".to_owned(),
            relays: vec!["wss://relay.example.org".to_owned()],
            work_bits: Some(3),
            no_answer: Duration::from_secs(9),
            ..old.clone()
        };
        new.turn.allow_private = true;
        assert_eq!(needs_restart(&old, &new), Vec::<&str>::new());
        new.sip.udp_port = 1;
        new.state = Path::new("/b").into();
        new.proxy = Some("socks5h://127.0.0.1:9050".parse().unwrap());
        assert_eq!(needs_restart(&old, &new), ["state", "proxy", "sip"]);
    }

    #[test]
    fn the_log_is_told_no_name_of_a_file_or_a_server() {
        let path = "/home/alice/ringfence.toml".into();
        let errors: [ReloadError; 3] = [
            ConfigError::Unreadable {
                path,
                kind: std::io::ErrorKind::NotFound,
            }
            .into(),
            AssembleError::Relay(RelayListError::BadUrl("wss://alice.example".to_owned())).into(),
            ConfigError::Listen("192.168.1.300".to_owned()).into(),
        ];
        for error in errors {
            let text = error.unnamed();
            for name in ["alice", "192.168"] {
                assert!(!text.contains(name), "{text}");
            }
        }
    }
}
