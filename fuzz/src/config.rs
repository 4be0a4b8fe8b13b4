//! Section 7 of the contract, as far as it can be said of any file at all.

use std::io::Write as _;

use microbatch::config::{Flags, Loaded, Mistakes, NeedUpstream, load};

/// Checks that a configuration file is either refused in printable lines, or comes to settings
/// that print as a file of the same settings.
///
/// # Panics
/// Where neither is so.
pub fn check(file: &[u8]) {
    match load_file(file) {
        Ok(loaded) => {
            let printed = loaded.options.to_toml();
            let again = match load_file(printed.as_bytes()) {
                Ok(again) => again.options.to_toml(),
                Err(mistakes) => panic!("{mistakes}\nin {printed}"),
            };
            assert_eq!(again, printed);
            assert_one_line(&loaded.options.summary());
            loaded.warnings.iter().for_each(|it| assert_one_line(it));
        }
        Err(mistakes) => {
            assert_ne!(mistakes.iter().count(), 0);
            mistakes
                .iter()
                .for_each(|mistake| assert_one_line(&mistake.to_string()));
        }
    }
}

fn load_file(text: &[u8]) -> Result<Loaded, Mistakes> {
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.write_all(text).expect("a file can be written");
    let mut flags = Flags::default();
    flags.config = Some(file.path().to_owned());
    load(&flags, std::iter::empty(), NeedUpstream::No)
}

fn assert_one_line(text: &str) {
    assert!(!text.is_empty());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
