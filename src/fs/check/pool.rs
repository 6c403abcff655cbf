//! Work shared between a bounded number of threads, in bounded memory: a thread that finds enough work
//! waiting does its own at once.

use std::num::NonZeroUsize;

use parking_lot::{Condvar, Mutex};

pub(super) struct Pool<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    /// How many jobs may be offered ahead.
    ahead: usize,
}

struct State<J> {
    jobs: Vec<J>,
    running: usize,
}

impl<J: Send> Pool<J> {
    /// Does `first` and all that comes of it, on `threads` threads.
    pub(super) fn run(threads: NonZeroUsize, first: J, work: impl Fn(&Self, J) + Sync) {
        let pool = Self {
            state: Mutex::new(State {
                jobs: vec![first],
                running: 0,
            }),
            changed: Condvar::new(),
            ahead: 4 * threads.get(),
        };
        std::thread::scope(|scope| {
            for _ in 0..threads.get() {
                scope.spawn(|| {
                    while let Some(job) = pool.take() {
                        let _running = Running(&pool);
                        work(&pool, job);
                    }
                });
            }
        });
    }

    /// Leaves `job` for later.
    pub(super) fn push(&self, job: J) {
        self.state.lock().jobs.push(job);
        self.changed.notify_one();
    }

    /// Gives `job` to whoever is free; gives it back when enough is waiting.
    pub(super) fn offer(&self, job: J) -> Option<J> {
        let mut state = self.state.lock();
        if state.jobs.len() >= self.ahead {
            return Some(job);
        }
        state.jobs.push(job);
        drop(state);
        self.changed.notify_one();
        None
    }

    /// The job that came last: what it needs is still at hand, and less is waiting at any time.
    fn take(&self) -> Option<J> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop() {
                state.running += 1;
                return Some(job);
            }
            if state.running == 0 {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

/// A job under way. Ends also when it panics: then the others end too, and the panic goes on.
struct Running<'a, J>(&'a Pool<J>);

impl<J> Drop for Running<'_, J> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.running -= 1;
        if std::thread::panicking() {
            state.jobs.clear();
        }
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const THREADS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

    fn go(pool: &Pool<u32>, depth: u32, done: &AtomicU64) {
        done.fetch_add(1, Ordering::Relaxed);
        if depth == 0 {
            return;
        }
        pool.push(depth - 1);
        for _ in 0..2 {
            if let Some(job) = pool.offer(depth - 1) {
                go(pool, job, done);
            }
        }
    }

    #[test]
    fn everything_that_comes_of_a_job_is_done_once() {
        let (done, most) = (AtomicU64::new(0), AtomicU64::new(0));
        Pool::run(THREADS, 8, |pool, depth| {
            most.fetch_max(pool.state.lock().jobs.len() as u64, Ordering::Relaxed);
            go(pool, depth, &done);
        });
        let nodes: u64 = (0..=8).map(|depth| 3_u64.pow(depth)).sum();
        assert_eq!(done.into_inner(), nodes);
        assert!(most.into_inner() < 1000);
    }

    #[test]
    fn a_panic_ends_the_others_too() {
        let result = std::panic::catch_unwind(|| {
            Pool::run(THREADS, 0_u32, |pool, number| {
                assert_ne!(number, 50, "as it has to");
                pool.push(number + 1);
            });
        });
        assert!(result.is_err());
    }
}
