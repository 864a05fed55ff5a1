//! `tests/THREATS.md` names a test for each threat. This test checks that they exist.

use std::fs;
use std::path::Path;

const THREATS: &str = include_str!("../THREATS.md");

/// The proofs of all threats: the last column of all table rows.
fn proofs(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    cells
        .map(str::trim)
        .filter(|cell| *cell != "proof" && !cell.starts_with("---"))
        .collect()
}

/// What is wrong with a proof; `None` if nothing is.
fn flaw(proof: &str) -> Option<String> {
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

#[test]
fn every_threat_names_a_test_that_is_there() {
    let proofs = proofs(THREATS);
    assert!(proofs.len() > 30, "only {} threats", proofs.len());
    let flaws: Vec<_> = proofs.into_iter().filter_map(flaw).collect();
    assert!(flaws.is_empty(), "{flaws:#?}");
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
}
