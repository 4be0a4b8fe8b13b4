//! What must hold between settings, each of which is fine by itself.
//!
//! A rule is asked when all its values could be read, so that one mistake is not told twice.

use super::address::collide;
use super::options::Options;

/// Something that must not be, and what is said of it: `{key}` stands for a key with its value and
/// place.
struct Rule {
    broken: fn(&Options) -> Option<bool>,
    says: &'static str,
}

/// What cannot work together.
pub(crate) fn refused(options: &Options) -> impl Iterator<Item = String> {
    const RULES: &[Rule] = &[
        Rule {
            broken: |given| {
                let body = given.server.max_body.get()?.saturating_add(2);
                Some(body > given.route.batch.max_bytes.get()?)
            },
            says: "{server.max_body} + 2 is more than {batch.max_bytes}: the largest job alone \
                   must fit a batch with its brackets; lower server.max_body or raise \
                   batch.max_bytes",
        },
        Rule {
            broken: |given| {
                let wait = given.route.batch.max_wait.get()?;
                Some(wait >= given.server.request_timeout.get()?)
            },
            says: "{batch.max_wait} is not less than {server.request_timeout}: a job would expire \
                   while it waits for company; lower batch.max_wait or raise \
                   server.request_timeout",
        },
        Rule {
            broken: |given| Some(given.route.queue.max_bytes.get()? < given.server.max_body.get()?),
            says: "{queue.max_bytes} is less than {server.max_body}: the largest job could never \
                   wait; raise queue.max_bytes or lower server.max_body",
        },
        Rule {
            broken: |given| {
                let answer = given.route.upstream.max_response.get()?;
                let both = given.server.max_body.get()?.saturating_add(answer);
                Some(given.server.max_buffered.get()? < both)
            },
            says: "{server.max_buffered} is less than {server.max_body} and \
                   {upstream.max_response} together: one body and one answer must fit; raise \
                   server.max_buffered or lower one of the two",
        },
        Rule {
            broken: |given| Some(given.route.retry.base.get()? > given.route.retry.cap.get()?),
            says: "{retry.base} is more than {retry.cap}: no pause before a retry may be longer \
                   than the cap; lower retry.base or raise retry.cap",
        },
        Rule {
            broken: |given| {
                let operators = given.admin.listen.get()??;
                Some(collide(&given.server.listen.get()?, &operators))
            },
            says: "{server.listen} and {admin.listen} are one port of one host; give them two, or \
                   \"\" for no admin.listen",
        },
    ];
    broken(RULES, options)
}

/// What works, but cannot be what was meant.
pub(crate) fn doubtful(options: &Options) -> impl Iterator<Item = String> {
    const RULES: &[Rule] = &[
        Rule {
            broken: |given| {
                Some(given.route.queue.max_jobs.get()? < given.route.batch.max_size.get()?)
            },
            says: "{queue.max_jobs} is less than {batch.max_size}: no batch will ever be full",
        },
        Rule {
            broken: |given| {
                Some(given.route.queue.max_bytes.get()? < given.route.batch.max_bytes.get()?)
            },
            says: "{queue.max_bytes} is less than {batch.max_bytes}: no batch will ever be that \
                   large",
        },
    ];
    broken(RULES, options)
}

fn broken(rules: &'static [Rule], options: &Options) -> impl Iterator<Item = String> {
    let broken = rules
        .iter()
        .filter(|rule| (rule.broken)(options) == Some(true));
    broken.map(|rule| {
        let parts = rule.says.split(['{', '}']).enumerate();
        let parts = parts.map(|(i, part)| match i % 2 {
            0 => part.to_owned(),
            _ => options.told(part).unwrap_or_default(),
        });
        parts.collect()
    })
}
