//! The typed result: every value a broker needs, under its directive's name.
//!
//! The fields are plain data, and each load makes a whole new [`Config`]. Where a directive's 0 or
//! -1 means "no limit", the field is an `Option` and `None` means that. Paths stay as they are
//! written. Files that a directive names (passwords, access control) are not opened here.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::report::Message;
use super::written::Block;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// No `listener`, `port` or `bind_address` is configured: `listeners` are the loopback
    /// addresses, and it is enough when one of 127.0.0.1 and ::1 can be opened for each port.
    pub local_only: bool,
    /// What to listen on, in the order of the files, the default listener last; never empty.
    pub listeners: Vec<Listener>,
    /// Each listener has its own security directives.
    pub per_listener_settings: bool,
    /// Security of the broker as a whole; each listener's `security` says what holds there.
    pub security: Security,

    /// Whom to become when started as root; `mosquitto` when not configured.
    pub user: String,
    /// Where to write the process id.
    pub pid_file: Option<PathBuf>,
    /// One copy for each overlapping subscription rather than one for each 3.x client.
    pub allow_duplicate_messages: bool,
    /// Check a retained message's publisher again before it is delivered.
    pub check_retain_source: bool,
    /// Client ids must begin with this.
    pub clientid_prefixes: Option<String>,
    /// Queue QoS 0 messages for absent clients.
    pub queue_qos0_messages: bool,
    /// Retained messages are taken.
    pub retain_available: bool,
    /// Minutes between two searches for expired retained messages.
    pub retain_expiry_interval: Option<u32>,
    /// Let the kernel keep the broker from writing and starting what it need not.
    pub sandbox: bool,
    /// TCP_NODELAY on client sockets.
    pub set_tcp_nodelay: bool,
    /// Seconds between two refreshments of `$SYS`; `None` turns it off.
    pub sys_interval: Option<u16>,
    /// Deliver at the subscription's QoS.
    pub upgrade_outgoing_qos: bool,
    /// Refuse in SUBACK what the access control list can never serve.
    pub acl_suback_deny: bool,
    /// What clients may use.
    pub limits: Limits,
    /// What goes to disk.
    pub persistence: Persistence,
    /// The log.
    pub logging: Logging,

    /// The files that were read, the main file first; empty without a configuration file.
    pub files: Vec<PathBuf>,
    /// What to log once the log is up, in order.
    pub messages: Vec<Message>,
    /// The settings behind the fields, for the comparison at a reload.
    pub(super) written: Block,
}

/// Bounds of what clients may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Seconds until CONNECT must be complete; at least 1.
    pub connect_timeout: u16,
    /// Sessions, connected or not.
    pub global_max_clients: Option<u32>,
    /// Connections over all listeners.
    pub global_max_connections: Option<u32>,
    /// QoS 2 messages of one client that wait for PUBREL; at least 1.
    pub max_inbound_qos2: u16,
    /// Bytes of QoS 1 and 2 messages under way to one client.
    pub max_inflight_bytes: Option<u64>,
    /// QoS 1 and 2 messages under way to one client.
    pub max_inflight_messages: Option<u16>,
    /// The longest Keep Alive in seconds; with it, Keep Alive 0 is too long as well.
    pub max_keepalive: Option<u16>,
    /// Bytes waiting for one client that does not read; at least 1024.
    pub max_output_bytes: usize,
    /// Bytes of one packet, header included; at least 20.
    pub max_packet_size: u32,
    /// Bytes of properties of one message; at least 1.
    pub max_property_bytes: u32,
    /// Bytes of QoS 1 and 2 messages queued for one client.
    pub max_queued_bytes: Option<u64>,
    /// QoS 1 and 2 messages queued for one client.
    pub max_queued_messages: Option<u32>,
    /// Subscriptions of one client; at least 1.
    pub max_subscriptions_per_client: u32,
    /// Levels of a topic name or filter; at least 1.
    pub max_topic_levels: u16,
    /// User Properties of one message.
    pub max_user_properties: u16,
    /// Bytes a second in which an unfinished packet must go on.
    pub min_packet_rate: u32,
    /// Bytes of state that clients make the broker keep; `None` when not configured.
    pub memory_limit: Option<u64>,
    /// Bytes of payload; a larger message is acknowledged and dropped.
    pub message_size_limit: Option<u32>,
    /// Seconds until the session of an absent MQTT 3 client is forgotten; at most `u32::MAX`.
    pub persistent_client_expiration: Option<u64>,
}

/// What goes to disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persistence {
    /// Keep sessions and messages over a restart.
    pub persistence: bool,
    /// The directory as it is written; [`persistence_folder`] says which one is meant.
    pub persistence_location: Option<PathBuf>,
    /// The name of Mosquitto's database in it, which a first start imports.
    pub persistence_file: String,
    /// When what was written is forced to the disk.
    pub persistence_sync: Sync,
    /// Bytes that what is kept may use on the disk; at least 16 MiB.
    pub persistence_max_bytes: u64,
    /// What gives way when there is no room for a message.
    pub persistence_full: WhenFull,
    /// Bytes of message bodies that stay in memory although they are on disk; may be 0.
    pub memory_cache: usize,
}

/// When what was written is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before anything that it promises leaves.
    Always,
    /// At most so many milliseconds after it was written; 1 to 60000.
    Every(u32),
    /// When the kernel likes.
    Never,
}

/// What gives way when the disk or `persistence_max_bytes` is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// New QoS 1 and 2 messages for lasting sessions.
    Refuse,
    /// The oldest messages of the largest queue.
    DropOldest,
}

/// Where something is stored.
pub struct Stores {
    /// The folder that the others are in.
    pub location: PathBuf,
    /// The folder of the journal.
    pub journal: PathBuf,
    /// Mosquitto's database.
    pub database: PathBuf,
}

/// Where what must survive is stored: in `env`, or else in `persistence_location`, or else in the
/// current folder.
///
/// `env` is what `MOSQUITTO_PERSISTENCE_LOCATION` says; empty is as good as missing. Whether the
/// path ends in a slash makes no difference. Brokers with a `persistence_file` each may share a
/// location, so one that was given a name has a folder of its own there.
pub fn stores(config: &Config, env: Option<OsString>) -> Stores {
    let configured = config.persistence.persistence_location.clone();
    let env = env.filter(|path| !path.is_empty()).map(PathBuf::from);
    let location = env.or(configured).unwrap_or_else(|| PathBuf::from("."));
    let name = &config.persistence.persistence_file;
    Stores {
        database: location.join(name),
        journal: match name.as_str() {
            DATABASE => location.clone(),
            name => location.join(format!("{name}.journal")),
        },
        location,
    }
}

/// What Mosquitto's database is called unless `persistence_file` gives it another name.
pub(super) const DATABASE: &str = "mosquitto.db";

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Where lines go.
    pub log_dest: LogDest,
    /// Which lines are written.
    pub log_type: LogType,
    /// Syslog's facility local0 to local7; daemon when `None`.
    pub log_facility: Option<u8>,
    /// Begin a new log file beyond so many bytes; 0 sets no limit.
    pub log_file_max_size: u64,
    /// Begin lines with the time.
    pub log_timestamp: bool,
    /// The time's format for strftime; seconds since 1970 when `None`.
    pub log_timestamp_format: Option<String>,
    /// Log clients that come and go.
    pub connection_messages: bool,
    /// Where to write what goes over connections, for Wireshark.
    pub capture_file: Option<PathBuf>,
    /// Bytes of that file; at least 1 MB.
    pub capture_file_max_size: u64,
}

/// The destinations of log lines; none is set with `log_dest none`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogDest {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// The system's log.
    pub syslog: bool,
    /// Topics below `$SYS/broker/log/`.
    pub topic: bool,
    /// A file.
    pub file: Option<PathBuf>,
}

/// The kinds of log lines that are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogType {
    /// Errors.
    pub error: bool,
    /// Warnings.
    pub warning: bool,
    /// Notices.
    pub notice: bool,
    /// Information.
    pub information: bool,
    /// Packets and other details.
    pub debug: bool,
    /// Subscriptions.
    pub subscribe: bool,
    /// Ended subscriptions.
    pub unsubscribe: bool,
    /// WebSockets.
    pub websockets: bool,
    /// Mosquitto's inner workings; nothing in Midge.
    pub internal: bool,
    /// Every packet, field by field.
    pub packets: bool,
}

impl LogType {
    /// Every kind but `packets`, as with `log_type all` or `-v`.
    pub const ALL: Self = Self {
        error: true,
        warning: true,
        notice: true,
        information: true,
        debug: true,
        subscribe: true,
        unsubscribe: true,
        websockets: true,
        internal: true,
        packets: false,
    };

    /// No kind, as with `log_type none` or `-q`.
    pub const NONE: Self = Self {
        error: false,
        warning: false,
        notice: false,
        information: false,
        debug: false,
        subscribe: false,
        unsubscribe: false,
        websockets: false,
        internal: false,
        packets: false,
    };
}

/// A listener with all that holds for its clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Where it listens.
    pub bind: Bind,
    /// Where it is configured, for log lines: `FILE:LINE`, `local only mode` or `default listener`.
    pub origin: String,
    /// Serve only this network interface (SO_BINDTODEVICE); at most 15 bytes.
    pub bind_interface: Option<String>,
    /// Use only one address family; both when `None`.
    pub socket_domain: Option<SocketDomain>,
    /// Connections at a time.
    pub max_connections: Option<u32>,
    /// The highest QoS taken: 0, 1 or 2.
    pub max_qos: u8,
    /// Topic aliases a client may use.
    pub max_topic_alias: u16,
    /// Topic aliases used towards a client.
    pub max_topic_alias_broker: u16,
    /// What is put in front of the topics of its clients; holds no wildcard.
    pub mount_point: Option<String>,
    /// The protocols spoken.
    pub accept_protocol_versions: ProtocolVersions,
    /// The user name becomes the client id.
    pub use_username_as_clientid: bool,
    /// Who may connect here and who may do what.
    pub security: Security,
    /// How it is encrypted; `None` if it is not.
    pub tls: Option<Tls>,
    /// The settings behind the fields, for the comparison at a reload.
    pub(super) written: Block,
}

impl Config {
    /// Where a directive of the whole broker is written, as `FILE:LINE`.
    pub fn place_of(&self, directive: &str) -> Option<String> {
        place_in(&self.written, directive)
    }
}

impl Listener {
    /// Where a directive is written that holds for this listener, as `FILE:LINE`.
    pub fn place_of(&self, directive: &str) -> Option<String> {
        place_in(&self.written, directive)
    }
}

fn place_in(written: &Block, directive: &str) -> Option<String> {
    let at = &written.get(directive)?.at;
    // What is not written anywhere has no line.
    (at.line > 0).then(|| at.to_string())
}

/// How a listener is encrypted. Files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Its certificate, and those between it and an authority.
    pub certfile: PathBuf,
    /// The private key of that.
    pub keyfile: PathBuf,
    /// The authorities whose clients may come.
    pub cafile: Option<PathBuf>,
    /// More of them: every file of a folder.
    pub capath: Option<PathBuf>,
    /// Certificates that are not good any more.
    pub crlfile: Option<PathBuf>,
    /// Let in only clients that have a certificate of these authorities.
    pub require_certificate: bool,
    /// What of the client's certificate is its user name.
    pub identity: Option<Identity>,
    /// TLS 1.3 only; 1.2 as well otherwise.
    pub only_13: bool,
    /// OpenSSL's list of ciphers for TLS 1.2.
    pub ciphers: Option<String>,
    /// The same for TLS 1.3.
    pub ciphers_13: Option<String>,
    /// Take certificates of clients whatever their dates: the clock may be wrong.
    pub any_date: bool,
}

/// The part of a client's certificate that is its user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The Common Name.
    CommonName,
    /// The whole subject, as RFC 2253 writes it.
    Subject,
}

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// A TCP port on a host, or on all addresses when there is none; the port is never 0.
    Tcp {
        /// A host name or an address.
        host: Option<String>,
        /// The port.
        port: u16,
    },
    /// The path of a unix socket, at most 107 bytes.
    Unix(PathBuf),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: None, port } => write!(f, "*:{port}"),
            Self::Tcp {
                host: Some(host),
                port,
            } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp {
                host: Some(host),
                port,
            } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// One address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketDomain {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The protocols that a listener speaks; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolVersions {
    /// MQTT 3.1.
    pub v31: bool,
    /// MQTT 3.1.1.
    pub v311: bool,
    /// MQTT 5.0.
    pub v5: bool,
}

/// Who may connect and who may do what, with all defaults and replacements applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Clients need no user name.
    pub allow_anonymous: bool,
    /// The file of users and passwords; without it, passwords are not checked.
    pub password_file: Option<PathBuf>,
    /// The access control list; without it, everything is allowed.
    pub acl_file: Option<PathBuf>,
    /// Clients may leave the choice of their id to the broker.
    pub allow_zero_length_clientid: bool,
    /// How such ids begin; at most 50 bytes.
    pub auto_id_prefix: String,
}
