//! A queue from one thread to another, which notice when the other one is gone.
//!
//! The channels of the standard library serve any number of threads without a lock, and are 15 KB
//! of code for it; ours carry a job or a line now and then.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The end that puts in.
pub struct Sender<T>(Arc<Shared<T>>);

/// The end that takes out.
pub struct Receiver<T>(Arc<Shared<T>>);

/// What there was to take out.
#[derive(Debug, PartialEq, Eq)]
pub enum Got<T> {
    /// The oldest of what was put in.
    Item(T),
    /// Nothing yet.
    Nothing,
    /// Nothing, and the sender is gone.
    Ended,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    capacity: usize,
}

struct Queue<T> {
    items: VecDeque<T>,
    /// One of the ends is gone.
    is_closed: bool,
}

/// Two ends of a queue that holds up to `capacity`.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue {
        items: VecDeque::new(),
        is_closed: false,
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        changed: Condvar::new(),
        capacity,
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // No code panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue<T>>) -> MutexGuard<'a, Queue<T>> {
        let queue = self.changed.wait(queue);
        queue.unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }
}

impl<T> Sender<T> {
    /// Puts something in, when there is room; gives it back when nobody will take it out.
    pub fn send(&self, item: T) -> Result<(), T> {
        let mut queue = self.0.lock();
        while !queue.is_closed && queue.items.len() >= self.0.capacity {
            queue = self.0.wait(queue);
        }
        if queue.is_closed {
            return Err(item);
        }
        queue.items.push_back(item);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Waits until the receiver is gone, this long at most; whether it is.
    pub fn is_closed_within(&self, time: Duration) -> bool {
        let is_open = |queue: &mut Queue<T>| !queue.is_closed;
        let queue = (self.0.changed).wait_timeout_while(self.0.lock(), time, is_open);
        queue.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }
}

impl<T> Receiver<T> {
    /// Waits for the next one; `None` when there is no more and the sender is gone.
    pub fn recv(&self) -> Option<T> {
        let mut queue = self.0.lock();
        loop {
            let item = queue.items.pop_front();
            if item.is_some() || queue.is_closed {
                self.0.changed.notify_all();
                return item;
            }
            queue = self.0.wait(queue);
        }
    }

    /// Waits for the next one, this long at most.
    pub fn recv_within(&self, time: Duration) -> Got<T> {
        let is_quiet = |queue: &mut Queue<T>| queue.items.is_empty() && !queue.is_closed;
        let queue = (self.0.changed).wait_timeout_while(self.0.lock(), time, is_quiet);
        drop(queue);
        self.try_recv()
    }

    /// Takes the next one, if there is one.
    pub fn try_recv(&self) -> Got<T> {
        let mut queue = self.0.lock();
        match queue.items.pop_front() {
            Some(item) => {
                self.0.changed.notify_all();
                Got::Item(item)
            }
            None if queue.is_closed => Got::Ended,
            None => Got::Nothing,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.close();
        let items = std::mem::take(&mut self.0.lock().items);
        drop(items); // without the lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn items_come_in_order_and_outlive_the_sender() {
        let (sender, receiver) = channel(2);
        let thread = thread::spawn(move || (0..100).try_for_each(|n| sender.send(n)));
        let got: Vec<i32> = std::iter::from_fn(|| receiver.recv()).collect();
        assert_eq!(got, (0..100).collect::<Vec<_>>());
        assert_eq!(thread.join().expect("it does not panic"), Ok(()));
        assert_eq!(receiver.try_recv(), Got::Ended);
    }

    #[test]
    fn a_sender_with_a_full_queue_learns_that_the_receiver_is_gone() {
        let (sender, receiver) = channel(1);
        assert_eq!(receiver.recv_within(Duration::from_millis(1)), Got::Nothing);
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(receiver.recv_within(Duration::MAX), Got::Item(1));
        assert_eq!(sender.send(1), Ok(()));
        assert!(!sender.is_closed_within(Duration::ZERO));
        let thread = thread::spawn(move || (sender.send(2), sender));
        drop(receiver);
        let (refused, sender) = thread.join().expect("it does not panic");
        assert_eq!(refused, Err(2));
        assert!(sender.is_closed_within(Duration::MAX));
    }

    #[test]
    fn what_nobody_took_is_dropped_with_the_receiver() {
        let (sender, receiver) = channel(1);
        let item = Arc::new(());
        assert_eq!(sender.send(Arc::clone(&item)), Ok(()));
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
    }
}
