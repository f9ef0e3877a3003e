//! `cargo +nightly fuzz run expression`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::expression(bytes));
