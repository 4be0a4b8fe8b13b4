//! What has changed of streams since the last commit: told to who writes it, or taken back.

use super::Streams;
use crate::later::record::StreamName;
use crate::later::records::marks::{Mark, Marks, TouchedMarks};

impl Streams {
    /// What is known of a stream.
    pub fn mark(&self, name: &StreamName) -> Option<Mark> {
        let present = self.streams.get(name).map(|it| Mark {
            expired: it.expired,
            vanished: None,
        });
        present.or_else(|| self.vanished.mark(name))
    }

    /// What is known of all.
    pub fn marks(&self) -> Marks {
        Marks {
            last: self.last,
            others: self.vanished.others,
            vanished: self.vanished.times,
        }
    }

    /// As it was known of all, before any stream is made.
    pub fn restore_marks(&mut self, marks: Marks) {
        self.last = marks.last;
        (self.vanished.others, self.vanished.times) = (marks.others, marks.vanished);
    }

    /// As it was known of a stream, whose records are as they were.
    pub fn restore(&mut self, name: &StreamName, mark: Mark) {
        match (mark.vanished, self.streams.get_mut(name)) {
            (Some(time), None) => self.vanished.put(name.clone(), mark.expired, time),
            (_, Some(stream)) => stream.expired = mark.expired,
            (None, None) => {}
        }
    }

    /// From here on changes are remembered until they are [committed](Self::committed) or
    /// [taken back](Self::roll_back).
    pub fn remember_changes(&mut self) {
        self.touched = Some(TouchedMarks {
            all: self.marks(),
            ..TouchedMarks::default()
        });
    }

    /// The streams of which something has changed besides their records.
    pub fn changed(&self) -> impl Iterator<Item = &StreamName> {
        self.touched.iter().flat_map(|it| it.streams.keys())
    }

    /// What is known of all, if it has changed.
    pub fn changed_marks(&self) -> Option<Marks> {
        let before = self.touched.as_ref().map(|it| it.all);
        let marks = self.marks();
        before.filter(|it| *it != marks).map(|_| marks)
    }

    /// What has changed is done.
    pub fn committed(&mut self) {
        if self.touched.is_some() {
            self.remember_changes();
        }
    }

    /// What has changed was not done; the records are as they were.
    pub fn roll_back(&mut self) {
        let Some(touched) = self.touched.take() else {
            return;
        };
        for name in touched.streams.keys() {
            self.vanished.take(name);
        }
        self.restore_marks(touched.all);
        for (name, mark) in touched.streams {
            mark.inspect(|mark| self.restore(&name, *mark));
        }
        self.remember_changes();
    }

    /// What is known of a stream is about to change.
    pub(super) fn touch(&mut self, name: &StreamName) {
        if self.touched.is_none() {
            return;
        }
        let mark = self.mark(name);
        if let Some(touched) = &mut self.touched {
            touched.streams.entry(name.clone()).or_insert(mark);
        }
    }
}
