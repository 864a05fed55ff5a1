//! The lock files hold the packages that a person has reviewed, and no others: `tests/reviewed-packages.txt` lists each with its
//! version and the direct dependency that brings it. Cargo itself compares what it downloads with the lock files' checksums.
//!
//! Not here: licences and sources (`licences`); what a review looks at stands at the head of the list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

/// Every lock file of the repository.
const LOCK_FILES: [&str; 4] = [
    "Cargo.lock",
    "tests/fuzz/Cargo.lock",
    "tests/differential/Cargo.lock",
    "tests/bench/parse/Cargo.lock",
];

const LIST: &str = "tests/reviewed-packages.txt";

/// Name and version.
type Package = (String, String);

/// What the lock files hold: the packages of others, and the direct dependencies that bring each.
#[derive(Default)]
struct Locked(BTreeMap<Package, BTreeSet<String>>);

impl Locked {
    fn add(&mut self, lock: &str) {
        let lock: Table = lock.parse().expect("a lock file is TOML");
        let entries = lock["package"].as_array().expect("a list of packages");
        let package = |entry: &Value| (text(entry, "name"), text(entry, "version"));
        let edges: BTreeMap<Package, Vec<Package>> = entries
            .iter()
            .map(|entry| (package(entry), dependencies(entry, entries)))
            .collect();
        let ours: Vec<Package> = entries
            .iter()
            .filter(|entry| entry.get("source").is_none())
            .map(package)
            .collect();
        let direct: BTreeSet<&Package> = ours.iter().flat_map(|ours| &edges[ours]).collect();
        for direct in direct.into_iter().filter(|direct| !ours.contains(direct)) {
            let mut queue = VecDeque::from([direct]);
            let mut seen = BTreeSet::from([direct]);
            while let Some(package) = queue.pop_front() {
                let brought_by = self.0.entry(package.clone()).or_default();
                brought_by.insert(direct.0.clone());
                queue.extend(edges[package].iter().filter(|next| seen.insert(next)));
            }
        }
    }

    /// What differs from the list, in the words that a person needs to mend it.
    fn differences(&self, list: &str) -> String {
        let (mut listed, mut wrong) = (BTreeSet::new(), String::new());
        let lines = list.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let [name, version, brought_by] = line.split(' ').collect::<Vec<_>>()[..] else {
                wrong += &format!("not a line of three words: {line}\n");
                continue;
            };
            let package = (name.to_owned(), version.to_owned());
            match self.0.get(&package) {
                None => wrong += &format!("remove, no lock file holds it: {line}\n"),
                Some(direct) if !direct.contains(brought_by) => {
                    wrong += &format!("{name} {version} is brought by {direct:?}: {line}\n");
                }
                Some(_) => {}
            }
            listed.insert(package);
        }
        for ((name, version), direct) in &self.0 {
            if !listed.contains(&(name.clone(), version.clone())) {
                let direct = direct.first().map_or("", String::as_str);
                wrong += &format!("review, then add: {name} {version} {direct}\n");
            }
        }
        wrong
    }
}

/// The packages that an entry of a lock file depends on; it names the version where the lock file holds several.
fn dependencies(entry: &Value, entries: &[Value]) -> Vec<Package> {
    let names = entry.get("dependencies").and_then(Value::as_array);
    let find = |name: &Value| {
        let mut words = name.as_str().expect("a string").split(' ');
        let (name, version) = (words.next(), words.next());
        let found = entries.iter().find(|entry| {
            entry["name"].as_str() == name
                && version.is_none_or(|version| entry["version"].as_str() == Some(version))
        });
        let found = found.expect("Cargo writes every dependency");
        (text(found, "name"), text(found, "version"))
    };
    names.into_iter().flatten().map(find).collect()
}

fn text(entry: &Value, key: &str) -> String {
    entry[key].as_str().expect("a string").to_owned()
}

#[test]
fn the_lock_files_hold_what_was_reviewed_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let mut locked = Locked::default();
    for lock in LOCK_FILES {
        locked.add(&read(lock));
    }
    assert!(locked.0.len() > 100, "not the whole lock");
    let differences = locked.differences(&read(LIST));
    assert!(
        differences.is_empty(),
        "{LIST} (its head says what a review looks at):\n{differences}"
    );
}

#[test]
fn a_new_version_a_second_way_in_and_a_leftover_are_told_apart() {
    let lock = r#"
        [[package]]
        name = "ours"
        version = "0.1.0"
        dependencies = ["direct"]

        [[package]]
        name = "direct"
        version = "1.0.0"
        source = "registry"
        dependencies = ["deep 2.0.0"]

        [[package]]
        name = "deep"
        version = "1.0.0"
        source = "registry"

        [[package]]
        name = "deep"
        version = "2.0.0"
        source = "registry"
    "#;
    let mut locked = Locked::default();
    locked.add(lock);
    let list = "# a comment\ndirect 1.0.0 direct\ndeep 2.0.0 direct";
    assert_eq!(locked.differences(list), "");
    for (list, difference) in [
        (
            "direct 1.0.0 direct",
            "review, then add: deep 2.0.0 direct\n",
        ),
        (
            "direct 1.0.0 direct\ndeep 2.0.0 other",
            "deep 2.0.0 is brought by {\"direct\"}: deep 2.0.0 other\n",
        ),
        (
            "direct 1.0.0 direct\ndeep 2.0.0 direct\ndeep 3.0.0 direct",
            "remove, no lock file holds it: deep 3.0.0 direct\n",
        ),
        (
            "direct 1.0.0 direct\ndeep 2.0.0 direct\nodd",
            "not a line of three words: odd\n",
        ),
    ] {
        assert_eq!(locked.differences(list), difference, "{list}");
    }
}
