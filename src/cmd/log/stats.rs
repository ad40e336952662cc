//! `--stats`: what is live, and whose it is.

use std::convert::Infallible;
use std::io;

use super::files::{Loaded, Log};
use super::replay::Replay;
use super::text::{calendar, quoted};
use super::verify::{Sum, plural};
use super::walk::Item;
use super::{Failure, Verdict};

/// Does what the flag says.
pub(super) fn stats(log: &Log, out: &mut dyn io::Write) -> Result<Verdict, Failure> {
    let mut replay = Replay::default();
    let mut sum = Sum::default();
    for piece in &log.pieces {
        match piece.load(log.salt) {
            Loaded::Content(content) => {
                let Ok(tally) = content.walk(|placed, item| {
                    if let Item::Record(record) = item {
                        replay.tell(placed, &record);
                    }
                    Ok::<(), Infallible>(())
                });
                sum.add(&content, tally);
            }
            Loaded::Vanished => sum.vanished += 1,
            Loaded::Unused => {}
            Loaded::Failed(what) => {
                sum.problems += 1;
                writeln!(out, "{}: {what}", piece.name)?;
            }
        }
    }
    let newest = replay.clock;
    let mut live = replay.finish();
    let (records, live_bytes) = (sum.tally.record_bytes, live.bytes());
    writeln!(
        out,
        "on the disk:   {} bytes in {}",
        sum.file_bytes,
        plural(sum.files, "file", "files")
    )?;
    writeln!(
        out,
        "records:       {records} bytes in {}",
        plural(sum.tally.records, "record", "records")
    )?;
    writeln!(
        out,
        "live:          {live_bytes} bytes: sessions {}, subscriptions {}, messages {}",
        live.session_bytes, live.subscription_bytes, live.message_bytes
    )?;
    writeln!(
        out,
        "garbage:       {} bytes",
        records.saturating_sub(live_bytes)
    )?;
    writeln!(out, "state:         {}", sum.damage())?;
    if let Some(time) = newest.and_then(|clock| calendar(clock.wall_ms)) {
        writeln!(out, "newest clock:  {time}")?;
    }
    let (count, size) = (live.retained, live.retained_size);
    writeln!(out, "messages:      {}", live.messages)?;
    writeln!(out, "retained:      {count} of {size} bytes")?;
    let subscriptions: u64 = live.sessions.iter().map(|s| s.subscriptions).sum();
    writeln!(out, "subscriptions: {subscriptions}")?;
    writeln!(out, "sessions:      {}", live.sessions.len())?;
    if live.bodiless > 0 {
        let bodiless = live.bodiless;
        writeln!(out, "bodiless:      {bodiless}: messages without content")?;
    }
    if live.nameless > 0 {
        let nameless = live.nameless;
        writeln!(out, "nameless:      {nameless}: the log does not say whose")?;
    }
    if live.sessions.is_empty() {
        return Ok(sum.verdict());
    }
    live.sessions
        .sort_by(|a, b| (b.bytes, &a.client_id).cmp(&(a.bytes, &b.client_id)));
    writeln!(out)?;
    writeln!(
        out,
        "{:>12} {:>9} {:>9} {:>6} {:>6}  client",
        "bytes", "queued", "in-flight", "held", "subs"
    )?;
    for session in &live.sessions {
        writeln!(
            out,
            "{:>12} {:>9} {:>9} {:>6} {:>6}  {}",
            session.bytes,
            session.queued,
            session.in_flight,
            session.held,
            session.subscriptions,
            quoted(&*session.client_id)
        )?;
    }
    Ok(sum.verdict())
}
