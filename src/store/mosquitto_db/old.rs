//! Versions 2 to 4: the fields of a chunk one after the other, strings with their length in front.
//!
//! The brokers that read these files went by the fields, never by a chunk's length, so that one
//! which wrote a wrong length would not have been noticed. Where the two disagree, the fields are
//! believed if a known chunk begins where they end, or the file is over there.

use super::chunk::*;
use super::{Client, ClientMessage, Message, Subscription};
use crate::wire::{Properties, SubscriptionOptions};

/// Bytes of kind and length.
const HEADER: usize = 6;

/// Reads one chunk.
pub(super) fn chunk<'a>(file: &mut Cursor<'a>, version: u32) -> Result<Entry<'a>, Stop> {
    let kind = u32::from(file.u16("the kind of a chunk")?);
    let len = file.u32("the length of a chunk")? as usize;
    let mut fields = file.clone();
    let entry = match kind {
        kind::CONFIG => config(&mut fields).map(Entry::Config),
        kind::MESSAGE => message(&mut fields, version).map(Entry::Message),
        kind::CLIENT_MESSAGE => client_message(&mut fields).map(Entry::ClientMessage),
        kind::RETAINED => fields.store_id().map(Entry::Retained),
        kind::SUBSCRIPTION => subscription(&mut fields).map(Entry::Subscription),
        kind::CLIENT => client(&mut fields, version, len).map(Entry::Client),
        _ => {
            file.take("the body of a chunk", len)?;
            return Ok(Entry::Unknown);
        }
    };
    if let Err(Stop::Misfit(_) | Stop::More(_)) = entry {
        return entry;
    }
    let read = fields.at() - file.at();
    if read != len && !may_follow(&fields)? {
        return Err(file.misfit_of("the body of a chunk", len, read));
    }
    *file = fields;
    entry
}

/// Whether this is the end of the file or looks like another chunk.
fn may_follow(fields: &Cursor<'_>) -> Result<bool, Stop> {
    if fields.left() == 0 {
        return Ok(true);
    }
    let Some(behind) = fields.left().checked_sub(HEADER) else {
        return Ok(false);
    };
    let mut next = fields.clone();
    let kind = u32::from(next.u16("the kind of a chunk")?);
    let len = next.u32("the length of a chunk")? as usize;
    Ok((kind::CONFIG..=kind::CLIENT).contains(&kind) && len <= behind)
}

/// Written at stop (1), bytes of a store id (1), last store id (8).
fn config(fields: &mut Cursor<'_>) -> Result<bool, Stop> {
    let at_stop = fields.u8("a flag")?;
    let id_size = fields.u8("the size of store ids")?;
    if usize::from(id_size) != STORE_ID {
        return Err(fields.misfit_of("store ids", STORE_ID, id_size.into()));
    }
    fields.store_id()?;
    flag(at_stop)
}

/// Store id (8), publisher's client id (string), in version 4 its user name (string) and port (2),
/// its packet id (2), an unused packet id (2), topic (string), QoS (1), retain (1), payload's
/// length (4), payload.
fn message<'a>(fields: &mut Cursor<'a>, version: u32) -> Result<Message<'a>, Stop> {
    let store_id = fields.store_id()?;
    let source_id = fields.string("a publisher's client id")?;
    let (mut username, mut port) = (&[][..], 0);
    if version >= 4 {
        username = fields.string("a publisher's user name")?;
        port = fields.u16("a port")?;
    }
    let source_packet_id = fields.u16("a packet identifier")?;
    fields.u16("a packet identifier")?;
    let topic = fields.string("a topic")?;
    let qos_number = fields.u8("a QoS")?;
    let retain = fields.u8("a flag")?;
    let payload_len = fields.u32("a payload's length")?;
    let payload = fields.take("a payload", payload_len as usize)?;
    Ok(Message {
        store_id,
        topic,
        payload,
        qos: qos(qos_number)?,
        retain: flag(retain)?,
        expires_at_s: None,
        source_id,
        source_username: non_empty(username),
        source_port: non_zero(port),
        source_packet_id,
        properties: Properties::default(),
    })
}

/// Client id (string), store id (8), packet id (2), QoS, retain, direction, state, dup (1 each).
fn client_message<'a>(fields: &mut Cursor<'a>) -> Result<ClientMessage<'a>, Stop> {
    let client_id = fields.string("a client id")?;
    let store_id = fields.store_id()?;
    let packet_id = fields.u16("a packet identifier")?;
    let qos_number = fields.u8("a QoS")?;
    let retain = fields.u8("a flag")?;
    let direction_number = fields.u8("a direction")?;
    let state = fields.u8("a state")?;
    let dup = fields.u8("a flag")?;
    Ok(ClientMessage {
        client_id,
        store_id,
        packet_id,
        qos: qos(qos_number)?,
        retain: flag(retain)?,
        dup: flag(dup)?,
        direction: direction(direction_number)?,
        stage: stage(state)?,
        subscription_id: None,
    })
}

/// Client id (string), filter (string), QoS (1).
fn subscription<'a>(fields: &mut Cursor<'a>) -> Result<Subscription<'a>, Stop> {
    let client_id = fields.string("a client id")?;
    let filter = fields.string("a filter")?;
    let qos_number = fields.u8("a QoS")?;
    Ok(Subscription {
        client_id,
        filter,
        options: SubscriptionOptions {
            qos: qos(qos_number)?,
            ..SubscriptionOptions::default()
        },
        id: None,
    })
}

/// Client id (string), last packet id (2), from version 3 the time at which it left: as many bytes
/// as the writing machine's clock has, 4 or 8, which only the chunk's length tells.
fn client<'a>(fields: &mut Cursor<'a>, version: u32, len: usize) -> Result<Client<'a>, Stop> {
    let id = fields.string("a client id")?;
    let last_packet_id = fields.u16("a packet identifier")?;
    let left_at_s = match len.checked_sub(2 + id.len() + 2) {
        _ if version < 3 => None,
        Some(4) => fields.short_time("a time")?,
        Some(8) => fields.time("a time")?,
        other => return Err(fields.misfit_of("a time", 8, other.unwrap_or(0))),
    };
    Ok(Client {
        id,
        username: None,
        listener_port: None,
        session_expiry_interval_s: u32::MAX,
        expires_at_s: None,
        left_at_s,
        last_packet_id,
    })
}
