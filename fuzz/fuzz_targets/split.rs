//! `cargo +nightly fuzz run split`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::split(bytes));
