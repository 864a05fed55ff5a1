//! One name, one thing: no two public or crate-public types of the workspace have the same name, unless [`ALLOWED`] gives a reason.
//! The sources are scanned line by line, which is enough for code that rustfmt has formatted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that may occur more than once, each with the reason.
const ALLOWED: [(&str, &str); 5] = [
    (
        "Config",
        "every package has its own settings, and its name qualifies them",
    ),
    (
        "ConfigError",
        "each of the two programs has its own settings file",
    ),
    (
        "Event",
        "the SIP core and the engine's node each report events to their caller",
    ),
    (
        "Output",
        "the SIP core and the engine each return outputs from poll",
    ),
    (
        "Timer",
        "the SIP core and the engine each name the reasons of their timeouts",
    ),
];

/// Folders that hold no sources of the packages themselves.
const SKIPPED: [&str; 4] = ["target", "tests", "examples", ".git"];

/// Where each type is defined, by its name.
type Definitions = BTreeMap<String, Vec<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All source files of the packages and of the test harness, except modules that are compiled for tests only.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root(), false, &mut files);
    collect(&root().join("tests/harness"), true, &mut files);
    let for_tests: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| test_modules(path, text))
        .collect();
    let is_test = |path: &Path| for_tests.iter().any(|module| path.starts_with(module));
    let files = files
        .into_iter()
        .filter(|(path, _)| !is_test(&path.with_extension("")));
    let shown = |path: PathBuf| {
        let path = path
            .strip_prefix(root())
            .map(Path::to_owned)
            .unwrap_or(path);
        path.display().to_string()
    };
    files.map(|(path, text)| (shown(path), text)).collect()
}

/// Reads the Rust files of a folder; outside a package's `src`, only its folders are looked at.
fn collect(folder: &Path, in_src: bool, files: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            if in_src || !SKIPPED.contains(&name.as_ref()) {
                collect(&path, in_src || name == "src", files);
            }
        } else if in_src && name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            files.push((path, text));
        }
    }
}

/// The modules that a file declares for tests only, as paths without extension.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => {
            path.parent().expect("a file is in a folder").to_owned()
        }
        _ => path.with_extension(""),
    };
    let mut lines = text.lines().map(str::trim);
    let mut modules = Vec::new();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let declaration = lines.find(|line| !line.starts_with("#["));
            let name = declaration.and_then(|line| line.split_once("mod ")?.1.strip_suffix(';'));
            modules.extend(name.map(|name| folder.join(name)));
        }
    }
    modules
}

/// The names of the public and crate-public types that a source file defines outside `#[cfg(test)]`.
fn types(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            skip_item(line, &mut lines);
        } else if let Some(name) = defined(line.trim()) {
            found.push(name);
        }
    }
    found
}

/// Skips the item after an attribute: its last line is the first one of the same indentation that ends with a brace or semicolon.
fn skip_item<'a>(attribute: &str, lines: &mut impl Iterator<Item = &'a str>) {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let is_last = |line: &str| {
        let same = indentation(line) == indentation(attribute);
        same && (line.ends_with('}') || line.ends_with(';') || line.ends_with(','))
    };
    lines.find(|line| is_last(line));
}

/// The type that a line defines.
fn defined(line: &str) -> Option<&str> {
    let visible = line.strip_prefix("pub")?;
    let visible = match visible.strip_prefix('(') {
        Some(restricted) => restricted.split_once(')')?.1,
        None => visible,
    };
    let mut words = visible
        .strip_prefix(' ')?
        .split(' ')
        .filter(|word| *word != "unsafe");
    let keyword = words.next()?;
    if !["struct", "enum", "trait", "type", "union"].contains(&keyword) {
        return None;
    }
    let name = words.next()?;
    let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    name.get(..end.unwrap_or(name.len()))
}

fn definitions(sources: &[(String, String)]) -> Definitions {
    let mut definitions = Definitions::new();
    for (path, text) in sources {
        for name in types(text) {
            definitions
                .entry(name.to_owned())
                .or_default()
                .push(path.clone());
        }
    }
    definitions
}

/// The names with more than one definition, each with its places, in the order of the alphabet.
fn doubles(definitions: Definitions) -> Vec<String> {
    let is_allowed = |name: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == name);
    definitions
        .into_iter()
        .filter(|(name, places)| places.len() > 1 && !is_allowed(name))
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect()
}

#[test]
fn no_two_types_have_the_same_name() {
    let definitions = definitions(&sources());
    assert!(definitions.len() > 300, "only {} types", definitions.len());
    let doubles = doubles(definitions);
    assert!(doubles.is_empty(), "{doubles:#?}");
}

#[test]
fn every_allowed_name_is_still_needed() {
    let definitions = definitions(&sources());
    for (name, _) in ALLOWED {
        let places = definitions.get(name).map_or(0, Vec::len);
        assert!(
            places > 1,
            "{name} is allowed twice and occurs {places} times"
        );
    }
}

#[test]
fn a_planted_double_is_found() {
    let source = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let sources = [
        source("a.rs", "pub struct Planted<T>(T);\npub enum Other {}\n"),
        source(
            "b.rs",
            "mod inner {\n    pub(in crate::b) trait Planted: Sized {}\n}\n",
        ),
        source(
            "c.rs",
            "struct Other;\n#[cfg(test)]\nmod tests {\n    pub(crate) type Other = u8;\n}\n",
        ),
    ];
    assert_eq!(doubles(definitions(&sources)), ["Planted: a.rs, b.rs"]);
}

#[test]
fn what_follows_an_item_for_tests_is_still_read() {
    let text = "#[cfg(test)]\nmod tests;\npub(crate) struct First;\nimpl First {\n    #[cfg(test)]\n    pub fn one(self) -> u8 {\n        1\n    }\n}\npub union Second {}\n";
    assert_eq!(types(text), ["First", "Second"]);
}

#[test]
fn modules_for_tests_are_recognised() {
    let text = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"x.rs\"]\npub(crate) mod vectors;\nmod real;\n";
    let expected = ["src/line/tests", "src/line/vectors"].map(PathBuf::from);
    assert_eq!(test_modules(Path::new("src/line.rs"), text), expected);
    let expected = ["src/line/tests", "src/line/vectors"].map(PathBuf::from);
    assert_eq!(test_modules(Path::new("src/line/mod.rs"), text), expected);
}
