//! `Job::parse` on any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| microbatch_fuzz::intake::check(input));
