//! `cargo +nightly fuzz run trainer`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::trainer(bytes));
