//! The bodies of the records that describe whole objects.

use super::fields::{Fields, put_bytes, put_number, put_option};
use super::place::Place;
use super::record::{Message, Recipients, Release, Session, Source, Subscription, Will};
use crate::wire::{Properties, QoS, RetainHandling, SubscriptionOptions, Version, is_topic_name};

/// Whether clients can be told this: they would close their connection on anything else.
fn may_go_out(topic: &[u8], properties: &[u8]) -> bool {
    is_topic_name(topic) && !topic.is_empty() && Properties::are_of_publish(properties)
}

impl<'a> Session<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.key);
        put_bytes(out, self.client_id.as_bytes());
        put_option(out, self.username.map(str::as_bytes));
        put_bytes(out, self.listener.as_bytes());
        put_bytes(out, self.mount_point.as_bytes());
        let left = self.left_ms.is_some();
        let will = self.will.is_some();
        let unowned = u8::from(self.is_unowned) << 3;
        let flags = u8::from(self.is_bridge) | u8::from(left) << 1 | u8::from(will) << 2 | unowned;
        out.extend_from_slice(&[self.version as u8, flags]);
        put_number(out, self.expiry_s.into());
        put_number(out, self.silence_ms);
        put_number(out, self.left_ms.unwrap_or(0));
        put_number(out, self.next_ordinal);
        put_number(out, self.sent_before);
        if let Some(will) = self.will {
            put_bytes(out, will.topic.as_bytes());
            put_bytes(out, will.payload);
            put_bytes(out, will.properties);
            out.push(will.qos as u8 | u8::from(will.retain) << 2);
            put_number(
                out,
                will.expiry_s.map_or(0, |seconds| u64::from(seconds) + 1),
            );
            put_number(out, will.delay_s.into());
        }
    }

    pub(super) fn decode(mut f: Fields<'a>) -> Option<Session<'a>> {
        // 0 is what a session has that no record tells of.
        let key = f.ordinal()?;
        let client_id = f.text()?;
        let username = f.option_text()?;
        let (listener, mount_point) = (f.text()?, f.text()?);
        let version = match f.byte()? {
            3 => Version::V31,
            4 => Version::V311,
            5 => Version::V5,
            _ => return None,
        };
        let flags = f.byte()?;
        let (expiry_s, silence_ms) = (f.number32()?, f.count()?);
        let left_ms = Some(f.count()?).filter(|_| flags & 2 != 0);
        Some(Session {
            key,
            client_id,
            username,
            listener,
            mount_point,
            version,
            is_bridge: flags & 1 != 0,
            is_unowned: flags & 8 != 0,
            expiry_s,
            silence_ms,
            left_ms,
            next_ordinal: f.count()?.max(1),
            sent_before: f.count()?,
            will: match flags & 4 {
                0 => None,
                _ => Some(Will::decode(&mut f)?),
            },
        })
    }
}

impl<'a> Will<'a> {
    pub(super) fn decode(f: &mut Fields<'a>) -> Option<Will<'a>> {
        let (topic, payload, properties) = (f.text()?, f.bytes()?, f.bytes()?);
        if !may_go_out(topic.as_bytes(), properties) {
            return None;
        }
        let flags = f.byte()?;
        Some(Will {
            topic,
            payload,
            properties,
            qos: QoS::from_bits(flags & 3)?,
            retain: flags & 4 != 0,
            expiry_s: match f.number()? {
                0 => None,
                seconds => Some((seconds - 1).try_into().ok()?),
            },
            delay_s: f.number32()?,
        })
    }
}

impl<'a> Subscription<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.key);
        put_bytes(out, self.filter.as_bytes());
        put_option(out, self.share.map(str::as_bytes));
        let options = self.options;
        out.push(
            options.qos as u8
                | u8::from(options.no_local) << 2
                | u8::from(options.retain_as_published) << 3
                | (options.retain_handling as u8) << 4,
        );
        put_number(out, self.identifier.into());
        // Behind all that older versions read: they take the rest for a subscription all the same.
        if self.is_owed {
            out.push(1);
        }
    }

    pub(super) fn decode(mut f: Fields<'a>) -> Option<Subscription<'a>> {
        let (key, filter, share) = (f.count()?, f.text()?, f.option_text()?);
        let options = f.byte()?;
        Some(Subscription {
            key,
            filter,
            share,
            options: SubscriptionOptions {
                qos: QoS::from_bits(options & 3)?,
                no_local: options & 4 != 0,
                retain_as_published: options & 8 != 0,
                retain_handling: match options >> 4 & !4 {
                    0 => RetainHandling::Always,
                    1 => RetainHandling::New,
                    2 => RetainHandling::Never,
                    _ => return None,
                },
            },
            identifier: f.number32()?,
            // Where some versions had it, and where it is.
            is_owed: options & 0x40 != 0 || f.byte() == Some(1),
        })
    }
}

impl<'a> Source<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.hash);
        match self.publisher {
            None => out.push(0),
            Some((client_id, username, listener)) => {
                out.push(1);
                put_bytes(out, client_id.as_bytes());
                put_option(out, username.map(str::as_bytes));
                put_bytes(out, listener.as_bytes());
            }
        }
    }

    pub(super) fn decode(f: &mut Fields<'a>) -> Option<Source<'a>> {
        let hash = f.number()?;
        let publisher = match f.byte()? {
            0 => None,
            _ => Some((f.text()?, f.option_text()?, f.text()?)),
        };
        Some(Source { hash, publisher })
    }
}

const HAS_EXPIRY: u8 = 1 << 3;
const IS_KEPT: u8 = 1 << 4;
const IS_HELD: u8 = 1 << 5;
const IS_BODY: u8 = 1 << 6;

impl<'a> Message<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut flags = self.qos as u8 | u8::from(self.retain) << 2;
        flags |= self.expires_ms.map_or(0, |_| HAS_EXPIRY);
        flags |= self.keeps.map_or(0, |_| IS_KEPT) | self.held.map_or(0, |_| IS_HELD);
        flags |= if self.is_body { IS_BODY } else { 0 };
        out.push(flags);
        put_number(out, self.slot.into());
        if let Some(expires_ms) = self.expires_ms {
            put_number(out, expires_ms);
        }
        if let Some(source) = self.keeps {
            source.encode(out);
        }
        if let Some((key, packet_id)) = self.held {
            put_number(out, key);
            put_number(out, packet_id.into());
        }
        put_bytes(out, self.recipients.raw());
        put_bytes(out, self.topic);
        put_bytes(out, self.properties);
        out.extend_from_slice(self.payload);
    }

    pub(super) fn decode(mut f: Fields<'a>) -> Option<Message<'a>> {
        let flags = f.byte()?;
        let slot = f.number32()?;
        let mut message = Message {
            slot,
            qos: QoS::from_bits(flags & 3)?,
            retain: flags & 4 != 0,
            expires_ms: None,
            keeps: None,
            held: None,
            is_body: flags & IS_BODY != 0,
            recipients: Recipients::default(),
            topic: b"",
            properties: b"",
            payload: b"",
        };
        if flags & HAS_EXPIRY != 0 {
            message.expires_ms = Some(f.count()?);
        }
        if flags & IS_KEPT != 0 {
            message.keeps = Some(Source::decode(&mut f)?);
        }
        if flags & IS_HELD != 0 {
            message.held = Some((f.count()?, f.number16()?));
        }
        message.recipients = Recipients::new(f.bytes()?);
        message.topic = f.bytes()?;
        message.properties = f.bytes()?;
        message.payload = f.rest();
        may_go_out(message.topic, message.properties).then_some(message)
    }
}

impl<'a> Release<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.key);
        put_number(out, self.packet_id.into());
        put_number(out, self.body.to_u64());
        put_number(out, self.slot.into());
        match self.keeps {
            None => out.push(0),
            Some(source) => {
                out.push(1);
                source.encode(out);
                put_bytes(out, self.topic);
            }
        }
        out.extend_from_slice(self.recipients.raw());
    }

    pub(super) fn decode(mut f: Fields<'a>) -> Option<Release<'a>> {
        let mut release = Release {
            key: f.count()?,
            packet_id: f.number16()?,
            body: Place::from_u64(f.number()?),
            slot: f.number32()?,
            keeps: None,
            topic: b"",
            recipients: Recipients::default(),
        };
        if f.byte()? != 0 {
            release.keeps = Some(Source::decode(&mut f)?);
            release.topic = f.bytes()?;
        }
        release.recipients = Recipients::new(f.rest());
        Some(release)
    }
}
