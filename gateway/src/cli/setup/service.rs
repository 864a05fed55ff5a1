//! A service of this user (systemd.unit(5), `systemctl --user`), so that the telephone is there after a restart of the machine. It is
//! installed only when the user wants it. There is none for keys under a passphrase: the service would have to know it, and then it would
//! lie on the disk beside the keys.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::CommandError;
use super::prompter::Prompter;
use crate::cli::paths;

const UNIT: &str = "ringfence.service";

/// Installs the service and starts it. What does not work is said, with the command that was to do it.
pub(super) fn install(settings: &Path, prompter: &Prompter) -> Result<bool, CommandError> {
    let Some(file) = paths::user_unit(UNIT) else {
        return Ok(false);
    };
    if let Err(error) = write(&file, settings) {
        prompter.print(&format!(
            "The service was not installed: {} cannot be written ({}).\n",
            file.display(),
            error.kind()
        ))?;
        return Ok(false);
    }
    let user = |arguments: &[&str]| {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(arguments);
        command
    };
    let mut linger = Command::new("loginctl");
    linger.arg("enable-linger");
    for (mut command, is_needed) in [
        (user(&["daemon-reload"]), true),
        (user(&["enable", "--now", UNIT]), true),
        // Without it the service starts when the user logs in.
        (linger, false),
    ] {
        let ended = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !ended.is_ok_and(|status| status.success()) {
            let arguments: Vec<_> = command
                .get_args()
                .map(|part| part.to_string_lossy())
                .collect();
            let program = command.get_program().to_string_lossy();
            prompter.print(&format!(
                "This did not work; try it by hand: {program} {}\n",
                arguments.join(" ")
            ))?;
            if is_needed {
                return Ok(false);
            }
        }
    }
    prompter.print(&format!("The service runs; it is {}.\n", file.display()))?;
    Ok(true)
}

fn write(file: &Path, settings: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let unit = unit(&std::env::current_exe()?, &std::path::absolute(settings)?);
    std::fs::write(file, unit)
}

/// Whether this user has a service manager.
pub(super) fn is_possible() -> bool {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    folder.is_some_and(|folder| folder.join("systemd/private").exists())
}

/// The restrictions are those that a user's service can have without privileges; `examples/systemd/ringfence.service` has the rest.
fn unit(program: &Path, settings: &Path) -> String {
    let (program, settings) = (quoted(program), quoted(settings));
    format!(
        "# Written by `ringfence setup`.\n\
         [Unit]\n\
         Description=Ringfence: private calls for SIP phones\n\
         # It is tried until the network is there.\n\
         StartLimitIntervalSec=0\n\n\
         [Service]\n\
         Type=notify\n\
         ExecStart={program} run --config {settings}\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         WatchdogSec=30\n\
         Restart=on-failure\n\
         RestartSec=2\n\
         # Exit status 2: the settings are wrong, so starting again is useless.\n\
         RestartPreventExitStatus=2\n\
         # It hangs up all calls and ends within 3 seconds.\n\
         TimeoutStopSec=10\n\
         UMask=0077\n\
         NoNewPrivileges=yes\n\
         LimitCORE=0\n\n\
         [Install]\n\
         WantedBy=default.target\n"
    )
}

/// A path as systemd reads it (systemd.service(5), command lines).
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('%', "%%").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_blanks_and_signs_stay_one_word() {
        let text = quoted(Path::new("/home/a b/100% \"x\"/$HOME"));
        assert_eq!(text, "\"/home/a b/100%% \\\"x\\\"/$$HOME\"");
    }
}
