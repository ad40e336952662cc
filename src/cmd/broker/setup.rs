//! From the configuration to what the broker, the loop and the log are told.

use super::Flags;
use super::listeners::Listeners;
use crate::auth::{Acl, Passwords, Problem};
use crate::broker::{ListenerSettings, Settings};
use crate::conf::{Bind, Config, Listener, Logging, SocketDomain, Tls, WhenFull};
use crate::host::access::{self, Stamp};
use crate::host::capture::Target;
use crate::host::listen::{self, Address};
use crate::host::log::{self as host_log, Facility, LogType, Syslog, Timestamp, Types};
use crate::host::memory;
use crate::host::poll::{Doors, Setup};
use crate::host::tap::Viewers;
use crate::host::tls::Acceptor;
use crate::wire::QoS;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The password and ACL files of one reading of the configuration, each read once.
#[derive(Default)]
pub(super) struct Access {
    passwords: Tables<Passwords>,
    acls: Tables<Acl>,
    encryptions: Vec<Encryption>,
    problems: Vec<Problem>,
}

/// What some files came to: few, so they are searched one by one.
type Tables<T> = Vec<(PathBuf, Arc<T>)>;

fn find<'a, T>(tables: &'a Tables<T>, path: &Path) -> Option<&'a Arc<T>> {
    let found = tables.iter().find(|(known, _)| known == path);
    found.map(|(_, table)| table)
}

/// Adds those of before that are not named any more: who came in by them may still be here.
fn keep<T>(tables: &mut Tables<T>, before: &Tables<T>) {
    for (path, table) in before {
        if find(tables, path).is_none() {
            tables.push((path.clone(), Arc::clone(table)));
        }
    }
}

/// What the files of a listener's certificates came to.
struct Encryption {
    /// The listener, whose directives name them.
    listener: Listener,
    /// What they looked like before they were read.
    stamp: Stamp,
    acceptor: Arc<Acceptor>,
}

/// What is wrong, behind the line of the directive with which it begins. (What a line of a file
/// that a directive names is about begins with that line.)
pub(super) fn placed(place_of: impl Fn(&str) -> Option<String>, what: String) -> String {
    let directive = what.split(':').next().unwrap_or_default();
    match place_of(directive) {
        Some(place) => format!("{place}: {what}"),
        None => what,
    }
}

/// What connections begin with; errors begin with the line of the directive, or with the
/// listener's where it is one that nobody wrote.
fn acceptor_of(listener: &Listener, tls: &Tls) -> Result<Acceptor, String> {
    let place_of = |directive: &str| {
        let place = listener.place_of(directive);
        place.or_else(|| Some(listener.origin.clone()))
    };
    Acceptor::new(tls).map_err(|what| placed(place_of, what))
}

impl Encryption {
    fn stamp(tls: &Tls) -> Stamp {
        let more = [&tls.cafile, &tls.capath, &tls.crlfile];
        let files = [&tls.certfile, &tls.keyfile].into_iter();
        Stamp::of(files.chain(more.into_iter().flatten()))
    }

    /// Reads the files anew if they have changed; whether they are in use now.
    fn renew(&mut self) -> bool {
        let Some(tls) = &self.listener.tls else {
            return false;
        };
        let stamp = Encryption::stamp(tls);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        match acceptor_of(&self.listener, tls) {
            Ok(acceptor) => {
                self.acceptor = Arc::new(acceptor);
                let origin = &self.listener.origin;
                log::info!(target: "notice", "Certificates of listener {origin} were read anew.");
                true
            }
            Err(what) => {
                log::error!("Error: {what}");
                log::error!("Error: the certificates of before stay until the files change again.");
                false
            }
        }
    }
}

impl Access {
    /// Reads the files of these listeners, besides what the reading of `before` knows of files that
    /// they do not name.
    ///
    /// # Errors
    /// What is wrong with a password or ACL file.
    pub(super) fn read(
        &mut self,
        listeners: &[Listener],
        before: Option<&Access>,
    ) -> Result<(), String> {
        for listener in listeners {
            self.read_passwords(listener)?;
            self.read_acl(listener)?;
        }
        if let Some(before) = before {
            keep(&mut self.passwords, &before.passwords);
            keep(&mut self.acls, &before.acls);
        }
        Ok(())
    }

    /// Reads certificates and keys.
    ///
    /// # Errors
    /// What is wrong with one of them, and the line that names it.
    pub(super) fn read_certificates(&mut self, listeners: &[Listener]) -> Result<(), String> {
        for listener in listeners {
            if let Some(tls) = &listener.tls {
                let stamp = Encryption::stamp(tls);
                let acceptor = acceptor_of(listener, tls)?;
                self.encryptions.push(Encryption {
                    listener: listener.clone(),
                    stamp,
                    acceptor: Arc::new(acceptor),
                });
            }
        }
        Ok(())
    }

    /// Reads certificates anew whose files have changed; whether there are other ones now.
    pub(super) fn renew(&mut self) -> bool {
        let renewed = self.encryptions.iter_mut().map(Encryption::renew);
        renewed.fold(false, |is_new, is_renewed| is_new | is_renewed)
    }

    /// What the connections of each listener begin with, if it is open and encrypted.
    pub(super) fn acceptors(&self, listeners: &Listeners) -> Vec<Option<Arc<Acceptor>>> {
        let acceptor = |(listener, is_open): &(Listener, bool)| {
            let tls = listener.tls.as_ref().filter(|_| *is_open)?;
            let found = self
                .encryptions
                .iter()
                .find(|known| known.listener.tls.as_ref() == Some(tls));
            found.map(|found| Arc::clone(&found.acceptor))
        };
        listeners.all().iter().map(acceptor).collect()
    }

    /// Everything that the loop is told; the files of all listeners were read.
    pub(super) fn setup(&self, config: &Config, listeners: &Listeners, doors: Doors) -> Setup {
        let mut passwords = Vec::new();
        let mut settings_of = Vec::new();
        for (listener, _) in listeners.all() {
            let security = &listener.security;
            let table =
                (security.password_file.as_ref()).and_then(|path| find(&self.passwords, path));
            let acl = (security.acl_file.as_ref()).and_then(|path| find(&self.acls, path));
            settings_of.push(listener_settings(config, listener, table.is_some(), acl));
            passwords.push(table.map(Arc::clone));
        }
        Setup {
            settings: settings(config, settings_of),
            passwords,
            acceptors: self.acceptors(listeners),
            doors,
            taps: viewers(config, listeners),
            nodelay: config.set_tcp_nodelay,
            sync: config.persistence.persistence_sync,
        }
    }

    /// Logs what is odd about the files, once the log is what the configuration wants.
    pub(super) fn log_problems(&mut self) {
        for problem in self.problems.drain(..) {
            log::warn!("Warning: {problem}");
        }
    }

    fn read_passwords(&mut self, listener: &Listener) -> Result<(), String> {
        let Some(path) = &listener.security.password_file else {
            return Ok(());
        };
        if find(&self.passwords, path).is_none() {
            let read = access::passwords(path);
            let (table, problems) =
                read.map_err(|what| placed(|name| listener.place_of(name), what))?;
            self.problems.extend(problems);
            self.passwords.push((path.clone(), Arc::new(table)));
        }
        Ok(())
    }

    fn read_acl(&mut self, listener: &Listener) -> Result<(), String> {
        let Some(path) = &listener.security.acl_file else {
            return Ok(());
        };
        if find(&self.acls, path).is_none() {
            let read = access::acl(path);
            let (acl, problems) =
                read.map_err(|what| placed(|name| listener.place_of(name), what))?;
            self.problems.extend(problems);
            self.acls.push((path.clone(), Arc::new(acl)));
        }
        Ok(())
    }
}

fn settings(config: &Config, listeners: Vec<ListenerSettings>) -> Settings {
    let limits = &config.limits;
    let count = |limit: Option<u32>| limit.map(|limit| limit as usize);
    Settings {
        listeners,
        allow_duplicate_messages: config.allow_duplicate_messages,
        check_retain_source: config.check_retain_source,
        acl_suback_deny: config.acl_suback_deny,
        connection_messages: config.logging.connection_messages,
        max_inflight_messages: limits.max_inflight_messages.unwrap_or(0),
        max_inflight_bytes: limits.max_inflight_bytes.unwrap_or(0),
        max_queued_messages: count(limits.max_queued_messages).unwrap_or(0),
        max_queued_bytes: limits.max_queued_bytes.unwrap_or(0),
        queue_qos0_messages: config.queue_qos0_messages,
        max_keepalive: limits.max_keepalive.unwrap_or(0),
        max_packet_size: limits.max_packet_size as usize,
        message_size_limit: count(limits.message_size_limit).unwrap_or(0),
        upgrade_outgoing_qos: config.upgrade_outgoing_qos,
        retain_available: config.retain_available,
        retain_expiry_interval: config.retain_expiry_interval.unwrap_or(0),
        sys_interval: config.sys_interval.unwrap_or(0).into(),
        persistent_client_expiration: limits.persistent_client_expiration,
        global_max_clients: count(limits.global_max_clients),
        global_max_connections: count(limits.global_max_connections),
        max_subscriptions_per_client: limits.max_subscriptions_per_client as usize,
        max_topic_levels: limits.max_topic_levels.into(),
        max_property_bytes: limits.max_property_bytes as usize,
        max_user_properties: limits.max_user_properties.into(),
        max_output_bytes: limits.max_output_bytes,
        connect_timeout: limits.connect_timeout.into(),
        min_packet_rate: limits.min_packet_rate,
        max_inbound_qos2: limits.max_inbound_qos2.into(),
        memory_limit: memory_limit(limits.memory_limit),
        memory_cache: config.persistence.memory_cache,
        persistence_max_bytes: config.persistence.persistence_max_bytes,
        drops_oldest: config.persistence.persistence_full == WhenFull::DropOldest,
        ..Settings::default()
    }
}

/// What clients may make the broker hold; without a directive the machine's size tells.
fn memory_limit(configured: Option<u64>) -> usize {
    let bytes = configured.unwrap_or_else(memory::default_limit);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn listener_settings(
    config: &Config,
    listener: &Listener,
    has_passwords: bool,
    acl: Option<&Arc<Acl>>,
) -> ListenerSettings {
    let versions = listener.accept_protocol_versions;
    let names_by_certificate = (listener.tls.as_ref()).is_some_and(|tls| tls.identity.is_some());
    let name = match &listener.bind {
        Bind::Tcp { port, .. } => port.to_string(),
        Bind::Unix(path) => path.display().to_string(),
    };
    ListenerSettings {
        name,
        max_connections: listener.max_connections.map(|max| max as usize),
        max_qos: QoS::from_bits(listener.max_qos).unwrap_or(QoS::ExactlyOnce),
        max_topic_alias: listener.max_topic_alias,
        max_topic_alias_broker: listener.max_topic_alias_broker,
        mount_point: listener.mount_point.clone().unwrap_or_default(),
        use_username_as_clientid: listener.use_username_as_clientid,
        accept_protocol_versions: [versions.v31, versions.v311, versions.v5],
        allow_anonymous: listener.security.allow_anonymous,
        // The certificate says who it is.
        has_passwords: has_passwords && !names_by_certificate,
        names_by_certificate,
        acl: acl.map(Arc::clone),
        allow_zero_length_clientid: listener.security.allow_zero_length_clientid,
        auto_id_prefix: listener.security.auto_id_prefix.clone(),
        clientid_prefixes: config.clientid_prefixes.clone(),
    }
}

/// Where a listener listens.
pub(in crate::cmd) fn address(listener: &Listener) -> Address {
    let bind = match &listener.bind {
        Bind::Tcp { host, port } => listen::Bind::Tcp {
            host: host.clone(),
            port: *port,
        },
        Bind::Unix(path) => listen::Bind::Unix(path.clone()),
    };
    let only_ipv6 = listener
        .socket_domain
        .map(|domain| domain == SocketDomain::Ipv6);
    Address {
        bind,
        interface: listener.bind_interface.clone(),
        only_ipv6,
    }
}

/// One plain line for each listener: where, and who may come in.
pub(super) fn describe_listeners(listeners: &Listeners, setup: &Setup) {
    for ((listener, is_open), passwords) in listeners.all().iter().zip(&setup.passwords) {
        if *is_open {
            let users = passwords.as_ref().map(|table| table.users());
            log::info!("{}", describe(listener, users));
        }
    }
}

/// That line; `users` are those of its password file.
pub(in crate::cmd) fn describe(listener: &Listener, users: Option<usize>) -> String {
    let anonymous = if listener.security.allow_anonymous {
        "allowed"
    } else {
        "refused"
    };
    let users = match (users, &listener.security.password_file) {
        (Some(users), Some(path)) => {
            let noun = if users == 1 { "user" } else { "users" };
            format!("{users} {noun} from {}", path.display())
        }
        (None, Some(path)) => format!("cannot be told from {}", path.display()),
        (_, None) => "not checked".to_string(),
    };
    let rights = match &listener.security.acl_file {
        Some(path) => format!("from {}", path.display()),
        None => "everything".to_string(),
    };
    format!(
        "Listener {} ({}): mqtt, {}, anonymous {anonymous}, passwords {users}, rights {rights}.",
        listener.bind,
        listener.origin,
        describe_tls(listener.tls.as_ref()),
    )
}

fn describe_tls(tls: Option<&Tls>) -> &'static str {
    match tls {
        None => "plain",
        Some(tls) if tls.identity.is_some() => "TLS with names from certificates",
        Some(tls) if tls.require_certificate => "TLS with certificates",
        Some(_) => "TLS",
    }
}

/// Who wants to see what goes over connections; lines are asked for at the log's.
fn viewers(config: &Config, listeners: &Listeners) -> Viewers {
    let logging = &config.logging;
    let name = |listener: &Listener| match &listener.tls {
        None => listener.bind.to_string(),
        Some(_) => format!("{} (TLS)", listener.bind),
    };
    let all = listeners.all().iter();
    Viewers {
        lines: logging.log_type.packets,
        capture: logging.capture_file.as_ref().map(|path| Target {
            path: path.clone(),
            bytes_max: logging.capture_file_max_size,
        }),
        listeners: all.map(|(listener, _)| name(listener)).collect(),
    }
}

/// What the log is told; the flags beat the configuration.
pub(super) fn log_settings(logging: &Logging, program: &str, flags: &Flags) -> host_log::Settings {
    let chosen = chosen_types(logging);
    let types = match (flags.verbose, flags.quiet) {
        (_, true) => Types::NONE,
        (true, false) if chosen.contains(LogType::Packets) => Types::ALL.with(LogType::Packets),
        (true, false) => Types::ALL,
        (false, false) => chosen,
    };
    let types = flags.log_types.iter().copied().fold(types, Types::with);
    let facility = logging
        .log_facility
        .map_or(Facility::Daemon, Facility::Local);
    let syslog = logging.log_dest.syslog.then(|| Syslog {
        facility,
        tag: program.to_string(),
        ..Syslog::default()
    });
    let timestamp = match (&logging.log_timestamp_format, logging.log_timestamp) {
        (_, false) => Timestamp::None,
        (None, true) => Timestamp::Unix,
        (Some(format), true) => Timestamp::Format(format.clone()),
    };
    host_log::Settings {
        types,
        stderr: logging.log_dest.stderr,
        stdout: logging.log_dest.stdout,
        topic: logging.log_dest.topic,
        syslog,
        file: logging.log_dest.file.clone(),
        file_bytes_max: logging.log_file_max_size,
        timestamp,
    }
}

fn chosen_types(logging: &Logging) -> Types {
    let on = logging.log_type;
    let all = [
        (on.error, LogType::Error),
        (on.warning, LogType::Warning),
        (on.notice, LogType::Notice),
        (on.information, LogType::Information),
        (on.debug, LogType::Debug),
        (on.subscribe, LogType::Subscribe),
        (on.unsubscribe, LogType::Unsubscribe),
        (on.websockets, LogType::Websockets),
        (on.internal, LogType::Internal),
        (on.packets, LogType::Packets),
    ];
    all.into_iter()
        .filter(|(is_on, _)| *is_on)
        .map(|(_, class)| class)
        .collect()
}
