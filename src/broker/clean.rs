//! Making room on the disk: what is live in the oldest segment is written anew, then it goes.
//!
//! Always the oldest: see [`store::journal`](crate::store::journal). It is read in pieces, and a
//! piece is dealt with at a time, so that a turn of the loop stays short. Cleaning begins when more
//! than half of the log is garbage, which keeps what is written below twice what must be.

use super::Broker;
use super::flow::IDS_IN_USE_MAX;
use super::session::{Session, SessionId};
use crate::store::MessageId;
use crate::store::Stage;
use crate::store::journal::record::{self, Recipient, Recipients};
use crate::store::journal::scan::{RECORD_HEADER, check, next_candidate};
use crate::store::journal::segment::HEADER_LEN;
use crate::store::journal::writer::Segment;
use crate::store::journal::{Place, Placed, Read, Record, State, Writer, packet_id_of};
use crate::topic::Filter;

/// What one turn reads and writes anew at most, but for a record that is larger.
const PIECE_BYTES: u32 = 64 * 1024;

/// The cleaning of one segment.
#[derive(Default)]
pub(super) struct Cleaning {
    state: Option<Step>,
    /// Segments up to this one are cleaned whatever they hold: some are damaged.
    forced: Option<u32>,
    is_damaged: bool,
    /// It is read for the second time.
    is_again: bool,
    pass: Option<Pass>,
    /// What a pass that gained nothing left besides what is live: ends of segments, for the most.
    waste: u64,
    /// Bytes written anew since the start.
    rewritten: u64,
}

/// A pass over all segments there are.
#[derive(Clone, Copy)]
struct Pass {
    /// The last of them.
    through: u32,
    /// What was on the disk when it began, and what had been written but for cleaning.
    disk_bytes: u64,
    others: u64,
}

#[derive(Clone, Copy)]
enum Step {
    /// A piece of the segment is being read.
    Reading(Segment, Read),
    /// The next piece begins there.
    Paused(Segment, Place),
    /// Everything live was appended before this place.
    Waiting(Segment, Place),
}

impl Cleaning {
    pub(super) fn force_through(&mut self, segment: Option<u32>) {
        self.forced = segment;
    }
}

impl Broker {
    /// Bytes of records that something still hangs on.
    pub(super) fn live_bytes(&self) -> u64 {
        let others = self.journal.writer.as_ref().map_or(0, Writer::live_bytes);
        others + self.messages.recorded_bytes()
    }

    /// Does the next step of cleaning, if one is due.
    pub(super) fn continue_cleaning(&mut self) {
        let step = match self.journal.cleaning.state {
            Some(Step::Waiting(segment, end)) if self.journal.is_durable(end) => {
                self.read_again(segment).or_else(|| {
                    self.finish_segment(segment);
                    self.next_segment()
                })
            }
            Some(Step::Paused(segment, place)) => Some((segment, place)),
            None => self.next_segment(),
            Some(Step::Reading(..) | Step::Waiting(..)) => None,
        };
        if let Some((segment, place)) = step {
            self.read_piece(segment, place, PIECE_BYTES);
        }
    }

    /// What may be on the disk before cleaning begins. Where room is short that is little more
    /// than what is live; but a pass that gained nothing is not begun again for nothing.
    pub(super) fn allowed_bytes(&self) -> u64 {
        let live = self.live_bytes();
        let segment_bytes = self
            .journal
            .writer
            .as_ref()
            .map_or(0, Writer::segment_bytes);
        let slack = u64::from(2 * segment_bytes);
        let is_low = self.journal.is_low(self.settings.persistence_max_bytes);
        let allowed = if is_low { live } else { 2 * live } + slack;
        match self.journal.cleaning.waste {
            0 => allowed,
            waste => allowed.max(live + waste + slack.max(self.journal.disk_bytes() / 16)),
        }
    }

    /// Looks back at a pass when it is over, and begins the next.
    fn note_pass(&mut self, oldest: u32) {
        let live = self.live_bytes();
        let cleaning = &self.journal.cleaning;
        let Some(writer) = &self.journal.writer else {
            return;
        };
        if cleaning.pass.is_some_and(|pass| oldest <= pass.through) {
            return;
        }
        let disk_bytes = writer.disk_bytes();
        let others = writer.appended_bytes() - cleaning.rewritten;
        let through = writer.end().segment();
        let is_vain = cleaning.pass.is_some_and(|pass| {
            let gain = (pass.disk_bytes + (others - pass.others)).saturating_sub(disk_bytes);
            gain < disk_bytes / 16
        });
        let cleaning = &mut self.journal.cleaning;
        cleaning.waste = if is_vain {
            disk_bytes.saturating_sub(live)
        } else {
            0
        };
        cleaning.pass = Some(Pass {
            through,
            disk_bytes,
            others,
        });
    }

    /// The segment to clean now, if one is to be.
    fn next_segment(&mut self) -> Option<(Segment, Place)> {
        self.journal.cleaning.state = None;
        let oldest = self.journal.writer.as_ref()?.oldest()?;
        self.note_pass(oldest.number);
        let allowed = self.allowed_bytes();
        let writer = self.journal.writer.as_ref()?;
        let is_forced = (self.journal.cleaning.forced).is_some_and(|until| oldest.number <= until);
        let slack = u64::from(2 * writer.segment_bytes());
        let is_stuck = self.journal.report.state == State::Failing;
        let is_written = Place::new(oldest.number, oldest.used) <= self.journal.report.written;
        // Each start begins a segment: many short ones are many files for nothing.
        let is_scattered = writer.segment_count() as u64 > writer.disk_bytes() / slack * 4 + 16;
        let is_wanted = writer.disk_bytes() > allowed || is_scattered || is_forced;
        let is_due = is_wanted && !is_stuck && is_written;
        is_due.then(|| (oldest, Place::new(oldest.number, HEADER_LEN)))
    }

    fn read_piece(&mut self, segment: Segment, place: Place, len: u32) {
        if place.offset() >= segment.used {
            if self.journal.cleaning.is_damaged {
                self.rescue(segment.number);
            }
            let end = self.journal.end();
            self.journal.cleaning.state = Some(Step::Waiting(segment, end));
            return;
        }
        let len = len.min(segment.used - place.offset());
        let read = Read { place, len };
        self.journal.cleaning.state = Some(Step::Reading(segment, read));
        self.journal.fetches.ask(read);
    }

    /// Takes a piece that was read for cleaning; `false` if it was read for somebody else.
    pub(super) fn clean_with(&mut self, read: Read, bytes: Option<&[u8]>) -> bool {
        let Some(Step::Reading(segment, expected)) = self.journal.cleaning.state else {
            return false;
        };
        if expected != read {
            return false;
        }
        let end = match bytes {
            Some(bytes) if !bytes.is_empty() => {
                let longer = self.journal.longer_read(read, bytes);
                if let Some(longer) =
                    longer.filter(|longer| longer.place.offset() + longer.len <= segment.used)
                {
                    self.read_piece(segment, longer.place, longer.len);
                    return true;
                }
                self.clean_piece(read.place, bytes, segment)
            }
            _ => {
                // It cannot be read: what memory knows is all that is left of it.
                self.journal.cleaning.is_damaged = true;
                Place::new(segment.number, segment.used)
            }
        };
        self.journal.cleaning.state = Some(Step::Paused(segment, end));
        if end.offset() >= segment.used {
            self.read_piece(segment, end, PIECE_BYTES);
        }
        if self.is_all_durable() {
            self.go_on();
        }
        true
    }

    /// The next step where nothing is being written, so that no report will come to go on at.
    fn go_on(&mut self) {
        match self.journal.cleaning.state {
            Some(Step::Paused(segment, place)) => self.read_piece(segment, place, PIECE_BYTES),
            Some(Step::Waiting(segment, _)) => {
                if let Some((segment, begin)) = self.read_again(segment) {
                    return self.read_piece(segment, begin, PIECE_BYTES);
                }
                // A report will tell that it is gone. Not before that comes the next one's turn:
                // a segment must not outlive a younger one.
                self.finish_segment(segment);
                self.journal.cleaning.state = None;
            }
            Some(Step::Reading(..)) | None => {}
        }
    }

    /// Writes the live records of a piece anew; returns where the next piece begins.
    fn clean_piece(&mut self, start: Place, bytes: &[u8], segment: Segment) -> Place {
        let Some(salt) = self.journal.writer.as_ref().map(Writer::salt) else {
            return start;
        };
        let before = self.appended_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let place = start.after(at as u32);
            if let Some((kind, body)) = check(salt, place, &bytes[at..]) {
                let len = (RECORD_HEADER + body.len()) as u32;
                if let Some(record) = Record::decode(kind, body) {
                    self.clean_record(Placed { place, len }, record);
                }
                at += len as usize;
                continue;
            }
            let rest = &bytes[at..];
            let is_last_piece = place.offset() + rest.len() as u32 >= segment.used;
            if at > 0 && rest.len() < PIECE_BYTES as usize && !is_last_piece {
                // It may go on in the next piece.
                break;
            }
            self.journal.cleaning.is_damaged = true;
            at += next_candidate(salt, place, rest);
        }
        self.journal.cleaning.rewritten += self.appended_bytes() - before;
        start.after(at as u32)
    }

    fn appended_bytes(&self) -> u64 {
        (self.journal.writer.as_ref()).map_or(0, Writer::appended_bytes)
    }

    /// Where a segment with damage begins, which is read again before it goes: a disk that could
    /// not be read has come back by now, since what was written meanwhile is durable.
    fn read_again(&mut self, segment: Segment) -> Option<(Segment, Place)> {
        let cleaning = &mut self.journal.cleaning;
        let is_damaged = std::mem::take(&mut cleaning.is_damaged);
        cleaning.is_again = is_damaged && !cleaning.is_again;
        (cleaning.is_again).then(|| (segment, Place::new(segment.number, HEADER_LEN)))
    }

    /// Nothing in the segment is needed any more.
    fn finish_segment(&mut self, segment: Segment) {
        if let Some(writer) = &mut self.journal.writer {
            writer.unlink(segment.number);
        }
    }

    /// A record of the oldest segment: if it is live, its object is described anew.
    fn clean_record(&mut self, placed: Placed, record: Record<'_>) {
        match record {
            Record::Session(session) => {
                let id = self.journal.sessions.get(&session.key).copied();
                if let Some(id) = id.filter(|&id| self.sessions.get(id).placed == placed) {
                    self.describe_session(id);
                }
            }
            Record::Subscribe(subscription) => {
                if let Some((session, id)) = self.find_recorded(&subscription) {
                    if self.subscriptions.placed(id) == placed {
                        self.record_subscription(session, id);
                    }
                }
            }
            Record::Message(message) => self.clean_message(placed, &message),
            Record::Release(release) => self.clean_release(placed, &release),
            Record::Received { key, ordinal } => {
                let is_live = self.session_of(key).is_some_and(|session| {
                    self.stage_of(session, ordinal) == Some(Stage::Released)
                });
                if is_live {
                    self.journal.append(&Record::Received { key, ordinal });
                }
            }
            // Without one, the time that passes while the broker is away would be lost.
            Record::Clock(_) if placed == self.journal.clock_placed => self.record_clock(),
            _ => {}
        }
    }

    fn session_of(&self, key: u64) -> Option<&Session> {
        let id = self.journal.sessions.get(&key)?;
        Some(self.sessions.get(*id))
    }

    fn find_recorded(&self, known: &record::Subscription<'_>) -> Option<(SessionId, u32)> {
        let session = *self.journal.sessions.get(&known.key)?;
        Filter::parse(known.filter).ok()?;
        let id = self.find_subscription(session, known.filter, known.share)?;
        Some((session, id))
    }

    /// How far a session's delivery is; `None` if it is done.
    fn stage_of(&self, session: &Session, ordinal: u64) -> Option<Stage> {
        if ordinal >= session.flow.windowed {
            return (ordinal < session.flow.next_ordinal).then_some(Stage::Publish);
        }
        if ordinal < session.flow.base || ordinal - session.flow.base > IDS_IN_USE_MAX {
            return None;
        }
        let packet_id = packet_id_of(ordinal);
        let delivery = session.flow.window.find(&self.deliveries, packet_id)?;
        Some(self.deliveries.get(delivery).stage)
    }

    /// Fills the list of recipients with those that still wait.
    fn keep_waiting(&mut self, recipients: Recipients<'_>) {
        let mut list = std::mem::take(&mut self.journal.recipients);
        list.clear();
        let waits = |recipient: &Recipient| {
            self.session_of(recipient.key).is_some_and(|session| {
                self.stage_of(session, recipient.ordinal) == Some(Stage::Publish)
            })
        };
        recipients
            .iter()
            .filter(waits)
            .for_each(|r| r.put(&mut list));
        self.journal.recipients = list;
    }

    fn clean_message(&mut self, placed: Placed, known: &record::Message<'_>) {
        if let Some(id) = self.messages.body_at(known.slot, placed.place) {
            let body = record::Message {
                held: None,
                keeps: None,
                recipients: Recipients::default(),
                is_body: true,
                ..*known
            };
            if let Some(placed) = self.journal.append_unpromised(&Record::Message(body)) {
                self.messages.move_body(id, placed.place);
            }
            return;
        }
        let Some(id) = self.messages.at(known.slot, placed.place) else {
            return;
        };
        self.keep_waiting(known.recipients);
        let kept = self.kept_node_of(id, known.topic);
        let held = known.held.filter(|&(key, packet_id)| {
            let mut held = self.session_of(key).map(|session| session.flow.held.iter());
            held.as_mut()
                .is_some_and(|held| held.any(|h| h.packet_id == packet_id && h.message == id))
        });
        if self.journal.recipients.is_empty() && kept.is_none() && held.is_none() {
            return self.keep_in_memory(id, known);
        }
        let recipients = std::mem::take(&mut self.journal.recipients);
        let record = Record::Message(record::Message {
            keeps: kept.map(|node| self.retained.source(node, &self.settings)),
            held,
            recipients: Recipients::new(&recipients),
            ..*known
        });
        let placed = self.journal.append_unpromised(&record);
        self.journal.recipients = recipients;
        if let Some(placed) = placed {
            self.messages.set_record(id, placed, None, false);
        }
    }

    /// Only clients that would not miss it after a crash wait for a message still.
    fn keep_in_memory(&mut self, id: MessageId, known: &record::Message<'_>) {
        self.messages
            .warm(id, known.topic, known.properties, known.payload);
        self.messages.set_unrecorded(id);
    }

    fn clean_release(&mut self, placed: Placed, known: &record::Release<'_>) {
        let Some(id) = self.messages.at(known.slot, placed.place) else {
            return;
        };
        let Some((body, len)) = self.messages.body_place(id) else {
            return;
        };
        self.keep_waiting(known.recipients);
        let kept = known.keeps.and_then(|_| self.kept_node_of(id, known.topic));
        // Where nobody waits who counts, the next cleaning finds the body needless, too.
        let recipients = std::mem::take(&mut self.journal.recipients);
        // What it was held for is over; the identifier may hold another message by now.
        let record = Record::Release(record::Release {
            packet_id: 0,
            body,
            keeps: kept.map(|node| self.retained.source(node, &self.settings)),
            recipients: Recipients::new(&recipients),
            ..*known
        });
        let released = self.journal.append_unpromised(&record);
        self.journal.recipients = recipients;
        if let Some(released) = released {
            let len = len.saturating_sub(placed.len);
            let body = Placed { place: body, len };
            self.messages.set_record(id, released, Some(body), false);
        }
    }

    /// Records anew what memory knows and a damaged segment was to keep.
    fn rescue(&mut self, segment: u32) {
        let is_hit = |placed: Placed| !placed.is_none() && placed.place.segment() == segment;
        let sessions: Vec<SessionId> = (self.sessions.slab.iter())
            .filter(|(_, session)| is_hit(session.placed))
            .map(|(index, _)| SessionId(index as u32))
            .collect();
        let subscriptions: Vec<(SessionId, u32)> = (self.subscriptions.slab.iter())
            .filter(|&(index, _)| is_hit(self.subscriptions.placed(index as u32)))
            .map(|(index, subscription)| (subscription.session, index as u32))
            .collect();
        for id in sessions {
            self.describe_session(id);
        }
        for (session, id) in subscriptions {
            self.record_subscription(session, id);
        }
    }
}
