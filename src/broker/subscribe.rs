//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).

use super::jobs::Job;
use super::ledger::MEMORY_LIMIT;
use super::names::NoBrackets;
use super::session::SessionId;
use super::subscriptions::Subscriptions;
use super::{Broker, ConnId};
use crate::auth::Access;
use crate::store::journal::Place;
use crate::topic::{Filter, NodeId};
use crate::wire::{
    Filters, Malformed, PacketType, Properties, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscribeFilter, SubscriptionOptions, Unsubscribe, Version,
};
use std::borrow::Cow;

/// A filter that is not one ends the connection, as in Mosquitto.
const BAD_FILTER: Malformed = Malformed::packet("invalid topic filter");

/// For how many subscriptions a filter counts. The levels of its filters are what a client can make
/// the PUBLISHes of others walk through, their bytes and those of the Share Names what it can make
/// the tables hold.
///
/// Filter and Share Name are as they are stored, with the mount point and without `$share`: no
/// other form is known after a restart, and what UNSUBSCRIBE takes away has to be what was added.
pub(super) fn weight(filter: &str, share: Option<&str>) -> u32 {
    let levels = crate::topic::level_count(filter.as_bytes());
    let len = filter.len() + share.map_or(0, str::len);
    levels.div_ceil(LEVELS).max(len.div_ceil(BYTES)) as u32
}

/// What a SUBSCRIBE takes of the journal, roughly.
const RECORD_BYTES: usize = 4096;

/// What a filter may have to count once.
const LEVELS: usize = 10;
const BYTES: usize = 1024;

/// Whether a filter may be asked for.
fn good(asked: SubscribeFilter<'_>) -> Result<SubscribeFilter<'_>, Malformed> {
    match Filter::parse(asked.filter) {
        Err(_) => Err(BAD_FILTER),
        // [MQTT-3.8.3-4]
        Ok(Filter { share: Some(_), .. }) if asked.options.no_local => {
            let what = "no local on a shared subscription";
            Err(Malformed::protocol(what))
        }
        Ok(_) => Ok(asked),
    }
}

/// A SUBSCRIBE or UNSUBSCRIBE while the broker goes from filter to filter.
pub(super) struct Request {
    id: ConnId,
    session_id: SessionId,
    version: Version,
    packet_id: u16,
    /// SUBACK or UNSUBACK.
    answer: PacketType,
    identifier: u32,
    /// Where the next filter begins.
    at: usize,
    /// All filters were looked at: now they take effect.
    are_good: bool,
    /// There is no room to keep what it asks for.
    is_refused: bool,
    /// The codes of the filters so far.
    codes: Vec<u8>,
    /// The directive that a filter failed by.
    limit: Option<&'static str>,
    has_too_many: bool,
    /// What has to be durable before the answer.
    promise: Place,
}

impl Request {
    fn new(
        id: ConnId,
        session_id: SessionId,
        (version, answer): (Version, PacketType),
        packet_id: u16,
    ) -> Request {
        Request {
            id,
            session_id,
            version,
            packet_id,
            answer,
            identifier: 0,
            at: 0,
            are_good: false,
            is_refused: false,
            codes: Vec::new(),
            limit: None,
            has_too_many: false,
            promise: Place::START,
        }
    }

    /// Notes the answer to a filter, or the limit that it is refused for.
    fn note(&mut self, answer: Result<ReasonCode, &'static str>) {
        let reason = answer.unwrap_or(ReasonCode::QUOTA_EXCEEDED);
        let too_deep = reason == ReasonCode::TOPIC_FILTER_INVALID;
        let limit = (answer.err()).or(too_deep.then_some("max_topic_levels"));
        if self.answer == PacketType::SubAck {
            self.has_too_many |= limit == Some(MAX_SUBSCRIPTIONS);
            self.limit = self.limit.or(limit);
        }
        self.codes.push(match (self.version, reason.is_error()) {
            (Version::V31 | Version::V311, true) => 0x80,
            _ => reason.0,
        });
    }
}

const MAX_SUBSCRIPTIONS: &str = "max_subscriptions_per_client";

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
        let is_kept = self.sessions.get(session_id).is_recorded();
        let request = Request {
            identifier: subscribe.subscription_id().unwrap_or(0),
            is_refused: is_kept && !self.has_room_for(RECORD_BYTES),
            ..Request::new(
                id,
                session_id,
                (version, PacketType::SubAck),
                subscribe.packet_id,
            )
        };
        self.go_through(request, subscribe.filters().rest().into());
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
        let what = (version, PacketType::UnsubAck);
        let request = Request::new(id, session_id, what, unsubscribe.packet_id);
        self.go_through(request, unsubscribe.filters().rest().into());
    }

    /// Goes from filter to filter, as far as a slice of work reaches: once to look at all of them,
    /// once more to let them take effect. Then it answers. What is left at the end of the slice is
    /// a job; the connection is not read on before it is done.
    fn go_through(&mut self, mut request: Request, filters: Cow<'_, [u8]>) {
        let version = (request.answer == PacketType::SubAck).then_some(request.version);
        loop {
            if request.at == filters.len() {
                if request.are_good {
                    return self.answer_request(&request);
                }
                (request.are_good, request.at) = (true, 0);
            }
            if self.is_slice_over() {
                request.promise = self.journal.promise;
                self.pause_for_job(request.id);
                return self.begin_job(Job::Filters(request, filters.into_owned()));
            }
            self.work += if request.are_good { 2 } else { 1 };
            let mut rest = Filters::resume(version, &filters[request.at..]);
            let asked = rest.next().unwrap_or(Err(BAD_FILTER)).and_then(good);
            request.at = filters.len() - rest.rest().len();
            match asked {
                Err(malformed) => return self.refuse_packet(request.id, malformed),
                Ok(asked) if request.are_good => self.obey(&mut request, asked),
                Ok(_) => {}
            }
        }
    }

    fn obey(&mut self, request: &mut Request, asked: SubscribeFilter<'_>) {
        let answer = match request.answer {
            PacketType::UnsubAck => Ok(self.unsubscribe_one(request.session_id, asked.filter)),
            _ if request.is_refused => Err("persistence"),
            _ => self.subscribe_one(request.session_id, asked, request.identifier),
        };
        request.note(answer);
    }

    /// Goes on with a SUBSCRIBE or UNSUBSCRIBE that is a job, if its connection is still there.
    pub(super) fn continue_request(&mut self, request: Request, filters: Vec<u8>) {
        let id = request.id;
        let Some(conn) = self.conn(id).filter(|conn| !conn.is_closing()) else {
            return;
        };
        conn.waits_for_job = false;
        self.journal.promise = request.promise;
        self.go_through(request, filters.into());
        self.resume_if_drained(id);
    }

    fn answer_request(&mut self, request: &Request) {
        // Told once, however many filters there are.
        if request.has_too_many {
            self.tell_limit(request.id, MAX_SUBSCRIPTIONS);
        }
        self.send_suback(request);
        // The acknowledgement goes first, the retained messages follow it; unless it was too large
        // for the client: then the connection has ended, and the session perhaps with it.
        if self.conn(request.id).is_some_and(|conn| !conn.is_closing()) {
            self.pump_replays(request.session_id);
        }
    }

    fn send_suback(&mut self, request: &Request) {
        let &Request {
            id,
            version,
            answer,
            packet_id,
            limit,
            ..
        } = request;
        let raw = limit
            .map(|limit| self.reason_string(id, limit))
            .unwrap_or_default();
        let encode = |properties| {
            let mut bytes = Vec::new();
            SubAck {
                packet_id,
                properties,
                codes: &request.codes,
            }
            .encode(version, answer, &mut bytes);
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
        log::debug!("Sending {} to {}", answer.name(), self.client_name(id));
        let gate = self.gate(id, answer);
        self.reply_encoded_at(id, answer, bytes, gate);
    }

    /// Adds or replaces one subscription; the code to answer, or the limit of ours in its way.
    fn subscribe_one(
        &mut self,
        session_id: SessionId,
        asked: SubscribeFilter<'_>,
        identifier: u32,
    ) -> Result<ReasonCode, &'static str> {
        let SubscribeFilter {
            filter: text,
            options,
        } = asked;
        let Ok(Filter { share, filter }) = Filter::parse(text) else {
            return Ok(ReasonCode::TOPIC_FILTER_INVALID);
        };
        let levels = crate::topic::level_count(filter.as_bytes());
        if levels > self.settings.max_topic_levels {
            return Ok(ReasonCode::TOPIC_FILTER_INVALID);
        }
        let filter = self.mounted(session_id, filter);
        if filter.len() > usize::from(u16::MAX) {
            return Ok(ReasonCode::TOPIC_FILTER_INVALID);
        }
        if self.settings.acl_suback_deny && !self.may(session_id, Access::Read, filter.as_bytes()) {
            log::debug!("\t{} (denied)", NoBrackets(text));
            return Ok(ReasonCode::NOT_AUTHORIZED);
        }
        let (told, qos) = (NoBrackets(text), options.qos as u8);
        log::debug!("\t{told} (QoS {qos})");
        let session = self.sessions.get(session_id);
        let max_qos = self.settings.listeners[usize::from(session.listener)].max_qos;
        let options = SubscriptionOptions {
            qos: options.qos.min(max_qos),
            ..options
        };
        let first = session.subscriptions;
        let existing = self.find_subscription(session_id, &filter, share);
        let (name, qos) = (NoBrackets(session.name()), options.qos as u8);
        log::info!(target: "subscribe", "{name} {qos} {told}");
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
            let count = session.subscription_count + weight(&filter, share);
            if count as usize > self.settings.max_subscriptions_per_client {
                return Err(MAX_SUBSCRIPTIONS);
            }
            if !self.has_memory(filter.len() + share.map_or(0, str::len)) {
                self.refuse_memory();
                return Err(MEMORY_LIMIT);
            }
            let node = self.subscriptions.table.insert(filter.as_bytes());
            let group = share.map(|share| self.subscriptions.find_or_add_group(node, share));
            let subscription =
                Subscriptions::unlinked(session_id, node, group, options, identifier);
            let mut first = first;
            let id = self.subscriptions.insert(subscription, &mut first);
            let session = self.sessions.get_mut(session_id);
            session.subscriptions = first;
            session.subscription_count = count;
            self.record_subscription(session_id, id);
            id
        };
        // Retained messages are not for Shared Subscriptions.
        if wants_retained(options, existing.is_none()) && share.is_none() {
            self.begin_replay(session_id, id, filter.as_bytes(), false);
        }
        Ok(ReasonCode(options.qos as u8))
    }

    fn unsubscribe_one(&mut self, session_id: SessionId, text: &str) -> ReasonCode {
        let (name, told) = (self.sessions.get(session_id).name(), NoBrackets(text));
        log::debug!("\t{told}");
        log::info!(target: "unsubscribe", "{} {told}", NoBrackets(name));
        let Ok(Filter { share, filter }) = Filter::parse(text) else {
            return ReasonCode::TOPIC_FILTER_INVALID;
        };
        let filter = self.mounted(session_id, filter);
        let Some(subscription) = self.find_subscription(session_id, &filter, share) else {
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        };
        let placed = self.subscriptions.placed(subscription);
        let session = self.sessions.get_mut(session_id);
        self.subscriptions
            .remove(subscription, &mut session.subscriptions);
        // A fault in the count must not bar the client from subscribing.
        let weight = weight(&filter, share);
        session.subscription_count = session.subscription_count.saturating_sub(weight);
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
        let first = self.sessions.get(session_id).subscriptions.get();
        self.subscriptions.find(node, group, session_id, first)
    }

    /// The filter as it is in the whole broker: behind the listener's `mount_point`.
    fn mounted<'a>(&self, session_id: SessionId, filter: &'a str) -> Cow<'a, str> {
        let listener = usize::from(self.sessions.get(session_id).listener);
        let mount_point = &self.settings.listeners[listener].mount_point;
        match mount_point.is_empty() {
            true => filter.into(),
            false => [mount_point.as_str(), filter].concat().into(),
        }
    }

    /// Takes out one subscription of a session that ends; whether it had one.
    pub(super) fn remove_a_subscription(&mut self, session_id: SessionId) -> bool {
        let session = self.sessions.get_mut(session_id);
        let Some(id) = session.subscriptions.get() else {
            return false;
        };
        self.journal.bury(self.subscriptions.placed(id));
        self.subscriptions.remove(id, &mut session.subscriptions);
        true
    }
}
