//! `TraceContext::parse` on any header.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| microbatch_fuzz::trace_context::check(input));
