//! What has changed since the last commit: told to who writes it, or taken back.

use super::Records;
use super::entry::Job;
use super::marks::{Mark, Marks};
use super::routes::{Route, RouteNumber};
use super::streams::Leaving;
use super::touched::{Change, Touched};
use crate::job::Handle;
use crate::later::record::StreamName;

impl<J: Job, A: Clone> Records<J, A> {
    /// From here on changes are remembered until they are [committed](Self::committed) or
    /// [taken back](Self::roll_back).
    pub fn remember_changes(&mut self) {
        self.touched = Some(Touched::default());
        self.indexes.streams.remember_changes();
    }

    /// Each record that has changed, as it was and as it is.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_, J, A>> {
        let touched = self.touched.iter().flat_map(|it| &it.records);
        touched.map(|(handle, before)| Change {
            handle,
            before: before.as_deref(),
            after: self.present.get(handle).map(|it| &**it),
        })
    }

    /// Each route of which something has changed, and whether that is something that ever
    /// was.
    pub fn changed_routes(&self) -> impl Iterator<Item = (&Route, bool)> {
        let touched = self.touched.iter().flat_map(|it| &it.routes);
        touched.map(|(number, before)| {
            let route = self.indexes.routes.of(*number);
            (route, route.counts.ever != *before)
        })
    }

    /// Every route that there ever was a record of.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.indexes.routes.iter()
    }

    /// What is known of all streams.
    pub fn marks(&self) -> Marks {
        self.indexes.streams.marks()
    }

    /// Whether anything may have changed.
    pub fn is_changed(&self) -> bool {
        let touched = self.touched.as_ref();
        touched.is_some_and(|it| !it.records.is_empty())
    }

    /// Each stream of which something is to be known besides its records, and has changed:
    /// what it is, if anything is known any more.
    pub fn changed_streams(&self) -> impl Iterator<Item = (&StreamName, Option<Mark>)> {
        let streams = &self.indexes.streams;
        streams.changed().map(|name| (name, streams.mark(name)))
    }

    /// What is known of all streams, if it has changed.
    pub fn changed_marks(&self) -> Option<Marks> {
        self.indexes.streams.changed_marks()
    }

    /// What has changed is done.
    pub fn committed(&mut self) {
        if let Some(touched) = &mut self.touched {
            touched.records.clear();
            touched.routes.clear();
        }
        self.indexes.streams.committed();
    }

    /// What has changed was not done: all is as it was.
    pub fn roll_back(&mut self) {
        let Some(touched) = self.touched.take() else {
            return;
        };
        for handle in touched.records.keys() {
            if let Some(entry) = self.unlink(handle)
                && let Some(stream) = entry.stream()
            {
                let position = entry.answer.as_ref().map(|it| it.0);
                let streams = &mut self.indexes.streams;
                streams.leave(stream, position, Leaving::Deleted);
            }
        }
        for (handle, before) in touched.records {
            if let Some(entry) = before {
                self.link(handle, entry);
            }
        }
        for (number, ever) in touched.routes {
            self.indexes.routes.of_mut(number).counts.ever = ever;
        }
        self.indexes.streams.roll_back();
        self.touched = Some(Touched::default());
    }

    /// Something of a record is about to change.
    pub(super) fn touch(&mut self, handle: &Handle) {
        let Some(touched) = &mut self.touched else {
            return;
        };
        let entry = self.present.get(handle);
        if !touched.records.contains_key(handle) {
            touched.records.insert(*handle, entry.cloned());
        }
        if let Some(number) = entry.map(|it| it.route) {
            self.touch_route(number);
        }
    }

    /// So is something of what was counted of a route.
    pub(super) fn touch_route(&mut self, number: RouteNumber) {
        if let Some(touched) = &mut self.touched
            && !touched.routes.contains_key(&number)
        {
            let ever = self.indexes.routes.of(number).counts.ever.clone();
            touched.routes.insert(number, ever);
        }
    }
}
