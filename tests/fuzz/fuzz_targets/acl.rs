//! The engine around `midge_fuzz::acl`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("acl"),
    |data: &[u8]| midge_fuzz::acl::run(data)
);
