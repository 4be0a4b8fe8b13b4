//! The examples do what they say.

#[path = "../examples/in_order.rs"]
mod in_order;
#[path = "../examples/keyed_errors.rs"]
mod keyed_errors;
#[path = "../examples/loader.rs"]
mod loader;
#[path = "../examples/sqlite_inserts.rs"]
mod sqlite_inserts;

#[test]
fn in_order() {
    in_order::main().unwrap();
}

#[test]
fn keyed_errors() {
    keyed_errors::main();
}

#[test]
fn loader() {
    loader::main().unwrap();
}

#[test]
fn sqlite_inserts() {
    sqlite_inserts::main().unwrap();
}
