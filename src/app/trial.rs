//! `microbatch try`: what a route makes of calls, without a listener.
//!
//! `main` has it for the command. The proxy is made as it is to serve, but that nothing is
//! bound: the same code reads the calls, the same batcher puts them together, and with
//! `send` the same engine sends them. What is promised: without `send` nothing is connected,
//! and what stands on standard output is what would be sent, byte for byte.
//!
//! | file | what it is |
//! |---|---|
//! | `input` | the calls, from files |
//! | `route` | which route is tried, at which path |
//! | `batches` | which calls share a batch |
//! | `said` | what is printed |

mod batches;
mod input;
mod route;
mod said;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::interval;

use self::batches::{Gathered, gathering};
use self::input::{Call, InputError};
use self::route::{ChoiceError, Chosen};
use self::said::Said;
use super::compose::Clients;
use super::door::Doors;
use super::proxy::Proxy;
use crate::config::Settings;
use crate::http::{AnswerBody, Rehearsed, Reloads, rehearse};
use crate::observe::spans::Spans;
use crate::server::runtimes::Workers;
use crate::server::socket::Reached;
use crate::upstream::SetupError;

/// How often it is asked whether all calls are queued.
const ASKS: Duration = Duration::from_millis(5);

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Files with the calls; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Whether each line of them is a call.
    pub lines: bool,
    /// The route's name, where there are several.
    pub route: Option<String>,
    /// The path that is called, and its query.
    pub path: Option<String>,
    /// The headers of each call.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the calls are sent, and not only shown.
    pub send: bool,
}

/// Why nothing could be tried.
#[derive(Debug, Error)]
pub enum TrialError {
    /// There is no such route, or no such path on it.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The calls can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The HTTP client can't be set up.
    #[error("upstream: the HTTP client can't be set up: {0}")]
    Client(#[from] SetupError),
    /// Something on the way to the screen, or of the system's.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Tries it, and tells whether every call was merged, sent alone, or answered without an
/// error.
///
/// # Errors
/// [`TrialError`]; nothing is sent then.
pub async fn try_out(mut settings: Settings, given: Trial) -> Result<bool, TrialError> {
    let chosen = Chosen::of(
        &settings.routes,
        given.route.as_deref(),
        given.path.as_deref(),
    )?;
    let calls = input::read(&given.files, given.lines)?;
    for route in &mut settings.routes {
        route.batcher = gathering(route.batcher.clone(), calls.len());
    }
    // Nobody asks for anything but answers, which alone stand on standard output.
    (settings.admin, settings.later) = (None, None);
    settings.access_log = false;
    let route = settings.routes[chosen.number].clone();
    let clients = Clients::new(&settings)?;
    let workers = Arc::new(Workers::start(1)?);
    let (doors, spans, reloads) = (Doors::default(), Spans::default(), Reloads::new().0);
    let proxy = Proxy::new(settings, clients, doors, None, spans, workers, reloads);
    let trial = Running {
        proxy,
        chosen,
        headers: given.headers,
        said: Said::new(route),
    };
    match given.send {
        true => trial.send(calls).await,
        false => trial.show(calls).await,
    }
}

struct Running {
    proxy: Proxy,
    chosen: Chosen,
    headers: Vec<(HeaderName, HeaderValue)>,
    said: Said,
}

impl Running {
    /// A call as a client would send it.
    fn request<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.chosen.uri.clone();
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let json = HeaderValue::from_static("application/json");
        headers.entry(CONTENT_TYPE).or_insert(json);
        request
    }

    /// Says what would be sent.
    async fn show(self, calls: Vec<Call>) -> Result<bool, TrialError> {
        let route = Arc::clone(&self.proxy.routes().all()[self.chosen.number]);
        let (mut jobs, mut fine) = (Vec::new(), true);
        for Call { name, body } in calls {
            let request = self.request(body);
            let captures = &self.chosen.captures;
            match rehearse(&self.proxy.jobs(), &route, request, captures).await {
                Rehearsed::Merged(job) => jobs.push((name, *job)),
                Rehearsed::Alone(why) => self.said.alone(&name, why, &self.chosen)?,
                Rehearsed::Refused(response) => {
                    fine = false;
                    let (head, body) = whole(response).await?;
                    self.said.refused(&name, &head, &body)?;
                }
            }
        }
        let Gathered { batches, refused } = batches::gather(self.said.route(), jobs).await;
        for (name, error) in refused {
            fine = false;
            self.said.not_taken(&name, &error)?;
        }
        self.said.batches(&batches, &self.chosen)?;
        Ok(fine)
    }

    /// Sends the calls, and says what each is answered.
    async fn send(self, calls: Vec<Call>) -> Result<bool, TrialError> {
        let caller = self.proxy.caller(0, Reached::Tcp(None));
        let (mut answers, count) = (JoinSet::new(), calls.len());
        for (number, call) in calls.into_iter().enumerate() {
            let answer = caller.serve(self.request(Full::new(call.body)));
            answers.spawn(async move { (number, call.name, whole(answer.await).await) });
        }
        let batcher = self.proxy.routes().all()[self.chosen.number]
            .batcher
            .clone();
        let (mut answered, mut looks) = (Vec::new(), interval(ASKS));
        loop {
            tokio::select! {
                answer = answers.join_next() => match answer {
                    Some(Ok(answer)) => answered.push(answer),
                    Some(Err(error)) => return Err(io::Error::other(error).into()),
                    None => break,
                },
                _ = looks.tick() => {
                    // Where some go alone, the others wait as long as the batcher has them.
                    if batcher.snapshot().queued + answered.len() >= count {
                        batcher.flush();
                    }
                }
            }
        }
        answered.sort_unstable_by_key(|(number, ..)| *number);
        let mut fine = true;
        for (_, name, answer) in answered {
            let (head, body) = answer?;
            fine &= head.status.is_success();
            self.said.answer(&name, &head, &body)?;
        }
        Ok(fine)
    }
}

/// An answer with all of its body.
async fn whole(answer: Response<AnswerBody>) -> io::Result<(http::response::Parts, Bytes)> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    Ok((head, body.to_bytes()))
}
