//! `--list`: every record in a line.

use std::fmt::{self, Display, Formatter};
use std::io;

use super::files::{Loaded, Log};
use super::text::{calendar, log_time, preview, quoted};
use super::verify::Sum;
use super::walk::Item;
use super::{Failure, Verdict};
use crate::store::journal::record::{
    Clock, Message, Recipients, Release, Session, Source, Subscription, Will,
};
use crate::store::journal::{Placed, Record, packet_id_of};
use crate::wire::{RetainHandling, Version};

/// Recipients that a line names.
const RECIPIENTS_MAX: usize = 16;

/// Does what the flag says.
pub(super) fn list(log: &Log, out: &mut dyn io::Write) -> Result<Verdict, Failure> {
    let mut clock = first_clock(log);
    let mut sum = Sum::default();
    for piece in &log.pieces {
        let content = match piece.load(log.salt) {
            Loaded::Content(content) => content,
            Loaded::Vanished | Loaded::Unused => continue,
            Loaded::Failed(what) => {
                sum.problems += 1;
                writeln!(out, "{}: {what}", piece.name)?;
                continue;
            }
        };
        for problem in &content.problems {
            writeln!(out, "{}: {problem}", piece.name)?;
        }
        let tally = content.walk(|placed, item| {
            if let Item::Record(Record::Clock(newer)) = item {
                clock = Some(newer);
            }
            writeln!(out, "{}", line(placed, &item, clock))
        })?;
        sum.add(&content, tally);
    }
    Ok(sum.verdict())
}

/// The first record of clocks, for the times in front of it.
fn first_clock(log: &Log) -> Option<Clock> {
    log.pieces.iter().find_map(|piece| {
        let Loaded::Content(content) = piece.load(log.salt) else {
            return None;
        };
        let found = content.walk(|_, item| match item {
            Item::Record(Record::Clock(clock)) => Err(clock),
            _ => Ok(()),
        });
        found.err()
    })
}

/// One line, without its end.
fn line(placed: Placed, item: &Item<'_>, clock: Option<Clock>) -> String {
    let (segment, offset) = (placed.place.segment(), placed.place.offset());
    let what = match item {
        Item::Record(record) => return format!("{}", Line(placed, record, clock)),
        Item::Unknown(kind) => format!("unknown kind={kind}"),
        Item::Damage => "damaged".to_owned(),
        Item::Torn => "torn".to_owned(),
    };
    format!("{segment}:{offset} len={} {what}", placed.len)
}

/// A good record.
struct Line<'a>(Placed, &'a Record<'a>, Option<Clock>);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Line(placed, record, clock) = self;
        let (segment, offset) = (placed.place.segment(), placed.place.offset());
        write!(f, "{segment}:{offset} len={} ", placed.len)?;
        match record {
            Record::Clock(clock) => write_clock(f, clock),
            Record::Session(session) => write_session(f, session, *clock),
            Record::SessionEnd { key } => write!(f, "session-end key={key}"),
            Record::Back { key } => write!(f, "back key={key}"),
            Record::Left {
                key,
                expiry_s,
                at_ms,
                has_will,
            } => {
                let at = log_time(*at_ms, *clock);
                write!(f, "left key={key} expiry_s={expiry_s} at_ms={at}")?;
                write_if(f, *has_will, " will")
            }
            Record::Subscribe(subscription) => write_subscription(f, subscription),
            Record::Unsubscribe { key, filter, share } => {
                write!(f, "unsubscribe key={key} filter={}", quoted(filter))?;
                write_text(f, " share", *share)
            }
            Record::Message(message) => write_message(f, message, *clock),
            Record::Release(release) => write_release(f, release),
            Record::Forget { key, packet_id } => {
                write!(f, "forget key={key} packet_id={packet_id}")
            }
            Record::Sent { key, through } => write!(f, "sent key={key} through={through}"),
            Record::Received { key, ordinal } => {
                let packet_id = packet_id(*ordinal);
                write!(
                    f,
                    "received key={key} ordinal={ordinal} packet_id={packet_id}"
                )
            }
            Record::Done {
                key,
                ordinal,
                first,
            } => {
                let packet_id = packet_id(*ordinal);
                write!(
                    f,
                    "done key={key} ordinal={ordinal} packet_id={packet_id} first={first}"
                )
            }
            Record::Cleared { topic } => write!(f, "cleared topic={}", quoted(topic)),
            Record::Mark => write!(f, "mark"),
        }
    }
}

/// The packet identifier of an ordinal that a file told, which may be 0.
fn packet_id(ordinal: u64) -> u16 {
    packet_id_of(ordinal.max(1))
}

fn write_if(f: &mut Formatter<'_>, is: bool, text: &str) -> fmt::Result {
    f.write_str(if is { text } else { "" })
}

fn write_text(f: &mut Formatter<'_>, name: &str, text: Option<&str>) -> fmt::Result {
    match text {
        None => Ok(()),
        Some(text) => write!(f, "{name}={}", quoted(text)),
    }
}

fn write_clock(f: &mut Formatter<'_>, clock: &Clock) -> fmt::Result {
    let Clock {
        boot,
        boot_ms,
        wall_ms,
        log_ms,
    } = clock;
    write!(
        f,
        "clock boot={boot:016x} boot_ms={boot_ms} log_ms={log_ms} wall_ms={wall_ms}"
    )?;
    match calendar(*wall_ms) {
        Some(time) => write!(f, " ({time})"),
        None => Ok(()),
    }
}

fn write_session(f: &mut Formatter<'_>, s: &Session<'_>, clock: Option<Clock>) -> fmt::Result {
    write!(f, "session key={} client_id={}", s.key, quoted(s.client_id))?;
    write_text(f, " username", s.username)?;
    write!(f, " listener={}", quoted(s.listener))?;
    write_text(
        f,
        " mount_point",
        Some(s.mount_point).filter(|m| !m.is_empty()),
    )?;
    let version = match s.version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    };
    write!(f, " version={version}")?;
    write_if(f, s.is_bridge, " bridge")?;
    write_if(f, s.is_unowned, " unowned")?;
    write!(f, " expiry_s={} silence_ms={}", s.expiry_s, s.silence_ms)?;
    if let Some(left_ms) = s.left_ms {
        write!(f, " left_ms={}", log_time(left_ms, clock))?;
    }
    let (next, sent) = (s.next_ordinal, s.sent_before);
    write!(f, " next_ordinal={next} sent_before={sent}")?;
    match &s.will {
        Some(will) => write_will(f, will),
        None => Ok(()),
    }
}

fn write_will(f: &mut Formatter<'_>, will: &Will<'_>) -> fmt::Result {
    let (topic, qos) = (quoted(will.topic), will.qos as u8);
    write!(f, " will={topic} will_qos={qos}")?;
    write_if(f, will.retain, " will_retain")?;
    write!(f, " will_delay_s={}", will.delay_s)?;
    if let Some(expiry_s) = will.expiry_s {
        write!(f, " will_expiry_s={expiry_s}")?;
    }
    let (properties, payload) = (will.properties.len(), will.payload);
    write!(f, " will_properties={properties}")?;
    let len = payload.len();
    write!(f, " will_payload={len} {}", preview(payload))
}

fn write_subscription(f: &mut Formatter<'_>, s: &Subscription<'_>) -> fmt::Result {
    let (key, filter) = (s.key, quoted(s.filter));
    write!(f, "subscribe key={key} filter={filter}")?;
    write_text(f, " share", s.share)?;
    let options = &s.options;
    write!(f, " qos={}", options.qos as u8)?;
    write_if(f, options.no_local, " no_local")?;
    write_if(f, options.retain_as_published, " retain_as_published")?;
    let handling = match options.retain_handling {
        RetainHandling::Always => "",
        RetainHandling::New => " retain_handling=new",
        RetainHandling::Never => " retain_handling=never",
    };
    f.write_str(handling)?;
    write_if(f, s.is_owed, " owed")?;
    write_identifier(f, s.identifier)
}

/// A Subscription Identifier; 0 is none.
fn write_identifier(f: &mut Formatter<'_>, identifier: u32) -> fmt::Result {
    match identifier {
        0 => Ok(()),
        identifier => write!(f, " identifier={identifier}"),
    }
}

fn write_message(f: &mut Formatter<'_>, m: &Message<'_>, clock: Option<Clock>) -> fmt::Result {
    let name = if m.is_body { "body" } else { "message" };
    let (slot, qos, topic) = (m.slot, m.qos as u8, quoted(m.topic));
    write!(f, "{name} slot={slot} topic={topic} qos={qos}")?;
    write_if(f, m.retain, " retain")?;
    if let Some(expires_ms) = m.expires_ms {
        write!(f, " expires_ms={}", log_time(expires_ms, clock))?;
    }
    if let Some(source) = &m.keeps {
        write_source(f, source)?;
    }
    if let Some((key, packet_id)) = m.held {
        write!(f, " held=(key={key} packet_id={packet_id})")?;
    }
    write_recipients(f, m.recipients)?;
    let (properties, len) = (m.properties.len(), m.payload.len());
    if properties > 0 {
        write!(f, " properties={properties}")?;
    }
    write!(f, " payload={len} {}", preview(m.payload))
}

fn write_release(f: &mut Formatter<'_>, r: &Release<'_>) -> fmt::Result {
    let (segment, offset) = (r.body.segment(), r.body.offset());
    write!(
        f,
        "release key={} packet_id={} slot={} body={segment}:{offset}",
        r.key, r.packet_id, r.slot
    )?;
    if let Some(source) = &r.keeps {
        write!(f, " topic={}", quoted(r.topic))?;
        write_source(f, source)?;
    }
    write_recipients(f, r.recipients)
}

/// That a message is its topic's retained one, and whose it is.
fn write_source(f: &mut Formatter<'_>, source: &Source<'_>) -> fmt::Result {
    write!(f, " kept=(publisher={:016x}", source.hash)?;
    if let Some((client_id, username, listener)) = source.publisher {
        write!(f, " client_id={}", quoted(client_id))?;
        write_text(f, " username", username)?;
        write!(f, " listener={}", quoted(listener))?;
    }
    f.write_str(")")
}

fn write_recipients(f: &mut Formatter<'_>, recipients: Recipients<'_>) -> fmt::Result {
    if recipients.is_empty() {
        return Ok(());
    }
    f.write_str(" for=(")?;
    let mut more = 0_usize;
    for (at, recipient) in recipients.iter().enumerate() {
        if at >= RECIPIENTS_MAX {
            more += 1;
            continue;
        }
        let separator = if at > 0 { ", " } else { "" };
        let (key, ordinal, qos) = (recipient.key, recipient.ordinal, recipient.qos as u8);
        write!(f, "{separator}key={key} ordinal={ordinal} qos={qos}")?;
        write_if(f, recipient.retain, " retain")?;
        write_identifier(f, recipient.subscription_id)?;
    }
    if more > 0 {
        write!(f, " and {more} more")?;
    }
    f.write_str(")")
}
