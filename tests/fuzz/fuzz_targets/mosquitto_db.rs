//! The engine around `midge_fuzz::mosquitto_db`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: midge_fuzz::seeds::hand_out("mosquitto_db"),
    |data: &[u8]| midge_fuzz::mosquitto_db::run(data)
);
