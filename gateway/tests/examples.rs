//! The example settings say what the programs do. (`examples/ringfence.toml` is tested beside the settings' types.)

use ringfence_phonebook::config::{Config, Settings};

const EXAMPLE: &str = include_str!("../../examples/phonebook.toml");

#[test]
fn the_phone_books_example_names_every_setting_and_says_the_defaults() {
    let settings: Settings = toml::from_str(EXAMPLE).unwrap();
    // The address behind a NAT has no default that would mean "none"; the example shows it in a comment.
    let printed = format!("{settings:?}").replace("external_ip: None", "");
    assert!(!printed.contains("None"), "a setting is missing: {printed}");
    assert_eq!(settings.resolve().unwrap(), Config::default());
}
