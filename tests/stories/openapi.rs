//! `GET /openapi.json`: each listener describes what it answers, and answers so.

use std::collections::BTreeSet;

use microbatch::code::Code;
use serde_json::{Value, json};

use crate::harness::{Answer, Proxy, Request, ScriptedUpstream, TokenFile, send};

const ROUTES: &str = r#"
    [routes.predict]
    path = "/v1/models/{model}/{*rest}"
    shape = "kserve-v1"
    upstream.url = "http://127.0.0.1:1/{model}"
"#;

/// Lets in where tokens do.
const TOKEN: &str = "mbt_of-the-description";
const CALLERS: &str = "MICROBATCH_SERVER__AUTH__TOKENS";
const OPERATORS: &str = "MICROBATCH_ADMIN__AUTH__TOKENS";

async fn start(upstream: &ScriptedUpstream) -> Proxy {
    start_guarded(upstream, &[]).await
}

/// With these settings of tokens.
async fn start_guarded(upstream: &ScriptedUpstream, env: &[(&str, &str)]) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("microbatch.toml");
    std::fs::write(&file, ROUTES).unwrap();
    let flags = ["--config", file.to_str().unwrap(), "--max-size", "1"];
    Proxy::start(&upstream.url(), &flags, env).await
}

/// What both listeners say of themselves: of jobs, and of administration.
async fn told(proxy: &Proxy) -> [Value; 2] {
    let get = || {
        let authorization = format!("Bearer {TOKEN}");
        Request::new("GET", "/openapi.json").header("authorization", &authorization)
    };
    let jobs = send(proxy.jobs_addr, get()).await;
    let admin = send(proxy.admin_addr.unwrap(), get()).await;
    [jobs, admin].map(|answer| {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/json");
        answer.json()
    })
}

/// Every operation: path, method and what is told of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, told)| (&**path, &**method, told))
    });
    all.collect()
}

/// Whether an answer is one of those that are told of, with its type.
fn is_told(operation: &Value, answer: &Answer) {
    let status = answer.status.to_string();
    let told = operation["responses"].get(&status);
    let told = told.or_else(|| operation["responses"].get("default"));
    let told = told.unwrap_or_else(|| panic!("{status} is not in {operation}"));
    let Some(content) = told["content"].as_object() else {
        assert_eq!(answer.text(), "");
        return;
    };
    let found = answer.header("content-type");
    let known = content.keys().any(|it| it == found || it == "*/*");
    assert!(known, "{found} is not in {told}");
}

#[tokio::test]
async fn both_are_openapi_and_every_reference_is_there() {
    let upstream = ScriptedUpstream::start().await;
    let tokens = TokenFile::of(&[("ops", TOKEN)]);
    let guarded = [(CALLERS, tokens.path()), (OPERATORS, tokens.path())];
    let open = told(&start(&upstream).await).await;
    let guarded = told(&start_guarded(&upstream, &guarded).await).await;
    for document in open.into_iter().chain(guarded) {
        let spec = oas3::from_json(document.to_string()).unwrap();
        spec.validate_version().unwrap();
        assert!(spec.operations().next().is_some());
        let mut seen = 0;
        references(&document, &mut |reference| {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            seen += 1;
        });
        assert!(seen > 10);
    }
}

fn references(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                see(reference);
            }
            members.values().for_each(|it| references(it, see));
        }
        Value::Array(elements) => elements.iter().for_each(|it| references(it, see)),
        _ => {}
    }
}

#[tokio::test]
async fn every_path_is_told_of() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = start(&upstream).await;
    let [jobs, admin] = told(&proxy).await;
    let named = |document| {
        let all = operations(document).into_iter();
        let all = all.map(|(path, method, _)| format!("{method} {path}"));
        let mut all: Vec<_> = all.collect();
        all.sort();
        all
    };
    assert_eq!(
        named(&jobs),
        [
            "delete /jobs/{handle}",
            "get /healthz",
            "get /jobs/{handle}",
            "get /openapi.json",
            "get /streams/{name}",
            "post /jobs",
            "post /v1/models/{model}/{rest}",
        ]
    );
    // What there is by the words of its own 404.
    let none = proxy.admin("GET", "/nothing").await;
    let problem = none.problem(404, "not-found", "no");
    let detail = problem.get("detail").as_str().unwrap();
    for (path, method, _) in operations(&admin) {
        assert!(detail.contains(path), "{detail}");
        let answer = proxy.admin("PUT", path).await;
        assert_eq!(answer.status, 405, "{path}");
        let allow = answer.header("allow").to_ascii_lowercase();
        assert!(allow.split(", ").any(|it| it == method), "{path}: {allow}");
    }
    assert_eq!(detail.matches('/').count(), operations(&admin).len());
}

#[tokio::test]
async fn every_code_is_told_of() {
    let upstream = ScriptedUpstream::start().await;
    let tokens = TokenFile::of(&[("ops", TOKEN)]);
    let env = [(CALLERS, tokens.path()), (OPERATORS, tokens.path())];
    let proxy = start_guarded(&upstream, &env).await;
    let mut told_of = BTreeSet::new();
    for document in told(&proxy).await {
        let codes = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
        let expected: Vec<_> = Code::ALL.iter().map(|it| it.as_str()).collect();
        let expected: Vec<_> = expected
            .into_iter()
            .filter(|it| !["ok", "job-error"].contains(it))
            .collect();
        assert_eq!(codes, &Value::from(expected));
        for (_, _, operation) in operations(&document) {
            for response in operation["responses"].as_object().unwrap().values() {
                let codes = response["x-codes"].as_array().into_iter().flatten();
                told_of.extend(codes.map(|it| it.as_str().unwrap().to_owned()));
            }
        }
    }
    let missing = Code::ALL.iter().filter(|it| !told_of.contains(it.as_str()));
    let missing: Vec<_> = missing.collect();
    // Success, an upstream's own answer, and what methods get that are none.
    assert_eq!(
        missing,
        [&Code::Ok, &Code::JobError, &Code::MethodNotAllowed]
    );
}

#[tokio::test]
async fn what_needs_a_token_is_told_and_refused_without_one() {
    let upstream = ScriptedUpstream::start().await;
    let tokens = TokenFile::of(&[("ops", TOKEN)]);
    let (callers, operators) = ((CALLERS, tokens.path()), (OPERATORS, tokens.path()));
    let everybody = [
        &["get /healthz"][..],
        &["get /", "get /livez", "get /readyz"],
    ];
    for (env, guarded) in [
        (&[][..], [false, false]),
        (&[callers], [true, false]),
        (&[operators], [false, true]),
        (&[callers, operators], [true, true]),
    ] {
        let proxy = start_guarded(&upstream, env).await;
        let listeners = [proxy.jobs_addr, proxy.admin_addr.unwrap()];
        for (number, document) in told(&proxy).await.iter().enumerate() {
            let scheme = &document["components"]["securitySchemes"]["token"];
            if !guarded[number] {
                assert_eq!(
                    (scheme, &document["security"]),
                    (&Value::Null, &Value::Null)
                );
                for (path, _, operation) in operations(document) {
                    assert_eq!(operation["responses"]["401"], Value::Null, "{path}");
                    assert_eq!(operation["security"], Value::Null, "{path}");
                }
                continue;
            }
            assert_eq!(*scheme, json!({ "type": "http", "scheme": "bearer" }));
            assert_eq!(document["security"], json!([{ "token": [] }]));
            let mut open = Vec::new();
            for (path, method, operation) in operations(document) {
                let at = path.replace(['{', '}'], "");
                let request = Request::new(&method.to_uppercase(), &at);
                let answer = send(listeners[number], request).await;
                is_told(operation, &answer);
                let refused = &operation["responses"]["401"];
                if operation["security"] == json!([]) {
                    assert_ne!(answer.status, 401, "{path}");
                    assert_eq!(*refused, Value::Null, "{path}");
                    open.push(format!("{method} {path}"));
                } else {
                    answer.problem(401, "unauthorized", "no");
                    assert_eq!(refused["x-codes"], json!(["unauthorized"]), "{path}");
                    let content = refused["content"].as_object().unwrap();
                    let types: Vec<_> = content.keys().collect();
                    assert_eq!(types, ["application/problem+json"], "{path}");
                    assert!(refused["headers"]["WWW-Authenticate"].is_object(), "{path}");
                }
            }
            open.sort();
            assert_eq!(open, everybody[number]);
        }
    }
}

#[tokio::test]
async fn answers_are_as_they_are_told() {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = start(&upstream).await;
    let [jobs, admin] = told(&proxy).await;
    for (path, method, operation) in operations(&admin) {
        is_told(operation, &proxy.admin(&method.to_uppercase(), path).await);
        let asks_for_a_route = operation["parameters"][0]["$ref"].is_string();
        let of_none = format!("{path}?route=none");
        let answer = proxy.admin(&method.to_uppercase(), &of_none).await;
        assert_eq!(answer.status == 404, asks_for_a_route, "{path}");
        is_told(operation, &answer);
    }

    let post = &jobs["paths"]["/jobs"]["post"];
    let example = &jobs["components"]["schemas"]["Job"]["examples"][0];
    let caller = proxy.enqueue(&example.to_string()).await;
    upstream.next().await.echo();
    let answer = caller.answer().await;
    assert_eq!(answer.status, 200);
    is_told(post, &answer);
    for header in post["responses"]["200"]["headers"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert_ne!(answer.header(&header.to_ascii_lowercase()), "", "{header}");
    }
    for (body, status) in [("{", 400), ("{}", 422)] {
        let answer = proxy.post(body).await;
        assert_eq!(answer.status, status);
        is_told(post, &answer);
    }
    let html = Request::untyped("{}").header("content-type", "text/html");
    let answer = proxy.send(html).await;
    assert_eq!(answer.status, 415);
    is_told(post, &answer);

    let later = proxy.send(Request::later(r#"{"id":"2"}"#)).await;
    assert_eq!(later.status, 202);
    is_told(post, &later);
    let at = later.header("location").to_owned();
    let record = &jobs["paths"]["/jobs/{handle}"];
    upstream.next().await.echo();
    for (method, path) in [
        ("get", &*at),
        ("delete", &*at),
        ("delete", &*at),
        ("get", "/jobs/none"),
    ] {
        let answer = proxy.send(Request::new(&method.to_uppercase(), path)).await;
        is_told(&record[method], &answer);
    }
    let stream = &jobs["paths"]["/streams/{name}"]["get"];
    is_told(
        stream,
        &proxy.send(Request::new("GET", "/streams/a%20b")).await,
    );
    for path in ["/healthz", "/openapi.json"] {
        let answer = proxy.send(Request::new("GET", path)).await;
        is_told(&jobs["paths"][path]["get"], &answer);
    }

    // A route whose callers hear of problems in a form of their own.
    let predict = &jobs["paths"]["/v1/models/{model}/{rest}"]["post"];
    let request = Request::job(r#"{"instances":[1]}"#).to("POST", "/v1/models/m/x:predict");
    let answer = proxy.send(request).await;
    assert_eq!(answer.header("content-type"), "application/json");
    is_told(predict, &answer);
}
