#![no_main]

// The reader fences panics of the crate `parquet`; any other ends the program all the same.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |bytes: &[u8]| {
    smrt::fuzzed::check("parquet", bytes)
});
