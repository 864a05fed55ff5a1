//! Every package in the lock file has a licence that permits use, change and distribution, comes from one public registry, and is no
//! second TLS library. Licences are SPDX expressions.

use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

/// Licences that require no more than a notice, or the source of the licensed files themselves (MPL).
const ALLOWED: [&str; 12] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

/// Libraries that are forbidden at any depth, each with the library that is used instead.
const BANNED: [(&str, &str); 4] = [
    ("native-tls", "rustls"),
    ("openssl", "rustls"),
    ("openssl-sys", "aws-lc-rs"),
    ("webrtc", "str0m"),
];

fn is_allowed(expression: &str) -> bool {
    // Some packages still write a slash for "or".
    let parsed = Expression::parse_mode(expression, ParseMode::LAX);
    let may = |required: &LicenseReq| {
        let id = required.license.id();
        id.is_some_and(|id| ALLOWED.contains(&id.name))
    };
    parsed.is_ok_and(|parsed| parsed.evaluate(may))
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
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let package = |package: &Value| {
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
    let packages = packages();
    assert!(packages.len() > 100, "not the whole list");
    for (name, licence, source) in packages {
        assert!(is_allowed(&licence), "{name} has the licence {licence:?}");
        if let Some(source) = source {
            assert!(source.starts_with("registry+"), "{name} is from {source}");
        }
        for (banned, instead) in BANNED {
            assert_ne!(name, banned, "use {instead}");
        }
    }
}

#[test]
fn an_expression_is_read_as_a_whole() {
    for (expression, allowed) in [
        ("MIT OR GPL-3.0-only", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("GPL-3.0-only", false),
        ("", false),
        ("whatever", false),
    ] {
        assert_eq!(is_allowed(expression), allowed, "{expression}");
    }
}
