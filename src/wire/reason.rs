//! Reason Codes of MQTT 5.0 (section 2.4) and the CONNACK return codes of 3.x.

use super::PacketType;

/// A Reason Code; from 0x80 on it says that something failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReasonCode(pub u8);

/// Declares each code once: its constant, its byte, its words and the packets that may carry it.
macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $words:literal, [$($packet:ident)*];)*) => {
        impl ReasonCode {
            $($(#[$doc])* pub const $name: ReasonCode = ReasonCode($code);)*

            /// What the code says, in the specification's words.
            pub fn words(self) -> &'static str {
                match self.0 {
                    $($code => $words,)*
                    _ => "Unknown reason",
                }
            }

            /// Whether the tables of the specification list this code for this packet.
            pub fn fits(self, packet: PacketType) -> bool {
                match self.0 {
                    $($code => [$(PacketType::$packet),*].contains(&packet),)*
                    _ => false,
                }
            }
        }
    };
}

reason_codes! {
    /// Success, Normal disconnection, Granted QoS 0.
    SUCCESS = 0x00, "Success",
        [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];
    /// Granted QoS 1.
    GRANTED_QOS_1 = 0x01, "Granted QoS 1", [SubAck];
    /// Granted QoS 2.
    GRANTED_QOS_2 = 0x02, "Granted QoS 2", [SubAck];
    /// The client asks for its will on disconnecting.
    DISCONNECT_WITH_WILL = 0x04, "Disconnect with Will Message", [Disconnect];
    /// Nobody subscribes to the topic.
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers", [PubAck PubRec];
    /// Unsubscribed from a filter that was not there.
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed", [UnsubAck];
    /// Authentication goes on.
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication", [Auth];
    /// A client starts over authenticating.
    RE_AUTHENTICATE = 0x19, "Re-authenticate", [Auth];
    /// No better reason is to be told.
    UNSPECIFIED_ERROR = 0x80, "Unspecified error",
        [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    /// The bytes do not form a packet.
    MALFORMED_PACKET = 0x81, "Malformed Packet", [ConnAck Disconnect];
    /// The packet is not allowed here.
    PROTOCOL_ERROR = 0x82, "Protocol Error", [ConnAck Disconnect];
    /// Valid, but this server does not do it.
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error",
        [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    /// The server does not speak this version.
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version", [ConnAck];
    /// The server does not take this Client Identifier.
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid", [ConnAck];
    /// The server does not take this user name or password.
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password", [ConnAck];
    /// The client may not do this.
    NOT_AUTHORIZED = 0x87, "Not authorized",
        [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    /// No service at present.
    SERVER_UNAVAILABLE = 0x88, "Server unavailable", [ConnAck];
    /// Try later.
    SERVER_BUSY = 0x89, "Server busy", [ConnAck Disconnect];
    /// This client was banned.
    BANNED = 0x8A, "Banned", [ConnAck];
    /// The server ends.
    SERVER_SHUTTING_DOWN = 0x8B, "Server shutting down", [Disconnect];
    /// The authentication method is not offered.
    BAD_AUTHENTICATION_METHOD = 0x8C, "Bad authentication method", [ConnAck Disconnect];
    /// One and a half times Keep Alive passed without a packet.
    KEEP_ALIVE_TIMEOUT = 0x8D, "Keep Alive timeout", [Disconnect];
    /// The same Client Identifier connected again.
    SESSION_TAKEN_OVER = 0x8E, "Session taken over", [Disconnect];
    /// The filter is well formed but not accepted.
    TOPIC_FILTER_INVALID = 0x8F, "Topic Filter invalid", [SubAck UnsubAck Disconnect];
    /// The topic name is well formed but not accepted.
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid", [ConnAck PubAck PubRec Disconnect];
    /// The Packet Identifier is already in use.
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use", [PubAck PubRec SubAck UnsubAck];
    /// The Packet Identifier is not known.
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found", [PubRel PubComp];
    /// More unacknowledged messages than Receive Maximum.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded", [Disconnect];
    /// An alias of zero or above the maximum.
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid", [Disconnect];
    /// Larger than Maximum Packet Size.
    PACKET_TOO_LARGE = 0x95, "Packet too large", [ConnAck Disconnect];
    /// Too many messages for the time.
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high", [Disconnect];
    /// A limit of the server was reached.
    QUOTA_EXCEEDED = 0x97, "Quota exceeded", [ConnAck PubAck PubRec SubAck Disconnect];
    /// Closed by an administrator.
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action", [Disconnect];
    /// The payload is not what its indicator says.
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid", [ConnAck PubAck PubRec Disconnect];
    /// The server keeps no retained messages.
    RETAIN_NOT_SUPPORTED = 0x9A, "Retain not supported", [ConnAck Disconnect];
    /// The QoS is above the server's maximum.
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported", [ConnAck Disconnect];
    /// Use another server for now.
    USE_ANOTHER_SERVER = 0x9C, "Use another server", [ConnAck Disconnect];
    /// Use another server for ever.
    SERVER_MOVED = 0x9D, "Server moved", [ConnAck Disconnect];
    /// Shared Subscriptions are not offered.
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "Shared Subscriptions not supported",
        [SubAck Disconnect];
    /// Connecting too often.
    CONNECTION_RATE_EXCEEDED = 0x9F, "Connection rate exceeded", [ConnAck Disconnect];
    /// The connection lasted as long as it may.
    MAXIMUM_CONNECT_TIME = 0xA0, "Maximum connect time", [Disconnect];
    /// Subscription Identifiers are not offered.
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "Subscription Identifiers not supported",
        [SubAck Disconnect];
    /// Wildcards in filters are not offered.
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "Wildcard Subscriptions not supported",
        [SubAck Disconnect];
}

impl ReasonCode {
    /// Whether the code says that something failed.
    pub fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The CONNACK return code of 3.1 and 3.1.1 that comes closest; `None` where none fits and the
    /// connection is closed without a CONNACK [MQTT-3.2.2-6].
    pub fn return_code(self) -> Option<u8> {
        match self {
            ReasonCode::SUCCESS => Some(0),
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => Some(1),
            ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => Some(2),
            ReasonCode::SERVER_UNAVAILABLE | ReasonCode::SERVER_BUSY => Some(3),
            ReasonCode::QUOTA_EXCEEDED | ReasonCode::CONNECTION_RATE_EXCEEDED => Some(3),
            ReasonCode::BAD_USER_NAME_OR_PASSWORD => Some(4),
            ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED => Some(5),
            _ => None,
        }
    }
}

impl std::fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:02X} {}", self.0, self.words())
    }
}
