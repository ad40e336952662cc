//! `pub`, `sub` and `rr` where little is as it should be: names that no broker takes, places
//! without room, brokers that are away or of another time.

use crate::harness::{Broker, Clients, Kind, Pair, Process};

/// A broker hangs up on names with control characters or non-characters and says nothing: `pub`
/// called it a lost connection, or success at QoS 0, and `sub` tried again for ever.
#[test]
fn names_that_no_broker_takes_are_refused() {
    for flag in ["-i", "-I", "-u", "-t", "-T", "-U", "--will-topic"] {
        for name in ["a\tb", "a\u{7f}", "\u{fffe}", "\u{fdd0}", "\u{1ffff}"] {
            let mut command = Clients::Midge.command("sub");
            command.args(["-t", "a", "-p", "1", flag, name]);
            let ended = Process::run(&mut command).with(1);
            assert!(ended.err.starts_with("Error: "), "{flag}: {ended:?}");
            assert!(ended.err.contains("--help"), "{flag}: {ended:?}");
        }
    }
}

/// How deep topics may be is for the broker to say.
#[test]
fn topics_are_as_deep_as_the_broker_lets_them() {
    let broker = Broker::open_with(Kind::Midge, "max_topic_levels 300\n");
    let deep = vec!["a"; 300].join("/");
    let pair = Pair::MIDGE_ON_MIDGE;
    pair.publish(&broker, &["-t", &deep, "-m", "down here", "-q", "1", "-r"]);
    let args = ["-t", &deep, "-C", "1"];
    assert_eq!(pair.run("sub", &broker, &args).ok().out, "down here\n");
}
