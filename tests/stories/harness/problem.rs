//! What every problem must look like, whatever went wrong.

use serde_json::{Map, Value};

use super::{Answer, ScriptedUpstream};

/// The members a problem may have (section 4 of the contract).
const MEMBERS: [&str; 11] = [
    "type",
    "title",
    "status",
    "detail",
    "code",
    "id",
    "dispatched",
    "retryable",
    "batch_id",
    "upstream_status",
    "pointer",
];

/// A problem that has passed all the checks that hold for every one.
pub struct Problem {
    members: Map<String, Value>,
    code: String,
}

impl Problem {
    /// Checks an answer against a row of the contract's table, without
    /// `upstream.idempotent`.
    pub fn of(answer: &Answer, status: u16, code: &str, dispatched: &str) -> Self {
        let may_retry = matches!(status, 502..=504) && dispatched == "no";
        let retryable = may_retry || code == "upstream-overloaded";
        Self::row(answer, (status, code, dispatched), retryable)
    }

    /// The same with `upstream.idempotent`.
    pub fn of_idempotent(answer: &Answer, status: u16, code: &str, dispatched: &str) -> Self {
        let retryable = matches!(status, 502..=504);
        Self::row(answer, (status, code, dispatched), retryable)
    }

    fn row(answer: &Answer, expected: (u16, &str, &str), retryable: bool) -> Self {
        let (status, code, _) = expected;
        let problem = Self::read(answer);
        let found = (
            answer.status,
            problem.text("code"),
            problem.text("dispatched"),
        );
        assert_eq!(found, expected, "{answer:?}");
        assert_eq!(problem.members["retryable"], retryable, "{answer:?}");
        if status == 503 {
            let seconds = answer.header("retry-after").parse::<u64>();
            let seconds = seconds.unwrap_or_else(|_| panic!("no Retry-After: {answer:?}"));
            assert!(
                code == "upstream-overloaded" || (1..=60).contains(&seconds),
                "{answer:?}"
            );
        }
        problem
    }

    /// Checks what holds for every problem, whatever its row.
    pub fn read(answer: &Answer) -> Self {
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{answer:?}"
        );
        let Value::Object(members) = answer.json() else {
            panic!("a problem is an object: {answer:?}");
        };
        for (name, value) in &members {
            assert!(MEMBERS.contains(&name.as_str()), "{name} in {answer:?}");
            assert!(!value.is_null(), "{name} is null in {answer:?}");
        }
        let code = members["code"].as_str().expect("a code").to_owned();
        let problem = Self { members, code };
        assert_eq!(
            problem.text("type"),
            format!("urn:microbatch:problem:{}", problem.code)
        );
        assert_eq!(problem.members["status"], answer.status, "{answer:?}");
        assert!(!problem.text("title").is_empty(), "{answer:?}");
        assert!(!problem.text("detail").is_empty(), "{answer:?}");
        assert!(problem.members["retryable"].is_boolean(), "{answer:?}");
        // A problem of no job says nothing about it.
        let dispatched: &[&str] = match problem.code() {
            "job-unknown" => &[""],
            _ => &["no", "yes", "unknown"],
        };
        assert!(
            dispatched.contains(&problem.text("dispatched")),
            "{answer:?}"
        );
        problem.hides("127.0.0.1");
        problem
    }

    /// A member, `Null` when absent.
    pub fn get(&self, member: &str) -> &Value {
        self.members.get(member).unwrap_or(&Value::Null)
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    /// Asserts the value of a member.
    pub fn has(&self, member: &str, value: impl Into<Value>) -> &Self {
        assert_eq!(
            *self.get(member),
            value.into(),
            "{member} in {:?}",
            self.members
        );
        self
    }

    /// Asserts that a member is absent.
    pub fn lacks(&self, member: &str) -> &Self {
        assert!(
            !self.members.contains_key(member),
            "{member} in {:?}",
            self.members
        );
        self
    }

    /// Asserts that this text appears nowhere, but for the batch's random id.
    pub fn hides(&self, secret: &str) -> &Self {
        for (name, value) in self.members.iter().filter(|(name, _)| *name != "batch_id") {
            let text = value.to_string();
            assert!(!text.contains(secret), "{secret} leaks by {name}: {text}");
        }
        self
    }

    /// Asserts that the upstream's port appears nowhere.
    pub fn hides_upstream(&self, upstream: &ScriptedUpstream) -> &Self {
        self.hides(&upstream.addr().port().to_string())
    }

    fn text(&self, member: &str) -> &str {
        self.get(member).as_str().unwrap_or_default()
    }
}
