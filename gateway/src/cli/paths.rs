//! Where settings and keys are: `--config` and `--state`, or the places of the XDG base directory specification (0.8).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, ConfigError};

/// The options that say where settings and keys are.
#[derive(Debug, Default, Args)]
pub(super) struct PathArgs {
    /// File of settings (TOML); examples/ringfence.toml shows them all [default: ~/.config/ringfence/ringfence.toml, if there
    /// is one and --state is not given]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Folder of the keys; overrides the setting `state` [default: ~/.local/share/ringfence]
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) state: Option<PathBuf>,
}

impl PathArgs {
    /// The settings.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let config = match (self.file(), &self.state) {
            (Some(file), _) => Config::read(&file)?,
            (None, Some(state)) => return Ok(Config::with_state(state)),
            (None, None) => Config::defaults()?,
        };
        Ok(match &self.state {
            Some(state) => Config {
                state: state.into(),
                ..config
            },
            None => config,
        })
    }

    /// The file that is read, if any. `--state` alone reads none: the usual file belongs to the engine of the usual folder.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match (&self.config, &self.state) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(_)) => None,
            (None, None) => usual_file().filter(|file| file.exists()),
        }
    }
}

/// The default file of settings; `None` without a home folder.
pub(super) fn usual_file() -> Option<PathBuf> {
    below("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("ringfence/ringfence.toml"))
}

/// The default folder of keys.
pub(super) fn usual_state() -> Option<PathBuf> {
    below("XDG_DATA_HOME", ".local/share").map(|folder| folder.join("ringfence"))
}

/// Where a unit of this user's service manager is (systemd.unit(5)).
pub(super) fn user_unit(name: &str) -> Option<PathBuf> {
    let folder = below("XDG_CONFIG_HOME", ".config")?;
    Some(folder.join("systemd/user").join(name))
}

/// A path as settings name it: `~/..` for what is below the home folder, so that they are good for another user too.
pub(super) fn below_home(path: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.filter(|home| home.is_absolute());
    let rest = home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned));
    match rest {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

fn below(variable: &str, usual: &str) -> Option<PathBuf> {
    choose(std::env::var_os(variable), std::env::var_os("HOME"), usual)
}

/// Relative paths are ignored, as the specification asks.
fn choose(named: Option<OsString>, home: Option<OsString>, usual: &str) -> Option<PathBuf> {
    let named = named.map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| {
        let home = home.map(PathBuf::from).filter(|path| path.is_absolute());
        Some(home?.join(usual))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_on_the_command_line_overrides_the_settings() {
        let paths = PathArgs {
            config: None,
            state: Some(PathBuf::from("/tmp/a")),
        };
        assert_eq!(*paths.config().unwrap().state, *PathBuf::from("/tmp/a"));
        assert_eq!(paths.file(), None);
    }

    #[test]
    fn the_usual_places_are_those_of_the_specification() {
        let at = |named: Option<&str>, home: Option<&str>| {
            choose(named.map(Into::into), home.map(Into::into), ".config")
        };
        assert_eq!(at(None, Some("/home/a")), Some("/home/a/.config".into()));
        assert_eq!(at(Some("/c"), Some("/home/a")), Some("/c".into()));
        assert_eq!(
            at(Some("c"), Some("/home/a")),
            Some("/home/a/.config".into())
        );
        assert_eq!(at(None, Some("")), None);
    }
}
