//! The whole set-ups in `config/`, as proxies before an upstream of the story.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::Proxy;

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

/// A file of `config/`, with another address where its upstream's stands.
pub struct SetUp {
    file: NamedTempFile,
    /// Before the name of a variable that sets something of its route.
    variables: String,
}

impl SetUp {
    /// `config/NAME.toml` before `origin`, which is `scheme://host:port`.
    pub fn before(origin: &str, name: &str) -> Self {
        let text = std::fs::read_to_string(folder().join(format!("{name}.toml")));
        let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
        let between = |before: &str, after: &str| {
            let rest = text.split_once(before)?.1;
            Some(rest.split_once(after)?.0)
        };
        let host = between("\nurl = \"http://", "/").expect("an address with a path");
        let place = format!("http://{host}");
        let mut file = NamedTempFile::new().expect("a file");
        let own = text.replace(&place, origin);
        file.write_all(own.as_bytes()).expect("the settings");
        let route = between("\n[routes.", "]");
        let route = route.map(|name| format!("ROUTES__{}__", name.to_uppercase()));
        let variables = format!("MICROBATCH_{}", route.unwrap_or_default());
        Self { file, variables }
    }

    /// Starts it with these settings of its route in place of its own, such as
    /// `BATCH__MAX_SIZE`.
    pub async fn start(&self, settings: &[(&str, &str)]) -> Proxy {
        let file = self.file.path().to_str().expect("a path in UTF-8");
        let named = settings
            .iter()
            .map(|(key, value)| (format!("{}{key}", self.variables), *value));
        let named: Vec<_> = named.collect();
        let variables = named.iter().map(|(key, value)| (key.as_str(), *value));
        let variables: Vec<_> = variables.collect();
        Proxy::start("", &["--config", file], &variables).await
    }
}
