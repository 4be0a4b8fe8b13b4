//! What must hold between settings, each of which is fine by itself.
//!
//! A rule is asked when both its values could be read, so that one mistake is not told twice. In
//! what it says, `{key}` stands for a key with its value and place.

use super::given::Given;
use super::options::{Options, RouteOptions, keys};
use super::routes::RouteOf;
use crate::address::collide;
use crate::later::StoreKind;

/// What cannot work together in a route.
pub(crate) fn refused_of(route: &RouteOf) -> Vec<String> {
    let (server, later) = (&route.options.server, &route.options.later);
    let RouteOptions {
        batch,
        queue,
        upstream,
        retry,
        shape,
        ..
    } = &route.options.route;
    let body = server.max_body.get().unwrap_or_default();
    // What is too large for a batch is a mistake where calls are jobs; else it goes alone, and never
    // waits.
    let largest = batch.max_bytes.get().map_or(body, |array| body.min(array));
    told(
        route,
        [
            (
                shape.takes_jobs() == Some(true)
                    && both(&server.max_body, &batch.max_bytes, |body, array| {
                        body.saturating_add(2) > array
                    }),
                "{server.max_body} + 2 is more than {batch.max_bytes}: the largest job alone must \
                 fit a batch with its brackets; lower server.max_body or raise batch.max_bytes",
            ),
            (
                both(&batch.max_wait, &server.request_timeout, |wait, stay| {
                    wait >= stay
                }),
                "{batch.max_wait} is not less than {server.request_timeout}: a job would expire \
                 while it waits for company; lower batch.max_wait or raise server.request_timeout",
            ),
            (
                both(&queue.max_bytes, &server.max_body, |room, _| room < largest),
                "{queue.max_bytes} is less than {server.max_body}: the largest job could never \
                 wait; raise queue.max_bytes or lower server.max_body",
            ),
            (
                both(
                    &server.max_buffered,
                    &upstream.max_response,
                    |room, answer| room < answer.saturating_add(body),
                ) && server.max_body.get().is_some(),
                "{server.max_buffered} is less than {server.max_body} and \
                 {upstream.max_response} together: one body and one answer must fit; raise \
                 server.max_buffered or lower one of the two",
            ),
            (
                in_redis(&later.store)
                    && both(&later.lease, &upstream.timeout, |lease, call| lease <= call),
                "{later.lease} is not more than {upstream.timeout}: what a replica has claimed \
                 would be another's while the upstream still has it; raise later.lease or lower \
                 upstream.timeout",
            ),
            (
                both(&retry.base, &retry.cap, |base, cap| base > cap),
                "{retry.base} is more than {retry.cap}: no pause before a retry may be longer \
                 than the cap; lower retry.base or raise retry.cap",
            ),
        ],
    )
}

/// What cannot work together of what is the whole proxy's.
pub(crate) fn refused(options: &Options) -> Vec<String> {
    let (server, admin, later) = (&options.server, &options.admin, &options.later);
    // What is set of a store that is off says nothing.
    let keeps = later.store.get() != Some(StoreKind::Off);
    broken(
        [
            (
                keeps
                    && both(&later.max_wait, &later.job_timeout, |wait, stay| {
                        wait >= stay
                    }),
                "{later.max_wait} is not less than {later.job_timeout}: a job would expire while \
                 it waits for company; lower later.max_wait or raise later.job_timeout",
            ),
            (
                keeps && both(&later.max_bytes, &server.max_body, |room, body| room < body),
                "{later.max_bytes} is less than {server.max_body}: the largest job could never be \
                 kept; raise later.max_bytes or lower server.max_body",
            ),
            (
                in_redis(&later.store)
                    && both(&later.timeout, &later.lease, |step, lease| step >= lease),
                "{later.timeout} is not less than {later.lease}: no lease could be renewed in \
                 time; lower later.timeout or raise later.lease",
            ),
            (
                both(
                    &later.store,
                    &later.ca,
                    |store, _| matches!(store, StoreKind::Redis(url) if !url.is_encrypted()),
                ),
                "{later.store} is not encrypted, and {later.ca} says what a certificate is checked \
                 with; begin later.store with rediss:// or leave later.ca out",
            ),
            (
                both(&server.listen, &admin.listen, |jobs, operators| {
                    jobs.socket().is_some()
                        && operators.is_some_and(|operators| collide(&jobs, &operators))
                }),
                "{server.listen} and {admin.listen} are one socket; give them two, or \"\" for \
                 no admin.listen",
            ),
            (
                both(&server.listen, &admin.listen, |jobs, operators| {
                    jobs.socket().is_none()
                        && operators.is_some_and(|operators| collide(&jobs, &operators))
                }),
                "{server.listen} and {admin.listen} are one port of one host; give them two, or \
                 \"\" for no admin.listen",
            ),
        ],
        |key| options.told(key, None),
    )
}

fn in_redis(store: &Given<StoreKind>) -> bool {
    matches!(store.get(), Some(StoreKind::Redis(_)))
}

/// What is set for another store than there is. Where there is none nothing is told: all of it is for
/// when there is one.
pub(crate) fn unused(options: &Options) -> Vec<String> {
    const OF_REDIS: [&str; 5] = [
        "later.lease",
        "later.prefix",
        "later.timeout",
        "later.ca",
        "later.allow_volatile",
    ];
    let lasting = "later.max_attempts";
    let unused = match options.later.store.get() {
        Some(StoreKind::Memory) => [&[lasting][..], &OF_REDIS].concat(),
        Some(StoreKind::Sqlite(_)) => OF_REDIS.to_vec(),
        Some(StoreKind::Off | StoreKind::Redis(_)) | None => Vec::new(),
    };
    let store = options.told("later.store", None).unwrap_or_default();
    let told = unused.into_iter().filter_map(|name| {
        let key = options.changed(name)?;
        Some(format!("{key} is not used with {store}"))
    });
    told.collect()
}

/// What works in a route, but cannot be what was meant.
pub(crate) fn doubtful_of(route: &RouteOf) -> Vec<String> {
    let RouteOptions { batch, queue, .. } = &route.options.route;
    told(
        route,
        [
            (
                both(&queue.max_jobs, &batch.max_size, |jobs, size| jobs < size),
                "{queue.max_jobs} is less than {batch.max_size}: no batch will ever be full",
            ),
            (
                both(&queue.max_bytes, &batch.max_bytes, |room, array| {
                    room < array
                }),
                "{queue.max_bytes} is less than {batch.max_bytes}: no batch will ever be that \
                 large",
            ),
        ],
    )
}

fn both<A: Clone, B: Clone>(
    one: &Given<A>,
    other: &Given<B>,
    broken: impl FnOnce(A, B) -> bool,
) -> bool {
    let values = one.get().zip(other.get());
    values.is_some_and(|(one, other)| broken(one, other))
}

/// What is said of the rules that are broken in a route.
fn told<const N: usize>(route: &RouteOf, rules: [(bool, &str); N]) -> Vec<String> {
    broken(rules, |name| {
        let own = route.own.as_ref();
        let key = keys().iter().find(|key| key.key == name)?;
        // What it inherits stands at the top level.
        let is_own = own.is_some_and(|own| (key.origin)(own).is_some());
        route.options.told(name, route.key().filter(|_| is_own))
    })
}

/// What is said of the rules that are broken, where this tells of a key.
fn broken<const N: usize>(
    rules: [(bool, &str); N],
    tell: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    let told = broken.map(|(_, says)| {
        let parts = says.split(['{', '}']).enumerate();
        let parts = parts.map(|(i, part)| match i % 2 {
            0 => part.to_owned(),
            _ => tell(part).unwrap_or_default(),
        });
        parts.collect()
    });
    told.collect()
}
