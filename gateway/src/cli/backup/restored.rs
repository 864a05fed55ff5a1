//! Where a restore puts state and settings. A backup may come from another machine and another user: its settings name the state folder
//! of that user, which is replaced by the one that the restore fills.

use std::path::{Path, PathBuf};

use crate::cli::{CommandError, PathArgs, paths};
use crate::config::{Config, raw};
use crate::state::backup::Backup;
use crate::state::keystore::{make_folder_of, write_private};

/// The state folder to restore to: that of `--state`, of the settings here, or of the settings in the backup if this user can have it,
/// else the usual one.
pub(super) fn state_folder(args: &PathArgs, archive: &Backup) -> Result<PathBuf, CommandError> {
    if let Some(state) = &args.state {
        return Ok(state.clone());
    }
    if let Some(file) = args.file().filter(|file| file.exists()) {
        return Ok(Config::read(&file)?.state.to_path_buf());
    }
    let theirs = archive.settings.as_deref();
    let theirs = theirs.and_then(|text| raw::parse(text).ok());
    let theirs = theirs.and_then(|raw| Config::try_from(raw).ok());
    let theirs = theirs.map(|config| config.state.to_path_buf());
    match theirs.filter(|state| is_for_us(state)) {
        Some(state) => Ok(state),
        None => Ok(Config::defaults()?.state.to_path_buf()),
    }
}

/// Whether a folder is this user's: below the home, or beside files that are there.
fn is_for_us(state: &Path) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    home.is_some_and(|home| state.starts_with(home)) || state.parent().is_some_and(Path::exists)
}

/// Writes the settings of the backup, with the state folder that was filled, to `--config` or their usual place; beside the file that is
/// there if that differs. Returns where, if it wrote any.
pub(super) fn write_settings(
    args: &PathArgs,
    archive: &Backup,
    state: &Path,
) -> Result<Option<PathBuf>, CommandError> {
    let target = args.config.clone().or_else(paths::usual_file);
    let Some((mut file, text)) = target.zip(archive.settings.as_deref()) else {
        return Ok(None);
    };
    let text = with_state(text, state);
    match std::fs::read_to_string(&file) {
        Ok(present) if present == text => return Ok(None),
        Ok(_) => {
            let mut name = file.into_os_string();
            name.push(".from-backup");
            file = name.into();
        }
        Err(_) => {}
    }
    make_folder_of(&file)?;
    write_private(&file, text.as_bytes())?;
    Ok(Some(file))
}

/// The settings with this state folder in place of theirs; everything else, comments too, stays as it was.
fn with_state(text: &str, state: &Path) -> String {
    let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    let own = format!("state = {}", toml::Value::String(paths::below_home(&state)));
    let is_state = |line: &str| {
        let rest = line.trim_start().strip_prefix("state");
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    // Tables come last in TOML: the setting of the top level stands above the first.
    let top = text
        .lines()
        .take_while(|line| !line.trim_start().starts_with('['));
    match top.clone().position(is_state) {
        Some(at) => {
            let lines = text.lines().enumerate();
            let lines = lines.map(|(index, line)| if index == at { &own } else { line });
            lines.flat_map(|line| [line, "\n"]).collect()
        }
        None => format!("{own}\n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_another_user_is_replaced_and_nothing_else() {
        let theirs =
            "# Folder of the keys.\nstate = \"/home/bob/keys\"\n\nstate_of = 1\n[sip]\nstate = 2\n";
        let ours = with_state(theirs, Path::new("/srv/keys"));
        assert_eq!(ours, theirs.replace("/home/bob/keys", "/srv/keys"));
        let silent = "[sip]\nudp_port = 1\n";
        let ours = with_state(silent, Path::new("/srv/keys"));
        assert_eq!(ours, format!("state = \"/srv/keys\"\n{silent}"));
    }
}
