//! `cargo +nightly fuzz run notation`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::notation(bytes));
