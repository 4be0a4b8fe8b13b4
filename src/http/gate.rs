//! What every request of a listener passes before anything is looked up for it.
//!
//! Both listeners have one for each connection, and `POST /jobs` passes it as all
//! else does. Checks stand in their order here: the host first, so that nothing is
//! told to a page that got here by a name of its own; then the token, before anything is
//! told of which paths there are.

use std::sync::{Arc, OnceLock};

use axum::http::header::{HOST, HeaderValue};
use axum::http::{Request, Version};

use super::authority::{HostNames, Rules};
use super::bearer::Bearer;
use super::paths::{IsOpen, open_to_callers, open_to_operators};
use super::problem::Problem;
use crate::server::socket::Reached;
use crate::tokens::{Admitted, Guard};

/// The checks of one connection.
#[derive(Debug)]
pub(super) struct Gate {
    rules: Rules,
    /// The first `Host` that was let through: most callers never say another, and
    /// what the rules say of one they always say.
    host: OnceLock<HeaderValue>,
    /// Unless everybody may come in.
    bearer: Option<Bearer>,
    /// What everybody may ask all the same.
    is_open: IsOpen,
}

impl Gate {
    /// That of a caller who has reached us so, where these tokens let in.
    pub fn of_caller(names: &HostNames, tokens: Option<&Guard>, reached: Reached) -> Self {
        Self::new(Rules::of(names, reached), tokens, open_to_callers)
    }

    /// That of an operator, who may not be a page of another origin.
    pub fn of_operator(names: &HostNames, tokens: Option<&Guard>, reached: Reached) -> Self {
        let rules = Rules::of(names, reached).with_own_origin(reached);
        Self::new(rules, tokens, open_to_operators)
    }

    fn new(rules: Rules, tokens: Option<&Guard>, is_open: IsOpen) -> Self {
        Self {
            rules,
            host: OnceLock::new(),
            bearer: tokens.cloned().map(Bearer::new),
            is_open,
        }
    }

    /// Whether a request may go on, and whom its token lets in where tokens do.
    ///
    /// # Errors
    /// What it is answered if not.
    pub fn check<B>(&self, request: &Request<B>) -> Result<Option<Arc<Admitted>>, Problem> {
        self.check_host(request)?;
        match &self.bearer {
            None => Ok(None),
            Some(_) if (self.is_open)(request.method().as_str(), request.uri().path()) => Ok(None),
            Some(bearer) => bearer.check(request.headers()).map(Some),
        }
    }

    /// Whether the `Authorization` of a request is for this listener, and for nobody beyond
    /// it.
    pub fn takes_tokens(&self) -> bool {
        self.bearer.is_some()
    }

    fn check_host<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let only = self.only_host(request);
        if only.is_some() && only == self.host.get() {
            return Ok(());
        }
        self.rules.check(request)?;
        if let Some(host) = only {
            let _ = self.host.set(host.clone());
        }
        Ok(())
    }

    /// The one thing that the rules look at, where it is that.
    fn only_host<'a, B>(&self, request: &'a Request<B>) -> Option<&'a HeaderValue> {
        if request.version() != Version::HTTP_11
            || request.uri().authority().is_some()
            || self.rules.look_at_origin_of(request.method())
        {
            return None;
        }
        // Few headers are looked through in less than the hash of a name takes.
        let mut hosts = request.headers().iter().filter(|(name, _)| *name == HOST);
        let (_, only) = hosts.next()?;
        hosts.next().is_none().then_some(only)
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
