//! Certificates in time: files that change are read anew, and an end that comes near is told.
//!
//! The files are looked at every few seconds when a turn comes anyway, and once a minute when
//! nothing else happens; where no listener is encrypted, no turn comes for this. What is told of a
//! certificate's end is a line in the log at 30 days, at 7, at one and at the end, and two topics
//! below `$SYS` for whoever watches many gateways.

use super::{Loop, Now, Owner};
use crate::broker::Broker;
use crate::host::calendar::{Moment, Zone};
use crate::host::tls::Acceptor;
use std::sync::Arc;

/// How often the files are looked at, when a turn comes anyway, and at least.
const INTERVAL_MS: u64 = 10_000;
const INTERVAL_MAX_MS: u64 = 60_000;

const DAY_S: i64 = 24 * 60 * 60;

/// Days that are left when the log tells so.
const WARN_DAYS: [i64; 3] = [30, 7, 1];

/// What is known, and what was told, of the listeners' certificates.
#[derive(Default)]
pub(super) struct Certificates {
    /// The listeners' names, by their number.
    names: Vec<String>,
    /// When the files are to be looked at; never where nobody encrypts.
    looked_ms: Option<u64>,
    told: Vec<(String, Told)>,
}

/// What was told of a listener's certificate.
#[derive(PartialEq, Eq)]
struct Told {
    expires_s: u64,
    /// How many of [`WARN_DAYS`] have begun; one more behind the end.
    stage: usize,
    days: i64,
}

impl Told {
    fn new(expires_s: u64, now_s: i64) -> Told {
        let left_s = i64::try_from(expires_s).unwrap_or(i64::MAX) - now_s;
        let begun = WARN_DAYS.iter().filter(|&&days| left_s <= days * DAY_S);
        Told {
            expires_s,
            stage: begun.count() + usize::from(left_s <= 0),
            days: left_s.max(0) / DAY_S,
        }
    }

    fn date(&self) -> String {
        let date = i64::try_from(self.expires_s).ok();
        let date = date.and_then(|s| Moment::new(s, 0, &Zone::utc()));
        date.map_or_else(|| "never".to_string(), |date| date.text("%FT%TZ"))
    }

    /// What the log says at this stage.
    fn log(&self, name: &str) {
        let date = self.date();
        if self.stage > WARN_DAYS.len() {
            log::warn!(
                "Warning: the certificate of listener {name} has expired ({date}): clients that \
                 look at dates do not connect."
            );
        } else if self.stage > 0 {
            let days = self.days;
            log::warn!(
                "Warning: the certificate of listener {name} expires in {days} days ({date})."
            );
        }
    }
}

/// Where the broker tells it. The path of a unix socket may hold what no Topic Name may.
fn topic(name: &str, what: &str) -> String {
    let name = name.replace(['+', '#'], "_");
    format!("listeners/{name}/certificate/{what}")
}

impl Certificates {
    /// These are the listeners from now on; everything is looked at, and told again.
    pub(super) fn change(&mut self, names: Vec<String>, acceptors: &[Option<Arc<Acceptor>>]) {
        self.names = names;
        self.looked_ms = (acceptors.iter().flatten().next()).map(|_| 0);
        for (_, told) in &mut self.told {
            // Whatever the broker knew of it may be gone.
            told.days = -1;
        }
    }

    /// When a turn is to come for this alone.
    pub(super) fn deadline(&self) -> Option<u64> {
        Some(self.looked_ms? + INTERVAL_MAX_MS)
    }

    fn tell(&mut self, acceptors: &[Option<Arc<Acceptor>>], broker: &mut Broker, now: Now) {
        let now_s = i64::try_from(now.wall_ms / 1000).unwrap_or(i64::MAX);
        // Of several listeners on one port, whose certificate ends first.
        let mut ends: Vec<(&String, u64)> = Vec::new();
        for (name, acceptor) in self.names.iter().zip(acceptors) {
            if let Some(expires_s) = acceptor.as_ref().and_then(|a| a.expires_s()) {
                match ends.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, end)) => *end = expires_s.min(*end),
                    None => ends.push((name, expires_s)),
                }
            }
        }
        self.told.retain(|(name, _)| {
            let is_there = ends.iter().any(|(other, _)| *other == name);
            if !is_there {
                broker.publish_state(&topic(name, "expires"), "", now);
                broker.publish_state(&topic(name, "days"), "", now);
            }
            is_there
        });
        for (name, expires_s) in ends {
            let is = Told::new(expires_s, now_s);
            let known = self.told.iter().position(|(other, _)| other == name);
            let was = known.map(|at| &self.told[at].1);
            if was == Some(&is) {
                continue;
            }
            let is_known = was.map(|was| (was.expires_s, was.stage));
            if is_known != Some((is.expires_s, is.stage)) {
                is.log(name);
            }
            broker.publish_state(&topic(name, "expires"), &is.date(), now);
            broker.publish_state(&topic(name, "days"), &is.days.to_string(), now);
            match known {
                Some(at) => self.told[at].1 = is,
                None => self.told.push((name.clone(), is)),
            }
        }
    }
}

impl Loop {
    /// Looks at the certificates, if it is time.
    pub(super) fn look_at_certificates(&mut self, owner: &mut dyn Owner, now: Now) {
        let looked_ms = self.certificates.looked_ms;
        let Some(due_ms) = looked_ms.map(|ms| ms + INTERVAL_MS) else {
            if !self.certificates.told.is_empty() {
                self.certificates.tell(&[], &mut self.broker, now);
            }
            return;
        };
        if now.mono_ms < due_ms {
            return;
        }
        self.certificates.looked_ms = Some(now.mono_ms);
        if let Some(acceptors) = owner.renew() {
            self.acceptors = acceptors;
        }
        (self.certificates).tell(&self.acceptors, &mut self.broker, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_of_any_listener_is_a_topic_name() {
        assert_eq!(topic("8883", "days"), "listeners/8883/certificate/days");
        let path = topic("/run/a+b/#1.sock", "expires");
        assert_eq!(path, "listeners//run/a_b/_1.sock/certificate/expires");
    }

    #[test]
    fn an_end_that_comes_near_has_stages() {
        let end_s = 1_800_000_000;
        let stage = |left_s: i64| {
            let told = Told::new(end_s, end_s as i64 - left_s);
            (told.stage, told.days)
        };
        assert_eq!(stage(31 * DAY_S), (0, 31));
        assert_eq!(stage(30 * DAY_S), (1, 30));
        assert_eq!(stage(7 * DAY_S + 1), (1, 7));
        assert_eq!(stage(7 * DAY_S), (2, 7));
        assert_eq!(stage(DAY_S), (3, 1));
        assert_eq!(stage(1), (3, 0));
        assert_eq!(stage(0), (4, 0));
        assert_eq!(stage(-100 * DAY_S), (4, 0));
        // A gateway without a clock.
        assert_eq!(Told::new(end_s, 0).stage, 0);
        assert_eq!(Told::new(u64::MAX, 0).date(), "never");
        assert_eq!(Told::new(end_s, 0).date(), "2027-01-15T08:00:00Z");
    }
}
