//! Queue and window against plain collections.

use super::window::distance;
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
            let mut delivery = Delivery::new(id, QoS::ExactlyOnce, false, 0);
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
            window.finish(&mut deliveries, found, |deliveries, id| {
                deliveries.remove(id);
            });
            model[pick].1 = true;
            while model.front().is_some_and(|(_, done)| *done) {
                model.pop_front();
            }
        }
        let span = match (model.front(), model.back()) {
            (Some((first, _)), Some((last, _))) => distance(*first, *last) as usize + 1,
            _ => 0,
        };
        assert_eq!(window.span(&deliveries), span);
        assert_eq!(
            window.in_flight(),
            model.iter().filter(|(_, done)| !done).count()
        );
        assert_eq!(deliveries.count(), model.len());
    }
    assert_eq!(window.find_sent(&deliveries, 0), None);
}
