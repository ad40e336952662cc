//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).

use super::session::SessionId;
use super::subscriptions::Subscriptions;
use super::{Broker, ConnId};
use crate::auth::Access;
use crate::topic::{Filter, NodeId};
use crate::wire::{
    Malformed, PacketType, Properties, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, SubscriptionOptions, Unsubscribe, Version,
};

/// A filter that is not one ends the connection, as in Mosquitto.
const BAD_FILTER: Malformed = Malformed::packet("invalid topic filter");

/// For how many subscriptions a filter counts. The levels of its filters are what a client can make
/// the PUBLISHes of others walk through, their bytes what it can make the table hold.
pub(super) fn weight(filter: &str) -> u32 {
    let levels = crate::topic::level_count(filter.as_bytes());
    levels.div_ceil(LEVELS).max(filter.len().div_ceil(BYTES)) as u32
}

/// What a SUBSCRIBE takes of the journal, roughly.
const RECORD_BYTES: usize = 4096;

/// What a filter may have to count once.
const LEVELS: usize = 10;
const BYTES: usize = 1024;

/// Before 5.0 the options byte holds the QoS only, and retained messages come always.
fn wants_retained(options: SubscriptionOptions, is_new: bool) -> bool {
    match options.retain_handling {
        RetainHandling::Always => true,
        RetainHandling::New => is_new,
        RetainHandling::Never => false,
    }
}

impl Broker {
    pub(super) fn subscribe(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        version: Version,
        subscribe: &Subscribe<'_>,
    ) {
        log::debug!(
            "Received SUBSCRIBE from {}",
            self.sessions.get(session_id).name()
        );
        // All filters are looked at before any of them takes effect.
        for SubscribeFilter { filter, options } in subscribe.filters() {
            match Filter::parse(filter) {
                Err(_) => return self.refuse_packet(id, BAD_FILTER),
                // [MQTT-3.8.3-4]
                Ok(Filter { share: Some(_), .. }) if options.no_local => {
                    let what = "no local on a shared subscription";
                    return self.refuse_packet(id, Malformed::protocol(what));
                }
                Ok(_) => {}
            }
        }
        let identifier = subscribe.subscription_id().unwrap_or(0);
        let mut codes = Vec::new();
        let (mut limit, mut is_full) = (None, false);
        let is_kept = self.sessions.get(session_id).is_recorded();
        let has_room = !is_kept || self.has_room_for(RECORD_BYTES);
        for filter in subscribe.filters() {
            if !has_room {
                codes.push(match version {
                    Version::V5 => ReasonCode::QUOTA_EXCEEDED.0,
                    _ => 0x80,
                });
                limit = Some("persistence");
                continue;
            }
            let reason = self.subscribe_one(session_id, filter, identifier);
            is_full |= reason == ReasonCode::QUOTA_EXCEEDED;
            limit = limit.or(match reason {
                ReasonCode::TOPIC_FILTER_INVALID => Some("max_topic_levels"),
                ReasonCode::QUOTA_EXCEEDED => Some("max_subscriptions_per_client"),
                _ => None,
            });
            let code = match (version, reason.is_error()) {
                (Version::V31 | Version::V311, true) => 0x80,
                _ => reason.0,
            };
            codes.push(code);
        }
        // Told once, however many filters there are.
        if is_full {
            let name = self.sessions.get(session_id).name();
            log::info!(target: "notice", "Client {name} has max_subscriptions_per_client.");
        }
        let packet_id = subscribe.packet_id;
        self.send_suback(id, PacketType::SubAck, version, packet_id, &codes, limit);
        // The acknowledgement goes first, the retained messages follow it; unless it was too large
        // for the client: then the connection has ended, and the session perhaps with it.
        if self.conn(id).is_some_and(|conn| !conn.is_closing()) {
            self.pump_replays(session_id);
        }
    }

    /// Answers a SUBSCRIBE or UNSUBSCRIBE; `limit` is the directive that a filter failed by.
    fn send_suback(
        &mut self,
        id: ConnId,
        packet: PacketType,
        version: Version,
        packet_id: u16,
        codes: &[u8],
        limit: Option<&str>,
    ) {
        let raw = limit
            .map(|limit| self.reason_string(id, limit))
            .unwrap_or_default();
        let encode = |properties| {
            let mut bytes = Vec::new();
            SubAck {
                packet_id,
                properties,
                codes,
            }
            .encode(version, packet, &mut bytes);
            bytes
        };
        let mut bytes = encode(Properties::from_encoded(&raw));
        // [MQTT-3.9.2-1]
        if !self.fits(id, bytes.len()) {
            bytes = encode(Properties::default());
        }
        if !self.fits(id, bytes.len()) {
            let what = "its Maximum Packet Size has no room for the answer";
            return self.close(id, ReasonCode::PACKET_TOO_LARGE, what);
        }
        log::debug!("Sending {} to {}", packet.name(), self.client_name(id));
        let gate = self.gate(id, packet);
        self.reply_encoded_at(id, packet, bytes, gate);
    }

    /// Adds or replaces one subscription; the code to answer.
    fn subscribe_one(
        &mut self,
        session_id: SessionId,
        asked: SubscribeFilter<'_>,
        identifier: u32,
    ) -> ReasonCode {
        let SubscribeFilter {
            filter: text,
            options,
        } = asked;
        let Ok(Filter { share, filter }) = Filter::parse(text) else {
            return ReasonCode::TOPIC_FILTER_INVALID;
        };
        let levels = crate::topic::level_count(filter.as_bytes());
        if levels > self.settings.max_topic_levels {
            return ReasonCode::TOPIC_FILTER_INVALID;
        }
        let filter = self.mounted(session_id, filter);
        if filter.len() > usize::from(u16::MAX) {
            return ReasonCode::TOPIC_FILTER_INVALID;
        }
        if self.settings.acl_suback_deny && !self.may(session_id, Access::Read, filter.as_bytes()) {
            return ReasonCode::NOT_AUTHORIZED;
        }
        let session = self.sessions.get(session_id);
        let max_qos = self.settings.listeners[usize::from(session.listener)].max_qos;
        let options = SubscriptionOptions {
            qos: options.qos.min(max_qos),
            ..options
        };
        let first = session.subscriptions;
        let existing = self.find_subscription(session_id, &filter, share);
        let name = session.name();
        log::info!(target: "subscribe", "{name} {} {text}", options.qos as u8);
        let id = if let Some(existing) = existing {
            let subscription = &mut self.subscriptions.slab[existing as usize];
            let is_same = subscription.options == options && subscription.identifier == identifier;
            subscription.options = options;
            subscription.identifier = identifier;
            if !is_same {
                self.record_subscription(session_id, existing);
            }
            existing
        } else {
            let count = (session.subscription_count + weight(text)) as usize;
            if count > self.settings.max_subscriptions_per_client {
                return ReasonCode::QUOTA_EXCEEDED;
            }
            let node = self.subscriptions.table.insert(filter.as_bytes());
            let group = share.map(|share| self.subscriptions.find_or_add_group(node, share));
            let subscription =
                Subscriptions::unlinked(session_id, node, group, options, identifier);
            let mut first = first;
            let id = self.subscriptions.insert(subscription, &mut first);
            let session = self.sessions.get_mut(session_id);
            session.subscriptions = first;
            session.subscription_count += weight(text);
            self.record_subscription(session_id, id);
            id
        };
        // Retained messages are not for Shared Subscriptions.
        if wants_retained(options, existing.is_none()) && share.is_none() {
            self.begin_replay(session_id, id, &filter, options, identifier);
        }
        ReasonCode(options.qos as u8)
    }

    pub(super) fn unsubscribe(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        version: Version,
        unsubscribe: &Unsubscribe<'_>,
    ) {
        log::debug!(
            "Received UNSUBSCRIBE from {}",
            self.sessions.get(session_id).name()
        );
        if unsubscribe
            .filters()
            .any(|filter| Filter::parse(filter).is_err())
        {
            return self.refuse_packet(id, BAD_FILTER);
        }
        let mut codes = Vec::new();
        for text in unsubscribe.filters() {
            let name = self.sessions.get(session_id).name();
            log::info!(target: "unsubscribe", "{name} {text}");
            codes.push(self.unsubscribe_one(session_id, text).0);
        }
        self.send_suback(
            id,
            PacketType::UnsubAck,
            version,
            unsubscribe.packet_id,
            &codes,
            None,
        );
    }

    fn unsubscribe_one(&mut self, session_id: SessionId, text: &str) -> ReasonCode {
        let Ok(Filter { share, filter }) = Filter::parse(text) else {
            return ReasonCode::TOPIC_FILTER_INVALID;
        };
        let filter = self.mounted(session_id, filter);
        let Some(subscription) = self.find_subscription(session_id, &filter, share) else {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        };
        let placed = self.subscriptions.get(subscription).placed;
        let session = self.sessions.get_mut(session_id);
        self.subscriptions
            .remove(subscription, &mut session.subscriptions);
        session.subscription_count -= weight(text);
        self.record_unsubscribe(session_id, placed, &filter, share);
        ReasonCode::SUCCESS
    }

    /// The same filter and the same share name, byte for byte [MQTT-3.10.4-1].
    pub(super) fn find_subscription(
        &self,
        session_id: SessionId,
        filter: &str,
        share: Option<&str>,
    ) -> Option<u32> {
        let node: NodeId = self.subscriptions.table.find(filter.as_bytes())?;
        let group = match share {
            None => None,
            Some(share) => Some(self.subscriptions.find_group(node, share)?),
        };
        let first = self.sessions.get(session_id).subscriptions;
        self.subscriptions.find(node, group, session_id, first)
    }

    /// The filter as it is in the whole broker: behind the listener's `mount_point`.
    fn mounted<'a>(&self, session_id: SessionId, filter: &'a str) -> std::borrow::Cow<'a, str> {
        let listener = usize::from(self.sessions.get(session_id).listener);
        let mount_point = &self.settings.listeners[listener].mount_point;
        match mount_point.is_empty() {
            true => filter.into(),
            false => [mount_point.as_str(), filter].concat().into(),
        }
    }

    pub(super) fn remove_all_subscriptions(&mut self, session_id: SessionId) {
        let session = self.sessions.get_mut(session_id);
        while let Some(id) = session.subscriptions {
            self.journal.bury(self.subscriptions.get(id).placed);
            self.subscriptions.remove(id, &mut session.subscriptions);
        }
        session.subscription_count = 0;
    }
}
