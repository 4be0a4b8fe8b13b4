//! What an operator looks at: all routes, or the one that was asked for.

use std::time::SystemTime;

use super::operator::{Admin, Watched};
use super::problem::Problem;
use crate::observe::advice::{Advice, Figures, Subject, advise};
use crate::observe::health::{Health, Present};
use crate::observe::live::Recent;

/// Some of a proxy's routes: all, or one.
pub(super) struct Chosen<'a> {
    pub admin: &'a Admin,
    pub routes: &'a [Watched],
}

/// The last five minutes of those, each up to its own moment.
pub(super) struct Reading<'a> {
    pub chosen: Chosen<'a>,
    /// Each by itself, where it is several.
    each: Vec<Recent>,
    /// All of them together.
    pub whole: Recent,
}

impl Admin {
    /// The routes that a query is about: all, or with `route=NAME` that one.
    ///
    /// # Errors
    /// There is none of that name.
    pub(super) fn chosen(&self, query: Option<&str>) -> Result<Chosen<'_>, Problem> {
        let routes = match query.and_then(|query| parameter(query, "route=")) {
            None => &self.routes[..],
            Some(name) => {
                let at = self.routes.iter().position(|it| it.name() == name);
                let at = at.ok_or_else(|| self.no_such_route())?;
                &self.routes[at..=at]
            }
        };
        Ok(Chosen {
            admin: self,
            routes,
        })
    }

    fn no_such_route(&self) -> Problem {
        let names: Vec<_> = self.routes.iter().map(Watched::name).collect();
        let names = names.join(", ");
        Problem::not_found(format!("no such route; there are these: {names}"))
    }
}

impl<'a> Chosen<'a> {
    /// Whether it is one of several.
    pub fn is_one_of_several(&self) -> bool {
        self.routes.len() < self.admin.routes.len()
    }

    /// Reads what happened on them.
    pub fn read(self) -> Reading<'a> {
        let records = self.admin.records();
        let each = self.routes.iter();
        let of = |route: &str| records.as_ref().map(|it| it.of(route));
        let mut each: Vec<_> = each.map(|it| it.recent(of(it.name()))).collect();
        let names = self.routes.iter().map(Watched::name);
        let whole = match each.len() {
            1 => each.pop().unwrap_or_default(),
            _ => Recent::together(names.zip(&each)),
        };
        Reading {
            chosen: self,
            each,
            whole,
        }
    }
}

impl Reading<'_> {
    fn routes(&self) -> impl Iterator<Item = (&Watched, &Recent)> {
        let each = match &self.each[..] {
            [] => std::slice::from_ref(&self.whole),
            each => each,
        };
        self.chosen.routes.iter().zip(each)
    }

    /// What limits them, in words.
    pub fn advise(&self) -> Vec<Advice> {
        let figures = self.routes();
        let figures =
            figures.map(|(it, recent)| Figures::of(recent, !it.route.circuit.is_closed()));
        let figures: Vec<_> = figures.collect();
        let subjects = self.chosen.routes.iter().zip(&figures);
        let subjects = subjects.map(|(it, figures)| Subject {
            route: it.name(),
            figures,
            limits: &it.advice,
        });
        let subjects: Vec<_> = subjects.collect();
        let together;
        let whole = match &figures[..] {
            [one] => one,
            _ => {
                together = Figures::of(&self.whole, false);
                &together
            }
        };
        let certificates = self.chosen.admin.observer.process().certificates();
        advise(&subjects, whole, &certificates, SystemTime::now())
    }

    /// How they are: the worst that is true of any.
    pub fn health(&self) -> Option<Health> {
        let ready = self.chosen.admin.is_ready();
        let health = self.routes().map(|(it, recent)| {
            let present = Present {
                queue_jobs: it.limits.queue_jobs,
                circuit: it.route.circuit.state(),
                ready,
            };
            (it.name(), Health::of(recent, &present))
        });
        Health::worst(health)
    }
}

/// The value of the first parameter of a query that begins so, as it stands there.
pub(super) fn parameter<'a>(query: &'a str, begins: &str) -> Option<&'a str> {
    query.split('&').find_map(|it| it.strip_prefix(begins))
}
