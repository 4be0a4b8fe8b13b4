//! What spans say of a route.

use crate::config::{redacted, settings};
use crate::observe::spans::Described;

/// What the spans of a route have in common, without the secrets that its upstream's URL may
/// have.
pub(super) fn described(settings: &settings::Route) -> Described {
    let to = redacted(settings.upstream.url.endpoint());
    let url = to.url();
    // Placeholders as they are written.
    let written = |text: &str| text.replace("%7B", "{").replace("%7D", "}");
    Described {
        route: settings.name.to_string(),
        path: settings.path.clone(),
        url: written(&to.to_string()),
        url_path: written(url.path()),
        host: url.host_str().unwrap_or_default().to_owned(),
        port: url.port_or_known_default(),
    }
}
