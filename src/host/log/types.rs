//! Mosquitto's classes of log lines.

use log::{Level, LevelFilter, Metadata};

/// A class of lines, as `log_type` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogType {
    /// What failed. `log::error!`.
    Error,
    /// What may fail yet. `log::warn!`.
    Warning,
    /// Clients that come and go, and the life of the broker. `log::info!(target: "notice", ...)`.
    Notice,
    /// Everything else worth a line. `log::info!`.
    Information,
    /// Every packet. `log::debug!`.
    Debug,
    /// Who subscribes to what. `log::info!(target: "subscribe", ...)`.
    Subscribe,
    /// Who unsubscribes from what. `log::info!(target: "unsubscribe", ...)`.
    Unsubscribe,
    /// What WebSockets connections do. `log::info!(target: "websockets", ...)`.
    Websockets,
    /// The broker's inside. `log::trace!`.
    Internal,
    /// Every packet, field by field. `log::info!(target: "packets", ...)`.
    Packets,
}

impl LogType {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Information,
        Self::Debug,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Websockets,
        Self::Internal,
        Self::Packets,
    ];

    /// Its name in a configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Information => "information",
            Self::Debug => "debug",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Websockets => "websockets",
            Self::Internal => "internal",
            Self::Packets => "packets",
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// The topic that lines of this class are published to; `None` for those that never are.
    pub fn topic(self) -> Option<&'static str> {
        match self {
            Self::Error => Some("$SYS/broker/log/E"),
            Self::Warning => Some("$SYS/broker/log/W"),
            Self::Notice => Some("$SYS/broker/log/N"),
            Self::Information => Some("$SYS/broker/log/I"),
            Self::Subscribe => Some("$SYS/broker/log/M/subscribe"),
            Self::Unsubscribe => Some("$SYS/broker/log/M/unsubscribe"),
            Self::Websockets => Some("$SYS/broker/log/WS"),
            // A line about a line's packet would have no end.
            Self::Debug | Self::Internal | Self::Packets => None,
        }
    }

    /// The class of a record: its level, or its target where one level stands for several.
    pub(super) fn of(metadata: &Metadata<'_>) -> Self {
        match metadata.level() {
            Level::Error => Self::Error,
            Level::Warn => Self::Warning,
            Level::Info => Self::of_target(metadata.target()).unwrap_or(Self::Information),
            Level::Debug => Self::Debug,
            Level::Trace => Self::Internal,
        }
    }

    /// The class that a target stands for by itself.
    pub(super) fn of_target(target: &str) -> Option<Self> {
        match target {
            "notice" => Some(Self::Notice),
            "subscribe" => Some(Self::Subscribe),
            "unsubscribe" => Some(Self::Unsubscribe),
            "websockets" => Some(Self::Websockets),
            "packets" => Some(Self::Packets),
            _ => None,
        }
    }

    /// The severity in syslog (RFC 3164, table 2): 3 error to 7 debug.
    pub(super) fn severity(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice | Self::Subscribe | Self::Unsubscribe => 5,
            Self::Information => 6,
            Self::Debug | Self::Websockets | Self::Internal | Self::Packets => 7,
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) fn byte(self) -> u8 {
        self as u8
    }

    /// The inverse of [`byte`](Self::byte); other bytes never come up and count as errors.
    pub(super) fn from_byte(byte: u8) -> Self {
        let class = Self::ALL.get(usize::from(byte));
        class.copied().unwrap_or(Self::Error)
    }

    /// The level its lines are logged at.
    fn level(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::Error,
            Self::Warning => LevelFilter::Warn,
            Self::Notice | Self::Information => LevelFilter::Info,
            Self::Subscribe | Self::Unsubscribe | Self::Websockets => LevelFilter::Info,
            Self::Packets => LevelFilter::Info,
            Self::Debug => LevelFilter::Debug,
            Self::Internal => LevelFilter::Trace,
        }
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types(u16);

impl Types {
    /// `log_type none`.
    pub const NONE: Self = Self(0);

    /// `log_type all`, and `-v`: all but packets, which are too many to come unasked.
    pub const ALL: Self = Self((1 << LogType::Packets as u16) - 1);

    /// The set with one class more.
    #[must_use]
    pub fn with(self, class: LogType) -> Self {
        Self(self.0 | 1 << class.byte())
    }

    /// Whether the class is in it.
    pub fn contains(self, class: LogType) -> bool {
        self.0 & 1 << class.byte() != 0
    }

    pub(super) fn bits(self) -> u16 {
        self.0
    }

    pub(super) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The level that lets every class of the set through.
    pub(super) fn max_level(self) -> LevelFilter {
        let wanted = LogType::ALL
            .into_iter()
            .filter(|class| self.contains(*class));
        wanted.map(LogType::level).max().unwrap_or(LevelFilter::Off)
    }
}

impl Default for Types {
    /// Errors, warnings, notices and information.
    fn default() -> Self {
        [
            LogType::Error,
            LogType::Warning,
            LogType::Notice,
            LogType::Information,
        ]
        .into_iter()
        .collect()
    }
}

impl FromIterator<LogType> for Types {
    fn from_iter<I: IntoIterator<Item = LogType>>(classes: I) -> Self {
        classes.into_iter().fold(Self::NONE, Self::with)
    }
}
