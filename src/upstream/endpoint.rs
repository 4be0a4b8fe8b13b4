//! Whom to call: a URL, or a path of whoever listens on a unix socket of this machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use url::{Position, Url};

/// What the address of a socket begins with.
const UNIX: &str = "unix:";

/// Whom a request to a socket is for.
const LOCALHOST: &str = "http://localhost";

/// Whom to call, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// For a socket `http://localhost` and the path.
    url: Url,
    socket: Option<Arc<Path>>,
}

impl From<Url> for Endpoint {
    fn from(url: Url) -> Self {
        Self { url, socket: None }
    }
}

impl FromStr for Endpoint {
    type Err = url::ParseError;

    /// A URL, or `unix:`, the path of a socket, and after a colon the path and query of a
    /// request; without them it is `/`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rest) = text.strip_prefix(UNIX) else {
            return Url::parse(text).map(Self::from);
        };
        let (socket, path) = rest.split_once(':').unwrap_or((rest, ""));
        Ok(Self {
            url: Url::parse(&format!("{LOCALHOST}{path}"))?,
            socket: Some(PathBuf::from(socket).into()),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.url[Position::BeforePath..];
        match &self.socket {
            None => f.write_str(self.url.as_str()),
            Some(socket) if path == "/" => write!(f, "{UNIX}{}", socket.display()),
            Some(_) => f.write_str(&self.at(path)),
        }
    }
}

impl Endpoint {
    /// The URL: of a socket, with `localhost` for its host.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The path of the socket, where it is one.
    pub fn socket(&self) -> Option<&Arc<Path>> {
        self.socket.as_ref()
    }

    /// The same with another URL.
    #[must_use]
    pub fn with(&self, url: Url) -> Self {
        let socket = self.socket.clone();
        Self { url, socket }
    }

    /// How another path of it is written, without user and password.
    pub fn at(&self, path: &str) -> String {
        match &self.socket {
            None => {
                let host = &self.url[Position::BeforeHost..Position::AfterPort];
                format!("{}://{host}{path}", self.url.scheme())
            }
            Some(socket) if path.is_empty() => format!("{UNIX}{}", socket.display()),
            Some(socket) => format!("{UNIX}{}:{path}", socket.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_a_path_of_its_own_and_one_to_ask_for() {
        for (text, socket, url, shown) in [
            ("http://h:1/a?b", None, "http://h:1/a?b", "http://h:1/a?b"),
            ("unix:/s", Some("/s"), "http://localhost/", "unix:/s"),
            ("unix:/s:/", Some("/s"), "http://localhost/", "unix:/s"),
            (
                "unix:/run/a b.sock:/v1/x:y?c=d:e",
                Some("/run/a b.sock"),
                "http://localhost/v1/x:y?c=d:e",
                "unix:/run/a b.sock:/v1/x:y?c=d:e",
            ),
            (
                "unix:/s:/?a",
                Some("/s"),
                "http://localhost/?a",
                "unix:/s:/?a",
            ),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.socket().map(|it| &**it), socket.map(Path::new));
            assert_eq!(endpoint.url().as_str(), url);
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn another_path_is_written_as_the_first() {
        for (text, expected) in [
            ("http://u:p@h:1/a?b", "http://h:1/x"),
            ("unix:/s:/a", "unix:/s:/x"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.at("/x"), expected);
        }
    }
}
