//! The engine around `midge_fuzz::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("decode"),
    |data: &[u8]| midge_fuzz::decode::run(data)
);
