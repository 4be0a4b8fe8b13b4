//! From the keys of a table to a shape, or to all that is wrong with them.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::fits;
use super::form::{Accept, CallForm, ElementForm, Matching, PartForm, Results, Shape};
use super::keys::{Keys, Statuses};
use super::kinds::Singles;
use super::media::essence;
use super::mistake::{Mistake, Mistakes};
use super::presets;
use super::probe::{Probe, What};
use super::template::{Name, Place, Template, has_line_break};
use crate::json::pointer::Pointer;

/// The statuses that a reply may have.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

impl Shape {
    /// The shape of the route `jobs` without settings.
    pub fn jobs() -> &'static Arc<Self> {
        static JOBS: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(Shape::by_default()));
        &JOBS
    }

    /// All keys at their defaults.
    fn by_default() -> Self {
        let keys = Keys::default();
        let reading = Reading {
            keys: &keys,
            captures: &[],
            wrong: &mut Mistakes::default(),
        };
        reading.shape()
    }

    /// Compiles a table for a route whose path captures these names, in their order.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its key and what is allowed.
    pub fn compile(keys: &Keys, captures: &[&str]) -> Result<Self, Vec<Mistake>> {
        let mut wrong = Mistakes::default();
        let keys = match presets::resolve(keys) {
            Ok(keys) => keys,
            Err(what) => {
                wrong.add("like", what);
                keys.clone()
            }
        };
        let shape = Reading {
            keys: &keys,
            captures,
            wrong: &mut wrong,
        }
        .shape();
        // What can't be read by itself need not be held against the rest.
        if wrong.0.is_empty() {
            fits::check(&shape, &keys, &mut wrong);
        }
        match wrong.0.is_empty() {
            true => Ok(shape),
            false => Err(wrong.0),
        }
    }
}

/// Reads each key by itself.
struct Reading<'a> {
    keys: &'a Keys,
    captures: &'a [&'a str],
    wrong: &'a mut Mistakes,
}

impl Reading<'_> {
    fn shape(mut self) -> Shape {
        let keys = self.keys;
        let call = match word(&keys.call, "job") {
            "job" => CallForm::Job,
            "item" => CallForm::Item,
            other => CallForm::List(self.pointer(
                "call",
                other,
                "a call is \"job\", \"item\" or a JSON Pointer such as \"/instances\"",
            )),
        };
        let item = self.template("item", &keys.item, "$item", Place::Item);
        let framed = keys.batch.is_none() && matches!(call, CallForm::List(_));
        let batch = self.template("batch", &keys.batch, "[$items]", Place::Batch);
        let join = word(&keys.join, ",");
        let results = match word(&keys.results, "") {
            "lines" => Results::Lines,
            "same" => Results::Same,
            "none" => Results::None,
            other => Results::At(self.pointer(
                "results",
                other,
                "results are at a JSON Pointer, in \"lines\", the \"same\" for all, or \"none\"",
            )),
        };
        let matching = self.one_of(
            "match",
            &keys.r#match,
            "id",
            &[
                ("id", Matching::Id),
                ("index", Matching::Index),
                ("position", Matching::Position),
            ],
        );
        let rewrite = [("keep", false), ("rewrite", true)];
        let rewrite = self.one_of("ids", &keys.ids, "keep", &rewrite);
        let lone = [("as-is", true), ("batch", false)];
        let as_is = if framed { "as-is" } else { "batch" };
        let lone_as_is = self.one_of("lone", &keys.lone, as_is, &lone);
        let refusal = [("none", false), ("one", true)];
        let refusal_one = self.one_of("refusal", &keys.refusal, "none", &refusal);
        let id = self.nowhere_or_pointer("id", &keys.id, "/id");
        let by_id = matches!(results, Results::At(_) | Results::Lines) && matching == Matching::Id;
        let is_job = call == CallForm::Job;
        let reply = self.template("reply", &keys.reply, "$result", Place::Reply);
        let templates = [&item, &batch, &reply];
        let needs_path = templates.iter().any(|it| it.has_path());
        let content_type = self.content_type();
        let is_of_lines = content_type.to_str().is_ok_and(|it| it.contains("ndjson"));
        let flat = is_of_lines
            || has_line_break(join.as_bytes())
            || item.has_line_break()
            || !framed && batch.has_line_break();
        let error_status = self.status("error_status", keys.error_status.unwrap_or(422));
        Shape {
            item_id: match is_job {
                true => Pointer::parse("/id").ok(),
                false => id.clone(),
            },
            needs_id: is_job || by_id || rewrite,
            keeps_apart: by_id && !rewrite,
            single: self.single(),
            require: self.require(),
            has_plain_items: item.is(Name::Item) && !rewrite && !flat,
            needs_body: item.has(Name::Body),
            needs_path,
            has_plain_replies: reply.is(Name::Result) && !rewrite && matching != Matching::Index,
            flat,
            levels: match framed {
                true => 0,
                false => batch.levels_around(Name::Items) + item.levels_around(Name::Item),
            },
            batch: (!framed).then_some(batch),
            join: Bytes::from(join.to_owned()),
            content_type,
            accept: self.accept(),
            lone_as_is,
            matching,
            rewrite,
            element: self.element(id, matching, is_job),
            error_status,
            reply,
            reply_headers: self.reply_headers(),
            problem: keys
                .problem
                .is_some()
                .then(|| self.template("problem", &keys.problem, "", Place::Problem)),
            problem_status: keys
                .problem_status
                .map(|it| self.status("problem_status", it)),
            answers: self.answers(),
            refusal_one,
            call,
            item,
            results,
        }
    }

    fn element(&mut self, id: Option<Pointer>, matching: Matching, is_job: bool) -> ElementForm {
        let index = self.nowhere_or_pointer("index", &self.keys.index, "/index");
        let index = index.filter(|_| matching == Matching::Index);
        let error = self.nowhere_or_pointer("error", &self.keys.error, "/error");
        let status = self.nowhere_or_pointer("status", &self.keys.status, "/status");
        let part = self.part();
        let place = [(What::Id, id.as_ref()), (What::Index, index.as_ref())];
        let failure = [
            (What::Error, error.as_ref()),
            (What::Status, status.as_ref()),
        ];
        let (outer, inner) = match &part {
            PartForm::Whole => (
                Probe::new(place.into_iter().chain(failure)),
                Probe::default(),
            ),
            PartForm::OnlyMember => (Probe::new(place), Probe::new(failure)),
            PartForm::At(pointer) => {
                let part = [(What::Part, Some(pointer))];
                (
                    Probe::new(place.into_iter().chain(part)),
                    Probe::new(failure),
                )
            }
        };
        ElementForm {
            id,
            index,
            part,
            error,
            any_status: !is_job,
            nan: self.keys.nan.unwrap_or(false),
            outer,
            inner,
        }
    }

    fn template(
        &mut self,
        key: &'static str,
        given: &Option<String>,
        default: &str,
        place: Place,
    ) -> Template {
        let compiled = Template::compile(word(given, default), place, self.captures);
        compiled.unwrap_or_else(|wrong| {
            wrong.into_iter().for_each(|it| self.wrong.add(key, it));
            Template::default()
        })
    }

    fn pointer(&mut self, key: &'static str, written: &str, allowed: &str) -> Pointer {
        let pointer = Pointer::parse(written).map_err(|_| format!("{written:?}: {allowed}"));
        self.wrong.or(key, pointer, Pointer::default())
    }

    fn nowhere_or_pointer(
        &mut self,
        key: &'static str,
        given: &Option<String>,
        default: &str,
    ) -> Option<Pointer> {
        let written = word(given, default);
        let pointer = Pointer::parse(written).map_err(|it| format!("{written:?}: {it}"));
        let pointer = self.wrong.or(key, pointer, Pointer::default());
        (!pointer.is_whole()).then_some(pointer)
    }

    fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        given: &Option<String>,
        default: &str,
        allowed: &[(&str, T)],
    ) -> T {
        let written = word(given, default);
        let found = allowed.iter().find(|(name, _)| *name == written);
        if found.is_none() {
            let names = allowed.iter().map(|(name, _)| format!("{name:?}"));
            let names: Vec<String> = names.collect();
            let what = format!("{written:?} is none of {}", names.join(", "));
            self.wrong.add(key, what);
        }
        found.unwrap_or(&allowed[0]).1
    }

    fn status(&mut self, key: &'static str, status: u16) -> u16 {
        if !STATUSES.contains(&status) {
            let what = format!("{status} is no status from 200 to 599");
            self.wrong.add(key, what);
        }
        status
    }

    fn single(&mut self) -> Singles {
        let mut single = Singles::default();
        for written in self.keys.single.iter().flatten() {
            match written.as_str() {
                "value" => single.value = true,
                "integers" => single.integers = true,
                "objects" => single.objects = true,
                _ => self.wrong.add(
                    "single",
                    format!("{written:?} is none of \"value\", \"integers\", \"objects\""),
                ),
            }
        }
        single
    }

    fn require(&mut self) -> Option<Vec<Pointer>> {
        let given = self.keys.require.as_ref()?;
        let allowed = "it names where in an item a string stands, each a JSON Pointer";
        let pointers = given.iter().map(|it| self.pointer("require", it, allowed));
        Some(pointers.collect())
    }

    fn part(&mut self) -> PartForm {
        match word(&self.keys.result, "") {
            "" => PartForm::Whole,
            "/*" => PartForm::OnlyMember,
            other => PartForm::At(self.pointer(
                "result",
                other,
                "it is a JSON Pointer, \"\" for all of a result, or \"/*\" for its only member",
            )),
        }
    }

    fn content_type(&mut self) -> HeaderValue {
        let written = word(&self.keys.content_type, "application/json");
        let value = match essence(written) {
            Some(_) => HeaderValue::from_str(written).map_err(|_| ()),
            None => Err(()),
        };
        let value = value.map_err(|()| format!("{written:?} is no content type"));
        let json = HeaderValue::from_static("application/json");
        self.wrong.or("content_type", value, json)
    }

    fn accept(&mut self) -> Accept {
        let Some(types) = &self.keys.accept else {
            return Accept::Json;
        };
        if types.is_empty() {
            let what = "no content type is merged; name some, or leave it out for JSON types";
            self.wrong.add("accept", what);
        }
        let these = types.iter().filter_map(|written| {
            let essence = essence(written).filter(|it| it.len() == written.len());
            if essence.is_none() {
                let what = format!("{written:?} is no content type without parameters");
                self.wrong.add("accept", what);
            }
            essence
        });
        Accept::These(these.collect())
    }

    fn reply_headers(&mut self) -> Vec<HeaderName> {
        let mut names = Vec::new();
        for written in self.keys.reply_headers.iter().flatten() {
            match HeaderName::try_from(written) {
                Ok(name) if fits::OWN_HEADERS.contains(&name.as_str()) => {
                    let what = format!("{name} of an answer is not for every caller");
                    self.wrong.add("reply_headers", what);
                }
                Ok(name) => names.push(name),
                Err(_) => {
                    let what = format!("{written:?} is no name of a header");
                    self.wrong.add("reply_headers", what);
                }
            }
        }
        names
    }

    fn answers(&mut self) -> Vec<(u16, u16)> {
        let Some(given) = &self.keys.answers else {
            return vec![(200, 299)];
        };
        let mut answers = Vec::new();
        for statuses in given {
            let range = match statuses {
                Statuses::One(status) => (*status, *status),
                Statuses::Class(class) => match class.as_str() {
                    "2xx" => (200, 299),
                    "4xx" => (400, 499),
                    "5xx" => (500, 599),
                    _ => (0, 0),
                },
            };
            match range {
                (200..=299 | 400..=599, _) => answers.push(range),
                _ => self.wrong.add(
                    "answers",
                    "statuses are \"2xx\", \"4xx\", \"5xx\", or from 200 to 299 and 400 to 599",
                ),
            }
        }
        if given.is_empty() {
            let what = "no answer has results; name a status, or leave it out for \"2xx\"";
            self.wrong.add("answers", what);
        }
        answers
    }
}

fn word<'a>(given: &'a Option<String>, default: &'a str) -> &'a str {
    given.as_deref().unwrap_or(default)
}
