//! Every package in the lock file has a licence that permits use, change and distribution, comes from one public registry, and is no
//! second TLS library. The lists are those of `deny.toml`; licences are SPDX expressions.

use std::fs;
use std::process::Command;

use serde_json::Value as Json;
use spdx::{Expression, LicenseReq, ParseMode};
use toml::{Table, Value};

/// The lists of `deny.toml`, which `cargo deny` reads too.
struct Rules {
    /// Licences that every package must be usable under.
    allowed: Vec<String>,
    /// Packages that are forbidden at any depth, each with the one that is used instead.
    banned: Vec<(String, String)>,
}

impl Rules {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deny.toml");
        let rules = fs::read_to_string(path).expect("deny.toml");
        let rules: Table = rules.parse().expect("deny.toml is TOML");
        let list = |section: &str, key: &str| rules[section][key].as_array().cloned().expect(key);
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        Self {
            allowed: list("licenses", "allow").iter().map(text).collect(),
            banned: list("bans", "deny")
                .iter()
                .map(|banned| (text(&banned["name"]), text(&banned["use-instead"])))
                .collect(),
        }
    }

    fn allow(&self, expression: &str) -> bool {
        // Some packages still write a slash for "or".
        let parsed = Expression::parse_mode(expression, ParseMode::LAX);
        let may = |required: &LicenseReq| {
            let id = required.license.id();
            id.is_some_and(|id| self.allowed.iter().any(|allowed| allowed == id.name))
        };
        parsed.is_ok_and(|parsed| parsed.evaluate(may))
    }
}

/// Name, licence and source of each package in the lock file. Cargo fetches those of other platforms if they are missing.
fn packages() -> Vec<(String, String, Option<String>)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs: it runs this test");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {complaint}");
    let metadata: Json = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let package = |package: &Json| {
        (
            text(&package["name"]).expect("every package has a name"),
            text(&package["license"]).unwrap_or_default(),
            text(&package["source"]),
        )
    };
    let packages = metadata["packages"].as_array().expect("a list");
    packages.iter().map(package).collect()
}

#[test]
fn every_package_is_free_to_be_passed_on_and_comes_from_one_registry() {
    let (rules, packages) = (Rules::read(), packages());
    assert!(rules.banned.len() >= 4, "the list of deny.toml");
    assert!(packages.len() > 100, "not the whole list");
    for (name, licence, source) in packages {
        assert!(rules.allow(&licence), "{name} has the licence {licence:?}");
        if let Some(source) = source {
            assert!(source.starts_with("registry+"), "{name} is from {source}");
        }
        for (banned, instead) in &rules.banned {
            assert_ne!(name, *banned, "use {instead}");
        }
    }
}

#[test]
fn an_expression_is_read_as_a_whole() {
    let rules = Rules::read();
    for (expression, allowed) in [
        ("MIT OR GPL-3.0-only", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("GPL-3.0-only", false),
        ("", false),
        ("whatever", false),
    ] {
        assert_eq!(rules.allow(expression), allowed, "{expression}");
    }
}
