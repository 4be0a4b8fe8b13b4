//! `Shape::read_answer` on any bytes as the answer to one fixed batch.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| microbatch_fuzz::correlation::check_answer(input));
