//! Every target in one program: `SMRT_FUZZED` names the one. Linking fifty takes minutes.
#![no_main]

use std::sync::OnceLock;

use smrt::fuzzed::{Check, FUZZED};

fn chosen() -> Check {
    static CHOSEN: OnceLock<Check> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        // A panic that the parser itself fences (those of the crate `parquet`) is its affair; any
        // other ends the program all the same.
        drop(std::panic::take_hook());
        let name = std::env::var("SMRT_FUZZED").unwrap_or_default();
        let found = FUZZED.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("SMRT_FUZZED names no target: {name:?}")).1
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chosen()(bytes));
