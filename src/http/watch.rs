//! What a thread knows about each of its connections, and the sweep that ends the slow ones.
//!
//! One timer per thread instead of one per request: a connection only notes what it is doing and
//! since which tick, which costs a store. Over HTTP/2 each request is watched beside its
//! connection. All of this lives on one thread.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::body::{Budget, Held};
use super::limits::Limits;
use super::smuggled::Doubt;
use crate::spec::limit::{STREAM_WINDOW_BYTES, STREAMS_ABANDONED_MAX};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between two requests.
    Idle,
    /// Some of a head has come.
    Head,
    /// Waiting for more of a body.
    Body,
    /// A request is being answered; whoever answers it keeps the time.
    Busy,
    /// Over HTTP/2: an answer is ready and its caller takes it piece by piece.
    Writing,
}

/// What a connection has been told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    Go,
    /// Finish the request under way, then close.
    Drain,
    /// Close now.
    Close,
}

/// One connection, as seen by its own task and by the sweep.
#[derive(Debug)]
pub(super) struct Watch {
    phase: Cell<Phase>,
    since: Cell<Duration>,
    body_since: Cell<Duration>,
    /// Since when the peer has not taken what was written.
    blocked: Cell<Option<Duration>>,
    order: Cell<Order>,
    body_expired: Cell<bool>,
    /// Heads that were answered, and the one that can be read in two ways.
    heads: Cell<u64>,
    ambiguous: Cell<Option<(u64, Doubt)>>,
    waker: RefCell<Option<Waker>>,
    clock: Rc<Clock>,
    /// The connection of a request over HTTP/2.
    connection: Option<Rc<Watch>>,
    streams: Streams,
}

/// The requests of a connection that has many at once.
#[derive(Debug, Default)]
struct Streams {
    /// Whether it has.
    many: Cell<bool>,
    open: Cell<u32>,
    answered: Cell<u64>,
    abandoned: Cell<u64>,
    /// Bytes of bodies that came and that nobody has taken yet, in all bodies' budget.
    unread: RefCell<Option<Held>>,
    /// There was no room for some of them.
    no_room: Cell<bool>,
}

/// The time as of the last sweep: coarse, and free to read.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    now: Cell<Duration>,
}

impl Watch {
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.now.get());
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A request's answer has gone out that was written while its body came in. Over HTTP/2 nothing
    /// follows on this watch.
    pub(super) fn answered(&self) {
        if self.connection.is_none() {
            self.enter(Phase::Idle);
        }
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        match self.phase.get() {
            // What comes between two requests may be about the connection itself.
            Phase::Idle if self.streams.many.get() => {}
            Phase::Idle => self.enter(Phase::Head),
            Phase::Body => self.since.set(self.clock.now.get()),
            Phase::Head | Phase::Busy | Phase::Writing => {}
        }
    }

    /// It speaks HTTP/2 from now on; what it sends ahead of being read counts in the budget.
    pub(super) fn has_streams(&self, budget: &Arc<Budget>) {
        self.streams.many.set(true);
        *self.streams.unread.borrow_mut() = Some(Held::nothing(budget));
        self.enter(Phase::Idle);
    }

    /// Bytes of bodies came over HTTP/2. A connection never has more of them than its window.
    pub(super) fn data_came(&self, count: usize) {
        if let Some(unread) = &mut *self.streams.unread.borrow_mut() {
            let room = (STREAM_WINDOW_BYTES as usize).saturating_sub(unread.bytes());
            if count > 0 && unread.more(count.min(room)).is_err() {
                self.streams.no_room.set(true);
            }
        }
    }

    /// So many bytes of its body are in somebody's hands now, who counts them. False when what its
    /// connection has sent found no room.
    pub(super) fn data_taken(&self, count: usize) -> bool {
        let Some(connection) = &self.connection else { return true };
        if let Some(unread) = &mut *connection.streams.unread.borrow_mut() {
            unread.less(count);
        }
        !connection.streams.no_room.get()
    }

    /// Nothing of any body is left.
    fn data_gone(&self) {
        self.streams.no_room.set(false);
        if let Some(unread) = &mut *self.streams.unread.borrow_mut() {
            unread.less(usize::MAX);
        }
    }

    /// This head, by its number, can be read in two ways.
    pub(super) fn ambiguous(&self, head: u64, doubt: Doubt) {
        self.ambiguous.set(Some((head, doubt)));
    }

    /// A head is to be answered; what is doubtful about it.
    pub(super) fn next_is_ambiguous(&self) -> Option<Doubt> {
        let head = self.heads.replace(self.heads.get() + 1);
        self.ambiguous.get().filter(|(number, _)| *number == head).map(|(_, doubt)| doubt)
    }

    /// A body is awaited from now on.
    pub(super) fn body_begins(&self) {
        self.enter(Phase::Body);
        self.body_since.set(self.clock.now.get());
        self.body_expired.set(false);
    }

    /// Whether the body took too long.
    pub(super) fn body_expired(&self) -> bool {
        self.body_expired.get()
    }

    /// Whether the peer took what was written.
    pub(super) fn written(&self, taken: bool) {
        match (taken, self.blocked.get()) {
            (true, Some(_)) => self.blocked.set(None),
            (false, None) => self.blocked.set(Some(self.clock.now.get())),
            _ => {}
        }
    }

    pub(super) fn order(&self) -> Order {
        self.order.get()
    }

    /// Remembers whom to wake when the sweep has an order.
    pub(super) fn keep_waker(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    fn tell(&self, order: Order) {
        self.order.set(order);
        self.wake();
    }

    fn wake(&self) {
        // Waking may run code of the event loop: not while the cell is borrowed.
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn sweep(&self, now: Duration, limits: &Limits) {
        let past = |since: Duration, limit: Duration| now.saturating_sub(since) > limit;
        if self.blocked.get().is_some_and(|since| past(since, limits.write_timeout)) {
            return self.tell(Order::Close);
        }
        let since = self.since.get();
        match self.phase.get() {
            Phase::Idle if past(since, limits.idle_timeout) => match self.streams.many.get() {
                // A caller who is about to ask is told which requests were not seen.
                true if self.order.get() == Order::Go => self.tell(Order::Drain),
                _ => self.tell(Order::Close),
            },
            Phase::Head if past(since, limits.header_timeout) => self.tell(Order::Close),
            Phase::Body
                if past(since, limits.body_stall_timeout)
                    || past(self.body_since.get(), limits.body_timeout) =>
            {
                self.body_expired.set(true);
                self.wake();
            }
            // Its window stays shut: there is no way to end this request alone that would not
            // leave the answer in memory.
            Phase::Writing if past(since, limits.write_timeout) => {
                if let Some(connection) = &self.connection {
                    connection.tell(Order::Close);
                }
            }
            _ => {}
        }
    }
}

/// The connections of one thread.
#[derive(Debug)]
pub(super) struct Roll {
    clock: Rc<Clock>,
    open: RefCell<HashMap<u64, Rc<Watch>>>,
    next: Cell<u64>,
}

impl Roll {
    pub(super) fn new() -> Roll {
        let clock = Clock { start: Instant::now(), now: Cell::new(Duration::ZERO) };
        Roll { clock: Rc::new(clock), open: RefCell::default(), next: Cell::new(0) }
    }

    /// Enters a connection.
    pub(super) fn enter(self: &Rc<Roll>) -> Entry {
        // The sweep may have slept while nothing was open.
        self.clock.now.set(self.clock.start.elapsed());
        self.add(None)
    }

    /// Enters a request over HTTP/2.
    pub(super) fn enter_stream(self: &Rc<Roll>, connection: &Rc<Watch>) -> Entry {
        let Streams { open, .. } = &connection.streams;
        open.set(open.get() + 1);
        connection.enter(Phase::Busy);
        self.add(Some(Rc::clone(connection)))
    }

    fn add(self: &Rc<Roll>, connection: Option<Rc<Watch>>) -> Entry {
        let number = self.next.replace(self.next.get() + 1);
        let now = self.clock.now.get();
        let watch = Rc::new(Watch {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(now),
            body_since: Cell::new(now),
            blocked: Cell::new(None),
            order: Cell::new(Order::Go),
            body_expired: Cell::new(false),
            heads: Cell::new(0),
            ambiguous: Cell::new(None),
            waker: RefCell::default(),
            clock: Rc::clone(&self.clock),
            connection,
            streams: Streams::default(),
        });
        self.open.borrow_mut().insert(number, Rc::clone(&watch));
        Entry { roll: Rc::clone(self), number, watch, answered: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Advances the clock and ends what took too long.
    pub(super) fn sweep(&self, limits: &Limits) {
        let now = self.clock.start.elapsed();
        self.clock.now.set(now);
        for watch in self.open.borrow().values() {
            watch.sweep(now, limits);
        }
    }

    /// Gives every connection an order.
    pub(super) fn tell_all(&self, order: Order) {
        for watch in self.open.borrow().values() {
            watch.tell(order);
        }
    }
}

/// A place on the roll, given back when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    roll: Rc<Roll>,
    number: u64,
    pub(super) watch: Rc<Watch>,
    answered: bool,
}

impl Entry {
    /// A request over HTTP/2 has its answer.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roll.open.borrow_mut().remove(&self.number);
        let Some(connection) = &self.watch.connection else { return };
        let Streams { open, answered, abandoned, .. } = &connection.streams;
        open.set(open.get() - 1);
        if open.get() == 0 {
            connection.enter(Phase::Idle);
            connection.data_gone();
        }
        let count = if self.answered { answered } else { abandoned };
        count.set(count.get() + 1);
        // Asking and taking back is work for the server and next to none for the caller.
        if abandoned.get() > STREAMS_ABANDONED_MAX + answered.get() {
            connection.tell(Order::Close);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_over_http2_and_nobody_took_counts_in_the_budget() {
        let budget = Arc::new(Budget::new(300 << 10));
        let roll = Rc::new(Roll::new());
        let (one, other) = (roll.enter(), roll.enter());
        one.watch.has_streams(&budget);
        other.watch.has_streams(&budget);
        let (first, second) = (roll.enter_stream(&one.watch), roll.enter_stream(&other.watch));
        one.watch.data_came(200 << 10);
        assert_eq!(budget.held(), 200 << 10);
        assert!(first.watch.data_taken(50 << 10));
        // Its body would be the one too many, and the other's is not touched.
        other.watch.data_came(200 << 10);
        assert!(!second.watch.data_taken(1 << 10));
        assert!(first.watch.data_taken(150 << 10));
        // Whatever nobody took goes with the last request of its connection.
        drop(second);
        assert_eq!(budget.held(), 0);
        let again = roll.enter_stream(&other.watch);
        // A peer that ignores its window is cut off by hyper; it is not counted beyond.
        other.watch.data_came(1 << 30);
        assert_eq!(budget.held(), STREAM_WINDOW_BYTES as usize);
        assert!(again.watch.data_taken(1 << 30));
        drop((first, again, one, other));
        assert_eq!(budget.held(), 0);
    }
}
