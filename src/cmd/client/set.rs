//! What the values of flags mean: the functions behind the table.
//!
//! In their errors `{flag}` stands for the flag as it was written.

use std::time::Duration;

use super::settings::{Input, Settings};
use super::url::BrokerUrl;
use super::{Tool, decimal, topics};
use crate::wire::{QoS, RetainHandling, Version};

pub(super) fn number<T: TryFrom<i64>>(text: &str, min: i64, max: i64) -> Result<T, String> {
    integer(text)
        .filter(|n| (min..=max).contains(n))
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| format!("{{flag}}: '{text}' is not a number from {min} to {max}."))
}

/// A line of an option file may end with blanks.
fn integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// A second source of a message is refused when all flags are read: [`Settings::complete`].
pub(super) fn set_input(settings: &mut Settings, input: Input) {
    settings.input_twice |= settings.input.replace(input).is_some();
}

/// 0 stands for a unix socket in Mosquitto's clients; here `--unix` does.
pub(super) fn port(text: &str) -> Result<u16, String> {
    integer(text)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|&port| port > 0)
        .ok_or_else(|| format!("Invalid port given: {text}"))
}

pub(super) fn add_topic(settings: &mut Settings, topic: &str) -> Result<(), String> {
    if settings.tool == Tool::Subscribe {
        check_filter(topic, "subscription")?;
        settings.topics.push(topic.to_owned());
    } else {
        check_name(topic, "publish")?;
        settings.topics = vec![topic.to_owned()];
    }
    Ok(())
}

pub(super) fn check_filter(filter: &str, what: &str) -> Result<(), String> {
    if topics::is_filter(filter) {
        return Ok(());
    }
    Err(format!(
        "Invalid {what} topic '{filter}', are all '+' and '#' wildcards correct?"
    ))
}

pub(super) fn check_name(topic: &str, what: &str) -> Result<(), String> {
    if topics::is_name(topic) {
        return Ok(());
    }
    Err(format!(
        "Invalid {what} topic '{topic}', does it contain '+' or '#'?"
    ))
}

pub(super) fn set_url(settings: &mut Settings, url: &str) -> Result<(), String> {
    let url = BrokerUrl::parse(url)?;
    add_topic(settings, &url.topic)?;
    if url.websockets {
        settings.missing = Some("WebSockets");
    }
    if url.tls {
        settings.tls.url = true;
        let flag = &mut settings.tls.flag;
        flag.get_or_insert_with(|| "-L mqtts://".to_owned());
    }
    settings.host = url.host;
    settings.unix = None;
    settings.port = Some(url.port);
    if url.username.is_some() {
        settings.username = url.username;
        let password = url.password.map(String::into_bytes);
        settings.password = password.or(settings.password.take());
    }
    Ok(())
}

pub(super) fn set_id(settings: &mut Settings, id: &str, is_prefix: bool) -> Result<(), String> {
    let (own, other) = if is_prefix {
        (&mut settings.id_prefix, &settings.id)
    } else {
        (&mut settings.id, &settings.id_prefix)
    };
    if other.is_some() {
        return Err("-i and -I argument cannot be used together.".into());
    }
    *own = Some(id.to_owned());
    Ok(())
}

pub(super) fn set_expiry(settings: &mut Settings, text: &str) -> Result<(), String> {
    settings.session_expiry_s = Some(match text {
        "∞" => u32::MAX,
        text => match number::<i64>(text, -1, i64::from(u32::MAX))? {
            -1 => u32::MAX,
            seconds => seconds as u32,
        },
    });
    settings.version = Version::V5;
    Ok(())
}

pub(super) fn set_version(settings: &mut Settings, text: &str) -> Result<(), String> {
    settings.version = match text {
        "mqttv31" | "31" => Version::V31,
        "mqttv311" | "311" => Version::V311,
        "mqttv5" | "5" => Version::V5,
        _ => {
            return Err(format!(
                "{{flag}}: '{text}' is not a version; it is mqttv31, mqttv311 or mqttv5."
            ));
        }
    };
    Ok(())
}

pub(super) fn set_retain_handling(settings: &mut Settings, text: &str) -> Result<(), String> {
    settings.retain_handling = match text {
        "always" => RetainHandling::Always,
        "new" => RetainHandling::New,
        "never" => RetainHandling::Never,
        _ => return Err(format!("{{flag}}: '{text}' is not always, new or never.")),
    };
    Ok(())
}

pub(super) fn set_repeat_delay(settings: &mut Settings, text: &str) -> Result<(), String> {
    settings.repeat_delay = decimal::read(text, 9)
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("{{flag}}: '{text}' is not a number of seconds."))?;
    Ok(())
}

pub(super) fn set_random_filter(settings: &mut Settings, text: &str) -> Result<(), String> {
    settings.random_filter_ppm = decimal::read(text, 4)
        .filter(|ppm| (1_000..=1_000_000).contains(ppm))
        .ok_or_else(|| format!("{{flag}}: '{text}' is not between 0.1 and 100."))?;
    Ok(())
}

pub(super) fn qos(text: &str) -> Result<QoS, String> {
    integer(text)
        .and_then(|qos| u8::try_from(qos).ok())
        .and_then(QoS::from_bits)
        .ok_or_else(|| format!("{{flag}}: Invalid QoS given: {text}; it is 0, 1 or 2."))
}
