//! The JSON Schema of a configuration file, for editors that complete and check it.
//!
//! `microbatch schema` prints it, and `config/microbatch.schema.json` is a copy. It is made from the
//! table of settings: each [`Kind`](super::kind::Kind) has the schema of its own values. Promises to
//! take every file that the proxy does, and to refuse of the rest what a schema can. What must hold
//! between settings it does not know; nor is a setting ever required, since the environment may have
//! it.

use serde_json::{Map, Value, json};

use super::options::{KeyInfo, Options, known};
use super::shape;

/// The schema (JSON Schema 2020-12).
pub fn schema() -> Value {
    let mut top = table(None);
    let routes = json!({
        "type": "object",
        "description": "Routes by their names, each with a path, a batcher and an upstream of its own",
        "propertyNames": { "pattern": "^[a-z][a-z0-9_]{0,31}$", "not": { "const": "jobs" } },
        "additionalProperties": { "$ref": "#/$defs/route" },
    });
    insert(&mut top, "shape", shape_of(true));
    insert(&mut top, "routes", routes);
    let mut route = table(Some("the top level's by default"));
    insert(&mut route, "shape", shape_of(false));
    top["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    top["title"] = "Settings of microbatch".into();
    top["$defs"] = json!({ "route": route, "shape": shape::schema() });
    top
}

/// The table of the top level, or of a route, where `inherited` is said of what it inherits.
fn table(inherited: Option<&str>) -> Value {
    let mut table = section();
    let defaults = Options::defaults();
    for key in known(inherited.is_some()) {
        let mut schema = (key.schema)();
        let inherited = inherited.filter(|_| Options::inherits(key));
        let mut says = key.help.to_owned();
        if let Some(inherited) = inherited {
            says = format!("{says}; {inherited}");
        }
        schema["description"] = format!("{says}. {}.", allowed(key)).into();
        if let Some(default) = default(key, &defaults).filter(|_| inherited.is_none()) {
            schema["default"] = default;
        }
        let mut at = &mut table;
        let (sections, name) = key.key.rsplit_once('.').unwrap_or(("", key.key));
        for name in sections.split('.').filter(|it| !it.is_empty()) {
            at = within(at, name);
        }
        insert(at, name, schema);
    }
    table
}

fn section() -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": {} })
}

/// The section of this name within another one.
fn within<'a>(table: &'a mut Value, name: &str) -> &'a mut Value {
    let properties = &mut table["properties"];
    if properties.get(name).is_none() {
        properties[name] = section();
    }
    &mut properties[name]
}

fn insert(table: &mut Value, name: &str, schema: Value) {
    table["properties"][name] = schema;
}

/// What a value may be, as a sentence begins.
fn allowed(key: &KeyInfo) -> String {
    let allowed = key.allowed();
    let mut letters = allowed.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// The default as a file would have it.
fn default(key: &KeyInfo, defaults: &Options) -> Option<Value> {
    let text = format!("it = {}", (key.printed)(defaults)?);
    let mut table: Map<String, Value> = toml::from_str(&text).ok()?;
    table.remove("it")
}

fn shape_of(top_level: bool) -> Value {
    const WHAT: &str = "How calls become a batch, and its answer replies: the name of a shape, or a \
                        table of its keys";
    let mut shape = json!({ "$ref": "#/$defs/shape", "description": WHAT });
    if top_level {
        shape["default"] = shape::DEFAULT.into();
    }
    shape
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
