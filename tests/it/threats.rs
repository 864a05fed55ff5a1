//! `tests/THREATS.md` has a row for each capability of an attacker: it names the test of the claim, or says that it is not defended.
//! This test checks that the tests exist.

use std::fs;
use std::path::Path;

const THREATS: &str = include_str!("../THREATS.md");

/// What the last column says instead of a test.
const UNDEFENDED: &str = "not defended";

/// The last column of all rows of tables.
fn proofs(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    cells
        .map(str::trim)
        .filter(|cell| *cell != "test" && !cell.starts_with("---"))
        .collect()
}

/// The attackers that have a table, each with its section.
fn attackers(text: &str) -> Vec<(&str, &str)> {
    let sections = text.split("\n## ").skip(1);
    sections
        .filter_map(|section| section.split_once('\n'))
        .filter(|(_, section)| section.contains("\n|"))
        .collect()
}

/// What is wrong with a proof; `None` if nothing is.
fn flaw(proof: &str) -> Option<String> {
    if proof == UNDEFENDED {
        return None;
    }
    let named = proof
        .strip_prefix('`')
        .and_then(|proof| proof.strip_suffix('`'));
    let Some((file, function)) = named.and_then(|named| named.split_once("::")) else {
        return Some(format!("{proof} names no test"));
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let Ok(source) = fs::read_to_string(path) else {
        return Some(format!("there is no {file}"));
    };
    let Some(at) = source.find(&format!("fn {function}(")) else {
        return Some(format!("{file} has no {function}"));
    };
    // The attribute is within the lines before the function.
    let mut before = source[..at].lines().rev().take(6);
    let is_test = before.any(|line| line.contains("#[test]") || line.contains("#[tokio::test"));
    (!is_test).then(|| format!("{function} is no test"))
}

/// What is wrong with the rows of an attacker; `None` if nothing is.
fn lack((attacker, section): (&str, &str)) -> Option<String> {
    let (open, tested): (Vec<_>, Vec<_>) = proofs(section)
        .into_iter()
        .partition(|proof| *proof == UNDEFENDED);
    if tested.is_empty() {
        return Some(format!("{attacker}: no claim has a test"));
    }
    open.is_empty()
        .then(|| format!("{attacker}: no row says what is not defended"))
}

#[test]
fn every_claim_names_a_test_that_is_there() {
    let proofs = proofs(THREATS);
    assert!(proofs.len() > 100, "only {} rows", proofs.len());
    let flaws: Vec<_> = proofs.into_iter().filter_map(flaw).collect();
    assert!(flaws.is_empty(), "{flaws:#?}");
}

#[test]
fn every_attacker_has_claims_with_tests_and_what_is_not_defended() {
    let attackers = attackers(THREATS);
    assert!(attackers.len() > 10, "only {} attackers", attackers.len());
    let lacks: Vec<_> = attackers.into_iter().filter_map(lack).collect();
    assert!(lacks.is_empty(), "{lacks:#?}");
}

#[test]
fn a_proof_that_is_none_is_found() {
    for (row, wrong) in [
        ("| a | b | none |", "names no test"),
        ("| a | b | `tests/it/nowhere.rs::x` |", "there is no"),
        ("| a | b | `tests/it/threats.rs::x` |", "has no"),
        ("| a | b | `tests/it/threats.rs::proofs` |", "is no test"),
    ] {
        let proofs = proofs(row);
        let flaw = flaw(proofs[0]).unwrap_or_default();
        assert!(flaw.contains(wrong), "{row}: {flaw}");
    }
    let (open, tested) = ("\n| a | b | not defended |", "\n| a | b | `x::y` |");
    assert!(lack(("a", open)).is_some_and(|lack| lack.contains("has a test")));
    assert!(lack(("a", tested)).is_some_and(|lack| lack.contains("not defended")));
    assert_eq!(lack(("a", &[open, tested].concat())), None);
}
