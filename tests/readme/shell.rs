//! Just enough of a shell and of curl to run the README's lines where there is no curl.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The words of a line, quotes taken off.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for char in line.chars() {
        match (char, quote) {
            ('\'' | '"', None) => quote = Some(char),
            (char, Some(open)) if char == open => quote = None,
            (' ' | '\n', None) => words.push(std::mem::take(&mut word)),
            _ => word.push(char),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Runs a line in a shell with curl, whose output this is; `None` on a machine without curl.
pub fn with_curl(line: &str) -> Option<String> {
    match Command::new("curl").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        found => assert!(found.unwrap().status.success()),
    }
    // curl's own settings are not the README's.
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env("CURL_HOME", "/nonexistent");
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        shell.env_remove(proxy);
    }
    let output = shell.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What `curl -i` would print of the one request that `line` makes, spoken by hand.
pub fn by_hand(line: &str) -> String {
    let words = words(line);
    let after = |flag: &str| {
        let at = words.iter().position(|word| word == flag)?;
        words.get(at + 1)
    };
    let url = words.iter().find_map(|word| word.strip_prefix("http://"));
    let (host, path) = url
        .and_then(|url| url.split_once('/'))
        .unwrap_or_else(|| panic!("no URL in {line}"));
    let body = after("-d").unwrap_or_else(|| panic!("no -d in {line}"));
    assert!(after("-X").is_none_or(|method| method == "POST"), "{line}");

    let mut stream = TcpStream::connect(host.parse::<SocketAddr>().unwrap()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    )
    .unwrap();
    read_message(&mut BufReader::new(stream))
}

/// One HTTP/1.1 message with a Content-Length, head and body.
pub fn read_message(reader: &mut impl BufRead) -> String {
    let (mut message, mut length) = (String::new(), 0);
    loop {
        let start = message.len();
        assert_ne!(reader.read_line(&mut message).unwrap(), 0, "{message}");
        let line = message[start..].to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    message + std::str::from_utf8(&body).unwrap()
}

/// A message without what differs from one run to the next.
pub fn timeless(message: &str) -> Vec<String> {
    let varies = ["x-batch-id", "server-timing", "date", "traceparent", "host"];
    let lines = message.trim_end().lines().map(|line| {
        let (name, _) = line.split_once(": ").unwrap_or((line, ""));
        match varies.contains(&name) {
            true => format!("{name}: …"),
            false => line.to_owned(),
        }
    });
    lines.collect()
}
