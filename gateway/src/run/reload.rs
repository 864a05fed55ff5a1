//! Settings that change while an engine runs: what can be taken over is, and calls go on; the rest is named, for the next start.
//!
//! New settings are tried before the old ones are let go: a relay that cannot be named, a TURN server that refuses the login,
//! a file that is half written leave everything as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use ringfence_book::NetworkSettings;
use ringfence_daemon::log::{Dial, FilterError};
use tokio::time::timeout;

use crate::config::{Config, ConfigError};
use crate::run::assemble::{AssembleError, change};
use crate::run::gateway::Gateway;
use crate::turn::probe::{TurnProbeError, probe};

/// New relays may take this long to listen before they replace the old ones, so that no ring falls between them.
const OVERLAP: Duration = Duration::from_secs(5);

/// Why new settings are not taken over. Everything stays as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The settings themselves.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What they name cannot be used.
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
            Self::Assemble(AssembleError::Tls(_)) => {
                "the extra certificates cannot be used".to_owned()
            }
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

/// A running engine whose settings change.
#[derive(Debug)]
pub struct Reloader<'a> {
    /// The engine.
    pub gateway: &'a Gateway,
    /// What its log hears.
    pub dial: &'a Dial,
    /// Where its lines look for rings.
    pub buckets: &'a BTreeSet<u16>,
    /// What the phone book says of its network now.
    pub network: &'a NetworkSettings,
}

impl Reloader<'_> {
    /// Takes `new` over and returns the settings that hold from now on: those that need a restart are still the old ones, and
    /// are named in the log.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn take_over(&self, old: &Config, new: Config) -> Result<Config, ReloadError> {
        let change = change(old, &new, self.buckets, self.network).await?;
        if let Some(lobby) = &change.lobby {
            match probe(lobby).await {
                Err(fault) if fault.is_final() => return Err(fault.into()),
                Err(fault) => tracing::warn!(
                    "calls will have no sound: {fault}. To do: {}",
                    fault.remedy()
                ),
                Ok(took) => tracing::info!(?took, "the TURN server relays"),
            }
        }
        if let Some((relays, _)) = &change.relays {
            let mut state = relays.state();
            let listens = state.wait_for(|state| state.listening > 0);
            if timeout(OVERLAP, listens).await.is_err() {
                tracing::warn!(
                    "none of the new Nostr relays listens yet. To do: check the network and the setting `relays`"
                );
            }
        }
        self.gateway.change(change).await;
        if old.log != new.log {
            self.turn_dial(&new.log);
        }
        for setting in needs_restart(old, &new) {
            tracing::warn!("the setting `{setting}` has changed and needs a restart");
        }
        Ok(Config {
            state: old.state.clone(),
            log_format: old.log_format,
            sip: old.sip.clone(),
            phonebook: old.phonebook.clone(),
            page: old.page,
            provisioning: old.provisioning.clone(),
            metrics: old.metrics,
            ..new
        })
    }

    fn turn_dial(&self, filter: &str) {
        match self.dial.turn(filter) {
            Ok(()) => {}
            Err(fault @ FilterError::Environment(_)) => tracing::info!("{fault}"),
            Err(fault) => tracing::warn!("the log stays as it was: {fault}"),
        }
    }
}

/// The settings that differ and hold only from the next start.
#[must_use]
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("state", old.state != new.state),
        ("log_format", old.log_format != new.log_format),
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
        new.state = "/b".into();
        assert_eq!(needs_restart(&old, &new), ["state", "sip"]);
    }

    #[test]
    fn the_log_is_told_no_name_of_a_file_or_a_server() {
        let path = "/home/alice/ringfence.toml".into();
        let faults: [ReloadError; 3] = [
            ConfigError::Unreadable {
                path,
                kind: std::io::ErrorKind::NotFound,
            }
            .into(),
            AssembleError::Relay(RelayListError::BadUrl("wss://alice.example".to_owned())).into(),
            ConfigError::Listen("192.168.1.300".to_owned()).into(),
        ];
        for fault in faults {
            let text = fault.unnamed();
            for name in ["alice", "192.168"] {
                assert!(!text.contains(name), "{text}");
            }
        }
    }
}
