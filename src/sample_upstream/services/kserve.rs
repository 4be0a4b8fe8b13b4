//! KServe's V1 protocol, which TensorFlow Serving and Seldon speak too: the prediction of an
//! instance is the instance. One that fails fails all, since nothing can be said of one alone.

use axum::http::StatusCode;
use axum::response::Response;

use crate::sample_upstream::asked::{Asked, SAMPLE_ERROR, any_fails, array, json};
use crate::sample_upstream::object::{list, object, value};
use crate::sample_upstream::plan::Planned;

#[derive(Debug)]
pub(super) struct Predict<'a> {
    instances: Vec<&'a str>,
}

pub(super) fn read(body: &[u8]) -> Result<Predict<'_>, String> {
    let wrong = |error| format!("expected {{\"instances\": [...]}}: {error}");
    let text = value(body).map_err(wrong)?;
    let request = object(text).map_err(wrong)?;
    let instances = request.get("instances").ok_or("no \"instances\"")?;
    let instances = list(instances).map_err(wrong)?;
    Ok(Predict { instances })
}

impl Asked for Predict<'_> {
    fn items(&self) -> usize {
        self.instances.len()
    }

    fn answer(&self, results: &[Planned]) -> Response {
        if any_fails(results) {
            let body = format!(r#"{{"error":"{SAMPLE_ERROR}"}}"#);
            return json(StatusCode::BAD_REQUEST, body);
        }
        let instances = results.iter().filter_map(|it| self.instances.get(it.job));
        let predictions = array(instances.map(|it| (*it).to_owned()));
        json(
            StatusCode::OK,
            format!(r#"{{"predictions":{predictions}}}"#),
        )
    }
}
