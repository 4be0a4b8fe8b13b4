//! What callers may ask: each route as it is set, and answers fetched later.

use serde_json::json;

use super::components::{any, parameter, schema, text};
use super::operation::{Operation, ProblemForm};
use crate::code::Code;
use crate::route::{Route, Routes};

/// What a batch has told of itself.
const OF_A_BATCH: &[&str] = &["Server-Timing", "X-Batch-Id", "X-Batch-Size"];

/// What is refused where calls are jobs, and goes alone where they are not.
const OF_JOBS: [Code; 4] = [
    Code::UnsupportedMediaType,
    Code::JobTooLarge,
    Code::MalformedJson,
    Code::InvalidJob,
];

/// What comes of answers that are fetched later, and of nothing else.
const OF_LATER: [Code; 7] = [
    Code::InvalidParameter,
    Code::IdempotencyKeyReused,
    Code::JobUnknown,
    Code::StoreFull,
    Code::StoreUnavailable,
    Code::Interrupted,
    Code::AttemptsExhausted,
];

/// What no call comes to: success, what another listener or method is for, and what is refused
/// before any route is looked for.
const NO_CALLS: [Code; 7] = [
    Code::Ok,
    Code::JobError,
    Code::ForeignOrigin,
    Code::MethodNotAllowed,
    Code::NotFound,
    Code::Misdirected,
    Code::Unauthorized,
];

/// The paths of routes.
pub(in crate::http) fn of_routes(routes: &Routes, later: bool) -> Vec<Operation> {
    let numbered = routes.all().iter().enumerate();
    let told = numbered.map(|(number, route)| of_route(route, routes.pattern(number), later));
    told.collect()
}

fn of_route(route: &Route, pattern: &str, later: bool) -> Operation {
    let shape = &route.shape;
    let are_jobs = !shape.lets_alone();
    let (path, captures) = template(pattern);
    let summary = match are_jobs {
        true => "Have a job done, with others in a batch",
        false => "Have a call answered, with others in a batch",
    };
    let content = || match are_jobs {
        true => schema("Job"),
        false => any(),
    };
    let types = shape.call_types().into_iter();
    let mut told = Operation::post(path, summary)
        .takes(types.map(|it| (it, content())))
        .with(parameter(if later { "Prefer" } else { "Wait" }))
        .answers(
            "200",
            "The answer to this call alone, as the upstream wrote it",
            [("application/json".to_owned(), any())],
            OF_A_BATCH,
        );
    for name in captures {
        told = told.with(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }));
    }
    told.tag = Some(route.name.as_str().to_owned());
    if later {
        told = told
            .with(parameter("IdempotencyKey"))
            .with(parameter("Stream"))
            .answers(
                "202",
                "With Prefer: respond-async, where the answer is fetched",
                [("application/json".to_owned(), schema("Record"))],
                &["Location", "Preference-Applied", "Retry-After"],
            );
    }
    let codes = Code::ALL.iter().copied();
    let codes = codes.filter(|code| {
        let is_captured = *code == Code::NotFound && pattern.contains('{');
        (is_captured || !NO_CALLS.contains(code))
            && (later || !OF_LATER.contains(code))
            && (are_jobs || !OF_JOBS.contains(code))
    });
    told.refused(codes)
        .in_form(ProblemForm {
            is_own: shape.has_own_problems(),
            status: shape.problem_status(),
        })
        .answers(
            "default",
            "What the upstream said of this call: an error of its own, or the answer to one that \
             went alone",
            [("*/*".to_owned(), any())],
            OF_A_BATCH,
        )
}

/// Answers fetched later.
pub(in crate::http) fn of_later() -> Vec<Operation> {
    let handle = || {
        json!({
            "name": "handle", "in": "path", "required": true, "schema": { "type": "string" },
        })
    };
    let name = json!({
        "name": "name", "in": "path", "required": true,
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
    });
    const JOB: &str = "/jobs/{handle}";
    let fetch = Operation::get(JOB, "Fetch the answer of a job that was handed in")
        .with(handle())
        .with(parameter("Wait"))
        .answers(
            "202",
            "It is not finished",
            [("application/json".to_owned(), schema("Record"))],
            &["Retry-After", "X-Job-State"],
        )
        .answers(
            "default",
            "It is finished: the answer that a waiting caller would have had",
            [("*/*".to_owned(), any())],
            &["X-Job-State"],
        )
        .refused([Code::JobUnknown, Code::StoreUnavailable]);
    let delete = Operation::delete(JOB, "Withdraw a job, or remove its answer")
        .with(handle())
        .answers("204", "It is gone", [], &[])
        .refused([Code::JobUnknown, Code::StoreUnavailable]);
    let stream = Operation::get("/streams/{name}", "Hear of every finished job of a stream")
        .with(name)
        .with(parameter("LastEventId"))
        .answers(
            "200",
            "Events, as jobs finish",
            [
                ("text/event-stream".to_owned(), text()),
                ("application/x-ndjson".to_owned(), text()),
            ],
            &[],
        )
        .refused([Code::InvalidParameter, Code::StoreUnavailable]);
    vec![fetch, delete, stream]
}

/// A pattern as OpenAPI writes one, and the names in it. It knows no braces that stand for
/// themselves: those are percent-encoded.
fn template(pattern: &str) -> (String, Vec<String>) {
    let plain = pattern
        .replace("{{", "%7B")
        .replace("}}", "%7D")
        .replace("{*", "{");
    let names = plain.split('{').skip(1);
    let names = names.filter_map(|it| Some(it.split_once('}')?.0.to_owned()));
    let names = names.collect();
    (plain, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_written_as_openapi_does() {
        for (pattern, path, names) in [
            ("/jobs", "/jobs", &[][..]),
            (
                "/{index}/_doc/{*id}",
                "/{index}/_doc/{id}",
                &["index", "id"],
            ),
            ("/a-{{{b}/c", "/a-%7B{b}/c", &["b"]),
        ] {
            let (told, found) = template(pattern);
            assert_eq!(
                (&*told, &found[..]),
                (
                    path,
                    &names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..]
                )
            );
        }
    }
}
