//! The engine around `midge_fuzz::passwords`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("passwords"),
    |data: &[u8]| midge_fuzz::passwords::run(data)
);
