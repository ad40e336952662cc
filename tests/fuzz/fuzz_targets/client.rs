//! The engine around `midge_fuzz::client`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("client"),
    |data: &[u8]| midge_fuzz::client::run(data)
);
