//! What several operations have in common, by name.

use serde_json::{Value, json};

use crate::code::Code;
use crate::job_id::MAX_ID_CHARS;

/// Anything.
pub(in crate::http) fn any() -> Value {
    json!({})
}

/// Text.
pub(in crate::http) fn text() -> Value {
    json!({ "schema": { "type": "string" } })
}

/// A schema of the components, as content.
pub(super) fn schema(name: &str) -> Value {
    json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } })
}

/// A parameter of the components.
pub(in crate::http) fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

pub(super) fn all() -> Value {
    json!({
        "schemas": schemas(),
        "parameters": parameters(),
        "headers": headers(),
    })
}

fn schemas() -> Value {
    let id = json!({
        "description": "Chosen by the caller; the answer has it as it came",
        "anyOf": [
            { "type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS },
            { "type": "integer" },
        ],
    });
    let codes = Code::ALL.iter();
    let codes = codes.filter(|it| ![Code::Ok, Code::JobError].contains(it));
    let codes: Vec<_> = codes.map(|code| code.as_str()).collect();
    json!({
        "Id": id,
        "Job": {
            "description": "A job: its id, and whatever the upstream wants besides",
            "type": "object",
            "required": ["id"],
            "properties": { "id": { "$ref": "#/components/schemas/Id" } },
            "examples": [{ "id": "1", "body": "hello" }],
        },
        "Record": {
            "description": "How far a job has come whose answer is fetched later",
            "type": "object",
            "required": ["handle", "id", "state", "expires_at"],
            "properties": {
                "handle": { "type": "string" },
                "id": { "anyOf": [{ "$ref": "#/components/schemas/Id" }, { "type": "null" }] },
                "state": { "enum": ["queued", "sent", "done", "failed"] },
                "expires_at": { "type": "string", "format": "date-time" },
            },
        },
        "Problem": {
            "description": "What went wrong for one caller (RFC 9457)",
            "type": "object",
            "required": ["type", "title", "status", "detail", "code", "retryable"],
            "properties": {
                "type": { "type": "string", "pattern": "^urn:microbatch:problem:" },
                "title": { "type": "string" },
                "status": { "type": "integer", "minimum": 400, "maximum": 599 },
                "detail": { "type": "string" },
                "code": { "enum": codes },
                "id": { "$ref": "#/components/schemas/Id" },
                "dispatched": {
                    "description": "Whether the upstream saw the job, over all attempts",
                    "enum": ["no", "yes", "unknown"],
                },
                "retryable": {
                    "description": "Whether the same job may be sent again, and is not done twice",
                    "type": "boolean",
                },
                "batch_id": { "type": "string", "format": "uuid" },
                "upstream_status": { "type": "integer" },
                "pointer": {
                    "description": "The place in the job that is wrong (RFC 6901)",
                    "type": "string",
                },
            },
        },
    })
}

fn parameters() -> Value {
    let header = |name: &str, what: &str| {
        json!({
            "name": name, "in": "header", "description": what, "schema": { "type": "string" },
        })
    };
    json!({
        "Wait": header("Prefer", "wait=N: the most seconds that the answer is waited for"),
        "Prefer": header(
            "Prefer",
            "wait=N: the most seconds that the answer is waited for. respond-async: an address to \
             fetch it from, at once",
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "With respond-async: handed in again under the same key it is the same job",
        ),
        "LastEventId": header("Last-Event-ID", "The last event that was heard"),
        "Stream": {
            "name": "stream", "in": "query",
            "description": "With respond-async: the stream on which the answer is told",
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
        },
        "Route": {
            "name": "route", "in": "query", "description": "One route, instead of all",
            "schema": { "type": "string" },
        },
    })
}

fn headers() -> Value {
    let header = |what: &str, schema: Value| json!({ "description": what, "schema": schema });
    let text = || json!({ "type": "string" });
    let whole = || json!({ "type": "integer", "minimum": 0 });
    json!({
        "Retry-After": header("Seconds after which it is worth asking again", whole()),
        "WWW-Authenticate": header("How to show a token", text()),
        "Location": header("Where the answer is fetched", text()),
        "Preference-Applied": header("What of Prefer was heeded", text()),
        "X-Job-State": header("How far the job has come", text()),
        "X-Batch-Id": header("The batch that the job was in", text()),
        "X-Batch-Size": header("How many jobs that had", whole()),
        "Server-Timing": header("Where the time went (server.timing)", text()),
    })
}
