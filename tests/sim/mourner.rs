//! A client with a will that never says good bye.

use crate::common::packet::*;
use crate::common::property::Property;
use crate::host::Host;
use crate::line::Line;
use crate::publisher::text;

/// One that died.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// When it had said what its will is.
    pub dialled_at: u64,
    /// It was welcome, and went: the will is to be published.
    pub is_due: bool,
}

/// The client; its wills are numbered by its connections.
pub struct Mourner {
    pub name: &'static str,
    version: Version,
    delay_s: u32,
    /// Whether its session outlives its connection.
    stays: bool,
    line: Line,
    pub deaths: Vec<Death>,
    had_session: bool,
}

/// Where its wills go.
pub const TOPIC: &str = "w/1";

impl Mourner {
    pub fn new(name: &'static str, version: Version, delay_s: u32, stays: bool) -> Mourner {
        Mourner {
            name,
            version,
            delay_s,
            stays,
            line: Line::default(),
            deaths: Vec::new(),
            had_session: false,
        }
    }

    /// Comes, or dies; who died does not come back before the world has come to rest: its will
    /// would not be needed then.
    pub fn act(&mut self, host: &mut Host, at: u64) {
        if self.line.is_up(host) {
            self.part();
            return self.line.hang_up(host);
        }
        if self.deaths.last().is_some_and(|death| death.is_due) {
            return;
        }
        self.come(host, at);
    }

    /// Comes anew.
    fn come(&mut self, host: &mut Host, at: u64) {
        let number = self.deaths.len() as u64;
        self.deaths.push(Death {
            dialled_at: at,
            is_due: false,
        });
        self.line = Line::begin(host, self.name);
        let mut will = Will::new(TOPIC, text(self.name, number, TOPIC)).qos(1);
        let mut connect = Connect::new(self.version, self.name);
        connect.clean_start = !self.stays;
        if self.version == Version::V5 {
            connect.properties = vec![Property::SessionExpiryInterval(u32::MAX)];
            will = will.with(Property::WillDelayInterval(self.delay_s));
        }
        connect.will = Some(will);
        self.line.send(host, self.version, connect);
    }

    /// Its connection ends now, for whatever reason.
    pub fn part(&mut self) {
        if std::mem::take(&mut self.line.is_welcome) {
            self.deaths.last_mut().expect("it came").is_due = true;
        }
    }

    /// Everything was checked: it may come again.
    pub fn forgive(&mut self) {
        self.deaths
            .iter_mut()
            .for_each(|death| death.is_due = false);
    }

    pub fn hear(&mut self, host: &mut Host) -> Result<(), String> {
        for packet in self.line.read(host, self.version)? {
            let Packet::ConnAck(connack) = packet else {
                return Err(format!("{} got {}", self.name, packet.name()));
            };
            if connack.code != 0 {
                continue;
            }
            if self.had_session && !connack.session_present {
                return Err(format!("{} lost its session", self.name));
            }
            self.had_session = self.stays;
            self.line.is_welcome = true;
        }
        Ok(())
    }
}
