//! The files that the settings name, looked at before anything goes by them, so that all of their
//! mistakes are told at once.

use super::door::Doors;
use super::files::Files;
use super::route;
use crate::config::{Mistake, Mistakes, Settings};
use crate::upstream;

/// Looks at the files that the settings name, as a proxy that starts or reloads does; what is doubtful about them, in
/// words.
///
/// # Errors
/// Everything that is wrong with them.
pub fn check_files(settings: &Settings) -> Result<Vec<String>, Mistakes> {
    let files = Files::default();
    let mut mistakes = Vec::new();
    let mut opened = Vec::new();
    for route in &settings.routes {
        match route::tls(route) {
            Ok(tls) => opened.extend(tls.files()),
            Err(error) => mistakes.extend(of_files(&error)),
        }
    }
    let doors = Doors::open(settings);
    if let Err(wrong) = &doors {
        mistakes.extend(wrong.iter().cloned());
    }
    if let Some(mistakes) = Mistakes::of(mistakes) {
        return Err(mistakes);
    }
    // What is watched is what somebody has.
    let doors = doors?;
    doors.watched_by(&files);
    opened.iter().for_each(|it| files.watch_certificates(it));
    Ok(files.doubtful())
}

/// The mistake of files that the settings of an upstream name.
fn of_files(error: &upstream::SetupError) -> Option<Mistake> {
    let upstream::SetupError::Files { key, error } = error else {
        return None;
    };
    Some(Mistake {
        origin: None,
        key: key.clone(),
        what: error.to_string(),
    })
}
