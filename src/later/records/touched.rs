//! What has changed since the last commit, as it was before.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::routes::{Ever, RouteNumber};
use crate::job::Handle;

#[derive(Debug)]
pub(super) struct Touched<J, A> {
    /// Records; nothing where there was none.
    pub records: BTreeMap<Handle, Option<Box<Entry<J, A>>>>,
    /// What was ever counted of their routes.
    pub routes: BTreeMap<RouteNumber, Ever>,
}

impl<J, A> Default for Touched<J, A> {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            routes: BTreeMap::new(),
        }
    }
}

/// A record that has changed.
pub(in crate::later) struct Change<'a, J, A> {
    pub handle: &'a Handle,
    /// As it was, if it was there.
    pub before: Option<&'a Entry<J, A>>,
    /// As it is, if it is there.
    pub after: Option<&'a Entry<J, A>>,
}
