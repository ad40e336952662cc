//! `-D COMMAND NAME VALUE`: MQTT 5.0 properties from the command line, checked and encoded.

use super::Tool;
use super::settings::Settings;
use crate::wire::{Kind, PacketType, Properties, PropertyId, Value, Version};

/// The properties of each packet that the user may add some to; encoded without their length.
#[derive(Clone, Debug, Default)]
pub struct PropertySets {
    /// Of CONNECT.
    pub connect: Vec<u8>,
    /// Of PUBLISH, without the topic alias and the expiry.
    pub publish: Vec<u8>,
    /// The topic alias of PUBLISH.
    pub topic_alias: Option<u16>,
    /// The message expiry of PUBLISH, in seconds.
    pub expiry_s: Option<u32>,
    /// Of the will.
    pub will: Vec<u8>,
    /// Of SUBSCRIBE.
    pub subscribe: Vec<u8>,
    /// Of UNSUBSCRIBE.
    pub unsubscribe: Vec<u8>,
    /// Of DISCONNECT.
    pub disconnect: Vec<u8>,
}

/// Where a property goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Packet(PacketType),
    Will,
}

const PLACES: [(&str, Command); 6] = [
    ("connect", Command::Packet(PacketType::Connect)),
    ("publish", Command::Packet(PacketType::Publish)),
    ("will", Command::Will),
    ("subscribe", Command::Packet(PacketType::Subscribe)),
    ("unsubscribe", Command::Packet(PacketType::Unsubscribe)),
    ("disconnect", Command::Packet(PacketType::Disconnect)),
];

impl PropertySets {
    /// Adds the property that the words behind `-D` describe and returns how many it took: three,
    /// or four for a user property.
    pub fn add(&mut self, words: &[&str]) -> Result<usize, String> {
        let &[command, name, value, ..] = words else {
            return Err("-D needs a command, a property name and a value.".into());
        };
        let place = place(command)?;
        let id = PropertyId::ALL
            .iter()
            .copied()
            .find(|id| id.name() == name)
            .ok_or_else(|| format!("-D: there is no property '{name}'."))?;
        let allowed = match place {
            Command::Packet(packet) => id.fits(packet),
            Command::Will => id.fits_will(),
        };
        let reserved = matches!(
            (place, id),
            // Only servers send these.
            (
                Command::Packet(PacketType::Publish),
                PropertyId::SubscriptionIdentifier
            ) | (
                Command::Packet(PacketType::Disconnect),
                PropertyId::ServerReference
            )
        );
        if !allowed || reserved {
            return Err(format!(
                "-D: the property {name} cannot be set for {command}."
            ));
        }
        if id == PropertyId::UserProperty {
            let &[_, _, name, value, ..] = words else {
                return Err("-D: a user-property needs a name and a value.".into());
            };
            check_text(id, name)?;
            check_text(id, value)?;
            id.encode(Value::Pair(name, value), self.of(place));
            return Ok(4);
        }
        if Properties::from_encoded(self.of(place)).find(id).is_some() || self.taken(place, id) {
            return Err(format!(
                "-D: the property {name} is given twice for {command}."
            ));
        }
        self.add_value(place, id, value)?;
        Ok(3)
    }

    /// Adds what follows from other flags, in Mosquitto's order.
    pub(super) fn complete(&mut self, settings: &Settings) -> Result<(), String> {
        if settings.version != Version::V5 {
            return Ok(());
        }
        let connect = Properties::from_encoded(&self.connect);
        let has_expiry = connect.find(PropertyId::SessionExpiryInterval).is_some();
        let has_maximum = connect.find(PropertyId::ReceiveMaximum).is_some();
        if let Some(seconds) = settings.session_expiry_s.filter(|&seconds| seconds > 0) {
            if has_expiry {
                return Err("the session expiry is given twice (-x or -c, and -D).".into());
            }
            PropertyId::SessionExpiryInterval.encode(Value::Integer(seconds), &mut self.connect);
        }
        if !has_maximum {
            // No more than will be printed: what is left over stays with the server.
            let wanted = match settings.tool {
                Tool::Request => 1,
                _ => settings.message_count.unwrap_or(20).min(20),
            };
            PropertyId::ReceiveMaximum.encode(Value::Integer(wanted), &mut self.connect);
        }
        if let Some(topic) = &settings.response_topic {
            let publish = Properties::from_encoded(&self.publish);
            if publish.find(PropertyId::ResponseTopic).is_some() {
                return Err("the response topic is given twice (-e and -D).".into());
            }
            PropertyId::ResponseTopic.encode(Value::Text(topic), &mut self.publish);
        }
        Ok(())
    }

    fn of(&mut self, place: Command) -> &mut Vec<u8> {
        match place {
            Command::Will => &mut self.will,
            Command::Packet(PacketType::Connect) => &mut self.connect,
            Command::Packet(PacketType::Publish) => &mut self.publish,
            Command::Packet(PacketType::Subscribe) => &mut self.subscribe,
            Command::Packet(PacketType::Unsubscribe) => &mut self.unsubscribe,
            // `PLACES` has nothing else.
            Command::Packet(_) => &mut self.disconnect,
        }
    }

    /// Whether one of the two fields of a PUBLISH that are not in `publish` is set.
    fn taken(&self, place: Command, id: PropertyId) -> bool {
        place == Command::Packet(PacketType::Publish)
            && match id {
                PropertyId::TopicAlias => self.topic_alias.is_some(),
                PropertyId::MessageExpiryInterval => self.expiry_s.is_some(),
                _ => false,
            }
    }

    fn add_value(&mut self, place: Command, id: PropertyId, text: &str) -> Result<(), String> {
        let value = match id.kind() {
            Kind::Utf8String => {
                check_text(id, text)?;
                Value::Text(text)
            }
            Kind::BinaryData => {
                check_text(id, text)?;
                Value::Binary(text.as_bytes())
            }
            Kind::Byte => integer(id, text, 0, 1)?,
            Kind::TwoByteInteger => integer(id, text, least(id), u32::from(u16::MAX))?,
            Kind::FourByteInteger => integer(id, text, least(id), u32::MAX)?,
            Kind::VariableByteInteger => integer(id, text, 1, 268_435_455)?,
            Kind::Utf8StringPair => return Err("-D: a property that is a pair.".into()),
        };
        if id == PropertyId::ResponseTopic && !super::topics::is_name(text) {
            return Err(format!(
                "-D: '{text}' is no response topic; does it contain '+' or '#'?"
            ));
        }
        if place == Command::Packet(PacketType::Publish) {
            match (id, value) {
                (PropertyId::TopicAlias, Value::Integer(alias)) => {
                    self.topic_alias = Some(alias as u16);
                    return Ok(());
                }
                (PropertyId::MessageExpiryInterval, Value::Integer(seconds)) => {
                    self.expiry_s = Some(seconds);
                    return Ok(());
                }
                _ => {}
            }
        }
        id.encode(value, self.of(place));
        Ok(())
    }
}

fn place(command: &str) -> Result<Command, String> {
    let found = PLACES.iter().find(|(name, _)| *name == command);
    found.map(|&(_, place)| place).ok_or_else(|| {
        format!(
            "-D: there is no command '{command}'; it is one of connect, publish, will, subscribe, \
             unsubscribe, disconnect."
        )
    })
}

/// The least value that the specification allows.
fn least(id: PropertyId) -> u32 {
    u32::from(matches!(
        id,
        PropertyId::ReceiveMaximum | PropertyId::MaximumPacketSize | PropertyId::TopicAlias
    ))
}

fn integer(id: PropertyId, text: &str, min: u32, max: u32) -> Result<Value<'static>, String> {
    match text.parse::<u32>() {
        Ok(value) if (min..=max).contains(&value) => Ok(Value::Integer(value)),
        _ => Err(format!(
            "-D: {} is a number from {min} to {max}, not '{text}'.",
            id.name()
        )),
    }
}

fn check_text(id: PropertyId, text: &str) -> Result<(), String> {
    if text.len() > usize::from(u16::MAX) {
        return Err(format!("-D: the value of {} is too long.", id.name()));
    }
    if text.contains('\0') {
        return Err(format!("-D: the value of {} holds U+0000.", id.name()));
    }
    Ok(())
}
