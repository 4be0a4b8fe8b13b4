//! Any bytes as the answer to one of a few batches that were written by a shape; the first byte
//! says which.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((which, answer)) = input.split_first() {
        microbatch_fuzz::shapes::check(*which, answer);
    }
});
