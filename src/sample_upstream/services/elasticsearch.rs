//! Elasticsearch: `_bulk` with actions and documents in turn, and on any other path one document by
//! itself. A document's id is made from its own bytes.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::sample_upstream::asked::{self, Asked, Request, SAMPLE_ERROR, array, hash};
use crate::sample_upstream::object::{object, value};
use crate::sample_upstream::plan::Planned;

/// What the official clients insist on.
const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");

pub(super) fn read(request: Request<'_>) -> Result<Box<dyn Asked + '_>, String> {
    let path = request.path.trim_start_matches('/');
    Ok(match path.strip_suffix("_bulk") {
        Some(before) => {
            let index = before.trim_end_matches('/');
            Box::new(bulk(request.body, index)?)
        }
        None => {
            let index = path.split('/').next().unwrap_or_default();
            let source = value(request.body).map_err(|error| error.to_string())?;
            Box::new(One(Document {
                index: quoted(index),
                source: Some(source),
            }))
        }
    })
}

/// A whole request refused.
pub(super) fn refusal(status: StatusCode, message: &str) -> Response {
    let error = json!({"type": "illegal_argument_exception", "reason": message});
    let body = json!({"error": error, "status": status.as_u16()});
    answer(status, body.to_string())
}

#[derive(Debug)]
struct Document<'a> {
    /// As a JSON string.
    index: String,
    /// Nothing where that is no object.
    source: Option<&'a str>,
}

fn bulk<'a>(body: &'a [u8], index: &str) -> Result<Bulk<'a>, String> {
    if body.last() != Some(&b'\n') {
        return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
    }
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let mut documents = Vec::new();
    while let Some(action) = lines.next() {
        let action = object(action).map_err(|error| format!("Malformed action: {error}"))?;
        let index = match action.only() {
            Some(("index" | "create", meta)) => {
                let meta = object(meta).map_err(|error| format!("Malformed action: {error}"))?;
                meta.get("_index")
                    .map_or_else(|| quoted(index), str::to_owned)
            }
            _ => return Err("Malformed action: expected index or create".to_owned()),
        };
        let source = lines.next().ok_or("an action without its document")?;
        documents.push(Document {
            index,
            source: object(source).is_ok().then_some(source),
        });
    }
    match documents.is_empty() {
        true => Err("no requests added".to_owned()),
        false => Ok(Bulk(documents)),
    }
}

#[derive(Debug)]
struct Bulk<'a>(Vec<Document<'a>>);

impl Asked for Bulk<'_> {
    fn items(&self) -> usize {
        self.0.len()
    }

    fn answer(&self, results: &[Planned]) -> Response {
        let mut errors = false;
        let items = results.iter().filter_map(|it| {
            let document = self.0.get(it.job)?;
            let (status, members) = document.outcome(it.error);
            errors |= !status.is_success();
            let status = status.as_u16();
            Some(format!(r#"{{"index":{{{members},"status":{status}}}}}"#))
        });
        let items = array(items);
        let body = format!(r#"{{"took":1,"errors":{errors},"items":{items}}}"#);
        answer(StatusCode::OK, body)
    }
}

/// One document by itself.
#[derive(Debug)]
struct One<'a>(Document<'a>);

impl Asked for One<'_> {
    fn items(&self) -> usize {
        1
    }

    fn answer(&self, results: &[Planned]) -> Response {
        let Some(planned) = results.first() else {
            return answer(StatusCode::NO_CONTENT, String::new());
        };
        let (status, members) = self.0.outcome(planned.error);
        match status.is_success() {
            true => answer(status, format!("{{{members}}}")),
            false => {
                let error = error();
                let code = status.as_u16();
                answer(status, format!(r#"{{{error},"status":{code}}}"#))
            }
        }
    }
}

impl Document<'_> {
    /// What becomes of it: a status, and the members that say so.
    fn outcome(&self, fails: bool) -> (StatusCode, String) {
        let index = &self.index;
        match self.source {
            Some(source) if !fails => {
                let id = hash(source);
                let members = format!(
                    r#""_index":{index},"_id":"{id:016x}","_version":1,"result":"created","_shards":{{"total":1,"successful":1,"failed":0}},"_seq_no":0,"_primary_term":1"#
                );
                (StatusCode::CREATED, members)
            }
            _ => {
                let error = error();
                (
                    StatusCode::BAD_REQUEST,
                    format!(r#""_index":{index},{error}"#),
                )
            }
        }
    }
}

fn error() -> String {
    format!(r#""error":{{"type":"document_parsing_exception","reason":"{SAMPLE_ERROR}"}}"#)
}

fn quoted(text: &str) -> String {
    json!(text).to_string()
}

fn answer(status: StatusCode, body: String) -> Response {
    let product = [(PRODUCT, HeaderValue::from_static("Elasticsearch"))];
    (product, asked::json(status, body)).into_response()
}
