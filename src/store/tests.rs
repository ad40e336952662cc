//! Queue and window against plain collections.

use super::journal::{Place, Placed};
use super::*;
use crate::wire::{Publish, QoS};
use std::collections::VecDeque;

fn message(messages: &mut Messages, payload: &[u8]) -> MessageId {
    let publish = Publish {
        topic: b"t",
        payload,
        ..Publish::default()
    };
    messages.insert(Body {
        topic_prefix: b"m/",
        publish: &publish,
        expires_ms: message::NEVER,
    })
}

#[test]
fn a_message_is_kept_once_and_freed_by_its_last_holder() {
    let mut messages = Messages::default();
    let id = message(&mut messages, b"payload");
    messages.retain(id);
    assert_eq!(
        (messages.get(id).topic(), messages.get(id).payload()),
        (&b"m/t"[..], &b"payload"[..])
    );
    messages.release(id);
    assert_eq!((messages.count(), messages.bytes()), (1, 10));
    messages.release(id);
    assert_eq!((messages.count(), messages.bytes()), (0, 0));
}

#[test]
fn queues_share_one_slab_and_keep_their_order() {
    let mut messages = Messages::default();
    let id = message(&mut messages, b"");
    let mut deliveries = Deliveries::default();
    let mut queues: [(Queue, VecDeque<u32>); 3] = Default::default();
    let mut rng = fastrand::Rng::with_seed(1);
    for subscription_id in 1..20_000 {
        let (queue, model) = &mut queues[rng.usize(..3)];
        if rng.u8(..5) < 3 {
            let delivery = Delivery::new(id, QoS::AtLeastOnce, true, subscription_id);
            queue.push(&mut deliveries, delivery, 10);
            model.push_back(subscription_id);
        } else {
            let popped = queue.pop(&mut deliveries, 10);
            let popped = popped.map(|id| deliveries.remove(id).subscription_id());
            assert_eq!(popped, model.pop_front().map(Some));
        }
        assert_eq!(
            (queue.len(), queue.bytes()),
            (model.len(), model.len() as u64 * 10)
        );
    }
    let left: usize = queues.iter().map(|(_, model)| model.len()).sum();
    assert_eq!(deliveries.count(), left);
}

#[test]
fn a_window_gives_ids_in_order_wraps_and_frees_what_is_done() {
    let mut messages = Messages::default();
    let id = message(&mut messages, b"");
    let mut deliveries = Deliveries::default();
    let mut window = Window::default();
    let mut model: VecDeque<(u16, bool)> = VecDeque::new();
    let mut next_id = 1_u16;
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..300_000 {
        if model.len() < 20 {
            if rng.u8(..) == 0 {
                // One that was dropped while it waited leaves a gap.
                next_id = next_id.checked_add(1).unwrap_or(1);
            }
            let mut delivery = Delivery::new(id, QoS::AtLeastOnce, false, 0);
            delivery.number = next_id;
            window.push(deliveries.insert(delivery));
            assert_eq!(
                window.find_sent(&deliveries, next_id),
                None,
                "it was not sent yet"
            );
            window.advance(&deliveries);
            model.push_back((next_id, false));
            next_id = next_id.checked_add(1).unwrap_or(1);
        }
        let pick = rng.usize(..model.len());
        let (packet_id, done) = model[pick];
        let found = window.find_sent(&deliveries, packet_id);
        assert_eq!(found.is_none(), done);
        if let Some(found) = found {
            // The short way, where it is open, is as good.
            let short = match rng.bool() {
                true => {
                    let awaited = (QoS::AtLeastOnce, Stage::Publish);
                    window.finish_first(&mut deliveries, packet_id, awaited)
                }
                false => None,
            };
            if short.is_none() {
                let first = window.finish(&mut deliveries, found);
                assert_eq!(first, window.first(&deliveries));
            }
            model[pick].1 = true;
            while model.front().is_some_and(|(_, done)| *done) {
                model.pop_front();
            }
        }
        assert_eq!(
            window.in_flight(),
            model.iter().filter(|(_, done)| !done).count()
        );
        assert_eq!(deliveries.count(), model.len());
    }
    assert_eq!(window.find_sent(&deliveries, 0), None);
}

/// A message as it should be.
struct Model {
    id: MessageId,
    holders: usize,
    payload: Vec<u8>,
    len: usize,
    record: Option<(Placed, u32)>,
}

/// Bodies that come and go, their records and the counters, against a plain list.
#[test]
fn what_is_counted_is_what_there_is() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut messages = Messages::default();
        let mut models: Vec<Model> = Vec::new();
        let mut next = Place::new(1, 128);
        for _ in 0..4000 {
            let step = rng.u8(..20);
            if step < 6 || models.is_empty() {
                let payload = vec![rng.u8(..); rng.usize(..600)];
                let id = message(&mut messages, &payload);
                let len = messages.len_of(id);
                let (holders, record) = (1, None);
                models.push(Model {
                    id,
                    holders,
                    payload,
                    len,
                    record,
                });
                continue;
            }
            let at = rng.usize(..models.len());
            let model = &mut models[at];
            let is_hot = messages.is_hot(model.id);
            match step {
                6..8 => {
                    messages.retain(model.id);
                    model.holders += 1;
                }
                8..13 => {
                    messages.release(model.id);
                    model.holders -= 1;
                    if model.holders == 0 {
                        models.swap_remove(at);
                    }
                }
                // Nobody records a message that was lost.
                13..16 if messages.len_of(model.id) == model.payload.len() + 3 => {
                    record(&mut rng, &mut next, &mut messages, model);
                }
                16 if !is_hot => messages.warm(model.id, b"m/t", b"", &model.payload),
                17 if is_hot => {
                    messages.set_unrecorded(model.id);
                    model.record = None;
                }
                18 if !is_hot => {
                    messages.lose(model.id);
                    model.record = None;
                    model.payload = Vec::new();
                    assert!(messages.get(model.id).is_empty());
                }
                19 => {
                    let written = models[at].record.map_or(Place::START, |r| r.0.place);
                    messages.evict(rng.usize(..2) * 2000, written);
                    evict_all(&mut messages, &models, written);
                }
                _ => {
                    messages.wanted(model.id);
                }
            }
            check(&messages, &models);
        }
    }
}

/// Gives a message a record, or two.
fn record(rng: &mut fastrand::Rng, next: &mut Place, messages: &mut Messages, model: &mut Model) {
    let mut put = |len: usize| {
        let (place, len) = (*next, len as u32);
        *next = next.after(len);
        Placed { place, len }
    };
    let body = put(model.len + rng.usize(11..200));
    let apart = rng.bool().then(|| put(rng.usize(20..100)));
    let (says, body) = apart.map_or((body, None), |says| (says, Some(body)));
    messages.set_record(model.id, says, body, rng.bool());
    let len = says.len + body.map_or(0, |body| body.len);
    model.record = Some((says, len));
    let read = body.unwrap_or(says).place;
    assert_eq!(messages.body_place(model.id).map(|b| b.0), Some(read));
}

/// Who was wanted stays for a round more.
fn evict_all(messages: &mut Messages, models: &[Model], written: Place) {
    for _ in 0..2 {
        messages.evict(0, written);
    }
    for model in models {
        let is_there = model.record.is_some_and(|r| r.0.place < written);
        assert!(!(is_there && messages.is_hot(model.id)));
    }
}

fn check(messages: &Messages, models: &[Model]) {
    let (mut bytes, mut evictable, mut recorded) = (0, 0, 0);
    for model in models {
        bytes += model.len;
        let is_hot = messages.is_hot(model.id);
        if is_hot {
            assert_eq!(messages.get(model.id).payload(), model.payload);
        }
        assert!(is_hot || model.record.is_some(), "a body is nowhere");
        assert_eq!(messages.place_of(model.id), model.record.map(|r| r.0.place));
        if let Some((_, len)) = model.record {
            evictable += if is_hot { model.len } else { 0 };
            recorded += model.len + (len as usize - model.len).div_ceil(16) * 16;
        }
    }
    assert_eq!((messages.count(), messages.bytes()), (models.len(), bytes));
    assert_eq!(messages.evictable_bytes(), evictable);
    assert_eq!(messages.recorded_bytes(), recorded as u64);
    let most = 2 * messages.bodies.len() + 1025;
    assert!(messages.warm.len() <= most.max(2000) && messages.leaving.len() <= most.max(2000));
}

/// A long queue that is read back and sent leaves no candidates behind.
#[test]
fn what_was_read_back_and_freed_is_forgotten() {
    let mut messages = Messages::default();
    for n in 0..10_000 {
        let id = message(&mut messages, b"payload");
        let (place, len) = (Place::new(1, 128 + n), 30);
        messages.set_record(id, Placed { place, len }, None, true);
        messages.evict(1 << 20, place.after(1));
        assert!(!messages.is_hot(id));
        messages.warm(id, b"m/t", b"", b"payload");
        messages.release(id);
    }
    assert!(messages.warm.len() < 2000);
}
