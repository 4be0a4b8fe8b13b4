//! Services that shapes are measured before: as fast as can be, so that they cost the measured
//! little. All results are equal, made before any call.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::routing::any;
use clap::ValueEnum;

use crate::servers;

/// A service, by the name of the preset that speaks to it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Service {
    KserveV1,
    OpenaiEmbeddings,
}

impl Service {
    /// The preset's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::KserveV1 => "kserve-v1",
            Self::OpenaiEmbeddings => "openai-embeddings",
        }
    }

    /// Where it is called.
    pub fn path(self) -> &'static str {
        match self {
            Self::KserveV1 => "/v1/models/m:predict",
            Self::OpenaiEmbeddings => "/v1/embeddings",
        }
    }

    /// A call of one item; see [`Load::call`](crate::wrk::Load::call).
    pub fn call(self) -> &'static str {
        match self {
            Self::KserveV1 => r##"{"instances":["#x"]}"##,
            Self::OpenaiEmbeddings => r##"{"model":"m","input":"#x"}"##,
        }
    }

    fn answer(self, items: usize, vector: &str) -> String {
        let mut answer = String::with_capacity(items * (vector.len() + 64) + 100);
        answer.push_str(match self {
            Self::KserveV1 => r#"{"predictions":["#,
            Self::OpenaiEmbeddings => r#"{"object":"list","data":["#,
        });
        for item in 0..items {
            if item > 0 {
                answer.push(',');
            }
            // Writing to a string never fails.
            let _ = match self {
                Self::KserveV1 => write!(answer, "{vector}"),
                Self::OpenaiEmbeddings => write!(
                    answer,
                    r#"{{"object":"embedding","index":{item},"embedding":{vector}}}"#
                ),
            };
        }
        let _ = match self {
            Self::KserveV1 => write!(answer, "]}}"),
            Self::OpenaiEmbeddings => {
                let usage = format!(r#"{{"prompt_tokens":{0},"total_tokens":{0}}}"#, items * 25);
                write!(answer, r#"],"model":"m","usage":{usage}}}"#)
            }
        };
        answer
    }
}

/// Serves as the process's arguments say: which, and how many numbers a result has.
pub fn serve() -> anyhow::Result<Infallible> {
    let mut said = std::env::args().skip(2);
    let service = said.next().context("no service")?;
    let service = Service::from_str(&service, false).map_err(anyhow::Error::msg)?;
    let numbers = said.next().context("no number")?.parse()?;
    let vector: Arc<str> = vector(numbers).into();
    let answer = move |body: Bytes| {
        let vector = vector.clone();
        async move { servers::json(service.answer(items(&body), &vector).into()) }
    };
    servers::serve(Router::new().fallback(any(answer)))
}

/// How many items a call of the benchmark has: each is a string of x.
fn items(body: &[u8]) -> usize {
    body.windows(2).filter(|two| two == b"\"x").count()
}

/// Numbers as models print them.
fn vector(numbers: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(1);
    let numbers = (0..numbers).map(|_| (chance.f32() * 2.0 - 1.0).to_string());
    format!("[{}]", numbers.collect::<Vec<_>>().join(","))
}
