//! The files that are looked at again while the proxy runs, and who looks.
//!
//! `compose` opens them and has them [added](Files::watch), one task [looks](Files::look_on) at
//! all of them, every [`AGAIN`], and so does a reload. Who goes by a file has it as
//! long as it needs it; what nobody has any more is not looked at either.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::observe::{Certificate, Process, ProcessEvent, Reloaded};
use crate::reread::{Again, Looked};
use crate::tls::Certified;

/// How often files are looked at.
const AGAIN: Duration = Duration::from_secs(10);

/// How often the same is said of a certificate.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// See the module.
#[derive(Default)]
pub(super) struct Files {
    watched: Mutex<Vec<Watched>>,
    asked: Notify,
}

/// What is told of files that were read again.
type Counted = fn(Reloaded) -> ProcessEvent;

#[derive(Clone)]
enum Watched {
    Plain(Weak<dyn Again>, Counted),
    Certificates(Weak<dyn Certified>),
}

impl Files {
    /// These are looked at from here on, and counted so.
    pub fn watch(&self, files: &Arc<impl Again + 'static>, counted: Counted) {
        let weak = Arc::downgrade(files);
        self.add(Watched::Plain(weak, counted));
    }

    /// The same of certificates, which are counted, and spoken of before they end.
    pub fn watch_certificates(&self, files: &Arc<dyn Certified>) {
        self.add(Watched::Certificates(Arc::downgrade(files)));
    }

    fn add(&self, added: Watched) {
        // Nothing panics while it is held.
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|it| it.is_in_use() && it.place() != added.place());
        watched.push(added);
    }

    fn watched(&self) -> Vec<Watched> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.clone()
    }

    /// What is to be said of certificates that are over, or soon will be.
    pub fn doubtful(&self) -> Vec<String> {
        let said = SpokenOf::default().due(&in_force(&self.watched()), SystemTime::now());
        let said = said.into_iter();
        said.map(|(file, told)| format!("the certificate in {file} {told}"))
            .collect()
    }

    /// Looks at them now, and tells `process` and the log what came of it.
    pub async fn look(&self, process: &Process) {
        let watched = self.watched();
        // What panics there is a file that stays as it was.
        let looked = spawn_blocking(move || watched.iter().filter_map(Watched::look).collect());
        let looked: Vec<Outcome> = looked.await.unwrap_or_default();
        looked.into_iter().for_each(|it| it.tell(process));
    }

    /// Has whoever [looks on](Self::look_on) do so now.
    pub fn again(&self) {
        self.asked.notify_one();
    }

    /// Looks at them as long as it is polled, and tells `process` and the log what came of it.
    pub async fn look_on(&self, process: &Process) {
        let mut spoken_of = SpokenOf::default();
        loop {
            let certificates = in_force(&self.watched());
            for (file, told) in spoken_of.due(&certificates, SystemTime::now()) {
                warn!(file, state = told, "a certificate is not valid for long");
            }
            process.tell(ProcessEvent::Certificates(certificates));
            // Early is as good.
            let _ = timeout(AGAIN, self.asked.notified()).await;
            self.look(process).await;
        }
    }
}

/// That files have changed.
struct Outcome {
    name: String,
    counted: Counted,
    looked: Looked,
}

impl Watched {
    fn is_in_use(&self) -> bool {
        match self {
            Self::Plain(files, _) => files.strong_count() > 0,
            Self::Certificates(files) => files.strong_count() > 0,
        }
    }

    /// Which they are: those of one place are the same.
    fn place(&self) -> *const () {
        match self {
            Self::Plain(files, _) => files.as_ptr().cast(),
            Self::Certificates(files) => files.as_ptr().cast(),
        }
    }

    /// Looks at them, if they are still in use; nothing where they have not changed.
    fn look(&self) -> Option<Outcome> {
        let (name, counted, looked) = match self {
            Self::Plain(files, counted) => files
                .upgrade()
                .map(|it| (it.name().to_owned(), *counted, it.look()))?,
            Self::Certificates(files) => files.upgrade().map(|it| {
                let counted: Counted = ProcessEvent::TlsReloaded;
                (it.name().to_owned(), counted, it.look())
            })?,
        };
        let changed = !matches!(looked, Looked::Same);
        changed.then_some(Outcome {
            name,
            counted,
            looked,
        })
    }
}

impl Outcome {
    fn tell(self, process: &Process) {
        let files = self.name;
        let result = match self.looked {
            Looked::Same => return,
            Looked::New => {
                info!(files, "changed files are in force");
                Reloaded::Ok
            }
            Looked::Failed(error) => {
                error!(files, %error, "changed files do not do: what was in force stays");
                Reloaded::Failed
            }
        };
        process.tell((self.counted)(result));
    }
}

/// The certificates in force, each file once.
fn in_force(watched: &[Watched]) -> Vec<Certificate> {
    let mut files = BTreeMap::new();
    for watched in watched {
        let Watched::Certificates(certified) = watched else {
            continue;
        };
        let certified = certified.upgrade();
        let certificates = certified.map(|it| it.in_force()).unwrap_or_default();
        files.extend(certificates.into_iter().map(|it| (it.file, it.validity)));
    }
    let certificates = files.into_iter().map(|(file, validity)| Certificate {
        file: file.display().to_string(),
        from: validity.from,
        until: validity.until,
    });
    certificates.collect()
}

/// When which certificate was last spoken of.
#[derive(Debug, Default)]
struct SpokenOf(BTreeMap<Certificate, SystemTime>);

impl SpokenOf {
    /// What is to be said of these: of each at once, and then once a day.
    fn due(&mut self, certificates: &[Certificate], now: SystemTime) -> Vec<(String, String)> {
        self.0.retain(|it, _| certificates.contains(it));
        let mut said = Vec::new();
        for certificate in certificates {
            let Some(told) = certificate.told(now) else {
                continue;
            };
            let last = self.0.get(certificate).copied();
            let is_new =
                last.is_none_or(|last| now.duration_since(last).is_ok_and(|it| it >= A_DAY));
            if is_new {
                said.push((certificate.file.clone(), told));
                self.0.insert(certificate.clone(), now);
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_spoken_of_once_a_day_until_it_is_renewed() {
        let certificate = |until| Certificate {
            file: "c.pem".to_owned(),
            from: 0,
            until,
        };
        let days = |days: u64| SystemTime::UNIX_EPOCH + A_DAY * u32::try_from(days).unwrap();
        let ends_at_ten = [certificate(10 * 86_400)];
        let mut spoken_of = SpokenOf::default();
        let mut said = |certificates: &[Certificate], now: SystemTime| {
            let said = spoken_of.due(certificates, now).into_iter();
            said.map(|(_, told)| told).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(&ends_at_ten, days(2)), "");
        assert_eq!(said(&ends_at_ten, days(4)), "ends in 6 days");
        let hour = Duration::from_secs(3_600);
        assert_eq!(said(&ends_at_ten, days(4) + 23 * hour), "");
        assert_eq!(said(&ends_at_ten, days(5)), "ends in 5 days");
        // A clock that was put back is no reason to say it again.
        assert_eq!(said(&ends_at_ten, days(4)), "");
        assert_eq!(said(&[certificate(100 * 86_400)], days(9)), "");
        // Another one that ends is said at once.
        assert_eq!(said(&ends_at_ten, days(5) + hour), "ends in 4 days");
        assert_eq!(
            said(&[certificate(11 * 86_400)], days(5) + 2 * hour),
            "ends in 5 days"
        );
    }

    #[test]
    fn what_nobody_has_any_more_is_not_looked_at() {
        struct Counted;
        impl Again for Counted {
            fn name(&self) -> &str {
                "counted"
            }
            fn look(&self) -> Looked {
                Looked::New
            }
        }
        let files = Files::default();
        let [one, other] = [Arc::new(Counted), Arc::new(Counted)];
        files.watch(&one, ProcessEvent::TokensReloaded);
        files.watch(&other, ProcessEvent::TokensReloaded);
        let looked = || files.watched().iter().filter_map(Watched::look).count();
        assert_eq!(looked(), 2);
        drop(other);
        assert_eq!(looked(), 1);
        // And nothing twice.
        files.watch(&one, ProcessEvent::TokensReloaded);
        assert_eq!(files.watched().len(), 1);
    }
}
