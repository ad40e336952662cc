//! What a good Topic Filter is (sections 4.7 and 4.8), and the match that is obviously right.

/// A Topic Filter, checked; shared or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter<'a> {
    /// The Share Name of a Shared Subscription.
    pub share: Option<&'a str>,
    /// The filter without `$share/NAME/`.
    pub filter: &'a str,
}

/// Why a Topic Filter is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFilter {
    /// It has no character [MQTT-4.7.3-1].
    Empty,
    /// `#` or `+` shares its level, or `#` is not last [MQTT-4.7.1-1] [MQTT-4.7.1-2].
    Wildcard,
    /// `$share/` without a good Share Name and a filter behind it [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    Share,
}

impl<'a> Filter<'a> {
    /// Checks the text of a filter.
    pub fn parse(text: &'a str) -> Result<Filter<'a>, BadFilter> {
        if text.is_empty() {
            return Err(BadFilter::Empty);
        }
        let parsed = match text.strip_prefix("$share/") {
            Some(shared) => {
                let (name, filter) = shared.split_once('/').ok_or(BadFilter::Share)?;
                if name.is_empty() || name.contains(['+', '#']) || filter.is_empty() {
                    return Err(BadFilter::Share);
                }
                Filter {
                    share: Some(name),
                    filter,
                }
            }
            None if text == "$share" => return Err(BadFilter::Share),
            None => Filter {
                share: None,
                filter: text,
            },
        };
        check_wildcards(parsed.filter)?;
        Ok(parsed)
    }
}

fn check_wildcards(filter: &str) -> Result<(), BadFilter> {
    if memchr::memchr2(b'+', b'#', filter.as_bytes()).is_none() {
        return Ok(());
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let good = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.contains(['+', '#']),
        };
        if !good {
            return Err(BadFilter::Wildcard);
        }
    }
    Ok(())
}

/// Whether a topic name matches a (valid, unshared) filter: level by level, byte by byte, without
/// any normalisation [MQTT-4.7.3-4].
///
/// The table's walk must agree with it always.
pub fn matches(filter: &[u8], topic: &[u8]) -> bool {
    // [MQTT-4.7.2-1]
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    let mut topic_levels = topic.split(|&b| b == b'/');
    for level in filter.split(|&b| b == b'/') {
        match (level, topic_levels.next()) {
            (b"#", _) => return true,
            (b"+", Some(_)) => {}
            (literal, Some(name)) if literal == name => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}
