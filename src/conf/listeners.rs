//! How listeners come to be.
//!
//! 1. Without any `listener`, `port` or `bind_address`: local only mode. Listener options are
//!    dropped, the addresses 127.0.0.1 and ::1 are served on 1883 or on the ports of `-p`, and
//!    anonymous clients are welcome unless a file says `allow_anonymous false`.
//! 2. Else each `listener` line is one, and options in front of any `listener` line belong to the
//!    default listener. It exists only when one of them differs from its default, and then stands
//!    last.
//! 3. Security directives are the broker's, or the listener's own with `per_listener_settings`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::config::{Bind, Listener, ProtocolVersions, SocketDomain};
use super::report::{Error, Level, Message, Place};
use super::resolve::security;
use super::table::{self, Scope};
use super::tls;
use super::value::{Endpoint, Value, default};
use super::written::{Block, Draft, Setting, View, Written};

/// The most ports that `-p` may name, as in Mosquitto.
const PORTS_MAX: usize = 10;

/// What to do with an option that stands before any listener.
const BELOW: &str = "move it below the listener line that it is for, such as: listener 1883";

/// The listeners, and whether this is local only mode.
pub(super) fn resolve(
    written: &Written,
    ports: &[u16],
    messages: &mut Vec<Message>,
) -> Result<(Vec<Listener>, bool), Error> {
    check_ports(ports)?;
    let options = &written.default_listener.options;
    let old_style = options.get("port").is_some() || options.get("bind_address").is_some();
    if written.listeners.is_empty() && !old_style {
        return Ok((local_only(written, ports, messages)?, true));
    }
    for port in ports {
        messages.push(Message {
            level: Level::Warning,
            mend: "",
            text: format!("-p {port} is ignored: the configuration file defines listeners"),
        });
    }
    let mut listeners: Vec<Listener> = Vec::with_capacity(written.listeners.len() + 1);
    for (endpoint, draft) in &written.listeners {
        let listener = make(bind(endpoint), draft, written, false)?;
        refuse_twice(&listeners, &listener, draft.at.as_ref(), "listener")?;
        warn_of_nameless(&listener, draft, messages);
        listeners.push(listener);
    }
    if let Some((name, setting)) = reason_for_default(written) {
        if !old_style {
            let what = "stands before any listener line of its file, so it belongs to the default \
                        listener, which opens port 1883 on all addresses";
            messages.push(setting.at.message(Level::Warning, name, what, BELOW));
        }
        let listener = default_listener(written)?;
        refuse_twice(&listeners, &listener, Some(&setting.at), name)?;
        warn_of_nameless(&listener, &written.default_listener, messages);
        listeners.push(listener);
    } else {
        warn_of_lost(written, messages);
    }
    Ok((listeners, false))
}

fn check_ports(ports: &[u16]) -> Result<(), Error> {
    let wrong = |what: String| {
        Err(Error {
            file: PathBuf::from("command line"),
            line: 0,
            directive: "-p".to_owned(),
            what,
        })
    };
    if ports.len() > PORTS_MAX {
        let many = ports.len();
        return wrong(format!("{many} ports: expected at most {PORTS_MAX}"));
    }
    if ports.contains(&0) {
        return wrong("port 0: expected a number from 1 to 65535".to_owned());
    }
    Ok(())
}

fn local_only(
    written: &Written,
    ports: &[u16],
    messages: &mut Vec<Message>,
) -> Result<Vec<Listener>, Error> {
    let options = &written.default_listener.options;
    let mut kept = Draft {
        security: written.default_listener.security.clone(),
        ..Draft::default()
    };
    for (name, setting) in options.iter() {
        if is_security(name) {
            kept.options.set(name, setting.clone());
            continue;
        }
        let what = "has no effect: in local only mode options of listeners are dropped";
        messages.push((setting.at).message(Level::Warning, name, what, BELOW));
    }
    for text in [
        "Starting in local only mode. Only clients on this machine can connect.",
        "To let other machines connect, write a listener line into the configuration file, \
         for example: listener 1883",
        "With a listener line, clients need a user name and a password (password_file) \
         unless allow_anonymous is true.",
    ] {
        messages.push(Message {
            level: Level::Warning,
            mend: "",
            text: text.to_owned(),
        });
    }
    let ports = if ports.is_empty() { &[1883] } else { ports };
    let mut listeners = Vec::with_capacity(2 * ports.len());
    for (index, &port) in ports.iter().enumerate() {
        if ports[..index].contains(&port) {
            continue;
        }
        for host in ["127.0.0.1", "::1"] {
            let host = Some(host.to_owned());
            let mut listener = make(Bind::Tcp { host, port }, &kept, written, true)?;
            "local only mode".clone_into(&mut listener.origin);
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

/// The first setting because of which the default listener exists.
fn reason_for_default(written: &Written) -> Option<(&'static str, &Setting)> {
    let draft = &written.default_listener;
    let old_style = ["port", "bind_address"]
        .into_iter()
        .find_map(|name| Some((name, draft.options.get(name)?)));
    let differs = |name: &str, setting: &Setting| {
        let directive = table::find(name);
        directive.and_then(default).as_ref() != Some(&setting.value)
    };
    old_style
        .or_else(|| {
            let mut options = draft.options.iter();
            options.find(|(name, setting)| !is_security(name) && differs(name, setting))
        })
        .or_else(|| {
            let reasons = ["password_file", "allow_zero_length_clientid"];
            let mut settings = draft.security.iter();
            settings.find(|(name, setting)| reasons.contains(name) && differs(name, setting))
        })
}

/// Warns of security directives of a default listener that does not exist.
fn warn_of_lost(written: &Written, messages: &mut Vec<Message>) {
    let draft = &written.default_listener;
    let options = draft.options.iter().filter(|(name, _)| is_security(name));
    for (name, setting) in draft.security.iter().chain(options) {
        let what = "has no effect: it stands before any listener line of its file, and belongs to \
                    none of the listeners";
        messages.push((setting.at).message(Level::Warning, name, what, BELOW));
    }
}

/// Warns of a listener that takes names from certificates and asks for none: Mosquitto starts with
/// it, and refuses its clients.
fn warn_of_nameless(listener: &Listener, draft: &Draft, messages: &mut Vec<Message>) {
    let tls = listener.tls.as_ref();
    if !tls.is_some_and(|tls| tls.identity.is_some() && !tls.require_certificate) {
        return;
    }
    let settings = draft.options.iter();
    for (name, setting) in settings.filter(|(name, _)| tls::NAMES.contains(name)) {
        let what = "nobody has a name without a certificate: every client of this listener is \
                    refused";
        let mend = "add require_certificate true and a cafile, or remove this line";
        messages.push(setting.at.message(Level::Warning, name, what, mend));
    }
}

fn default_listener(written: &Written) -> Result<Listener, Error> {
    let draft = &written.default_listener;
    let view = View(vec![&draft.options]);
    let bind = Bind::Tcp {
        host: not_star(view.text("bind_address")),
        port: view.int("port"),
    };
    make(bind, draft, written, false)
}

fn bind(endpoint: &Endpoint) -> Bind {
    match (&endpoint.host, endpoint.port) {
        (Some(path), 0) => Bind::Unix(PathBuf::from(path)),
        (host, port) => Bind::Tcp {
            host: not_star(host.clone()),
            port,
        },
    }
}

/// The C library of most systems takes `*` for all addresses, and so did Mosquitto on them.
fn not_star(host: Option<String>) -> Option<String> {
    host.filter(|host| host != "*")
}

fn make(bind: Bind, draft: &Draft, written: &Written, local_only: bool) -> Result<Listener, Error> {
    let own = written.per_listener_settings();
    // With settings of its own, the global block only holds what global_plugin asked for.
    let blocks = if own {
        vec![&draft.options, &draft.security, &written.global]
    } else {
        vec![&draft.options, &written.global]
    };
    refuse_two_files(&blocks)?;
    let view = View(blocks);
    let versions = view.text("accept_protocol_versions").unwrap_or_default();
    let socket_domain = view.text("socket_domain").map(|word| match word.as_str() {
        "ipv4" => SocketDomain::Ipv4,
        _ => SocketDomain::Ipv6,
    });
    refuse_other_family(&bind, &view)?;
    Ok(Listener {
        bind,
        origin: match &draft.at {
            Some(at) => at.to_string(),
            None => "default listener".to_owned(),
        },
        bind_interface: view.text("bind_interface"),
        socket_domain,
        max_connections: view.limit("max_connections"),
        max_qos: view.int("max_qos"),
        max_topic_alias: view.int("max_topic_alias"),
        max_topic_alias_broker: view.int("max_topic_alias_broker"),
        mount_point: view.text("mount_point"),
        accept_protocol_versions: ProtocolVersions {
            v31: versions.contains('3'),
            v311: versions.contains('4'),
            v5: versions.contains('5'),
        },
        use_username_as_clientid: view.bool("use_username_as_clientid"),
        security: security(&view, local_only),
        tls: tls::tls(&view)?,
        written: settings(&view, local_only),
    })
}

/// Refuses a `socket_domain` that the listener's address is not of: it could never be served.
fn refuse_other_family(bind: &Bind, view: &View<'_>) -> Result<(), Error> {
    let (
        Bind::Tcp {
            host: Some(host), ..
        },
        Some(setting),
    ) = (bind, view.setting("socket_domain"))
    else {
        return Ok(());
    };
    let address = host.split('%').next().unwrap_or_default().parse();
    let family = match address {
        Ok(IpAddr::V4(_)) => "ipv4",
        Ok(IpAddr::V6(_)) => "ipv6",
        // A name may have addresses of both.
        Err(_) => return Ok(()),
    };
    if view
        .text("socket_domain")
        .is_none_or(|domain| domain == family)
    {
        return Ok(());
    }
    let what = format!("does not fit the listener's address {host}: expected {family}");
    Err(setting.at.error("socket_domain", what))
}

/// Refuses two files of a kind for one listener, which plugins can ask for: Mosquitto asks both, so
/// to leave one of them out might let in what it was to keep away.
fn refuse_two_files(blocks: &[&Block]) -> Result<(), Error> {
    for name in ["password_file", "acl_file"] {
        let mut settings = blocks.iter().filter_map(|block| block.get(name));
        if let (Some(here), Some(other)) = (settings.next(), settings.next()) {
            let what = format!(
                "Duplicate value: expected only one for a listener, and for this one it is set at \
                 {} too",
                other.at
            );
            return Err(here.at.error(name, what));
        }
    }
    Ok(())
}

/// All settings that hold for a listener in one block, for the comparison at a reload.
fn settings(view: &View<'_>, local_only: bool) -> Block {
    let mut block = Block::default();
    let scopes = [Scope::Listener, Scope::Security];
    for directive in table::directives().filter(|entry| scopes.contains(&entry.scope)) {
        if let Some(setting) = view.setting(directive.name) {
            block.set(directive.name, setting.clone());
        }
    }
    with_anonymous(block, local_only)
}

/// The block with the value of `allow_anonymous`, which has no fixed default.
pub(super) fn with_anonymous(mut block: Block, local_only: bool) -> Block {
    if block.get("allow_anonymous").is_none() {
        let file: &Path = "".as_ref();
        let at = Place {
            file: file.into(),
            line: 0,
        };
        let value = Value::Bool(local_only);
        block.set("allow_anonymous", Setting { value, at });
    }
    block
}

/// Refuses two listeners that cannot be told apart.
fn refuse_twice(
    listeners: &[Listener],
    new: &Listener,
    at: Option<&Place>,
    directive: &str,
) -> Result<(), Error> {
    let same = |old: &&Listener| {
        old.bind == new.bind
            && old.bind_interface == new.bind_interface
            && old.socket_domain == new.socket_domain
    };
    let (Some(old), Some(at)) = (listeners.iter().find(same), at) else {
        return Ok(());
    };
    let what = match directive {
        "listener" | "port" | "bind_address" => format!(
            "{} is opened already at {}: expected another port or address",
            new.bind, old.origin
        ),
        _ => format!(
            "stands before any listener line of its file, so it would open {} a second time, \
             after {}: expected below that line",
            new.bind, old.origin
        ),
    };
    Err(at.error(directive, what))
}

/// Whether a listener option is about security, so that it holds in local only mode, too.
fn is_security(name: &str) -> bool {
    matches!(name, "listener_allow_anonymous" | "listener_auto_id_prefix")
}
