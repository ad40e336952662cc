//! Versions 5 and 6: the body of a chunk is a structure of C, then strings whose lengths stand in
//! it, then the properties.
//!
//! The structures are given as they lie in the file. Only two have padding at their end, which
//! depends on how the writing machine aligns 64 bits: CONFIG and, in version 6, CLIENT.

use super::chunk::*;
use super::{Client, ClientMessage, Message, Subscription};
use crate::wire::{PacketType, Properties, PropertyId, REMAINING_LENGTH_MAX, Reader};

/// Bytes that CLIENT's structure has from version 6 on, without and with its padding.
const CLIENT: [usize; 2] = [20, 24];

/// Reads one chunk.
pub(super) fn chunk<'a>(file: &mut Cursor<'a>, version: u32) -> Result<Entry<'a>, Stop> {
    let kind = file.u32("the kind of a chunk")?;
    let len = file.u32("the length of a chunk")?;
    let mut body = file.part("the body of a chunk", len as usize)?;
    Ok(match kind {
        kind::CONFIG => Entry::Config(config(&mut body)?),
        kind::MESSAGE => Entry::Message(message(&mut body)?),
        kind::CLIENT_MESSAGE => Entry::ClientMessage(client_message(&mut body)?),
        kind::RETAINED => {
            let id = body.store_id()?;
            body.end()?;
            Entry::Retained(id)
        }
        kind::SUBSCRIPTION => Entry::Subscription(subscription(&mut body)?),
        kind::CLIENT => Entry::Client(client(&mut body, version)?),
        _ => Entry::Unknown,
    })
}

/// Last store id (8), written at stop (1), bytes of a store id (1), padding (0, 2 or 6).
fn config(body: &mut Cursor<'_>) -> Result<bool, Stop> {
    body.store_id()?;
    let at_stop = body.u8("a flag")?;
    let id_size = body.u8("the size of store ids")?;
    body.take("padding", body.rest().len().min(6))?;
    body.end()?;
    if usize::from(id_size) != STORE_ID {
        return Err(body.misfit_of("store ids", STORE_ID, id_size.into()));
    }
    flag(at_stop)
}

/// Store id (8), expiry (8), payload length (4), publisher's packet id, length of its client id, of
/// its user name, of the topic, its port (2 each), QoS (1), retain (1); client id, user name,
/// topic, payload, properties.
fn message<'a>(body: &mut Cursor<'a>) -> Result<Message<'a>, Stop> {
    let store_id = body.store_id()?;
    let expires_at_s = body.time("a message's expiry")?;
    let payload_len = body.u32("a payload's length")?;
    let source_packet_id = body.u16("a packet identifier")?;
    let source_id_len = body.u16("a client id's length")?;
    let username_len = body.u16("a user name's length")?;
    let topic_len = body.u16("a topic's length")?;
    let source_port = body.u16("a port")?;
    let qos_number = body.u8("a QoS")?;
    let retain = body.u8("a flag")?;
    let source_id = body.take("a publisher's client id", source_id_len.into())?;
    let username = body.take("a publisher's user name", username_len.into())?;
    let topic = body.take("a topic", topic_len.into())?;
    let payload = body.take("a payload", payload_len as usize)?;
    Ok(Message {
        store_id,
        topic,
        payload,
        expires_at_s,
        source_id,
        source_username: non_empty(username),
        source_port: non_zero(source_port),
        source_packet_id,
        properties: properties(body)?,
        qos: qos(qos_number)?,
        retain: flag(retain)?,
    })
}

/// Store id (8), packet id (2), client id's length (2), QoS, state (1 each), retain and dup in a
/// byte, direction (1); client id, properties.
fn client_message<'a>(body: &mut Cursor<'a>) -> Result<ClientMessage<'a>, Stop> {
    let store_id = body.store_id()?;
    let packet_id = body.u16("a packet identifier")?;
    let client_id_len = body.u16("a client id's length")?;
    let qos_number = body.u8("a QoS")?;
    let state = body.u8("a state")?;
    let retain_dup = body.u8("flags")?;
    let direction_number = body.u8("a direction")?;
    let client_id = body.take("a client id", client_id_len.into())?;
    let properties = properties(body)?;
    Ok(ClientMessage {
        client_id,
        store_id,
        packet_id,
        qos: qos(qos_number)?,
        retain: flag(retain_dup >> 4)?,
        dup: flag(retain_dup & 0x0f)?,
        direction: direction(direction_number)?,
        stage: stage(state)?,
        subscription_id: properties.integer(PropertyId::SubscriptionIdentifier),
    })
}

/// Identifier (4), client id's length, filter's length (2 each), QoS (1), options (1), padding (2);
/// client id, filter.
fn subscription<'a>(body: &mut Cursor<'a>) -> Result<Subscription<'a>, Stop> {
    let id = body.u32("a subscription identifier")?;
    let client_id_len = body.u16("a client id's length")?;
    let filter_len = body.u16("a filter's length")?;
    let qos_number = body.u8("a QoS")?;
    let options_number = body.u8("options")?;
    body.take("padding", 2)?;
    let client_id = body.take("a client id", client_id_len.into())?;
    let filter = body.take("a filter", filter_len.into())?;
    body.end()?;
    if id as usize > REMAINING_LENGTH_MAX {
        return Err(Stop::Refused("a subscription identifier too large"));
    }
    Ok(Subscription {
        client_id,
        filter,
        options: options(options_number, qos(qos_number)?)?,
        id: (id != 0).then_some(id),
    })
}

/// Session's end (8), its expiry interval (4), last packet id (2), client id's length (2); from
/// version 6 port (2), user name's length (2), padding (0 or 4); client id, user name.
fn client<'a>(body: &mut Cursor<'a>, version: u32) -> Result<Client<'a>, Stop> {
    let len = body.rest().len();
    let expires_at_s = body.time("a session's end")?;
    let session_expiry_interval_s = body.u32("a session's expiry interval")?;
    let last_packet_id = body.u16("a packet identifier")?;
    let id_len = body.u16("a client id's length")?;
    let (mut port, mut username_len) = (0, 0);
    if version >= 6 {
        port = body.u16("a port")?;
        username_len = body.u16("a user name's length")?;
        let strings = usize::from(id_len) + usize::from(username_len);
        if len == CLIENT[1] + strings {
            body.take("padding", CLIENT[1] - CLIENT[0])?;
        }
    }
    let id = body.take("a client id", id_len.into())?;
    let username = body.take("a user name", username_len.into())?;
    body.end()?;
    Ok(Client {
        id,
        // Where there is no name, 2.0.11 writes that of another client with its length turned
        // round, so that a stretch of the broker's memory follows: never part of a name.
        username: non_empty(username).filter(|name| memchr::memchr(0, name).is_none()),
        listener_port: non_zero(port),
        session_expiry_interval_s,
        expires_at_s,
        left_at_s: None,
        last_packet_id,
    })
}

/// The rest of a chunk: nothing, or a property length that covers it and the properties.
fn properties<'a>(body: &mut Cursor<'a>) -> Result<Properties<'a>, Stop> {
    if body.left() == 0 {
        return Ok(Properties::default());
    }
    let mut reader = Reader::new(body.rest());
    let len = reader.var_int();
    let there = reader.rest().len();
    if len != Ok(there) {
        return Err(body.misfit_of("properties", len.unwrap_or(0), there));
    }
    Properties::read(&mut Reader::new(body.rest()), PacketType::Publish)
        .map_err(|malformed| Stop::Refused(malformed.what))
}
