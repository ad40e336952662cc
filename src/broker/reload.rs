//! New settings for a running broker.

use super::connect::AuthRequest;
use super::{Broker, ConnId, Now, Settings};
use crate::wire::ReasonCode;

impl Broker {
    /// Takes over new settings, which have been read and checked as a whole.
    ///
    /// The listeners must be those of before, in their order, with settings that may have changed,
    /// but for `mount_point`: subscriptions, and messages that wait, lie behind it. New ones may
    /// stand behind them. Clients that may not be here any more are disconnected: the
    /// anonymous at once, the others when their password has been checked again.
    pub fn reload(&mut self, settings: Settings, now: Now) {
        self.now = now;
        assert!(
            settings.listeners.len() >= self.settings.listeners.len(),
            "listeners vanished"
        );
        let both = settings.listeners.iter().zip(&self.settings.listeners);
        debug_assert!(
            { both }.all(|(new, old)| new.mount_point == old.mount_point),
            "a listener has another mount_point"
        );
        self.settings = settings;
        for (_, session) in &mut self.sessions.slab {
            let listener = &self.settings.listeners[usize::from(session.listener)];
            let username = session.username.as_deref();
            session.rules = listener.acl.as_ref().map(|acl| acl.rules_for(username));
            session.is_doubted = session.rules.is_some() && session.flow.existing().is_some();
        }
        let known: Vec<ConnId> = (self.connections.iter())
            .filter(|(_, conn)| conn.session().is_some() || conn.credentials().is_some())
            .map(|(index, c)| ConnId {
                index: index as u32,
                generation: c.generation,
            })
            .collect();
        for id in known {
            self.check_again(id);
        }
        self.check_memory();
        self.start_sys();
        self.start_retain_sweep();
    }

    fn check_again(&mut self, id: ConnId) {
        let Some(conn) = self.connections.get(id.index as usize) else {
            return;
        };
        let listener = &self.settings.listeners[usize::from(conn.peer.listener)];
        // Who waits for a verdict gets another one after it, from the new password file.
        let session = conn.session().map(|session| self.sessions.get(session));
        let has_name = session.is_none_or(|session| session.username.is_some());
        match conn.credentials() {
            _ if listener.names_by_certificate && has_name => {}
            Some(credentials) if listener.has_passwords => {
                self.outputs.auth.push_back(AuthRequest {
                    conn: id,
                    listener: conn.peer.listener,
                    username: credentials.username.clone(),
                    password: credentials.password.clone(),
                });
            }
            // There was no password file when it came in, so there is nothing to check now.
            None if has_name && listener.has_passwords => {
                self.close(
                    id,
                    ReasonCode::NOT_AUTHORIZED,
                    "the password was never checked",
                );
            }
            _ if !(listener.allow_anonymous || has_name && listener.has_passwords) => {
                let what = "anonymous clients are not allowed here";
                self.close(id, ReasonCode::NOT_AUTHORIZED, what);
            }
            _ => {}
        }
    }

    /// The tree of subscriptions, for people: a line for each filter with its clients.
    pub fn dump(&self) -> String {
        use std::fmt::Write;
        let mut lines: Vec<String> = Vec::new();
        for (_, subscription) in &self.subscriptions.slab {
            let filter = self.subscriptions.table.text(subscription.node);
            let mut line = String::from_utf8_lossy(&filter).into_owned();
            let session = self.sessions.get(subscription.session);
            let qos = subscription.options.qos as u8;
            let shared = if subscription.group.get().is_some() {
                " shared"
            } else {
                ""
            };
            let _ = write!(line, ": {} ({qos}){shared}", session.name());
            lines.push(line);
        }
        lines.sort_unstable();
        lines.join("\n")
    }
}
