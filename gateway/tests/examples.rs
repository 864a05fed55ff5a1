//! The example settings say what the programs do. (`examples/ringfence.toml` is tested beside the settings' types.)

use std::collections::BTreeSet;

use ringfence_phonebook::config::{Config, Settings};

const EXAMPLE: &str = include_str!("../../examples/phonebook.toml");

#[test]
fn the_phone_books_example_names_every_setting_and_says_the_defaults() {
    let settings: Settings = toml::from_str(EXAMPLE).unwrap();
    // The address behind a NAT has no default that would mean "none"; the example shows it in a comment.
    let named: toml::Table = toml::from_str(EXAMPLE).unwrap();
    let all = toml::Table::try_from(Settings::default()).unwrap();
    assert_eq!(names(&named), names(&all));
    assert_eq!(settings.resolve().unwrap(), Config::default());
}

/// The names of settings, those of tables too.
fn names(table: &toml::Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, value) in table {
        let inner = value.as_table().map(self::names).unwrap_or_default();
        names.extend(inner.into_iter().map(|inner| format!("{name}.{inner}")));
        names.insert(name.clone());
    }
    names
}
