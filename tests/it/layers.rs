//! The cores link no runtime: `cargo tree` lists what Cargo links into them.

use std::process::Command;

/// Packages that no core may depend on at any depth: runtimes, sockets, HTTP, databases, Nostr.
const FORBIDDEN: [&str; 9] = [
    "async-std",
    "axum",
    "hyper",
    "mio",
    "nostr-sdk",
    "reqwest",
    "socket2",
    "sqlx",
    "tokio",
];

/// The forbidden packages in a listing of `cargo tree --prefix none`: one package with its version a line.
fn forbidden(listing: &str) -> Vec<&str> {
    let mut found: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| FORBIDDEN.contains(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Everything that is linked into a package.
fn listing(package: &str, options: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--package", package])
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs: it runs this test");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {complaint}");
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn assert_core(package: &str, options: &[&str]) {
    let listing = listing(package, options);
    assert!(
        listing.starts_with(package),
        "not a listing of {package}: {listing}"
    );
    assert_eq!(forbidden(&listing), Vec::<&str>::new(), "in {package}");
}

#[test]
fn the_sip_core_has_no_runtime() {
    assert_core("ringfence-sip", &[]);
}

#[test]
fn the_media_core_has_no_runtime() {
    assert_core("ringfence-media", &[]);
}

#[test]
fn the_engine_has_no_runtime() {
    assert_core("ringfence-engine", &[]);
}

#[test]
fn the_phone_book_without_its_service_has_no_runtime() {
    assert_core("ringfence-phonebook", &["--no-default-features"]);
}

#[test]
fn the_shell_has_one_so_the_listing_would_show_it() {
    let shell = listing("ringfence", &[]);
    assert!(forbidden(&shell).contains(&"tokio"));
}

#[test]
fn a_core_that_gains_tokio_is_found_out() {
    let listing = "ringfence-sip v0.1.0\nmd-5 v0.11.0\ntokio v1.48.0\nmio v1.1.0\n\ntokio v1.48.0 (*)\ntokio-ish v1.0.0\n";
    assert_eq!(forbidden(listing), ["mio", "tokio"]);
}
