//! How listeners come to be, and who may connect to them.

use super::*;
use crate::conf::{Bind, SocketDomain};

fn binds(config: &Config) -> Vec<String> {
    let listeners = config.listeners.iter();
    listeners
        .map(|listener| listener.bind.to_string())
        .collect()
}

fn load_with_ports(text: &str, ports: &[u16]) -> Config {
    let files = Texts::default().with(FILE, text);
    Config::load(Some(FILE.as_ref()), ports, &files).expect("the text is good")
}

#[test]
fn without_a_file_only_this_machine_may_connect() {
    let config = Config::load(None, &[], &Texts::default()).expect("nothing can be wrong");
    assert_eq!(config, Config::default());
    assert!(config.local_only);
    assert_eq!(binds(&config), ["127.0.0.1:1883", "[::1]:1883"]);
    assert!(
        config
            .listeners
            .iter()
            .all(|listener| listener.security.allow_anonymous)
    );
    assert!(config.security.allow_anonymous);
    assert!(config.files.is_empty());
    let warnings = warnings(&config);
    assert_eq!(warnings.len(), 3);
    assert!(warnings[0].starts_with("Starting in local only mode."));
}

#[test]
fn local_only_mode_takes_the_ports_of_the_command_line() {
    let config = load_with_ports("persistence false", &[1884, 1885, 1884]);
    assert!(config.local_only);
    assert_eq!(
        binds(&config),
        [
            "127.0.0.1:1884",
            "[::1]:1884",
            "127.0.0.1:1885",
            "[::1]:1885"
        ]
    );
}

#[test]
fn local_only_mode_drops_options_of_listeners() {
    let config = good("max_connections 3\nmax_qos 1\nbind_interface eth0\nsocket_domain ipv6");
    assert!(config.local_only);
    let listener = &config.listeners[0];
    assert_eq!((listener.max_connections, listener.max_qos), (None, 2));
    assert_eq!(
        (&listener.bind_interface, listener.socket_domain),
        (&None, None)
    );
    let told = warnings(&config);
    let expected = "m.conf:1: max_connections: has no effect: \
                    in local only mode options of listeners are dropped";
    assert!(told.contains(&expected), "{told:?}");
}

#[test]
fn an_explicit_refusal_of_anonymous_clients_always_holds() {
    // Twelve shapes: text, and whether each of its listeners lets anonymous clients in.
    for (text, expected) in [
        ("", &[true, true][..]),
        ("allow_anonymous true", &[true, true]),
        ("allow_anonymous false", &[false, false]),
        ("allow_anonymous false\npassword_file p", &[false, false]),
        ("password_file p", &[true, true]),
        ("listener 1", &[false]),
        ("listener 1\nallow_anonymous true", &[true]),
        (
            "allow_anonymous true\nlistener 1\nlistener 2",
            &[true, true],
        ),
        ("port 1", &[false]),
        (
            "per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2",
            &[true, false],
        ),
        (
            "per_listener_settings true\nallow_anonymous false",
            &[false, false],
        ),
        (
            "allow_anonymous false\nlistener 1\nlistener_allow_anonymous true\nlistener 2",
            &[true, false],
        ),
        (
            "allow_anonymous true\nlistener 1\nlistener 2\nlistener_allow_anonymous false",
            &[true, false],
        ),
        ("listener_allow_anonymous false", &[false, false]),
    ] {
        let config = good(text);
        let seen: Vec<bool> = config
            .listeners
            .iter()
            .map(|listener| listener.security.allow_anonymous)
            .collect();
        assert_eq!(seen, expected, "{text}");
    }
}

#[test]
fn listener_lines() {
    let config = good(
        "listener 1883\nlistener 1884 localhost # here\nlistener 1885 ::1\n\
         listener 0 /run/m.sock\nlistener 1886 # all\nlistener 1887 10.0.0.1 more words",
    );
    assert!(!config.local_only);
    assert_eq!(
        binds(&config),
        [
            "*:1883",
            "localhost:1884",
            "[::1]:1885",
            "/run/m.sock",
            "*:1886",
            "10.0.0.1:1887"
        ]
    );
    assert_eq!(config.listeners[3].bind, Bind::Unix("/run/m.sock".into()));
    assert_eq!(config.listeners[1].origin, "m.conf:2");
    assert_eq!(
        warnings(&config),
        ["m.conf:6: listener: 'more words' behind the value is ignored"]
    );
    let long = format!("listener 0 /{}", "x".repeat(107));
    assert!(bad(long).contains("longer than the 107 bytes"));
}

#[test]
fn the_same_port_twice_where_that_can_work() {
    let config = good(
        "listener 1\nsocket_domain ipv4\nlistener 1\nsocket_domain ipv6\n\
         listener 2\nbind_interface a\nlistener 2\nbind_interface b\nlistener 1 ::1",
    );
    assert_eq!(config.listeners.len(), 5);
    assert_eq!(config.listeners[0].socket_domain, Some(SocketDomain::Ipv4));
    assert_eq!(config.listeners[1].socket_domain, Some(SocketDomain::Ipv6));
    assert_eq!(config.listeners[3].bind_interface.as_deref(), Some("b"));
    bad("listener 1\nbind_interface a\nlistener 1\nbind_interface a");
}

#[test]
fn an_address_is_of_the_family_of_socket_domain() {
    for (listener, domain) in [
        ("listener 1 127.0.0.1", "ipv4"),
        ("listener 1 ::1", "ipv6"),
        ("listener 1 fe80::1%eth0", "ipv6"),
        ("listener 1 localhost", "ipv4"),
        ("listener 1 localhost", "ipv6"),
        ("listener 0 /tmp/1", "ipv6"),
        ("port 1\nbind_address 127.0.0.1", "ipv4"),
    ] {
        good(&format!("{listener}\nsocket_domain {domain}"));
    }
    for (listener, domain, fits) in [
        ("listener 1 127.0.0.1", "ipv6", "expected ipv4"),
        ("listener 1 ::1", "ipv4", "expected ipv6"),
        ("listener 1 fe80::1%eth0", "ipv4", "expected ipv6"),
        ("port 1\nbind_address 127.0.0.1", "ipv6", "expected ipv4"),
    ] {
        let error = bad(format!("{listener}\nsocket_domain {domain}"));
        assert!(error.contains("socket_domain: does not fit"), "{error}");
        assert!(error.ends_with(fits), "{error}");
    }
}

#[test]
fn options_belong_to_the_listener_above_them() {
    let config = good(
        "listener 1\nmax_connections 5\nmax_qos 1\nmax_topic_alias 0\nmount_point a/\n\
         listener 2\nmax_topic_alias_broker 3\naccept_protocol_versions 5,4\n\
         use_username_as_clientid true\nlistener_auto_id_prefix z-",
    );
    let [one, two] = &config.listeners[..] else {
        panic!("two listeners are written")
    };
    assert_eq!(
        (one.max_connections, one.max_qos, one.max_topic_alias),
        (Some(5), 1, 0)
    );
    assert_eq!(one.mount_point.as_deref(), Some("a/"));
    assert_eq!(
        (two.max_connections, two.max_qos, two.max_topic_alias),
        (None, 2, 10)
    );
    assert_eq!((two.max_topic_alias_broker, &two.mount_point), (3, &None));
    let versions = two.accept_protocol_versions;
    assert_eq!(
        (versions.v31, versions.v311, versions.v5),
        (false, true, true)
    );
    assert!(two.use_username_as_clientid && !one.use_username_as_clientid);
    assert_eq!(two.security.auto_id_prefix, "z-");
    assert_eq!(one.security.auto_id_prefix, "auto-");
}

#[test]
fn the_old_way_to_write_one_listener() {
    let config = good("max_connections 7\nport 1884\nbind_address 10.0.0.1\nport 1885");
    assert_eq!(binds(&config), ["10.0.0.1:1885"]);
    assert_eq!(config.listeners[0].max_connections, Some(7));
    assert_eq!(config.listeners[0].origin, "default listener");
    assert_eq!(
        notices(&config),
        [
            "m.conf:2: port: is deprecated: write `listener PORT` instead",
            "m.conf:3: bind_address: is deprecated: write `listener PORT ADDRESS` instead",
            "m.conf:4: port: is deprecated: write `listener PORT` instead",
        ]
    );
    assert_eq!(
        warnings(&config),
        ["m.conf:4: port: replaces the value set at m.conf:2"]
    );
    assert_eq!(binds(&good("bind_address ::")), ["[::]:1883"]);
    let config = good("listener 1\nport 2\nmax_connections 3\nbind_address 10.0.0.1");
    assert_eq!(
        binds(&config),
        ["*:1", "10.0.0.1:2"],
        "port and bind_address belong to the default one"
    );
    let most = [0, 1].map(|index| config.listeners[index].max_connections);
    assert_eq!(most, [Some(3), None], "the others to the listener above");
}

#[test]
fn per_listener_settings_may_stand_anywhere_where_it_changes_nothing() {
    let config = good("listener 1\nallow_anonymous true\nper_listener_settings false");
    assert!(config.listeners[0].security.allow_anonymous);
    let config = good(
        "per_listener_settings true\nlistener 1\nallow_anonymous true\n\
         per_listener_settings true\nlistener 2",
    );
    let anonymous = [0, 1].map(|index| config.listeners[index].security.allow_anonymous);
    assert_eq!(anonymous, [true, false]);
}

#[test]
fn a_star_is_all_addresses() {
    assert_eq!(
        good("listener 1 *").listeners[0].bind,
        Bind::Tcp {
            host: None,
            port: 1
        }
    );
    assert_eq!(binds(&good("port 2\nbind_address *")), ["*:2"]);
}

#[test]
fn options_before_any_listener_open_the_default_listener() {
    let config = good("max_connections 7\nlistener 1884");
    assert_eq!(binds(&config), ["*:1884", "*:1883"]);
    assert_eq!(config.listeners[0].max_connections, None);
    assert_eq!(config.listeners[1].max_connections, Some(7));
    assert_eq!(
        warnings(&config),
        [
            "m.conf:1: max_connections: stands before any listener line of its file, so it belongs \
             to the default listener, which opens port 1883 on all addresses"
        ]
    );
    let config = good("max_qos 2\nmax_connections -1\nlistener 1884");
    assert_eq!(binds(&config), ["*:1884"], "a default changes nothing");
}

#[test]
fn an_included_file_does_not_continue_the_listener() {
    let files = Texts::default()
        .with(FILE, "listener 1884\ninclude_dir conf.d")
        .with("conf.d/x.conf", "max_connections 5\n");
    let config = load_from(&files).expect("it opens a second listener");
    assert_eq!(binds(&config), ["*:1884", "*:1883"]);
    assert_eq!(config.listeners[1].max_connections, Some(5));
}

#[test]
fn ports_of_the_command_line_are_ignored_beside_listeners() {
    let config = load_with_ports("listener 1884", &[1885]);
    assert_eq!(binds(&config), ["*:1884"]);
    assert_eq!(
        warnings(&config),
        ["-p 1885 is ignored: the configuration file defines listeners"]
    );
}

#[test]
fn security_of_the_broker_holds_for_every_listener() {
    let config = good(
        "listener 1\npassword_file p\nlistener 2\nacl_file a\nauto_id_prefix x\n\
         allow_zero_length_clientid false",
    );
    for listener in &config.listeners {
        assert_eq!(listener.security, config.security);
    }
    assert_eq!(config.security.password_file, Some("p".into()));
    assert_eq!(config.security.acl_file, Some("a".into()));
    assert_eq!(config.security.auto_id_prefix, "x");
    assert!(!config.security.allow_zero_length_clientid);
}

#[test]
fn security_of_one_listener_with_settings_of_its_own() {
    let config = good(
        "per_listener_settings true\nlistener 1\npassword_file p\nauto_id_prefix one-\n\
         listener 2\nacl_file a\nallow_anonymous true\nallow_zero_length_clientid false",
    );
    let [one, two] = &config.listeners[..] else {
        panic!("two listeners are written")
    };
    assert_eq!(one.security.password_file, Some("p".into()));
    assert_eq!(
        (&one.security.acl_file, one.security.allow_anonymous),
        (&None, false)
    );
    assert_eq!(one.security.auto_id_prefix, "one-");
    assert_eq!(two.security.password_file, None);
    assert_eq!(two.security.acl_file, Some("a".into()));
    assert!(two.security.allow_anonymous && !two.security.allow_zero_length_clientid);
    assert_eq!(two.security.auto_id_prefix, "auto-");
    assert_eq!(config.security.password_file, None);
}

#[test]
fn own_security_before_any_listener() {
    // In local only mode it holds.
    let config =
        good("per_listener_settings true\npassword_file p\nacl_file a\nallow_anonymous false");
    assert!(config.local_only);
    for listener in &config.listeners {
        assert_eq!(listener.security.password_file, Some("p".into()));
        assert_eq!(listener.security.acl_file, Some("a".into()));
        assert!(!listener.security.allow_anonymous);
    }
    // A password file opens the default listener, as in Mosquitto.
    let config = good("per_listener_settings true\npassword_file p\nlistener 2");
    assert_eq!(binds(&config), ["*:2", "*:1883"]);
    assert_eq!(config.listeners[1].security.password_file, Some("p".into()));
    // The others alone do not; then they have no effect, and a warning says so.
    let config = good("per_listener_settings true\nallow_anonymous true\nacl_file a\nlistener 2");
    assert_eq!(binds(&config), ["*:2"]);
    assert!(!config.listeners[0].security.allow_anonymous);
    assert_eq!(
        warnings(&config)[1],
        "m.conf:2: allow_anonymous: has no effect: it stands before any listener line of its file, \
         and belongs to none of the listeners"
    );
}
