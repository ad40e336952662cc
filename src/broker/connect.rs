//! CONNECT: who comes, whether it may come in, and which session it gets.
//!
//! Three steps. [`Broker::connect`] has the packet judged (`judge`); user name and password go out
//! to be checked if the listener has a password file, and the packet waits meanwhile;
//! [`Broker::admit`] ends an older connection of the same client, finds or makes the session, and
//! answers.

use super::alias::OutboundAliases;
use super::close::log_words;
use super::connack::Greeting;
use super::connection::{Connection, Peer, State};
use super::judge::{Refusal, refusal};
use super::names::{NoBrackets, beside_address};
use super::session::{EXPIRES_NEVER, SessionId};
use super::will::StoredWill;
use super::{Broker, ConnId, Now};
use crate::auth::SignIn;
use crate::store::journal::Place;
use crate::wire::{
    Connect, ConnectError, FixedHeader, Malformed, PACKET_MAX, PropertyId, ReasonCode, Version,
    var_int_len,
};

/// What a client signs in with.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Option<Vec<u8>>,
}

impl Credentials {
    /// Bytes of memory they take.
    pub(super) fn memory(&self) -> usize {
        self.username.len() + self.password.as_ref().map_or(0, Vec::len)
    }
}

/// A user name and password to be checked, outside and without haste.
#[derive(Clone, Debug)]
pub struct AuthRequest {
    /// The connection to give the verdict for.
    pub conn: ConnId,
    /// The listener whose password file counts.
    pub listener: u16,
    /// User Name.
    pub username: String,
    /// Password.
    pub password: Option<Vec<u8>>,
}

impl Broker {
    pub(super) fn connect(&mut self, id: ConnId, first: u8, packet: &[u8], body: &[u8]) {
        let is_padded = packet.len() - body.len() != 1 + var_int_len(body.len());
        let decoded = Connect::decode(first, body).and_then(|connect| match connect.version {
            // Only 5.0 asks for the shortest form [MQTT-1.5.5-1].
            Version::V5 if is_padded => Err(ConnectError {
                version: Some(connect.version),
                malformed: Malformed::packet("a Remaining Length longer than needed"),
            }),
            _ => Ok(connect),
        });
        match decoded {
            Err(error) => self.refuse_malformed(id, error),
            Ok(connect) => {
                if let Some(conn) = self.conn(id) {
                    conn.version = connect.version;
                }
                if self.puts_off(id, packet, &connect) {
                    return;
                }
                let (has_name, name) = self.name_in_certificate(id);
                let (username, password) = match has_name {
                    true => (name.as_deref(), None),
                    // An empty one counts as none, as with Mosquitto.
                    false => (
                        connect.username.filter(|name| !name.is_empty()),
                        connect.password,
                    ),
                };
                let connect = Connect {
                    username,
                    password,
                    ..connect
                };
                if let Err(refusal) = self.judge_connect(id, &connect) {
                    self.refuse(id, &connect, &refusal);
                    return;
                }
                match (has_name, &name) {
                    (false, _) => self.sign_in(id, packet, &connect),
                    (true, Some(_)) => self.admit(id, &connect),
                    (true, None) => {
                        let what = "no name is in its certificate";
                        let reason = ReasonCode::BAD_USER_NAME_OR_PASSWORD;
                        self.refuse(id, &connect, &refusal(reason, what));
                    }
                }
            }
        }
    }

    /// The name that the certificate of a connection's other end tells; it comes before CONNECT,
    /// where [`super::ListenerSettings::names_by_certificate`] is set.
    pub fn identify(&mut self, id: ConnId, name: Box<str>) {
        if let Some(conn) = self.conn(id) {
            conn.extras_mut().identity = Some(name);
        }
    }

    /// Whether a client's user name stands in its certificate, and which it is.
    fn name_in_certificate(&mut self, id: ConnId) -> (bool, Option<Box<str>>) {
        let Some(conn) = self.connections.get_mut(id.index as usize) else {
            return (false, None);
        };
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        let extras = conn.extras.as_mut();
        let name = extras.and_then(|extras| extras.identity.take());
        (listener.names_by_certificate, name)
    }

    /// [MQTT-3.1.4-1]: most malformed CONNECTs are worth no answer but the end of the connection.
    fn refuse_malformed(&mut self, id: ConnId, error: ConnectError) {
        if let Some(version) = error.version {
            let is_version = error.malformed.reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
            if version == Version::V5 || is_version {
                self.send_refusal(id, version, error.malformed.reason);
            }
        }
        let Some(conn) = self.conn(id) else { return };
        let address = &conn.peer.address;
        log::info!(
            target: "notice",
            "Client <unknown> disconnected due to protocol error. [{address}: bad CONNECT: {}]",
            error.malformed
        );
        self.close_quietly(id);
    }

    /// Decides at once where no password is to be checked, asks otherwise.
    fn sign_in(&mut self, id: ConnId, packet: &[u8], connect: &Connect<'_>) {
        let Some(conn) = self.connections.get_mut(id.index as usize) else {
            return;
        };
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        let Some(username) = connect.username else {
            if listener.allow_anonymous {
                self.admit(id, connect);
            } else {
                let what = "anonymous clients are not allowed here";
                self.refuse(id, connect, &refusal(ReasonCode::NOT_AUTHORIZED, what));
            }
            return;
        };
        if !listener.has_passwords {
            if listener.allow_anonymous {
                self.admit(id, connect);
            } else {
                let what = "no password_file tells who may come in here";
                self.refuse(id, connect, &refusal(ReasonCode::NOT_AUTHORIZED, what));
            }
            return;
        }
        conn.state = State::Authenticating;
        conn.is_paused = true;
        let credentials = Credentials {
            username: username.to_string(),
            password: connect.password.map(<[u8]>::to_vec),
        };
        self.outputs.auth.push_back(AuthRequest {
            conn: id,
            listener: conn.peer.listener,
            username: credentials.username.clone(),
            password: credentials.password.clone(),
        });
        let extras = conn.extras_mut();
        extras.connect = packet.into();
        extras.credentials = Some(credentials);
        // CONNECT came in time; how long the check takes is not the client's affair.
        self.set_connection_timer(id, None);
    }

    /// The answer to an [`AuthRequest`].
    pub fn verdict(&mut self, id: ConnId, sign_in: SignIn, now: Now) {
        self.now = now;
        let what = match sign_in {
            SignIn::Granted => "",
            SignIn::UnknownUser => "unknown user",
            SignIn::WrongPassword => "wrong password",
            SignIn::NoPassword => "no password",
        };
        let Some(conn) = self.conn(id) else { return };
        if matches!(conn.state, State::Open(_)) {
            // Asked again after the password file changed.
            if sign_in != SignIn::Granted {
                self.close(id, ReasonCode::NOT_AUTHORIZED, what);
            }
            return;
        }
        let Some(packet) = self.take_waiting(id, State::Authenticating) else {
            return;
        };
        let body = FixedHeader::body_of(&packet);
        let Some(Ok(connect)) = body.map(|body| Connect::decode(packet[0], body)) else {
            return;
        };
        if sign_in == SignIn::Granted {
            self.admit(id, &connect);
        } else {
            self.refuse(id, &connect, &refusal(ReasonCode::NOT_AUTHORIZED, what));
        }
    }

    /// Says no, in the form that the client's version has for it, and why, in the log.
    fn refuse(&mut self, id: ConnId, connect: &Connect<'_>, refusal: &Refusal) {
        if refusal.reason == ReasonCode::SERVER_BUSY {
            self.count_limit("global_max_clients");
        }
        let Some(conn) = self.conn(id) else { return };
        let address = conn.peer.address.clone();
        let user = match connect.username {
            Some(name) => format!("user '{}'", beside_address(name)),
            None => "no user name".to_string(),
        };
        let client_id = match connect.client_id {
            "" => "<unknown>".to_string(),
            client_id => beside_address(client_id),
        };
        let class = match refusal.reason {
            ReasonCode::NOT_AUTHORIZED | ReasonCode::BAD_USER_NAME_OR_PASSWORD => {
                "not authorised".to_string()
            }
            other => log_words(other),
        };
        log::info!(
            target: "notice",
            "Client {client_id} [{address}] disconnected: {class}. ({}; {user})",
            refusal.what,
        );
        self.send_refusal(id, connect.version, refusal.reason);
        self.close_quietly(id);
    }

    /// What there is no room for, if the client needs it.
    fn lacks_room(
        &mut self,
        connect: &Connect<'_>,
        existing: Option<SessionId>,
    ) -> Option<Refusal> {
        let limit = self.settings.global_max_clients;
        if existing.is_none() && limit.is_some_and(|max| self.sessions.count() >= max) {
            let what = "global_max_clients is reached";
            return Some(refusal(ReasonCode::SERVER_BUSY, what));
        }
        let what = if existing.is_none() && !self.has_memory_to_connect() {
            self.refuse_memory();
            "memory_limit is reached"
        } else if resumes_nothing(connect, existing) && !self.has_room_for(RECORD_BYTES) {
            "the disk has no room to keep the session"
        } else {
            return None;
        };
        Some(refusal(ReasonCode::QUOTA_EXCEEDED, what))
    }

    /// The client may come in: gives it its session and CONNACK.
    fn admit(&mut self, id: ConnId, connect: &Connect<'_>) {
        let Some(conn) = self.connections.get_mut(id.index as usize) else {
            return;
        };
        let peer = conn.peer.clone();
        let listener = &self.settings.listeners[usize::from(peer.listener)];
        let assigned = connect.client_id.is_empty() && !listener.use_username_as_clientid;
        let client_id = if assigned {
            let prefix = listener.auto_id_prefix.clone();
            self.new_client_id(&prefix)
        } else if listener.use_username_as_clientid {
            connect.username.unwrap_or_default().to_string()
        } else {
            connect.client_id.to_string()
        };
        if let Some(existing) = self.sessions.find(&client_id) {
            // Its end may be due already, although its timer was not served yet.
            self.session_timeout(existing);
        }
        let existing = self.sessions.find(&client_id);
        if let Some(refusal) = self.lacks_room(connect, existing) {
            return self.refuse(id, connect, &refusal);
        }
        // A session that is resumed must not be lost any more.
        let known = existing.map_or(Place::START, |id| self.sessions.get(id).placed.end());
        self.journal.promise = Place::START;
        let resumed = existing.and_then(|session| self.take_over(session, connect, &peer));
        let discarded = self.journal.promise;
        let lasted_s = resumed.map(|session| self.sessions.get(session).expiry_s);
        let session_id = resumed.unwrap_or_else(|| self.create_session(&client_id, peer.listener));
        self.open_session(id, session_id, connect);
        if lasted_s == Some(self.sessions.get(session_id).expiry_s) {
            // Nothing is promised that was not before, but for a will.
            let session = self.sessions.get(session_id);
            let will = session.will.as_ref().map(|_| session.placed.end());
            self.journal.promise = discarded.max(will.unwrap_or(known));
        } else if !self.sessions.get(session_id).is_recorded() && existing.is_none() {
            // Once the client is told that it has no session, none may come back; a will that it
            // brought is promised.
            self.journal.promise = self.journal.promise.max(self.journal.end_of(&client_id));
        }
        let greeting = Greeting {
            session_present: resumed.is_some(),
            assigned_client_id: assigned.then_some(client_id.as_str()),
        };
        if self.settings.connection_messages && !self.is_fought_over(&client_id) {
            log_arrival(&peer, &client_id, connect);
        }
        self.greet(id, connect, &greeting);
        if resumed.is_some() {
            if let Some(conn) = self.conn(id) {
                conn.has_resumed = true;
            }
            self.mark_writable(id);
        }
    }

    /// Ends an older connection of the session [MQTT-3.1.4-2]; returns the session if it goes on.
    ///
    /// A session belongs to its user name as well: who comes with the Client Identifier of somebody
    /// else gets a session of its own, never what was kept for the other. So it is with who comes
    /// through a listener with another `mount_point`: the subscriptions lie behind the old one.
    fn take_over(
        &mut self,
        session_id: SessionId,
        connect: &Connect<'_>,
        peer: &Peer,
    ) -> Option<SessionId> {
        if let Some(old) = self.sessions.get(session_id).connection {
            if !self.note_take_over(session_id, old, peer) && self.settings.connection_messages {
                let name = self.sessions.get(session_id).name();
                log::info!(
                    target: "notice",
                    "Client {name} already connected, closing old connection."
                );
            }
            self.close(old, ReasonCode::SESSION_TAKEN_OVER, "taken over");
        }
        // The old connection's end may have ended the session, too.
        let session = self.sessions.living(session_id)?;
        let mount_point =
            |listener: u16| &self.settings.listeners[usize::from(listener)].mount_point;
        let is_stranger = session.username.as_deref() != connect.username && !session.is_unowned;
        let is_other = is_stranger || mount_point(session.listener) != mount_point(peer.listener);
        // It ended with its connection, and was kept in case that its client does not return.
        let is_over = session.is_ghost && session.expiry_s == 0;
        if connect.clean_start || is_other || is_over {
            // A client that comes back after a restart was not gone: its will is not published.
            if !session.is_ghost {
                self.publish_will(session_id);
            }
            self.end_session(session_id);
            return None;
        }
        self.rejoin_session(session_id);
        Some(session_id)
    }

    /// Ties connection and session together, with what CONNECT says about both.
    fn open_session(&mut self, id: ConnId, session_id: SessionId, connect: &Connect<'_>) {
        let Some(conn) = self.connections.get_mut(id.index as usize) else {
            return;
        };
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        let expiry_s = expiry_asked(connect);
        let will = connect
            .will
            .map(|will| Box::new(StoredWill::new(&will, &listener.mount_point)));
        let keep_alive_s = match (self.settings.max_keepalive, connect.keep_alive_s) {
            (0, asked) => asked,
            (max, 0) => max,
            (max, asked) => asked.min(max),
        };
        let silence_ms = u32::from(keep_alive_s) * 1500;
        let session = self.sessions.get_mut(session_id);
        let is_changed = session.version != connect.version
            || session.is_bridge != connect.is_bridge
            || session.listener != conn.peer.listener
            || session.username.as_deref() != connect.username
            || session.is_unowned
            || session.expiry_s != expiry_s
            || session.silence_ms != silence_ms
            || session.will.is_some()
            || will.is_some();
        session.connection = Some(id);
        session.version = connect.version;
        session.is_bridge = connect.is_bridge;
        session.is_unowned = false;
        session.listener = conn.peer.listener;
        session.username = connect.username.map(Into::into);
        session.rules = listener
            .acl
            .as_ref()
            .map(|acl| acl.rules_for(connect.username));
        // The file may be another one since the last start.
        session.is_doubted = session.rules.is_some() && session.flow.existing().is_some();
        session.expiry_s = expiry_s;
        session.silence_ms = silence_ms;
        session.will = will;
        self.sessions.count_texts(session_id);
        let session = self.sessions.get_mut(session_id);
        conn.state = State::Open(session_id);
        conn.heed(
            connect,
            self.settings.max_inflight_messages,
            listener.max_topic_alias_broker,
        );
        conn.silence_max_ms = silence_ms;
        conn.shed_extras();
        // What earlier connections of the session changed may not be durable yet.
        if session.is_recorded() {
            conn.gate_floor = self.journal.end();
            if let Some(flow) = session.flow.existing() {
                flow.release_gate = conn.gate_floor;
            }
        }
        let deadline = conn.silence_end(self.now.mono_ms);
        self.set_connection_timer(id, deadline);
        self.record_arrival(session_id, is_changed);
        self.stats.connected(self.sessions.count());
    }

    /// A Client Identifier that nobody has: prefix and a random UUID in capitals.
    fn new_client_id(&mut self, prefix: &str) -> String {
        loop {
            let (high, low) = (self.rng.next(), self.rng.next());
            // Version 4, variant 1 of RFC 9562.
            let high = high & !0xf000 | 0x4000;
            let low = low & !(0b11 << 62) | 0b10 << 62;
            let id = format!(
                "{prefix}{:08X}-{:04X}-{:04X}-{:04X}-{:012X}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xffff,
                low >> 48,
                low & 0xffff_ffff_ffff,
            );
            if self.sessions.find(&id).is_none() {
                return id;
            }
        }
    }
}

impl Connection {
    /// Takes over what the client says it can take, as far as we would go.
    fn heed(&mut self, connect: &Connect<'_>, max_inflight: u16, max_aliases: u16) {
        let asked = |id| connect.properties.integer(id);
        self.wants_problems = asked(PropertyId::RequestProblemInformation) != Some(0);
        let packet_max = asked(PropertyId::MaximumPacketSize);
        self.max_packet_size = packet_max.unwrap_or(PACKET_MAX).min(PACKET_MAX);
        let limit = match max_inflight {
            0 => u16::MAX,
            limit => limit,
        };
        self.send_maximum = connect.receive_maximum().min(limit);
        let aliases = asked(PropertyId::TopicAliasMaximum).unwrap_or(0) as u16;
        if let Some(aliases) = OutboundAliases::with_maximum(aliases.min(max_aliases)) {
            self.extras_mut().outbound_aliases = Some(aliases);
        }
    }
}

fn log_arrival(peer: &Peer, client_id: &str, connect: &Connect<'_>) {
    let user = connect
        .username
        .map(|name| format!(", u'{name}'"))
        .unwrap_or_default();
    log::info!(
        target: "notice",
        "New client connected from {} as {client_id} (p{}, c{}, k{}{user}).",
        peer.address,
        connect.version as u8,
        u8::from(connect.clean_start),
        connect.keep_alive_s,
    );
    let Some(will) = &connect.will else {
        return log::debug!("No will message specified.");
    };
    log::debug!(
        "Will message specified ({} bytes) (r{}, q{}).",
        will.payload.len(),
        u8::from(will.retain),
        will.qos as u8
    );
    log::debug!("\t{}", NoBrackets(will.topic));
}

/// Seconds that a session is to outlive its connection.
fn expiry_asked(connect: &Connect<'_>) -> u32 {
    match connect.version {
        Version::V5 => (connect.properties)
            .integer(PropertyId::SessionExpiryInterval)
            .unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => EXPIRES_NEVER,
    }
}

/// What a session takes of the journal, roughly.
const RECORD_BYTES: usize = 4096;

/// Whether this CONNECT makes a new session that is to be kept.
fn resumes_nothing(connect: &Connect<'_>, existing: Option<SessionId>) -> bool {
    expiry_asked(connect) != 0 && (existing.is_none() || connect.clean_start)
}
