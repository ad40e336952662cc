//! The table of all flags of the three clients, in the order of their help.

use std::os::unix::ffi::OsStrExt;

use super::Tool;
use super::flags::{Action, Flag, flag, switch, value};
use super::format::Format;
use super::set::*;
use super::set_tls as tls;
use super::settings::Input;
use super::url::Proxy;
use crate::wire::RetainHandling;

const ALL: &[Tool] = &[Tool::Publish, Tool::Subscribe, Tool::Request];
const PUB: &[Tool] = &[Tool::Publish];
const SUB: &[Tool] = &[Tool::Subscribe];
const RR: &[Tool] = &[Tool::Request];
const PUB_RR: &[Tool] = &[Tool::Publish, Tool::Request];
const SUB_RR: &[Tool] = &[Tool::Subscribe, Tool::Request];

const NO_PSK: &str = "pre-shared keys are not supported: use certificates";
const NO_ENGINE: &str = "engines of OpenSSL are not supported: keep the key in a PEM file";
const NO_KEYLOG: &str = "session keys are not written to a file";

/// Every flag of the three clients.
pub(super) static FLAGS: &[Flag] = &[
    value(
        &["-A"],
        "ADDRESS",
        ALL,
        "Connect from this local address.",
        |s, v| {
            s.bind_address = Some(v.to_owned());
            Ok(())
        },
    ),
    switch(
        &["-c", "--disable-clean-session"],
        ALL,
        "Keep the session when the connection ends; needs -i.",
        |s| s.clean_start = false,
    ),
    value(
        &["-C"],
        "COUNT",
        SUB,
        "End after COUNT messages.",
        |s, v| {
            s.message_count = Some(number(v, 1, i64::from(u32::MAX))?);
            Ok(())
        },
    ),
    switch(
        &["-d", "--debug"],
        ALL,
        "Trace packets on standard output.",
        |s| s.debug = true,
    ),
    flag(
        &["-D", "--property"],
        "COMMAND NAME VALUE",
        ALL,
        "Set an MQTT 5.0 property of connect, publish, will, subscribe, unsubscribe or \
         disconnect (user-property: NAME and VALUE are followed by one more value). Implies \
         -V 5.",
        Action::Property,
    ),
    value(
        &["-e"],
        "TOPIC",
        RR,
        "The response topic: subscribe to it and wait there for the answer.",
        |s, v| {
            check_name(v, "response")?;
            s.response_topic = Some(v.to_owned());
            Ok(())
        },
    ),
    switch(
        &["-E"],
        SUB,
        "End once the broker has acknowledged the subscriptions.",
        |s| s.exit_after_subscribe = true,
    ),
    flag(
        &["-f", "--file"],
        "FILE",
        PUB_RR,
        "Send the contents of FILE.",
        Action::Bytes(|s, v| set_input(s, Input::File(v.into()))),
    ),
    value(
        &["-F"],
        "FORMAT",
        SUB_RR,
        "Print messages in this format: %t topic, %p payload, %x in hexadecimal, %l its length, \
         %q QoS, %r retain, %m packet id, %j and %J JSON, %I and %U time, @X what %X is to \
         strftime, \\n line end; of MQTT 5.0 %A topic alias, %C content type, %D correlation \
         data, %E expiry, %F payload format, %P user properties, %R response topic, \
         %S subscription identifier.",
        |s, v| {
            s.format = Some(Format::parse(v)?);
            Ok(())
        },
    ),
    value(
        &["-h", "--host"],
        "HOST",
        ALL,
        "Connect to HOST; localhost unless given.",
        |s, v| {
            v.clone_into(&mut s.host);
            s.unix = None;
            Ok(())
        },
    ),
    value(
        &["-i", "--id"],
        "ID",
        ALL,
        "The client id; the broker chooses one unless given.",
        |s, v| set_id(s, v, false),
    ),
    value(
        &["-I", "--id-prefix"],
        "PREFIX",
        ALL,
        "Use PREFIX and the process id as client id.",
        |s, v| set_id(s, v, true),
    ),
    value(
        &["-k", "--keepalive"],
        "SECONDS",
        ALL,
        "Keep alive, from 5 to 65535; 60 unless given.",
        |s, v| {
            s.keep_alive_s = number(v, 5, 65535)?;
            Ok(())
        },
    ),
    switch(
        &["-l", "--stdin-line"],
        PUB,
        "Send each line of standard input as a message.",
        |s| set_input(s, Input::Lines),
    ),
    value(
        &["-L", "--url"],
        "URL",
        ALL,
        "Everything in one: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC",
        set_url,
    ),
    switch(
        &["--latency"],
        RR,
        "Print how long the answer took. Implies --nodelay.",
        |s| {
            s.latency = true;
            s.nodelay = true;
        },
    ),
    flag(
        &["-m", "--message"],
        "MESSAGE",
        PUB_RR,
        "Send MESSAGE.",
        Action::Bytes(|s, v| set_input(s, Input::Message(v.as_bytes().into()))),
    ),
    value(
        &["-M"],
        "COUNT",
        ALL,
        "At most COUNT messages of QoS 1 and 2 in flight; 20 unless given.",
        |s, v| {
            s.inflight_max = number(v, 1, 65535)?;
            Ok(())
        },
    ),
    switch(
        &["--message-rate"],
        SUB,
        "Print the number of messages in each second instead of the messages.",
        |s| s.message_rate = true,
    ),
    switch(
        &["-n", "--null-message"],
        PUB_RR,
        "Send an empty message.",
        |s| set_input(s, Input::Null),
    ),
    switch(&["-N"], SUB_RR, "Print no line end after a message.", |s| {
        s.newline = false;
    }),
    switch(
        &["--nodelay"],
        ALL,
        "Send small packets at once (TCP_NODELAY).",
        |s| s.nodelay = true,
    ),
    flag(
        &["-o"],
        "FILE",
        ALL,
        "Read options from FILE, one on each line, instead of from the usual place.",
        Action::OptionsFile,
    ),
    value(
        &["-p", "--port"],
        "PORT",
        ALL,
        "Connect to PORT; 1883 unless given, 8883 with TLS. -p 8883 means TLS.",
        |s, v| {
            s.port = Some(port(v)?);
            Ok(())
        },
    ),
    flag(
        &["-P", "--pw"],
        "PASSWORD",
        ALL,
        "Sign in with this password.",
        Action::Bytes(|s, v| s.password = Some(v.as_bytes().into())),
    ),
    switch(
        &["--pretty"],
        SUB_RR,
        "Print JSON over several lines.",
        |s| s.pretty = true,
    ),
    value(
        &["--proxy"],
        "URL",
        ALL,
        "Connect through a SOCKS5 proxy: socks5h://[USER[:PASSWORD]@]HOST[:PORT]",
        |s, v| {
            s.proxy = Some(Proxy::parse(v)?);
            Ok(())
        },
    ),
    value(
        &["-q", "--qos"],
        "QOS",
        ALL,
        "Quality of service 0, 1 or 2; 0 unless given.",
        |s, v| {
            s.qos = qos(v)?;
            Ok(())
        },
    ),
    switch(&["--quiet"], ALL, "Print no errors.", |s| s.quiet = true),
    switch(
        &["-r", "--retain"],
        PUB,
        "Have the broker keep the message for later subscribers.",
        |s| s.retain = true,
    ),
    switch(
        &["-R"],
        SUB_RR,
        "Do not print messages that the broker kept (those with the retain flag).",
        |s| {
            s.skip_retained = true;
            s.retain_handling = RetainHandling::Never;
        },
    ),
    value(
        &["--random-filter"],
        "PERCENT",
        SUB,
        "Print only about so many of the messages.",
        set_random_filter,
    ),
    switch(
        &["--remove-retained"],
        SUB,
        "Clear each retained message that comes in; -T spares some.",
        |s| s.remove_retained = true,
    ),
    value(
        &["--repeat"],
        "COUNT",
        PUB,
        "Send the message COUNT times.",
        |s, v| {
            s.repeat = number(v, 1, i64::from(u32::MAX))?;
            Ok(())
        },
    ),
    value(
        &["--repeat-delay"],
        "SECONDS",
        PUB,
        "Wait so long before each repetition; fractions are fine.",
        set_repeat_delay,
    ),
    switch(
        &["--retain-as-published"],
        SUB_RR,
        "Leave the retain flag as it was published (MQTT 5.0).",
        |s| s.retain_as_published = true,
    ),
    value(
        &["--retain-handling"],
        "WHEN",
        SUB_RR,
        "When to send retained messages: always, new or never (MQTT 5.0).",
        set_retain_handling,
    ),
    switch(
        &["--retained-only"],
        SUB,
        "Print retained messages only and end with the first other one.",
        |s| s.retained_only = true,
    ),
    switch(
        &["-s", "--stdin-file"],
        PUB_RR,
        "Send all of standard input as one message.",
        |s| set_input(s, Input::Stdin),
    ),
    flag(
        &["-S"],
        "",
        ALL,
        "Find the broker by SRV records (not in this build).",
        Action::Missing("SRV lookup"),
    ),
    value(
        &["-t", "--topic"],
        "TOPIC",
        ALL,
        "The topic; sub takes several.",
        add_topic,
    ),
    value(
        &["-T", "--filter-out"],
        "FILTER",
        SUB,
        "Do not print messages whose topics match; may be repeated.",
        |s, v| {
            check_filter(v, "filter")?;
            s.filter_out.push(v.to_owned());
            Ok(())
        },
    ),
    value(
        &["-u", "--username"],
        "NAME",
        ALL,
        "Sign in as this user.",
        |s, v| {
            s.username = Some(v.to_owned());
            Ok(())
        },
    ),
    value(
        &["-U", "--unsubscribe"],
        "FILTER",
        SUB,
        "Unsubscribe from FILTER; may be repeated.",
        |s, v| {
            check_filter(v, "unsubscribe")?;
            s.unsubscribe.push(v.to_owned());
            Ok(())
        },
    ),
    value(
        &["--unix"],
        "PATH",
        ALL,
        "Connect to a unix domain socket.",
        |s, v| {
            s.unix = Some(v.into());
            Ok(())
        },
    ),
    switch(
        &["-v", "--verbose"],
        SUB_RR,
        "Print the topic before each message.",
        |s| s.verbose = true,
    ),
    value(
        &["-V", "--protocol-version"],
        "VERSION",
        ALL,
        "mqttv31, mqttv311 or mqttv5; 3.1.1 unless given, rr: 5.",
        set_version,
    ),
    switch(
        &["-w", "--watch"],
        SUB,
        "Print each topic's messages on a line of its own.",
        |s| s.watch = true,
    ),
    value(
        &["-W"],
        "SECONDS",
        SUB_RR,
        "Give up after so many seconds, with exit code 27.",
        |s, v| {
            s.timeout_s = Some(number(v, 1, i64::from(u32::MAX))?);
            Ok(())
        },
    ),
    flag(
        &["--will-payload"],
        "MESSAGE",
        ALL,
        "What the broker publishes if this client is lost; empty unless given.",
        Action::Bytes(|s, v| s.will_payload = Some(v.as_bytes().into())),
    ),
    value(
        &["--will-qos"],
        "QOS",
        ALL,
        "The QoS of that message.",
        |s, v| {
            s.will_qos = qos(v)?;
            Ok(())
        },
    ),
    switch(
        &["--will-retain"],
        ALL,
        "Have the broker keep that message.",
        |s| s.will_retain = true,
    ),
    value(
        &["--will-topic"],
        "TOPIC",
        ALL,
        "Where the broker publishes that message.",
        |s, v| {
            check_name(v, "will")?;
            s.will_topic = Some(v.to_owned());
            Ok(())
        },
    ),
    flag(
        &["--ws"],
        "",
        ALL,
        "Connect by WebSockets (not in this build).",
        Action::Missing("WebSockets"),
    ),
    value(
        &["-x"],
        "SECONDS",
        ALL,
        "Keep the session so long after the connection; -1 for ever. Implies -V 5.",
        set_expiry,
    ),
    switch(
        &["--no-tls"],
        ALL,
        "Use no TLS whatever other flags say.",
        |s| s.no_tls = true,
    ),
    value(
        &["--cafile"],
        "FILE",
        ALL,
        "Use TLS and trust the certificates in FILE (PEM).",
        tls::cafile,
    ),
    value(
        &["--capath"],
        "DIRECTORY",
        ALL,
        "Use TLS and trust the certificates in DIRECTORY, named by openssl rehash.",
        tls::capath,
    ),
    value(
        &["--cert"],
        "FILE",
        ALL,
        "The client's certificate (PEM), for a broker that asks for one; needs --key.",
        tls::cert,
    ),
    value(
        &["--key"],
        "FILE",
        ALL,
        "The private key of that certificate (PEM, without a pass phrase).",
        tls::key,
    ),
    value(
        &["--keyform"],
        "FORM",
        ALL,
        "What kind of key it is: pem.",
        tls::keyform,
    ),
    value(
        &["--ciphers"],
        "LIST",
        ALL,
        "Offer only these ciphers, as OpenSSL names them, separated by colons.",
        tls::ciphers,
    ),
    switch(
        &["--insecure"],
        ALL,
        "Take the broker's certificate whatever host name it is for.",
        tls::insecure,
    ),
    flag(
        &["--psk"],
        "KEY",
        ALL,
        "A pre-shared key (not in this build).",
        Action::Refused(NO_PSK),
    ),
    flag(
        &["--psk-identity"],
        "IDENTITY",
        ALL,
        "The identity that goes with it (not in this build).",
        Action::Refused(NO_PSK),
    ),
    value(
        &["--tls-alpn"],
        "PROTOCOL",
        ALL,
        "Ask for this protocol by ALPN.",
        tls::alpn,
    ),
    flag(
        &["--tls-engine"],
        "ENGINE",
        ALL,
        "An OpenSSL engine (not in this build).",
        Action::Refused(NO_ENGINE),
    ),
    flag(
        &["--tls-engine-kpass-sha1"],
        "HASH",
        ALL,
        "The engine key's password (not in this build).",
        Action::Refused(NO_ENGINE),
    ),
    flag(
        &["--tls-keylog"],
        "FILE",
        ALL,
        "Write session keys to FILE (not in this build).",
        Action::Refused(NO_KEYLOG),
    ),
    switch(
        &["--tls-use-os-certs"],
        ALL,
        "Use TLS and trust the system's certificates.",
        tls::use_os_certs,
    ),
    value(
        &["--tls-version"],
        "VERSION",
        ALL,
        "The least version of TLS: tlsv1.2 (as unless given) or tlsv1.3.",
        tls::version,
    ),
    flag(
        &["--version"],
        "",
        ALL,
        "Print the version and end.",
        Action::Version,
    ),
    flag(&["--help"], "", ALL, "Print this and end.", Action::Help),
];
