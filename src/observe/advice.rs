//! What limits the proxy now, in words: each sentence with its numbers and the
//! setting or the side to change.
//!
//! Pure: [`Figures`] of the last minute in, sentences out, what dominates first. Each
//! rule is a function of its own; [`advise`] alone decides which of them may speak,
//! so that no two sentences contradict each other. The live page, `GET /advice` and
//! `microbatch advice` show them.

mod backlog;
mod batching;
mod failing;
mod figures;
mod later;
mod load;
mod reasons;
mod sentence;

pub use backlog::{Backlog, BacklogLimits};
pub use figures::{Figures, Limits};
pub use sentence::{Advice, Kind};

/// Everything there is to say, what dominates first; never nothing.
pub fn advise(figures: &Figures, limits: &Limits) -> Vec<Advice> {
    let mut advice = match only(figures, limits) {
        Some(only) => vec![only],
        None => all(figures, limits),
    };
    advice.extend(later::all(figures, limits));
    if advice.iter().any(|it| it.kind == Kind::Problem) {
        advice.retain(|it| it.kind != Kind::Good);
    }
    if advice.is_empty() {
        advice.push(batching::fine(figures));
    }
    advice.extend(load::lines_dropped(figures));
    advice.sort_by_key(|it| it.kind);
    advice
}

/// What leaves nothing else to say: where nothing gets through, or nothing comes in,
/// batches are as they are for that reason.
fn only(figures: &Figures, limits: &Limits) -> Option<Advice> {
    failing::circuit_open(figures, limits)
        .or_else(|| failing::outage(figures, limits))
        .or_else(|| failing::exodus(figures, limits))
        .or_else(|| load::no_jobs(figures))
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
