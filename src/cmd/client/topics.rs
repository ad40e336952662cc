//! Topics as the command line may give them.

use crate::topic::Filter;
use crate::wire;

/// Whether `text` can be published to.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && is_plain(text) && !text.contains(['+', '#'])
}

/// Whether `text` can be subscribed to.
pub fn is_filter(text: &str) -> bool {
    is_plain(text) && Filter::parse(text).is_ok()
}

/// How many levels there may be is the broker's to say.
fn is_plain(text: &str) -> bool {
    u16::try_from(text.len()).is_ok() && wire::is_name(text)
}
