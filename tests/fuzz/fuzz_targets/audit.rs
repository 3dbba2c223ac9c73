#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smrt::fuzzed::check("audit", bytes));
