//! What limits the proxy now, in words: each sentence with its numbers and the
//! setting or the side to change.
//!
//! Pure: [`Figures`] of the last minute and the certificates in, sentences out, what dominates first. Each
//! rule is a function of its own; [`advise`] alone decides which of them may speak,
//! so that no two sentences contradict each other. The live page, `GET /advice` and
//! `microbatch advice` show them.

mod backlog;
mod batching;
mod certificates;
mod failing;
mod figures;
mod later;
mod load;
mod reasons;
mod sentence;

use std::time::SystemTime;

use crate::observe::certificate::Certificate;

pub use backlog::{Backlog, BacklogLimits};
pub use figures::{Figures, Limits};
pub use sentence::{Advice, Kind};

/// A route, as the advice about a process sees it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its name.
    pub route: &'a str,
    /// What happened on it.
    pub figures: &'a Figures,
    /// What it is to go by.
    pub limits: &'a Limits,
}

/// Everything there is to say of a process with these routes, on which `whole` happened in
/// all; what dominates first, and never nothing. Where there are several each sentence about
/// one begins with its name.
pub fn advise(
    routes: &[Subject<'_>],
    whole: &Figures,
    certificates: &[Certificate],
    now: SystemTime,
) -> Vec<Advice> {
    let Some(first) = routes.first() else {
        return Vec::new();
    };
    let mut said: Vec<(Rank, Advice)> = Vec::new();
    // Of two that are as bad the one with more to do is told first.
    let mut busiest: Vec<_> = routes.iter().collect();
    busiest.sort_by_key(|it| std::cmp::Reverse(it.figures.jobs + it.figures.refused));
    let several = routes.len() > 1;
    for route in busiest {
        let of_route = of_route(route.figures, route.limits).into_iter();
        said.extend(of_route.map(|(rank, advice)| match several {
            true => (rank, advice.on(route.route)),
            false => (rank, advice),
        }));
    }
    if said.iter().all(|(rank, _)| *rank != Rank::Only) {
        let jobs = routes.iter().any(|it| it.route == "jobs");
        said.extend(load::no_jobs(whole, jobs).map(|it| (Rank::Only, it)));
    }
    let of_store = later::of_store(whole, first.limits).into_iter();
    said.extend(of_store.map(|it| (Rank::Store, it)));
    let ending = certificates::ending(certificates, now);
    said.extend(ending.map(|it| (Rank::Certificates, it)));
    if said.iter().any(|(_, it)| it.kind == Kind::Problem) {
        said.retain(|(_, it)| it.kind != Kind::Good);
    }
    if said.iter().all(|(rank, _)| *rank == Rank::Certificates) {
        said.push((Rank::Last, batching::fine(whole)));
    }
    said.extend(load::lines_dropped(whole).map(|it| (Rank::Last, it)));
    said.sort_by_key(|(rank, it)| (it.kind, *rank));
    said.into_iter().map(|(_, advice)| advice).collect()
}

/// Which of two sentences goes first that are as pressing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It leaves nothing else to say.
    Only,
    Callers,
    Certificates,
    Store,
    Later,
    Last,
}

fn of_route(figures: &Figures, limits: &Limits) -> Vec<(Rank, Advice)> {
    let callers = match only(figures, limits) {
        Some(only) => vec![(Rank::Only, only)],
        // Nothing is to be said of batches where there are none.
        None if load::is_quiet(figures) => Vec::new(),
        None => ranked(Rank::Callers, all(figures, limits)),
    };
    let later = ranked(Rank::Later, later::of_jobs(figures, limits));
    callers.into_iter().chain(later).collect()
}

fn ranked(rank: Rank, advice: Vec<Advice>) -> Vec<(Rank, Advice)> {
    advice.into_iter().map(|it| (rank, it)).collect()
}

/// What leaves nothing else to say of a route: where nothing gets through, batches are as
/// they are for that reason.
fn only(figures: &Figures, limits: &Limits) -> Option<Advice> {
    failing::circuit_open(figures, limits)
        .or_else(|| failing::outage(figures, limits))
        .or_else(|| failing::exodus(figures, limits))
        .or_else(|| load::all_refused(figures))
}

fn all(figures: &Figures, limits: &Limits) -> Vec<Advice> {
    type Rule = fn(&Figures, &Limits) -> Option<Advice>;
    // Jobs of one id go one after another, so that slots, queue and batches are what
    // they are because of the ids.
    let by_ids = figures.is_ruled_by_ids();
    // Nobody waits for company in batches of jobs for later.
    let by_later = figures.is_mostly_later();
    let overloaded = load::is_overloaded(figures, limits);
    let rules: [(bool, Rule); 12] = [
        (true, failing::some),
        (true, failing::departures),
        (true, batching::equal_ids),
        (!by_ids, load::full_queue),
        (!by_ids, load::busy_slots),
        (true, batching::retries),
        (true, batching::too_large),
        (true, batching::bisections),
        (!by_ids && !overloaded && !by_later, batching::half_empty),
        (!batching::is_too_large(figures), batching::full_of_bytes),
        (!batching::is_too_large(figures), batching::full_batches),
        (!by_ids && !by_later, batching::idle_batches),
    ];
    let may = rules.into_iter().filter(|&(may, _)| may);
    may.filter_map(|(_, rule)| rule(figures, limits)).collect()
}

#[cfg(test)]
mod later_tests;
#[cfg(test)]
mod tests;
