//! Empty: the package has only tests. Run them with `cargo test --manifest-path tests/differential/Cargo.toml`.
