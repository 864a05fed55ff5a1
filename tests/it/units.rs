//! The systemd units restrict the programs, as systemd's own analysis confirms, and systemd accepts every line of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ringfence_tests::program::installed;

const UNITS: [&str; 2] = ["ringfence.service", "ringfence-phonebook.service"];

/// The highest permitted result of `systemd-analyze security`, in tenths; 100 is a service without restrictions.
/// `examples/OPERATING.md` states the figure.
const EXPOSURE: &str = "11";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/systemd")
}

fn analyze(arguments: &[&str], unit: &Path) -> (Output, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg("--no-pager")
        .arg(unit)
        .output()
        .expect("it is installed");
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output, String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_units_leave_the_programs_little() {
    if !installed(&["systemd-analyze"]) {
        return;
    }
    for unit in UNITS {
        let threshold = format!("--threshold={EXPOSURE}");
        let arguments = ["security", "--offline=true", &threshold];
        let (output, text) = analyze(&arguments, &folder().join(unit));
        assert!(output.status.success(), "{unit}: {text}");
        assert!(text.contains("Overall exposure level"), "{unit}: {text}");
    }
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    if !installed(&["systemd-analyze"]) {
        return;
    }
    let aside = tempfile::tempdir().expect("a folder for copies");
    for unit in UNITS {
        let text = fs::read_to_string(folder().join(unit)).expect("the unit is there");
        // Neither the programs nor their manual pages are installed here.
        let text = text
            .replace("/usr/bin/ringfence-phonebook", "/bin/true")
            .replace("/usr/bin/ringfence", "/bin/true");
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("Documentation="));
        let copy = aside.path().join(unit);
        fs::write(&copy, lines.collect::<Vec<_>>().join("\n")).expect("it is our folder");
        let (output, text) = analyze(&["verify"], &copy);
        let told: Vec<_> = text.lines().filter(|line| line.contains(unit)).collect();
        assert!(output.status.success() && told.is_empty(), "{unit}: {text}");
    }
}
