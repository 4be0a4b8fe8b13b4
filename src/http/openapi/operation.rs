//! What one method of a path takes and answers, as it is told in a description.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::super::paths::IsOpen;
use super::super::problem::status;
use crate::code::Code;

/// What anything may be refused with, before it is looked up or because of our mistake: in the
/// proxy's own form, whatever it is that was asked for.
const ALWAYS: [Code; 3] = [Code::InvalidRequest, Code::Misdirected, Code::Internal];

/// A method of a path.
#[derive(Clone, Debug)]
pub(in crate::http) struct Operation {
    pub path: String,
    /// In capitals.
    pub method: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    pub tag: Option<String>,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<Answer>,
    problems: Vec<Code>,
    form: ProblemForm,
}

/// An answer that is no problem.
#[derive(Clone, Debug)]
struct Answer {
    /// `200`, or `default` for any.
    status: String,
    what: &'static str,
    /// Types and schemas; none where there is no body.
    content: Vec<(String, Value)>,
    headers: &'static [&'static str],
}

/// How problems are told.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct ProblemForm {
    /// Whether as JSON in a form of its own, and not as a problem document.
    pub is_own: bool,
    /// The status of all, where it is not that of each code.
    pub status: Option<u16>,
}

impl Operation {
    /// `GET` (and with it `HEAD`) of this path.
    pub fn get(path: impl Into<String>, summary: &'static str) -> Self {
        Self::new("GET", path.into(), summary)
    }

    /// `POST` to this path.
    pub fn post(path: impl Into<String>, summary: &'static str) -> Self {
        Self::new("POST", path.into(), summary)
    }

    /// `DELETE` of this path.
    pub fn delete(path: impl Into<String>, summary: &'static str) -> Self {
        Self::new("DELETE", path.into(), summary)
    }

    fn new(method: &'static str, path: String, summary: &'static str) -> Self {
        Self {
            path,
            method,
            summary,
            tag: None,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
            form: ProblemForm::default(),
        }
    }

    /// It takes this parameter, of the components or told here.
    pub fn with(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// It takes a body of these types.
    pub fn takes(mut self, content: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.body = Some(json!({ "required": true, "content": content_of(content) }));
        self
    }

    /// It answers a body of this type.
    pub fn gives(self, status: u16, what: &'static str, content: (&str, Value)) -> Self {
        let (content_type, schema) = content;
        let content = [(content_type.to_owned(), schema)];
        self.answers(status.to_string(), what, content, &[])
    }

    /// It answers so, with these headers.
    pub fn answers(
        mut self,
        status: impl Into<String>,
        what: &'static str,
        content: impl IntoIterator<Item = (String, Value)>,
        headers: &'static [&'static str],
    ) -> Self {
        let content = content.into_iter().collect();
        self.answers.push(Answer {
            status: status.into(),
            what,
            content,
            headers,
        });
        self
    }

    /// It may be refused with these, too.
    pub fn refused(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.problems.extend(codes);
        self
    }

    /// Problems are told so.
    pub fn in_form(mut self, form: ProblemForm) -> Self {
        self.form = form;
        self
    }

    /// `Allow` of the path.
    pub fn allow(&self) -> &'static str {
        match self.method {
            "GET" => "GET, HEAD",
            other => other,
        }
    }

    /// The operation object (OpenAPI 3.1, 4.8.10). Where tokens let in, they do to all `but`
    /// these.
    pub fn to_json(&self, but: Option<IsOpen>) -> Value {
        let is_open = but.map(|is_open| is_open(self.method, &self.path));
        let mut responses = Map::new();
        for it in &self.answers {
            responses.insert(it.status.clone(), it.to_json());
        }
        for (status, response) in self.problems(is_open == Some(false)) {
            // What the service answers has any status and any form.
            responses.entry(status).or_insert(response);
        }
        let mut operation = json!({ "summary": self.summary, "responses": responses });
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.clone().into();
        }
        if let Some(body) = &self.body {
            operation["requestBody"] = body.clone();
        }
        if let Some(tag) = &self.tag {
            operation["tags"] = json!([tag]);
        }
        if is_open == Some(true) {
            operation["security"] = json!([]);
        }
        operation
    }

    /// What each status stands for that a problem has.
    fn problems(&self, needs_a_token: bool) -> BTreeMap<String, Value> {
        let of_any = ALWAYS.into_iter();
        let of_any = of_any.chain(needs_a_token.then_some(Code::Unauthorized));
        let of_any = of_any.map(|code| (ProblemForm::default(), code));
        let own = self.problems.iter().map(|&code| (self.form, code));
        let mut by_status: BTreeMap<StatusCode, Vec<_>> = BTreeMap::new();
        for (form, code) in of_any.chain(own) {
            let told = by_status.entry(form.status_of(code)).or_default();
            told.push((form, code));
        }
        let told = by_status.into_iter().map(|(status, told)| {
            let response = response(status, &told);
            (status.as_str().to_owned(), response)
        });
        told.collect()
    }
}

impl ProblemForm {
    fn status_of(self, code: Code) -> StatusCode {
        let status = self.status.and_then(|it| StatusCode::from_u16(it).ok());
        status.unwrap_or_else(|| status::of(code))
    }
}

/// The response object of these problems, which have a status in common.
fn response(status: StatusCode, told: &[(ProblemForm, Code)]) -> Value {
    let codes: BTreeSet<_> = told.iter().map(|&(_, code)| code).collect();
    let titles = codes
        .iter()
        .map(|code| format!("`{code}`: {}", status::title(*code)));
    let titles: Vec<_> = titles.collect();
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let mut response = json!({ "description": titles.join("; "), "x-codes": names });
    if told.iter().any(|(form, _)| form.is_own) {
        response["content"]["application/json"] = json!({});
    }
    let documents = told.iter().filter(|(form, _)| !form.is_own);
    let documents: Vec<_> = documents.map(|(_, code)| code.as_str()).collect();
    if !documents.is_empty() {
        let schema = json!({
            "allOf": [
                { "$ref": "#/components/schemas/Problem" },
                { "properties": { "code": { "enum": documents } } },
            ],
        });
        response["content"]["application/problem+json"] = json!({ "schema": schema });
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response["headers"] = headers_of(&["Retry-After"]);
    }
    if status == StatusCode::UNAUTHORIZED {
        response["headers"] = headers_of(&["WWW-Authenticate"]);
    }
    response
}

impl Answer {
    fn to_json(&self) -> Value {
        let mut response = json!({ "description": self.what });
        if !self.content.is_empty() {
            response["content"] = content_of(self.content.iter().cloned());
        }
        if !self.headers.is_empty() {
            response["headers"] = headers_of(self.headers);
        }
        response
    }
}

fn content_of(content: impl IntoIterator<Item = (String, Value)>) -> Value {
    let content = content.into_iter();
    content.collect::<Map<_, _>>().into()
}

fn headers_of(names: &[&str]) -> Value {
    let named = |name: &&str| {
        let header = json!({ "$ref": format!("#/components/headers/{name}") });
        ((*name).to_owned(), header)
    };
    names.iter().map(named).collect::<Map<_, _>>().into()
}
