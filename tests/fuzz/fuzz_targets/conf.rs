//! The engine around `midge_fuzz::conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("conf"),
    |data: &[u8]| midge_fuzz::conf::run(data)
);
