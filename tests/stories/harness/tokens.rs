//! Files of tokens that are let in.

use std::io::Write;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// The line of a token in its file.
pub fn token_entry(name: &str, token: &str) -> String {
    let digest = Sha256::digest(token);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}: sha256:{hex}\n")
}

/// A file of tokens, gone with this.
pub struct TokenFile(NamedTempFile);

impl TokenFile {
    /// The file of these, by their names.
    pub fn of(tokens: &[(&str, &str)]) -> Self {
        let mut file = NamedTempFile::new().expect("a file");
        let lines = tokens.iter().map(|(name, token)| token_entry(name, token));
        let text = format!("# who may come in\n\n{}", lines.collect::<String>());
        file.write_all(text.as_bytes()).expect("the tokens");
        Self(file)
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().expect("a path in UTF-8")
    }

    /// Has it say something else, at once.
    pub fn replace(&self, text: &str) {
        let folder = self.0.path().parent().expect("a folder");
        let mut new = NamedTempFile::new_in(folder).expect("a file");
        new.write_all(text.as_bytes()).expect("the tokens");
        new.persist(self.0.path())
            .expect("a file in place of the other");
    }
}
