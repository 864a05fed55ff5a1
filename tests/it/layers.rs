//! The cores link no runtime, and the engine's program no SQL: `cargo tree` lists what Cargo links into them.

use std::process::Command;

/// Packages that no core may depend on at any depth: runtimes, sockets, HTTP, databases, Nostr.
const FORBIDDEN: [&str; 9] = [
    "async-std",
    "axum",
    "hyper",
    "mio",
    "nostr",
    "reqwest",
    "socket2",
    "sqlx",
    "tokio",
];

/// Packages that the engine's program may not link: it has no database.
const SQL: [&str; 2] = ["libsqlite3-sys", "sqlx"];

/// The packages of `names` in a listing of `cargo tree --prefix none`: one package with its version a line.
fn those_of<'a>(names: &[&str], listing: &'a str) -> Vec<&'a str> {
    let mut found: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| names.contains(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn forbidden(listing: &str) -> Vec<&str> {
    those_of(&FORBIDDEN, listing)
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
fn what_engines_and_the_phone_book_share_has_no_runtime() {
    assert_core("ringfence-book", &[]);
}

#[test]
fn the_turn_server_without_its_sockets_has_no_runtime() {
    assert_core("ringfence-box", &["--no-default-features"]);
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
fn the_engines_program_links_no_sql() {
    let shell = listing("ringfence", &[]);
    assert_eq!(those_of(&SQL, &shell), Vec::<&str>::new());
}

#[test]
fn the_phone_books_program_links_it_so_the_listing_would_show_it() {
    assert_eq!(those_of(&SQL, &listing("ringfence-phonebook", &[])), SQL);
}

#[test]
fn a_core_that_gains_tokio_is_found_out() {
    let listing = "ringfence-sip v0.1.0\nmd-5 v0.11.0\ntokio v1.48.0\nmio v1.1.0\n\ntokio v1.48.0 (*)\ntokio-ish v1.0.0\n";
    assert_eq!(forbidden(listing), ["mio", "tokio"]);
}
