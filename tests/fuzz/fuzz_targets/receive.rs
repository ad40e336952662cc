//! The engine around `midge_fuzz::receive`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("receive"),
    |data: &[u8]| midge_fuzz::receive::run(data)
);
