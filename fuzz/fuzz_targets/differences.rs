//! `cargo +nightly fuzz run differences`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::differences(bytes));
