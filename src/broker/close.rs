//! How connections end: DISCONNECT from either side, network failures, and the broker's own end.

use super::connection::State;
use super::names::beside_address;
use super::origin::Origin;
use super::session::SessionId;
use super::{Broker, ConnId, Now};
use crate::store::journal::Place;
use crate::wire::{Disconnect, Malformed, PacketType, PropertyId, ReasonCode, Version};

impl Broker {
    /// The client said good bye.
    pub(super) fn disconnected(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        disconnect: Disconnect<'_>,
    ) {
        let session = self.sessions.get_mut(session_id);
        log::debug!("Received DISCONNECT from {}", session.name());
        let expiry_s = disconnect
            .properties
            .integer(PropertyId::SessionExpiryInterval);
        if let Some(expiry_s) = expiry_s {
            if session.expiry_s == 0 && expiry_s != 0 {
                let what = "a session expiry interval at DISCONNECT that CONNECT did not ask for";
                self.refuse_packet(id, Malformed::protocol(what));
                return;
            }
            session.expiry_s = expiry_s;
        }
        // [MQTT-3.14.4-3]; any other code leaves the will to be published.
        if disconnect.reason == ReasonCode::SUCCESS {
            session.will = None;
        }
        if self.settings.connection_messages {
            let name = self.client_name(id);
            log::info!(target: "notice", "Client {name} disconnected.");
        }
        self.close_quietly(id);
    }

    /// The network connection is gone; also the caller's answer to [`Broker::poll_close`].
    ///
    /// `why` is what the operating system said, if it said anything.
    pub fn gone(&mut self, id: ConnId, why: Option<&str>, now: Now) {
        self.now = now;
        let Some(conn) = self.conn(id) else { return };
        let is_news = !matches!(conn.state, State::Closing);
        if is_news && self.settings.connection_messages {
            let name = self.client_name(id);
            match why {
                None => log::info!(target: "notice", "Client {name} closed its connection."),
                Some(why) => {
                    let name = self.describe(id);
                    log::info!(target: "notice", "Client {name} disconnected: {why}.");
                }
            }
        }
        self.detach(id);
        if let Some(conn) = self.connections.try_remove(id.index as usize) {
            self.connections_of[usize::from(conn.peer.listener)] -= 1;
        }
    }

    /// Ends a connection and tells the client why, if its version has the words for it.
    pub(super) fn close(&mut self, id: ConnId, reason: ReasonCode, what: &str) {
        let Some(conn) = self.connections.get(id.index as usize) else {
            return;
        };
        if matches!(conn.state, State::Closing) {
            return;
        }
        let (is_open, version) = (conn.session().is_some(), conn.version);
        self.log_close(id, &conn.peer.address, reason, what);
        // A DISCONNECT goes to clients of 5.0 that have their CONNACK only [MQTT-3.14.0-1].
        if is_open && version == Version::V5 {
            log::debug!(
                "Sending DISCONNECT to {} (rc{})",
                self.client_name(id),
                reason.0
            );
            let mut bytes = Vec::new();
            Disconnect {
                reason,
                properties: crate::wire::Properties::default(),
            }
            .encode(version, &mut bytes);
            self.drop_replies(id);
            self.reply_encoded(id, PacketType::Disconnect, bytes);
        }
        self.close_quietly(id);
    }

    /// Ends a connection without another word.
    pub(super) fn close_quietly(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if matches!(conn.state, State::Closing) {
            return;
        }
        conn.is_paused = false;
        self.detach(id);
        self.outputs.close.push_back(id);
    }

    /// Parts a connection from its session, and lets the session go its own way.
    fn detach(&mut self, id: ConnId) {
        self.set_connection_timer(id, None);
        let Some(conn) = self.conn(id) else { return };
        let session = conn.session();
        conn.state = State::Closing;
        if let Some(extras) = &mut conn.extras {
            extras.credentials = None;
        }
        let Some(session) = session else { return };
        if self.sessions.get(session).connection == Some(id) {
            self.drop_qos0(session);
            self.leave_session(session);
        }
    }

    /// Replies that wait before a packet which ends the connection are not worth sending, but for
    /// CONNACK, without which there is no DISCONNECT [MQTT-3.14.0-1].
    fn drop_replies(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        if !conn.partial.is_reply() {
            conn.replies.keep_connack();
        }
    }

    /// Why a connection is closed, in the words that tools look for in Mosquitto's log; behind them
    /// who it was and what exactly.
    fn log_close(&self, id: ConnId, address: &Origin, reason: ReasonCode, what: &str) {
        let name = self.client_name(id);
        let class = match reason {
            ReasonCode::SESSION_TAKEN_OVER => return,
            ReasonCode::KEEP_ALIVE_TIMEOUT => {
                if self.settings.connection_messages {
                    log::info!(
                        target: "notice",
                        "Client {name} has exceeded timeout, disconnecting."
                    );
                }
                return;
            }
            ReasonCode::NOT_AUTHORIZED => {
                log::info!(
                    target: "notice",
                    "Client {} [{address}] disconnected: not authorised: {what}.",
                    beside_address(name)
                );
                return;
            }
            ReasonCode::MALFORMED_PACKET | ReasonCode::TOPIC_NAME_INVALID => "malformed packet",
            ReasonCode::PROTOCOL_ERROR => "protocol error",
            ReasonCode::PACKET_TOO_LARGE => "oversize packet",
            other => {
                log::info!(
                    target: "notice",
                    "Client {} [{address}] disconnected: {}. ({what})",
                    beside_address(name),
                    log_words(other)
                );
                return;
            }
        };
        log::info!(
            target: "notice",
            "Client {name} disconnected due to {class}. [{address}: {what}]"
        );
    }

    /// The Client Identifier for log lines.
    pub(super) fn client_name(&self, id: ConnId) -> &str {
        let conn = self.connections.get(id.index as usize);
        let session = conn.and_then(super::connection::Connection::session);
        session.map_or("<unknown>", |session| self.sessions.get(session).name())
    }

    /// Client Identifier and address for log lines.
    pub(super) fn describe(&self, id: ConnId) -> String {
        let name = beside_address(self.client_name(id));
        match self.connections.get(id.index as usize) {
            Some(conn) => format!("{name} [{}]", conn.peer.address),
            None => format!("{name} [?]"),
        }
    }

    /// The broker is about to end: all wills are published, also those that were to wait. Who
    /// subscribed to them may still be sent them before [`Broker::shutdown`].
    pub fn publish_wills(&mut self, now: Now) {
        self.now = now;
        self.journal.promise = Place::START;
        let sessions: Vec<SessionId> = (self.sessions.slab.iter())
            .map(|(index, _)| SessionId(index as u32))
            .collect();
        for session in sessions {
            self.publish_will(session);
            self.record_leaving(session);
        }
    }

    /// The broker ends: clients of 5.0 are told, all connections close.
    pub fn shutdown(&mut self, now: Now) {
        self.now = now;
        let ids: Vec<ConnId> = (self.connections.iter())
            .map(|(index, c)| ConnId {
                index: index as u32,
                generation: c.generation,
            })
            .collect();
        for id in ids {
            if self.conn(id).is_some_and(|conn| conn.session().is_some()) {
                self.close(id, ReasonCode::SERVER_SHUTTING_DOWN, "the broker ends");
            } else {
                self.close_quietly(id);
            }
        }
    }
}

/// The words of a Reason Code in the log: the specification's, small, as Mosquitto 2.1 writes them.
pub(super) fn log_words(reason: ReasonCode) -> String {
    match reason {
        ReasonCode::QOS_NOT_SUPPORTED => reason.words().to_string(),
        other => other.words().to_ascii_lowercase(),
    }
}
