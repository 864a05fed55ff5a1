//! Nothing: the package has tests only. Run them with `cargo test --manifest-path tests/differential/Cargo.toml`.
