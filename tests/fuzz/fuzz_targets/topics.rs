//! The engine around `midge_fuzz::topics`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("topics"),
    |data: &[u8]| midge_fuzz::topics::run(data)
);
