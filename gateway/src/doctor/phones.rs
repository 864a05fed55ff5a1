//! The phones that are registered, as the running engine tells them.

use std::path::Path;

use serde_json::Value;

use super::finding::Finding;
use crate::page::client::{self, VisitFault};

/// A row for each line of the engine that runs on this state folder.
pub(super) async fn registered(state: &Path) -> Vec<Finding> {
    match visit::status(state).await {
        Ok(status) => rows(&status),
        Err(VisitFault::NobodyHome) => vec![Finding::warn(
            "phones",
            "the running engine has no page to be asked over",
            "set page.listen and restart the engine",
        )],
        Err(fault) => {
            let remedy = fault.remedy();
            vec![Finding::warn("phones", fault.to_string(), remedy)]
        }
    }
}

fn rows(status: &Value) -> Vec<Finding> {
    let lines = status["lines"].as_array().into_iter().flatten();
    lines
        .map(|line| {
            let area = format!("phones of line {}", line["number"]);
            match line["phones"].as_array().map_or(0, Vec::len) {
                0 => Finding::warn(
                    area,
                    "none is registered: nobody can reach this line",
                    "set a phone up: ringfence lines --passwords, or --qr",
                ),
                1 => Finding::ok(area, "1 registered"),
                many => Finding::ok(area, format!("{many} registered")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_line_without_a_phone_is_to_be_looked_at() {
        let status = json!({ "lines": [
            { "number": 20_001, "phones": [] },
            { "number": 20_002, "phones": [{}, {}] },
        ]});
        let found = rows(&status);
        let verdicts: Vec<Verdict> = found.iter().map(|row| row.verdict).collect();
        assert_eq!(verdicts, [Verdict::Warn, Verdict::Ok]);
        assert!(found[1].says.contains('2'));
        assert!(rows(&json!({})).is_empty());
    }
}
