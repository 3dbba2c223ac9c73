//! One large request in parts: each as large as a batch, answered by whichever worker is free, and
//! put together by the one that finishes last.
//!
//! Between two parts of it others have their turn, so a request of a million rows keeps nobody
//! waiting for longer than a part; and every core that has nothing else to do takes a part of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::codec::{Form, Refusal};
use super::fence::append;
use super::queue::Done;
use crate::algorithm::Ask;
use crate::data::Answer;

/// A large request, shared by the workers that answer its parts.
pub(super) struct Whole {
    /// rows × features, row-major.
    pub(super) values: Vec<f32>,
    pub(super) form: Form,
    pub(super) ask: Ask,
    deadline: Instant,
    state: Mutex<State>,
}

struct State {
    /// In order; filled as they come.
    answers: Vec<Option<Answer>>,
    left: usize,
    /// In the model, all parts together.
    time: Duration,
    /// Taken by whoever tells the caller: at the end, or at the first mistake.
    reply: Option<oneshot::Sender<Result<Done, Refusal>>>,
}

/// Some rows of a large request.
pub(super) struct Part {
    pub(super) whole: Arc<Whole>,
    /// Which of its parts.
    at: usize,
    /// Its values, within those of the whole.
    from: usize,
    to: usize,
    pub(super) rows: usize,
}

/// All parts were answered.
pub(super) struct Gathered {
    /// `None` when they do not fit together.
    pub(super) answer: Option<Answer>,
    pub(super) time: Duration,
    pub(super) reply: oneshot::Sender<Result<Done, Refusal>>,
}

/// What a request is besides its rows.
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) ask: Ask,
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Done, Refusal>>,
}

/// Cuts a request into parts of `part_rows` rows.
pub(super) fn cut(values: Vec<f32>, features: usize, part_rows: usize, asked: Asked) -> Vec<Part> {
    let rows = values.len() / features.max(1);
    let parts = rows.div_ceil(part_rows);
    let Asked { form, ask, deadline, reply } = asked;
    let answers = (0..parts).map(|_| None).collect();
    let state = State { answers, left: parts, time: Duration::ZERO, reply: Some(reply) };
    let whole = Arc::new(Whole { values, form, ask, deadline, state: Mutex::new(state) });
    (0..parts)
        .map(|at| {
            let (from, to) = (at * part_rows, rows.min((at + 1) * part_rows));
            let whole = Arc::clone(&whole);
            Part { whole, at, from: from * features, to: to * features, rows: to - from }
        })
        .collect()
}

impl Whole {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody waits for it any more: told already, gone, or too late.
    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().reply.as_ref().is_none_or(oneshot::Sender::is_closed)
            || Instant::now() > self.deadline
    }

    /// Tells the caller why there will be no answer; true when nobody had told it before.
    pub(super) fn refuse(&self, refusal: Refusal) -> bool {
        let reply = self.lock().reply.take();
        reply.map(|reply| reply.send(Err(refusal))).is_some()
    }
}

impl Part {
    /// Its rows.
    pub(super) fn values(&self) -> &[f32] {
        &self.whole.values[self.from..self.to]
    }

    /// Puts its answer to the others; all of them when it was the last.
    pub(super) fn answered(&self, answer: Answer, time: Duration) -> Option<Gathered> {
        let mut state = self.whole.lock();
        state.answers[self.at] = Some(answer);
        state.left -= 1;
        state.time += time;
        if state.left > 0 {
            return None;
        }
        let reply = state.reply.take()?;
        let (time, answers) = (state.time, std::mem::take(&mut state.answers));
        drop(state);
        let mut answers = answers.into_iter().flatten();
        let mut whole = answers.next();
        for answer in answers {
            if !whole.as_mut().is_some_and(|whole| append(whole, answer)) {
                return Some(Gathered { answer: None, time, reply });
            }
        }
        Some(Gathered { answer: whole, time, reply })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Field, Values};
    use crate::spec::train::Media;

    fn parts(
        rows: usize,
        part_rows: usize,
    ) -> (Vec<Part>, oneshot::Receiver<Result<Done, Refusal>>) {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            form: Form::SageMaker(Media::Json.into()),
            ask: Ask::default(),
            deadline: Instant::now() + Duration::from_secs(60),
            reply,
        };
        let values = (0..rows * 2).map(|value| value as f32).collect();
        (cut(values, 2, part_rows, asked), answer)
    }

    fn answer(values: &[f32]) -> Answer {
        let firsts: Vec<f32> = values.chunks(2).map(|row| row[0]).collect();
        Answer {
            key: "predictions",
            rows: firsts.len(),
            fields: vec![Field { name: "score", values: Values::Number(firsts) }],
        }
    }

    #[test]
    fn parts_answered_in_any_order_are_put_together_in_the_order_of_their_rows() {
        let (parts, _keep) = parts(7, 3);
        assert_eq!(parts.iter().map(|part| part.rows).collect::<Vec<_>>(), [3, 3, 1]);
        let order = [2, 0, 1];
        let mut gathered = order.map(|at| {
            let part = &parts[at];
            part.answered(answer(part.values()), Duration::from_millis(2))
        });
        assert!(gathered[0].is_none() && gathered[1].is_none());
        let last = gathered[2].take().unwrap();
        assert_eq!(last.answer, Some(answer(&parts[0].whole.values)));
        assert_eq!(last.time, Duration::from_millis(6));
    }

    #[test]
    fn a_caller_is_told_of_the_first_mistake_and_the_rest_is_not_done() {
        let (parts, answer) = parts(4, 2);
        assert!(!parts[0].whole.is_abandoned());
        let refusal = || Refusal::new(hyper::StatusCode::BAD_REQUEST, "no");
        assert!(parts[0].whole.refuse(refusal()));
        assert!(!parts[1].whole.refuse(refusal()));
        assert!(parts[1].whole.is_abandoned());
        assert_eq!(answer.blocking_recv().unwrap().unwrap_err(), refusal());
    }

    #[test]
    fn nobody_waits_when_the_caller_has_left() {
        let (parts, answer) = parts(4, 2);
        drop(answer);
        assert!(parts[0].whole.is_abandoned());
    }
}
