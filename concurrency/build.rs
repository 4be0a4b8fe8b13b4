//! Has the batcher take its locks and atomics from shuttle, see its `sync`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=shuttle");
}
