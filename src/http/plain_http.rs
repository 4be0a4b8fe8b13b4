//! What a client is told that speaks HTTP without TLS where TLS is spoken.

use std::sync::LazyLock;

use super::problem::status;
use crate::code::Code;

/// The whole answer, as it goes over the wire. In plain words: whoever gets it is not at the right
/// door yet.
pub static TO_PLAIN_HTTP: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    const WORDS: &str = "This port speaks TLS, and the request came without it: begin its URL \
                         with https:// instead of http://\n";
    let status = status::of(Code::InvalidRequest);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        WORDS.len()
    );
    [head, WORDS.to_owned()].concat().into_bytes().into()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_whole_answer() {
        let answer = String::from_utf8_lossy(&TO_PLAIN_HTTP);
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = format!("\r\ncontent-length: {}\r\n", body.len());
        assert!(head.contains(&length), "{answer}");
    }
}
