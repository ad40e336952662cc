//! Topics as the command line may give them.

use crate::topic::Filter;

/// The most levels that a topic may have, as in Mosquitto's clients and brokers.
const LEVELS_MAX: usize = 200;

/// Whether `text` can be published to.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && is_plain(text) && !text.contains(['+', '#'])
}

/// Whether `text` can be subscribed to.
pub fn is_filter(text: &str) -> bool {
    is_plain(text) && Filter::parse(text).is_ok()
}

fn is_plain(text: &str) -> bool {
    u16::try_from(text.len()).is_ok()
        && !text.chars().any(char::is_control)
        && crate::topic::level_count(text.as_bytes()) <= LEVELS_MAX
}
