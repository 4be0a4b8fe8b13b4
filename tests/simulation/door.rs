//! Where the proxy is found: each of its processes that takes calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::response::Parts;
use bytes::Bytes;
use microbatch::http::Caller;
use microbatch::later::Later;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::callers::read;
use crate::life::Life;
use crate::plan::Proxy;

/// A handle: clones are the same.
#[derive(Clone, Default)]
pub struct Door(Arc<Mutex<Vec<Front>>>);

/// One process.
#[derive(Clone)]
pub struct Front {
    pub life: Life,
    pub later: Later,
    caller: Arc<Mutex<Caller>>,
}

impl Door {
    pub fn opens(&self, proxy: &Proxy) {
        self.0.lock().unwrap().push(Front {
            life: proxy.life.clone(),
            later: proxy.later.clone(),
            caller: Arc::new(Mutex::new(proxy.connect())),
        });
    }

    /// It takes no more calls.
    pub fn closes(&self, number: u32) {
        let mut fronts = self.0.lock().unwrap();
        fronts.retain(|it| it.life.number() != number);
    }

    /// One that takes calls, as soon as there is one.
    pub async fn any(&self, rng: &mut StdRng) -> Front {
        loop {
            {
                let fronts = self.0.lock().unwrap();
                if !fronts.is_empty() {
                    return fronts[rng.random_range(0..fronts.len())].clone();
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Front {
    /// The whole answer, unless the process dies meanwhile.
    pub async fn ask(&self, request: Request<Body>) -> Option<(Parts, Bytes)> {
        let answer = self.caller.lock().unwrap().serve(request);
        let answer = async { read(answer.await.map(Body::new)).await };
        tokio::select! {
            biased;
            () = self.life.over() => None,
            answer = answer => Some(answer),
        }
    }
}
