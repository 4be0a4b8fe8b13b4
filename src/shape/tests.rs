//! Shapes from end to end, without a socket: calls, a batch, an upstream's answer, replies.

mod answers;
mod intake;
mod jobs;
mod mistakes;
mod outgoing;
mod presets;
mod round_trip;
mod smuggling;

use bytes::Bytes;

use super::*;

const LIMITS: Limits = Limits {
    max_depth: 128,
    max_items: 100,
    max_bytes: 1 << 20,
};

/// Where numbers on the wire begin in these tests.
const FIRST: u64 = 7;

fn shape(table: &str) -> Shape {
    shape_of_path(table, &[])
}

fn shape_of_path(table: &str, captures: &[&str]) -> Shape {
    let keys: Keys = toml::from_str(table).unwrap();
    Shape::compile(&keys, captures).unwrap()
}

fn read(shape: &Shape, body: &str) -> Result<Call, NotMerged> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    shape.read(body, Request::default(), LIMITS)
}

fn calls(shape: &Shape, bodies: &[&str]) -> Vec<Call> {
    bodies.iter().map(|it| read(shape, it).unwrap()).collect()
}

/// The body of a batch of these.
fn batch(shape: &Shape, calls: &[Call]) -> String {
    text(&shape.write(calls.iter(), FIRST).body)
}

fn text(spliced: &Spliced) -> String {
    String::from_utf8(spliced.pieces().concat()).unwrap()
}

fn answer(shape: &Shape, calls: &[Call], answer: &str) -> Result<Answer, NoResults> {
    let answer = Bytes::copy_from_slice(answer.as_bytes());
    shape.read_answer(calls.iter(), FIRST, &answer)
}

/// What each call is answered, with its status; or why it has no reply.
fn replies(shape: &Shape, calls: &[Call], with: &str) -> Vec<Result<(u16, String), Outcome>> {
    let outcomes = answer(shape, calls, with).unwrap().outcomes;
    let each = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Reply(reply) => Ok((reply.status, text(&reply.body))),
        other => Err(other),
    });
    each.collect()
}

/// The same, where all have a reply of status 200.
fn bodies(shape: &Shape, calls: &[Call], with: &str) -> Vec<String> {
    let each = replies(shape, calls, with).into_iter().map(|reply| {
        let (status, body) = reply.unwrap();
        assert_eq!(status, 200, "{body}");
        body
    });
    each.collect()
}
