//! Listens to the run's stream for results as they come.
//!
//! Each time it connects it hears first what is there: every finished job of the run that is
//! not acknowledged, of which there are no more than may be under way. So what was told while
//! nobody listened is told again, and a break needs no position to go on from. What a proxy
//! has lost it can't tell: the run asks for the missing after each break, and after a gap.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use reqwest::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::client::{Client, Handle, PAUSES, is_handle};
use super::outcome::Outcome;

/// What is heard.
#[derive(Debug)]
pub enum Heard {
    /// The result of a job.
    Finished(Handle, Outcome),
    /// Some may have been missed.
    Missed,
}

/// A line of the stream. That of a gap has no handle.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    handle: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// Listens for as long as somebody takes what is heard.
pub async fn listen(client: Client, first: Option<Response>, heard: mpsc::Sender<Heard>) {
    let mut response = first;
    let mut failed = 0;
    loop {
        if let Some(response) = response.take()
            && follow(response, &heard).await.is_err()
        {
            return;
        }
        failed += 1;
        sleep(PAUSES.pause(failed, None, fastrand::f64())).await;
        match client.listen().await {
            Ok(again) if again.status().is_success() => {
                response = Some(again);
                failed = 0;
                if heard.send(Heard::Missed).await.is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// Nobody takes what is heard.
struct NobodyListens;

/// Tells each line until the connection breaks.
async fn follow(mut response: Response, heard: &mpsc::Sender<Heard>) -> Result<(), NobodyListens> {
    let mut buffered = BytesMut::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let mut looked_at = buffered.len();
        buffered.extend_from_slice(&chunk);
        while let Some(at) = memchr::memchr(b'\n', &buffered[looked_at..]) {
            let line = buffered.split_to(looked_at + at);
            buffered.advance(1);
            looked_at = 0;
            if let Some(event) = understand(&line) {
                heard.send(event).await.map_err(|_| NobodyListens)?;
            }
        }
    }
    Ok(())
}

/// What a line says. An empty one keeps the connection open.
fn understand(line: &[u8]) -> Option<Heard> {
    if line.iter().all(u8::is_ascii_whitespace) || line.starts_with(b":") {
        return None;
    }
    let said = serde_json::from_slice(line).ok();
    let said = said.and_then(
        |Line {
             handle,
             status,
             body,
         }| {
            let handle = handle.filter(|it| is_handle(it))?;
            let outcome = Outcome::of(status?, body.map(RawValue::to_owned));
            Some(Heard::Finished(Arc::from(handle), outcome))
        },
    );
    Some(said.unwrap_or(Heard::Missed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_says() {
        for (line, expected) in [
            ("", "nothing"),
            ("\r", "nothing"),
            (": still here", "nothing"),
            (r#"{"event":"gap"}"#, "missed"),
            (
                r#"{"handle":"a","id":1,"status":200,"body":[1, 2]}"#,
                "a [1, 2]",
            ),
            (
                r#"{"handle":"a","id":1,"status":204,"body":null}"#,
                "a null",
            ),
            (
                r#"{"handle":"../a","id":1,"status":200,"body":1}"#,
                "missed",
            ),
            ("{", "missed"),
        ] {
            let said = match understand(line.as_bytes()) {
                None => "nothing".to_owned(),
                Some(Heard::Missed) => "missed".to_owned(),
                Some(Heard::Finished(handle, outcome)) => {
                    let line = outcome.line(b"{}", None, 1);
                    let (_, body) = line.trim_end().split_once("\"body\":").unwrap();
                    format!("{handle} {}", body.trim_end_matches('}'))
                }
            };
            assert_eq!(said, expected, "{line}");
        }
    }
}
