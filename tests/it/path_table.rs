//! The README's table of a call's path names a function for each step. This test checks that each of them exists, so that a reader can
//! follow the table with an editor.

use std::fs;
use std::path::Path;

const README: &str = include_str!("../../README.md");
const HEADING: &str = "## The path of a call";
/// From the datagram of an INVITE to RTP and back.
const FEWEST_STEPS: usize = 11;

/// The rows of the table below the heading, without its head.
fn steps(readme: &str) -> Vec<&str> {
    let section = readme.split_once(HEADING).map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with('|'));
    rows.skip(2).collect()
}

/// What is wrong with a step, if anything.
fn flaw(step: &str) -> Option<String> {
    let code = step.split('`').skip(1).step_by(2);
    let mut named = code.filter_map(|code| code.split_once("::")).peekable();
    if named.peek().is_none() {
        return Some(format!("{step} names no function"));
    }
    named.find_map(|(file, function)| missing(file, function))
}

/// That there is no such file, or no such function in it.
fn missing(file: &str, function: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let Ok(source) = fs::read_to_string(path) else {
        return Some(format!("there is no {file}"));
    };
    let is_there = ["(", "<"]
        .iter()
        .any(|next| source.contains(&format!("fn {function}{next}")));
    (!is_there).then(|| format!("{file} has no {function}"))
}

#[test]
fn every_step_of_a_call_names_a_function_that_is_there() {
    let steps = steps(README);
    assert!(steps.len() >= FEWEST_STEPS, "only {} steps", steps.len());
    let flaws: Vec<_> = steps.into_iter().filter_map(flaw).collect();
    assert!(flaws.is_empty(), "{flaws:#?}");
}

#[test]
fn a_step_that_leads_nowhere_is_found() {
    let readme = "# A\n\n## The path of a call\n\nText.\n\n| # | what | where |\n|---|---|---|\n\
        | 1 | right | `tests/it/path_table.rs::steps`, then `tests/it/path_table.rs::flaw` |\n\
        | 2 | no function | `tests/it/path_table.rs` |\n\
        | 3 | no file | `tests/it/nowhere.rs::steps` |\n\
        | 4 | second one wrong | `tests/it/path_table.rs::steps`, `tests/it/path_table.rs::stepping` |\n\
        \n## Next\n\n| 5 | of another table | - |\n";
    let steps = steps(readme);
    assert_eq!(steps.len(), 4);
    let flaws: Vec<_> = steps.into_iter().map(flaw).collect();
    assert_eq!(flaws[0], None);
    for (flaw, expected) in flaws[1..].iter().zip(["names no", "there is no", "has no"]) {
        assert!(
            flaw.as_ref().is_some_and(|flaw| flaw.contains(expected)),
            "{flaw:?}"
        );
    }
}
