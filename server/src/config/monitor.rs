//! The setting of the page for monitors: where it is, and that no other machine can open it.

use std::net::SocketAddr;

use super::ConfigError;

/// A loopback address; an empty text stands for none.
pub(super) fn loopback(text: String) -> Result<Option<SocketAddr>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: Option<SocketAddr> = text.parse().ok();
    match address.filter(|address| address.ip().is_loopback()) {
        None => Err(ConfigError::Metrics(text)),
        address => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, Settings};

    #[test]
    fn the_page_for_monitors_is_for_this_machine_only() {
        let resolve = |metrics: &str| {
            let metrics = Some(metrics.to_owned());
            let settings = Settings {
                metrics,
                ..Settings::default()
            };
            settings.resolve().map(|config| config.metrics)
        };
        assert_eq!(resolve("").unwrap(), None);
        assert!(resolve("[::1]:9421").unwrap().is_some());
        for open in [
            "0.0.0.0:9421",
            "192.168.1.10:9421",
            "localhost:9421",
            "9421",
        ] {
            assert!(
                matches!(resolve(open), Err(ConfigError::Metrics(_))),
                "{open}"
            );
        }
    }
}
