//! What the broker is told: the directives of mosquitto.conf that it needs, with their names.
//!
//! Limits are bounds on what peers can make the broker hold; each has a default here.

use crate::auth::Acl;
use crate::wire::{PacketType, QoS};
use std::sync::Arc;

/// Settings of the whole broker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What `$SYS/broker/version` says.
    pub version: String,
    /// The listeners; a [`super::Peer`] names one by its place here.
    pub listeners: Vec<ListenerSettings>,
    /// One copy for each overlapping subscription, or one for each 3.x client.
    pub allow_duplicate_messages: bool,
    /// Check the publisher's rights again when a retained message is delivered.
    pub check_retain_source: bool,
    /// Answer a SUBSCRIBE that the ACL denies with a failure code.
    pub acl_suback_deny: bool,
    /// Log clients that connect and disconnect.
    pub connection_messages: bool,
    /// Receive Maximum towards us, and how much is under way to one client; 0 has no limit.
    pub max_inflight_messages: u16,
    /// Bytes under way to one client; 0 has no limit.
    pub max_inflight_bytes: u64,
    /// QoS 1 and 2 messages that wait for one client besides those under way; 0 has no limit.
    pub max_queued_messages: usize,
    /// Bytes that wait for one client; 0 has no limit.
    pub max_queued_bytes: u64,
    /// Keep QoS 0 messages too for clients that are away.
    pub queue_qos0_messages: bool,
    /// The longest Keep Alive in seconds; 0 has no limit.
    pub max_keepalive: u16,
    /// The largest packet in bytes; 0 has no limit but MQTT's.
    pub max_packet_size: usize,
    /// The largest payload in bytes; 0 has no limit.
    pub message_size_limit: usize,
    /// Deliver with the QoS of the subscription even if the message had a lower one.
    pub upgrade_outgoing_qos: bool,
    /// Whether retained messages are kept.
    pub retain_available: bool,
    /// Minutes between two searches for expired retained messages; 0 turns them off.
    pub retain_expiry_interval: u32,
    /// Seconds between two updates of `$SYS`; 0 turns it off.
    pub sys_interval: u32,
    /// Seconds after which a 3.x session without a connection ends.
    pub persistent_client_expiration: Option<u64>,
    /// Sessions at most, with and without a connection.
    pub global_max_clients: Option<usize>,
    /// Connections at most.
    pub global_max_connections: Option<usize>,
    /// Subscriptions of one session at most; a filter counts once for each ten levels and each KiB.
    pub max_subscriptions_per_client: usize,
    /// Levels of a topic at most.
    pub max_topic_levels: usize,
    /// Bytes of properties of one message at most.
    pub max_property_bytes: usize,
    /// User Properties of one message at most.
    pub max_user_properties: usize,
    /// Bytes of QoS 0 messages that wait for a slow connection at most.
    pub max_output_bytes: usize,
    /// Seconds within which CONNECT must be complete.
    pub connect_timeout: u32,
    /// Bytes a second in which an unfinished packet must go on at least; 0 has no limit.
    pub min_packet_rate: u32,
    /// QoS 2 messages that one client may have under way towards us at most.
    pub max_inbound_qos2: usize,
    /// Bytes that clients may make the broker hold in memory; 0 has no limit.
    pub memory_limit: usize,
    /// Bytes of message bodies that stay in memory although the journal has them.
    pub memory_cache: usize,
    /// Bytes that the journal may take of the disk; 0 has no limit.
    pub persistence_max_bytes: u64,
    /// When the disk is full, the oldest messages of the longest queue make room for new ones.
    pub drops_oldest: bool,
    /// This packet does not wait for its gate: for the test that shows what the gates are for. No
    /// directive sets it.
    #[doc(hidden)]
    pub ungated: Option<PacketType>,
    /// Deliveries looked at, filters or things freed before others have their turn.
    pub slice: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            version: concat!("midge version ", env!("CARGO_PKG_VERSION")).to_string(),
            listeners: vec![ListenerSettings::default()],
            allow_duplicate_messages: true,
            check_retain_source: true,
            acl_suback_deny: false,
            connection_messages: true,
            max_inflight_messages: 20,
            max_inflight_bytes: 0,
            max_queued_messages: 1000,
            max_queued_bytes: 0,
            queue_qos0_messages: false,
            max_keepalive: 0,
            max_packet_size: 2_000_000,
            message_size_limit: 0,
            upgrade_outgoing_qos: false,
            retain_available: true,
            retain_expiry_interval: 0,
            sys_interval: 10,
            persistent_client_expiration: None,
            global_max_clients: None,
            global_max_connections: None,
            max_subscriptions_per_client: 10_000,
            max_topic_levels: 201,
            max_property_bytes: 8192,
            max_user_properties: 64,
            max_output_bytes: 256 * 1024,
            connect_timeout: 10,
            min_packet_rate: 256,
            max_inbound_qos2: 1000,
            memory_limit: 0,
            memory_cache: 8_000_000,
            persistence_max_bytes: 1_000_000_000,
            drops_oldest: false,
            ungated: None,
            slice: 1500,
        }
    }
}

/// Settings of one listener, with the security settings that hold for it.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// What log lines call it: its port, or the path of its socket.
    pub name: String,
    /// Connections at most.
    pub max_connections: Option<usize>,
    /// The highest QoS that clients may publish with.
    pub max_qos: QoS,
    /// Topic Alias Maximum towards us.
    pub max_topic_alias: u16,
    /// Topic aliases that we use towards one client at most.
    pub max_topic_alias_broker: u16,
    /// Put in front of all topics of its clients.
    pub mount_point: String,
    /// Take the user name as Client Identifier.
    pub use_username_as_clientid: bool,
    /// Whether 3.1, 3.1.1 and 5.0 are spoken here.
    pub accept_protocol_versions: [bool; 3],
    /// Let clients in that give no user name.
    pub allow_anonymous: bool,
    /// User names and passwords are checked: the broker asks by [`super::Broker::poll_auth`].
    pub has_passwords: bool,
    /// The user name stands in the client's certificate, and needs no password.
    pub names_by_certificate: bool,
    /// Who may publish and receive what.
    pub acl: Option<Arc<Acl>>,
    /// Give clients a Client Identifier that come without one.
    pub allow_zero_length_clientid: bool,
    /// What generated Client Identifiers begin with.
    pub auto_id_prefix: String,
    /// Client Identifiers must begin with this.
    pub clientid_prefixes: Option<String>,
}

impl Default for ListenerSettings {
    fn default() -> ListenerSettings {
        ListenerSettings {
            name: "1883".to_string(),
            max_connections: None,
            max_qos: QoS::ExactlyOnce,
            max_topic_alias: 10,
            max_topic_alias_broker: 10,
            mount_point: String::new(),
            use_username_as_clientid: false,
            accept_protocol_versions: [true; 3],
            allow_anonymous: true,
            has_passwords: false,
            names_by_certificate: false,
            acl: None,
            allow_zero_length_clientid: true,
            auto_id_prefix: "auto-".to_string(),
            clientid_prefixes: None,
        }
    }
}
