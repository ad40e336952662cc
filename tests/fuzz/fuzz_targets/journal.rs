//! The engine around `midge_fuzz::journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("journal"),
    |data: &[u8]| midge_fuzz::journal::run(data)
);
