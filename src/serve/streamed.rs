//! A body larger than what is held of one, answered while it arrives.
//!
//! It is cut into blocks of whole rows. Each goes to the workers like a request of its own, some of
//! them ahead of the answer, and the answers go out in order as chunks: memory depends on the blocks
//! and not on the body. The first block decides what the caller is told. What goes wrong after it
//! cannot be told any more: the answer is cut, so that nobody takes it for all of it.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream};
use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::codec::{Refusal, Wire, Written};
use super::endpoint::Endpoint;
use super::invoke::{self, Answered, Outcome};
use super::line::Line;
use super::queue::{Done, Full, Job, Work};
use super::served::Served;
use crate::algorithm::Ask;
use crate::http::{Cut, Streamed};
use crate::spec::limit::{STREAMED_BLOCK_BYTES, STREAMED_BLOCKS_AHEAD};

/// How long a block waits before it asks again whether there is room for it.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Reads the first rows of a body and answers them; the rest follows as [`Answered::more`].
pub(super) async fn begin(
    endpoint: &Arc<Endpoint>,
    served: &Arc<Served>,
    mut body: Streamed,
    wire: Wire,
    ask: Ask,
    remote: IpAddr,
) -> Outcome {
    let content_type = wire.content_type();
    let held = body.hold(STREAMED_BLOCK_BYTES * (STREAMED_BLOCKS_AHEAD + 2));
    let mut answering = Box::new(Answering {
        endpoint: Arc::clone(endpoint),
        served: Arc::clone(served),
        joined: Joined::of(&wire),
        blocks: Blocks::new(body, wire),
        ask,
        remote,
        more: true,
        refused: None,
        waiting: VecDeque::new(),
        told: Told::default(),
    });
    let first = match held {
        Ok(()) => answering.next().await,
        Err(why) => Err(invoke::not_read(&why)),
    };
    let told = std::mem::take(&mut answering.told);
    match first {
        Ok(Some((body, written))) => {
            let status = StatusCode::OK;
            let answered = Answered { status, written, body, more: Some(answering) };
            Outcome { result: Ok(answered), ..told.outcome() }
        }
        Ok(None) => Outcome::nothing(content_type, told.bytes_in),
        Err(refusal) => {
            let is_last = !answering.blocks.body.discard().await;
            Outcome { result: Err(refusal), is_last, ..told.outcome() }
        }
    }
}

/// What has gone out, for the log and the metrics.
#[derive(Debug, Default)]
struct Told {
    rows: usize,
    bytes_in: usize,
    model: Duration,
}

impl Told {
    fn outcome(self) -> Outcome {
        let Told { rows, bytes_in, model } = self;
        Outcome { rows, bytes_in, model, ..Outcome::refused(Refusal::new(StatusCode::OK, "")) }
    }
}

/// A body that is being answered.
pub(super) struct Answering {
    endpoint: Arc<Endpoint>,
    served: Arc<Served>,
    blocks: Blocks,
    ask: Ask,
    remote: IpAddr,
    /// Whether the body has more blocks.
    more: bool,
    /// There was no room for this one; since when it waits.
    refused: Option<(Block, Instant)>,
    waiting: VecDeque<Waiting>,
    joined: Joined,
    /// Since it was last asked.
    told: Told,
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

/// One block at the workers.
#[derive(Debug)]
struct Waiting {
    answer: oneshot::Receiver<Result<Done, Refusal>>,
    deadline: Instant,
    bytes: usize,
}

impl Answering {
    /// The answers after the first; `line` is written with the last of them.
    pub(super) fn answers(
        self: Box<Self>,
        line: Line<'static>,
    ) -> impl Stream<Item = Result<Bytes, Cut>> + 'static {
        stream::unfold(Some((self, line)), |state| async move {
            let (mut answering, mut line) = state?;
            let result = answering.next().await;
            let told = std::mem::take(&mut answering.told);
            line.rows += told.rows;
            line.bytes_in += told.bytes_in;
            line.model += told.model;
            match result {
                Ok(Some((bytes, _))) => {
                    line.bytes_out += bytes.len();
                    Some((Ok(bytes), Some((answering, line))))
                }
                Ok(None) => {
                    line.status = 200;
                    answering.blocks.body.answered();
                    let end = answering.joined.end();
                    line.bytes_out += end.len();
                    (!end.is_empty()).then_some((Ok(end), None))
                }
                Err(refusal) => {
                    (line.status, line.cut) = (refusal.status.as_u16(), true);
                    Some((Err(Cut), None))
                }
            }
        })
    }

    /// The next answer in the body's order; `None` after the last.
    async fn next(&mut self) -> Result<Option<(Bytes, Written)>, Refusal> {
        loop {
            let ahead = self.waiting.len();
            let reads = self.more && self.refused.is_none() && ahead < STREAMED_BLOCKS_AHEAD;
            if ahead == 0 && !reads && self.refused.is_none() {
                return Ok(None);
            }
            tokio::select! {
                biased;
                done = front(&mut self.waiting), if ahead > 0 => {
                    let bytes = self.waiting.pop_front().map_or(0, |waiting| waiting.bytes);
                    let done = done?;
                    self.told.rows += done.rows;
                    self.told.bytes_in += bytes;
                    self.told.model += done.model;
                    return Ok(Some((self.joined.add(done.body), done.written)));
                }
                block = self.blocks.next(), if reads => match block? {
                    Some(block) => self.push(block, Instant::now())?,
                    None => self.more = false,
                },
                () = tokio::time::sleep(ASK_AGAIN), if self.refused.is_some() => {
                    if let Some((block, since)) = self.refused.take() {
                        self.push(block, since)?;
                    }
                }
            }
        }
    }

    /// Whether a block of it waits or was answered.
    fn is_let_in(&self) -> bool {
        self.joined.begun || !self.waiting.is_empty()
    }

    /// Hands a block to the workers. Once the first is let in the others wait for room where another
    /// request would be sent away, though it is their own body that takes it.
    fn push(&mut self, block: Block, since: Instant) -> Result<(), Refusal> {
        let timeout = self.endpoint.settings.invocation_timeout;
        let begun = Instant::now();
        let deadline = begun + timeout;
        let (reply, answer) = oneshot::channel();
        let Block { bytes, wire, rows } = block.clone();
        let length = bytes.len();
        let work = Work::Body { bytes, wire, rows };
        let (ask, remote) = (self.ask.clone(), self.remote);
        let job = Job { work, ask, begun, deadline, remote, reply };
        match self.endpoint.pool.push(&self.served, job) {
            Ok(()) => self.waiting.push_back(Waiting { answer, deadline, bytes: length }),
            Err(Full::Queue { .. } | Full::Caller { .. })
                if self.is_let_in() && since.elapsed() < timeout =>
            {
                self.refused = Some((block, since));
            }
            Err(full) => return Err(invoke::no_room(full)),
        }
        Ok(())
    }
}

/// The answer that is due first.
async fn front(waiting: &mut VecDeque<Waiting>) -> Result<Done, Refusal> {
    match waiting.front_mut() {
        Some(Waiting { answer, deadline, .. }) => invoke::wait(answer, *deadline).await,
        None => std::future::pending().await,
    }
}

/// Whole rows, as a body of their own.
#[derive(Debug, Clone)]
struct Block {
    bytes: Bytes,
    wire: Wire,
    /// How many they may be.
    rows: usize,
}

/// Cuts a body into blocks of whole rows.
#[derive(Debug)]
struct Blocks {
    body: Streamed,
    wire: Wire,
    text: Vec<u8>,
    /// How much of it there must be before a border is looked for.
    wanted: usize,
    ended: bool,
    first: bool,
}

impl Blocks {
    fn new(body: Streamed, wire: Wire) -> Blocks {
        let wanted = STREAMED_BLOCK_BYTES;
        Blocks { body, wire, text: Vec::new(), wanted, ended: false, first: true }
    }

    /// The next block; `None` at the end. Nothing is lost when it is dropped while it waits.
    async fn next(&mut self) -> Result<Option<Block>, Refusal> {
        loop {
            let whole = match self.ended {
                true => self.text.len(),
                false if self.text.len() < self.wanted => 0,
                false => self.wire.border(&self.text).unwrap_or(0),
            };
            if whole > 0 {
                let rest = self.text.split_off(whole);
                let bytes = std::mem::replace(&mut self.text, rest);
                self.wanted = STREAMED_BLOCK_BYTES;
                self.body.is_going_on();
                if let Some(block) = self.block(bytes.into()) {
                    return Ok(Some(block));
                }
            } else if self.ended {
                return Ok(None);
            } else if self.text.len() > self.body.held_max() {
                return Err(too_long(self.body.held_max()));
            } else {
                if self.text.len() >= self.wanted {
                    // A row longer than a block: as it grows, it counts.
                    let grown = self.text.len();
                    self.body.hold(grown).map_err(|why| invoke::not_read(&why))?;
                    self.wanted = grown * 2;
                }
                match self.body.piece().await.map_err(|why| invoke::not_read(&why))? {
                    Some(bytes) => self.text.extend_from_slice(&bytes),
                    None => self.ended = true,
                }
            }
        }
    }

    /// `None` for lines without anything on them.
    fn block(&mut self, bytes: Bytes) -> Option<Block> {
        if bytes.trim_ascii().is_empty() {
            return None;
        }
        let wire = self.wire.clone();
        if std::mem::take(&mut self.first) {
            self.wire = wire.of_the_rest();
        }
        let rows = super::codec::rows_at_most(&wire, &bytes, 1);
        Some(Block { bytes, wire, rows })
    }
}

fn too_long(max: usize) -> Refusal {
    let what = format!("a row does not end within {max} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, what).help("end each row with a line feed")
}

/// Joins the answers to blocks into the answer to all of them.
#[derive(Debug)]
struct Joined {
    /// JSON documents, each `{"KEY":[..]}`, become one; other formats follow one another.
    as_document: bool,
    begun: bool,
}

/// How a JSON answer ends.
const DOCUMENT_END: &[u8] = b"]}";

impl Joined {
    fn of(wire: &Wire) -> Joined {
        Joined { as_document: wire.answers_one_document(), begun: false }
    }

    fn add(&mut self, mut body: Vec<u8>) -> Bytes {
        let first = !std::mem::replace(&mut self.begun, true);
        if !self.as_document {
            return body.into();
        }
        let end = body.len().saturating_sub(DOCUMENT_END.len());
        let from = match memchr::memchr(b'[', &body) {
            // Its list goes on where the one before stopped.
            Some(open) if !first => {
                body[open] = b',';
                open
            }
            _ => 0,
        };
        Bytes::from(body).slice(from.min(end)..end)
    }

    fn end(&self) -> Bytes {
        Bytes::from_static(if self.as_document { DOCUMENT_END } else { b"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::train::Media;

    fn joined(accept: Media, parts: &[&str]) -> String {
        let content = Media::Csv.into();
        let mut joined = Joined::of(&Wire::SageMaker { content, accept: accept.into() });
        let mut whole = Vec::new();
        for part in parts {
            whole.extend_from_slice(&joined.add(part.as_bytes().to_vec()));
        }
        whole.extend_from_slice(&joined.end());
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn answers_to_parts_joined_are_the_answer_to_all() {
        let parts = [r#"{"predictions":[{"a":[1]},{"a":[2]}]}"#, r#"{"predictions":[{"a":[3]}]}"#];
        let whole = r#"{"predictions":[{"a":[1]},{"a":[2]},{"a":[3]}]}"#;
        assert_eq!(joined(Media::Json, &parts), whole);
        assert_eq!(joined(Media::Json, &parts[1..]), parts[1]);
        assert_eq!(joined(Media::Csv, &["1\n2\n", "3\n"]), "1\n2\n3\n");
        assert_eq!(joined(Media::JsonLines, &["{}\n", "{}\n"]), "{}\n{}\n");
    }
}
