//! One thread beside the poll loop for work that takes long and touches nothing: password hashes.
//!
//! A hash is meant to take a tenth of a second, and on a small gateway takes more: the loop cannot
//! wait for it. It hands a job over and goes on; when the result is there, the loop's `mio::Waker`
//! rings and the loop collects it. At most `capacity` jobs are in the worker's hands at any time,
//! waiting, running and uncollected together, so that a flood of sign-ins meets a full queue
//! instead of growing memory. Results come in the order of the jobs.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use mio::Waker;

use super::channel::{Got, Receiver, Sender, channel};

/// A worker thread that turns jobs `J` into results `R`.
///
/// `outstanding <= capacity`: the jobs submitted whose results have not been collected.
pub struct Worker<J, R> {
    jobs: Option<Sender<J>>,
    results: Receiver<R>,
    outstanding: usize,
    capacity: usize,
    stop: Arc<AtomicBool>,
    start: Box<dyn FnMut() -> io::Result<JoinHandle<()>> + Send>,
    thread: Option<JoinHandle<()>>,
    /// The log has been told that there is none.
    was_told: bool,
}

impl<J: Send + 'static, R: Send + 'static> Worker<J, R> {
    /// A worker named `name` (15 bytes are shown by ps), with the function it runs. Its thread
    /// starts with the first job: most brokers never have one.
    ///
    /// A `capacity` of 0 refuses every job.
    pub fn new(
        name: &str,
        capacity: usize,
        waker: Arc<Waker>,
        work: impl FnMut(J) -> R + Send + 'static,
    ) -> Self {
        let (jobs, todo) = channel(capacity);
        let (done, results) = channel(capacity);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let name = name.to_owned();
        // Whole until a thread has it: the system may give none at first.
        let desk = Arc::new(Mutex::new((todo, done, work)));
        let start = Box::new(move || {
            let (desk, stop, waker) = (desk.clone(), stopped.clone(), waker.clone());
            thread::Builder::new().name(name.clone()).spawn(move || {
                if let Ok(mut desk) = desk.lock() {
                    let (todo, done, work) = &mut *desk;
                    run(todo, done, &stop, &waker, work);
                }
            })
        });
        Self {
            jobs: Some(jobs),
            results,
            outstanding: 0,
            capacity,
            stop,
            start,
            thread: None,
            was_told: false,
        }
    }

    /// Hands a job over, or gives it back when the worker has its hands full (or has died, or the
    /// system gives no thread).
    pub fn try_submit(&mut self, job: J) -> Result<(), J> {
        if self.outstanding >= self.capacity {
            return Err(job);
        }
        let Some(jobs) = &self.jobs else {
            return Err(job);
        };
        if self.thread.is_none() {
            match (self.start)() {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => {
                    if !std::mem::replace(&mut self.was_told, true) {
                        log::error!(
                            "Error: the system gives no thread for passwords and such: {error}. \
                             They wait until it does: raise the limit of processes (ulimit -u, \
                             TasksMax)."
                        );
                    }
                    return Err(job);
                }
            }
        }
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(job);
        }
        jobs.send(job)?;
        self.outstanding += 1;
        Ok(())
    }

    /// Takes the next result, if one is ready. Call it until it gives `None`: one wake-up may stand
    /// for several results.
    pub fn try_recv(&mut self) -> Option<R> {
        let Got::Item(result) = self.results.try_recv() else {
            return None;
        };
        self.outstanding -= 1;
        Some(result)
    }

    /// How many jobs have no collected result yet.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }
}

impl<J, R> Drop for Worker<J, R> {
    /// Waits for the job at hand, at most; jobs that have not begun are dropped.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // An error is the thread's panic, which has been reported where it happened.
            let _ = thread.join();
        }
    }
}

fn run<J, R>(
    todo: &Receiver<J>,
    done: &Sender<R>,
    stop: &AtomicBool,
    waker: &Waker,
    work: &mut impl FnMut(J) -> R,
) {
    while let Some(job) = todo.recv() {
        if stop.load(Ordering::Relaxed) || done.send(work(job)).is_err() {
            return;
        }
        if let Err(error) = waker.wake() {
            log::error!("The worker cannot wake the main loop: {error}.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    fn poll_and_waker() -> (Poll, Arc<Waker>) {
        let poll = Poll::new().expect("the system gives a poll");
        let waker = Waker::new(poll.registry(), Token(7)).expect("and a waker");
        (poll, Arc::new(waker))
    }

    /// Polls until the waker has rung; a minute without is a failure.
    fn wait(poll: &mut Poll) {
        let mut events = Events::with_capacity(4);
        while events.iter().all(|event| event.token() != Token(7)) {
            match poll.poll(&mut events, Some(Duration::from_secs(60))) {
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted),
                Ok(()) => assert!(!events.is_empty(), "nobody rang"),
            }
        }
    }

    #[test]
    fn results_come_in_order_and_ring_the_waker() {
        let (mut poll, waker) = poll_and_waker();
        let mut worker = Worker::new("test", 8, waker, |n: u32| n * n);
        for n in 1..=5 {
            worker.try_submit(n).expect("there is room for eight");
        }
        let mut results = Vec::new();
        while results.len() < 5 {
            wait(&mut poll);
            while let Some(result) = worker.try_recv() {
                results.push(result);
            }
        }
        assert_eq!(results, [1, 4, 9, 16, 25]);
        assert_eq!(worker.outstanding(), 0);
        assert_eq!(worker.try_recv(), None);
    }

    #[test]
    fn a_full_worker_gives_the_job_back_until_a_result_is_collected() {
        let (mut poll, waker) = poll_and_waker();
        let (open, gate) = channel::<()>(10);
        let mut worker = Worker::new("test", 2, waker, move |text: String| {
            gate.recv().expect("the test opens the gate");
            text
        });
        let open = open; // dropped before the worker, so that a failing test does not hang
        worker.try_submit("one".into()).expect("room for two");
        worker.try_submit("two".into()).expect("room for two");
        assert_eq!(worker.try_submit("three".into()), Err("three".into()));

        open.send(()).expect("the worker waits");
        wait(&mut poll);
        // Finished but not collected still counts.
        assert_eq!(worker.try_submit("three".into()), Err("three".into()));
        assert_eq!(worker.try_recv().as_deref(), Some("one"));
        worker.try_submit("three".into()).expect("room again");

        open.send(()).expect("the worker waits");
        open.send(()).expect("the worker waits");
        let mut rest = Vec::new();
        while rest.len() < 2 {
            wait(&mut poll);
            rest.extend(std::iter::from_fn(|| worker.try_recv()));
        }
        assert_eq!(rest, ["two", "three"]);
    }

    #[test]
    fn drop_waits_for_the_job_at_hand_and_forgets_the_rest() {
        let (_poll, waker) = poll_and_waker();
        let (started, has_started) = channel(10);
        let (open, gate) = channel::<()>(10);
        let (finished, has_finished) = channel(10);
        let mut worker = Worker::new("test", 10, waker, move |n: u32| {
            started.send(n).expect("the test listens");
            gate.recv().expect("the test opens the gate");
            finished.send(n).expect("the test listens");
        });
        let open = open; // dropped before the worker, so that a failing test does not hang
        for n in 0..10 {
            worker.try_submit(n).expect("there is room for ten");
        }
        assert_eq!(has_started.recv(), Some(0));
        let stop = Arc::clone(&worker.stop);
        // The gate opens only once the drop has begun, so the first job is still at hand then.
        let opener = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            open.send(()).expect("the worker waits");
            open
        });
        drop(worker);
        drop(opener.join().expect("the opener does not panic"));
        assert_eq!(
            std::iter::from_fn(|| has_finished.recv()).collect::<Vec<_>>(),
            [0]
        );
        assert_eq!(has_started.recv(), None);
    }

    #[test]
    fn a_capacity_of_nothing_refuses() {
        let (_poll, waker) = poll_and_waker();
        let mut worker = Worker::new("test", 0, waker, |n: u32| n);
        assert_eq!(worker.try_submit(1), Err(1));
    }
}
