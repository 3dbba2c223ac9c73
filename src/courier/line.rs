//! The side that computes: a store that asks for everything.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::error::Told;
use super::wire::{Answer, Ask, Back, Listed, Said, Wire};
use crate::fault::Kind;
use crate::spec::limit;
use crate::spec::uri::Uri;
use crate::store::{self, Draft, Elsewhere, Error, Object};

/// The way to the process that holds the keys. Cheap to clone.
#[derive(Clone)]
pub struct Line(Arc<Shared>);

struct Shared {
    wire: Arc<Wire>,
    /// Locked from a question to its answer.
    answers: Mutex<Receiver<(Answer, Vec<u8>)>>,
    stored: Mutex<HashMap<Uri, (u64, String)>>,
}

impl Line {
    /// What the other side tells first: what there is to do.
    ///
    /// # Errors
    /// When it tells nothing.
    pub fn first(wire: &Wire) -> io::Result<Value> {
        match wire.receive::<Back>()?.0 {
            Back::Tells(value) => Ok(value),
            Back::Answers(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Listens from now on: `hear` gets what is told, on a thread of its own, and `ended` is called
    /// when the other side is gone.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn listen(
        wire: Wire,
        hear: impl Fn(Value) + Send + 'static,
        ended: impl FnOnce() + Send + 'static,
    ) -> io::Result<Line> {
        let (send, answers) = sync_channel(1);
        let wire = Arc::new(wire);
        let listened = Arc::clone(&wire);
        std::thread::Builder::new().name("courier".into()).spawn(move || {
            loop {
                match listened.receive() {
                    Ok((Back::Tells(value), _)) => hear(value),
                    Ok((Back::Answers(answer), bytes)) => {
                        if send.send((answer, bytes)).is_err() {
                            return;
                        }
                    }
                    Err(_) => return ended(),
                }
            }
        })?;
        let answers = Mutex::new(answers);
        Ok(Line(Arc::new(Shared { wire, answers, stored: Mutex::default() })))
    }

    /// Tells the other side something of the work's own.
    ///
    /// # Errors
    /// When it is gone.
    pub fn tell(&self, value: Value) -> io::Result<()> {
        self.0.wire.send(&Said::Tells(value), &[])
    }

    fn ask(&self, ask: Ask, bytes: &[u8]) -> Result<(Answer, Vec<u8>), Told> {
        let gone = |error: io::Error| told(format!("the process that reads and writes: {error}"));
        let answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.wire.send(&Said::Asks(ask), bytes).map_err(gone)?;
        match answers.recv() {
            Ok((Answer::Failed(told), _)) => Err(told),
            Ok(found) => Ok(found),
            Err(_) => Err(gone(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

fn told(what: String) -> Told {
    Told::of(&Error::Elsewhere { what, kind: Kind::Unreachable, help: None })
}

/// An answer to another question.
fn unexpected() -> Told {
    told("the process that reads and writes answered something else".to_owned())
}

fn object(listed: Listed) -> Result<Object, Told> {
    let uri = Uri::parse(listed.uri(), Path::new("")).map_err(|(what, _)| told(what))?;
    Ok(listed.at(uri))
}

impl Elsewhere for Line {
    fn list(&self, uri: &Uri) -> Result<Vec<Object>, Error> {
        match self.ask(Ask::List { uri: uri.to_string() }, &[]) {
            Ok((Answer::Objects(found), _)) => found.into_iter().map(object).collect(),
            Ok(_) => Err(unexpected()),
            Err(told) => Err(told),
        }
        .map_err(|told| told.into_store(uri))
    }

    fn head(&self, uri: &Uri) -> Result<Object, Error> {
        match self.ask(Ask::Head { uri: uri.to_string() }, &[]) {
            Ok((Answer::Object(found), _)) => object(found),
            Ok(_) => Err(unexpected()),
            Err(told) => Err(told),
        }
        .map_err(|told| told.into_store(uri))
    }

    fn open(&self, object: &Object, range: Range<u64>) -> Result<Box<dyn Read + Send>, Error> {
        let ask = Ask::Open { object: Listed::of(object), start: range.start, end: range.end };
        match self.ask(ask, &[]) {
            Ok((Answer::Opened { number, stored }, _)) => {
                if let Some(stored) = stored {
                    let mut all = self.0.stored.lock().unwrap_or_else(PoisonError::into_inner);
                    all.insert(object.uri.clone(), stored);
                }
                let (line, uri) = (self.clone(), object.uri.clone());
                Ok(Box::new(Reader { line, uri, number, piece: Vec::new(), at: 0, ended: false }))
            }
            Ok(_) => Err(unexpected().into_store(&object.uri)),
            Err(told) => Err(told.into_store(&object.uri)),
        }
    }

    fn create(&self, uri: &Uri) -> Result<Box<dyn Draft>, Error> {
        match self.ask(Ask::Create { uri: uri.to_string() }, &[]) {
            Ok((Answer::Created { number }, _)) => Ok(Box::new(Writing {
                line: self.clone(),
                uri: uri.clone(),
                number,
                piece: Vec::new(),
                open: true,
            })),
            Ok(_) => Err(unexpected().into_store(uri)),
            Err(told) => Err(told.into_store(uri)),
        }
    }

    fn delete(&self, uri: &Uri) -> Result<(), Error> {
        let done = self.ask(Ask::Delete { uri: uri.to_string() }, &[]);
        done.map(drop).map_err(|told| told.into_store(uri))
    }

    fn as_stored(&self, uri: &Uri) -> Option<(u64, String)> {
        self.0.stored.lock().unwrap_or_else(PoisonError::into_inner).get(uri).cloned()
    }
}

struct Reader {
    line: Line,
    uri: Uri,
    number: u32,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.ended && !into.is_empty() {
            let ask = Ask::Read { number: self.number };
            let (_, piece) = self
                .line
                .ask(ask, &[])
                .map_err(|told| io::Error::from(told.into_store(&self.uri)))?;
            self.ended = piece.is_empty();
            (self.piece, self.at) = (piece, 0);
        }
        let count = into.len().min(self.piece.len() - self.at);
        into[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It matters to nobody on this side.
        let _ = self.line.ask(Ask::Close { number: self.number }, &[]);
    }
}

struct Writing {
    line: Line,
    uri: Uri,
    number: u32,
    piece: Vec<u8>,
    open: bool,
}

impl Writing {
    fn send(&mut self) -> Result<(), store::Error> {
        let sent = self.line.ask(Ask::Write { number: self.number }, &self.piece);
        self.piece.clear();
        sent.map(drop).map_err(|told| told.into_store(&self.uri))
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == limit::COURIER_PIECE_BYTES {
            self.send()?;
        }
        let count = bytes.len().min(limit::COURIER_PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for Writing {
    fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        if !self.piece.is_empty() {
            self.send()?;
        }
        self.open = false;
        match self.line.ask(Ask::Finish { number: self.number }, &[]) {
            Ok((Answer::Finished(bytes), _)) => Ok(bytes),
            Ok(_) => Err(unexpected().into_store(&self.uri)),
            Err(told) => Err(told.into_store(&self.uri)),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.open {
            // Nothing remains of it on the other side either.
            let _ = self.line.ask(Ask::Close { number: self.number }, &[]);
        }
    }
}
