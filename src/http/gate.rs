//! What every request of a listener passes before anything is looked up for it.
//!
//! Both listeners have one for each connection, and `POST /jobs` passes it as all
//! else does. Checks stand in their order here: the host first, so that nothing is
//! told to a page that got here by a name of its own.

use std::sync::OnceLock;

use axum::http::header::{HOST, HeaderValue};
use axum::http::{Request, Version};

use super::authority::{HostNames, Rules};
use super::problem::Problem;
use crate::server::socket::Reached;

/// The checks of one connection.
#[derive(Debug)]
pub(super) struct Gate {
    rules: Rules,
    /// The first `Host` that was let through: most callers never say another, and
    /// what the rules say of one they always say.
    host: OnceLock<HeaderValue>,
}

impl Gate {
    /// That of a caller who has reached us so.
    pub fn of_caller(names: &HostNames, reached: Reached) -> Self {
        Self::new(Rules::of(names, reached))
    }

    /// That of an operator, who may not be a page of another origin.
    pub fn of_operator(names: &HostNames, reached: Reached) -> Self {
        Self::new(Rules::of(names, reached).with_own_origin(reached))
    }

    fn new(rules: Rules) -> Self {
        let host = OnceLock::new();
        Self { rules, host }
    }

    /// Whether a request may go on.
    ///
    /// # Errors
    /// What it is answered if not.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
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
        let mut hosts = request.headers().get_all(HOST).iter();
        hosts.next().filter(|_| hosts.next().is_none())
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
