//! `cargo +nightly fuzz run mat`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::mat_file(bytes));
