//! Which messages of a batch are done: `ReportBatchItemFailures`, as Lambda's list of success and failure conditions has it.

use serde_json::Value;

use super::LambdaOutcome;

/// Whether each of the messages is done, and so deleted. The others come again after their visibility timeout.
pub(super) fn done(outcome: &LambdaOutcome, ids: &[&str], reports_failures: bool) -> Vec<bool> {
    let LambdaOutcome::Returned(response) = outcome else { return vec![false; ids.len()] };
    // Nobody reads the response of a mapping that does not say it is to be read.
    if !reports_failures {
        return vec![true; ids.len()];
    }
    match failures(response, ids) {
        Some(failures) => {
            ids.iter().map(|id| !failures.iter().any(|failed| failed == id)).collect()
        }
        None => vec![false; ids.len()],
    }
}

/// The messages that the response says failed; `None` for a response that is wrong.
fn failures(response: &str, ids: &[&str]) -> Option<Vec<String>> {
    if response.is_empty() {
        return Some(Vec::new());
    }
    let failures = match serde_json::from_str(response).ok()? {
        Value::Null => return Some(Vec::new()),
        // Without the list it is a list of none: so the form of an HTTP proxy, {statusCode, body}, is all success.
        Value::Object(mut members) => members.remove("batchItemFailures").unwrap_or_default(),
        _ => return None,
    };
    match failures {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                item["itemIdentifier"].as_str().filter(|id| ids.contains(id)).map(str::to_owned)
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["a", "b", "c"];

    #[track_caller]
    fn check(response: &str, expected: [bool; 3]) {
        let outcome = LambdaOutcome::Returned(response.to_owned());
        assert_eq!(done(&outcome, &IDS, true), expected, "{response}");
    }

    #[test]
    fn only_those_named_come_again() {
        check(r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#, [true, false, true]);
        let all = r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"},{"itemIdentifier":"c"}]}"#;
        check(all, [false; 3]);
    }

    #[test]
    fn nothing_is_success() {
        for response in
            ["", "null", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#]
        {
            check(response, [true; 3]);
        }
        check(r#"{"statusCode":200,"body":"{\"batchItemFailures\":[]}"}"#, [true; 3]);
    }

    #[test]
    fn a_wrong_response_brings_all_again() {
        for item in [
            r#"{"itemIdentifier":""}"#,
            r#"{"itemIdentifier":null}"#,
            r#"{"itemIdentifier":"z"}"#,
            r#"{"itemidentifier":"b"}"#,
            r#""b""#,
        ] {
            check(
                &format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"a"}},{item}]}}"#),
                [false; 3],
            );
        }
        for response in ["{", "[]", "\"ok\"", r#"{"batchItemFailures":"b"}"#] {
            check(response, [false; 3]);
        }
    }

    #[test]
    fn a_failure_brings_all_again_whoever_reads_responses() {
        let failed = LambdaOutcome::Failed("{}".to_owned());
        for outcome in [failed, LambdaOutcome::TimedOut, LambdaOutcome::Crashed] {
            assert_eq!(done(&outcome, &IDS, true), [false; 3]);
            assert_eq!(done(&outcome, &IDS, false), [false; 3]);
        }
        let partial = r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#.to_owned();
        assert_eq!(done(&LambdaOutcome::Returned(partial), &IDS, false), [true; 3]);
    }
}
