//! `config::load` on any file.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| microbatch_fuzz::config::check(input));
