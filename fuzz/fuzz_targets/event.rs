//! `cargo +nightly fuzz run event`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| qtrail_fuzz::targets::event(bytes));
