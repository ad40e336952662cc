//! A client that keeps its session and throws it away by turns, or has it end after a while.

use fastrand::Rng;

use crate::common::packet::*;
use crate::common::property::Property;
use crate::host::Host;
use crate::line::Line;

/// What a client knows that changes its mind about sessions.
pub struct Fickle {
    line: Line,
    /// What the CONNECT asks for that went last.
    asked_expiry_s: u32,
    /// The session has at least so long a time.
    expiry_s: u32,
    /// Whether there is a session for sure; `None` where that is open.
    has_session: Option<bool>,
    /// How much time had passed when its session's time began to run at the earliest.
    left_ms: u64,
    /// What CONNACK has to say about it.
    expected: Option<bool>,
    /// A session that is expected may be over when so much time has passed: CONNECT takes as long
    /// as it takes.
    expected_until_ms: u64,
    /// Answers that could be checked.
    pub checked: u64,
}

impl Fickle {
    pub fn new() -> Fickle {
        Fickle {
            line: Line::default(),
            asked_expiry_s: 0,
            expiry_s: 0,
            has_session: Some(false),
            left_ms: 0,
            expected: None,
            expected_until_ms: 0,
            checked: 0,
        }
    }

    /// Its connection ends now, for whatever reason.
    pub fn part(&mut self, host: &Host) {
        if std::mem::take(&mut self.line.is_welcome) {
            self.left_ms = host.elapsed_ms;
            self.has_session = Some(self.expiry_s > 0);
        }
    }

    fn hang_up(&mut self, host: &mut Host) {
        self.part(host);
        self.line.hang_up(host);
    }

    pub fn act(&mut self, host: &mut Host, rng: &mut Rng) {
        if self.line.is_up(host) && rng.bool() {
            return self.hang_up(host);
        }
        self.hang_up(host);
        // It may have ended by itself meanwhile.
        let away_ms = host.elapsed_ms - self.left_ms;
        if self.expiry_s != u32::MAX && away_ms >= u64::from(self.expiry_s) * 1000 {
            self.has_session = self.has_session.filter(|has| !has);
        }
        let is_clean = rng.bool();
        self.asked_expiry_s = match rng.u8(0..4) {
            0 => 0,
            1 => 60,
            2 => 3600,
            _ => u32::MAX,
        };
        self.line = Line::begin(host, "fickle");
        let mut connect = Connect::new(Version::V5, "fickle");
        connect.clean_start = is_clean;
        connect.properties = vec![Property::SessionExpiryInterval(self.asked_expiry_s)];
        self.line.send(host, Version::V5, connect);
        self.expected = match is_clean {
            true => Some(false),
            false => self.has_session,
        };
        self.expected_until_ms = match self.expiry_s {
            u32::MAX => u64::MAX,
            expiry_s => self.left_ms + u64::from(expiry_s) * 1000,
        };
        // As long as there is no answer, it may be as it was or as it was asked for, or the old one
        // has ended and the new one is not there.
        let will_last = self.asked_expiry_s > 0;
        let may_have_ended = is_clean && self.has_session == Some(true);
        self.has_session = self
            .has_session
            .filter(|&has| has == will_last && !may_have_ended);
        self.expiry_s = self.expiry_s.min(self.asked_expiry_s);
    }

    pub fn hear(&mut self, host: &mut Host) -> Result<(), String> {
        for packet in self.line.read(host, Version::V5)? {
            let Packet::ConnAck(connack) = packet else {
                return Err(format!("fickle got {}", packet.name()));
            };
            if connack.code != 0 {
                continue;
            }
            let present = connack.session_present;
            if host.elapsed_ms >= self.expected_until_ms {
                self.expected = self.expected.filter(|expected| !expected);
            }
            if self.expected.is_some_and(|expected| expected != present) {
                return Err(format!(
                    "fickle's session: {present}, although told otherwise"
                ));
            }
            self.checked += u64::from(self.expected.is_some());
            self.expiry_s = self.asked_expiry_s;
            self.line.is_welcome = true;
        }
        Ok(())
    }
}
