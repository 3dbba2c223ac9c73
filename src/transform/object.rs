//! One object to its output: pieces are read, answered side by side and written in order.

use std::io::{self, Read, Write};

use rayon::prelude::*;

use crate::data;
use crate::seal::{self, Sealing};
use crate::spec::limit::{JOB_MEMORY_BYTES_MAX, REQUEST_FILE_BYTES_MAX, TRANSFORM_PIECE_BYTES};
use crate::spec::train::{Compression, Media};
use crate::spec::transform::TransformJob;
use crate::spec::uri::Uri;
use crate::store::{self, Store, Upload};

use super::answer::{Answered, Answerer, Shape, TAIL};
use super::error::Error;
use super::names::Pair;
use super::source::{Part, Source};

/// What one object came to.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// What the objects of a job share.
pub(super) struct Lane<'a> {
    pub(super) job: &'a TransformJob,
    pub(super) store: &'a Store,
    pub(super) sealing: &'a Sealing,
    pub(super) answerer: &'a Answerer<'a>,
    pub(super) pool: &'a rayon::ThreadPool,
    /// Whether the work should end.
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Lane<'_> {
    /// Answers an object; `None` when it was told to stop.
    ///
    /// # Errors
    /// Whatever is wrong with it; nothing of its output is then visible.
    pub(super) fn transform(&self, pair: &Pair) -> Result<Option<Counts>, Error> {
        let mut source = self.open(pair)?;
        let mut output = Output::create(self.store, self.sealing, &pair.output)?;
        let is_document = self.answerer.shape == Shape::Document;
        let mut counts = Counts { bytes_in: pair.input.bytes, ..Counts::default() };
        if is_document {
            output.write(self.answerer.head().as_bytes())?;
        }
        let mut ready: Vec<Answered> = Vec::new();
        let mut group = self.read(&mut source)?;
        let mut begun = false;
        while !(group.is_empty() && ready.is_empty()) {
            if (self.stop)() {
                return Ok(None);
            }
            // One thread writes what is answered and reads what comes next; the pool answers.
            let (answered, next) = std::thread::scope(|scope| {
                let (output, source) = (&mut output, &mut source);
                let (counts, begun) = (&mut counts, &mut begun);
                let passing = scope.spawn(move || {
                    for Answered { bytes, records } in ready {
                        if is_document && std::mem::replace(begun, true) {
                            output.write(b",")?;
                        }
                        output.write(&bytes)?;
                        counts.records += records as u64;
                    }
                    self.read(source)
                });
                let answered = self.pool.install(|| {
                    let answers = group.par_iter().map(|part| self.answer(pair, part));
                    answers.collect::<Vec<_>>()
                });
                (answered, passing.join())
            });
            // The first wrong record of the object is told, whichever thread met one first.
            ready = answered.into_iter().collect::<Result<_, Error>>()?;
            group = match next {
                Ok(next) => next?,
                Err(panic) => std::panic::resume_unwind(panic),
            };
        }
        if counts.records == 0 {
            let name = pair.name.clone();
            let (what, help) = ("there is no record in it", "take the object away, or fill it");
            return Err(data::Error::whole(name, what, help).into());
        }
        if is_document {
            output.write(TAIL)?;
        }
        counts.bytes_out = output.finish()?;
        Ok(Some(counts))
    }

    fn answer(&self, pair: &Pair, part: &Part) -> Result<Answered, Error> {
        self.answerer.answer(&pair.name, part)
    }

    fn open(&self, pair: &Pair) -> Result<Source, Error> {
        let mut reader = self.store.open(&pair.input)?;
        if self.job.input.compression == Compression::Gzip {
            reader = gzip_only(reader, &pair.name)?;
        }
        let object =
            data::channel::Object { uri: pair.name.clone(), bytes: Some(pair.input.bytes), reader };
        if self.job.input.media == Media::Parquet {
            let (store, input) = (self.store.clone(), pair.input.clone());
            let part = move |_, range| store.open_range(&input, range).map_err(io::Error::other);
            let plain = self.job.input.compression == Compression::None && pair.input.has_parts();
            let parts = plain.then(|| data::channel::Parts::new(part));
            let signature = self.answerer.signature();
            return Ok(Source::rows(object, signature, JOB_MEMORY_BYTES_MAX, parts)?);
        }
        let most = self.job.payload_bytes_max.unwrap_or(REQUEST_FILE_BYTES_MAX as usize);
        let piece_bytes = TRANSFORM_PIECE_BYTES.min(most);
        Ok(Source::text(object, self.answerer.split, piece_bytes, most)?)
    }

    /// Two parts for each thread.
    fn read(&self, source: &mut Source) -> Result<Vec<Part>, Error> {
        let mut group = Vec::new();
        while group.len() < 2 * self.pool.current_num_threads()
            && let Some(part) = source.next_part()?
        {
            group.push(part);
        }
        Ok(group)
    }
}

/// That an object begins as gzip does.
fn gzip_only(mut reader: Box<dyn Read + Send>, name: &str) -> Result<Box<dyn Read + Send>, Error> {
    let mut head = Vec::new();
    let read = reader.by_ref().take(2).read_to_end(&mut head);
    if let Err(source) = read {
        let uri = name.to_owned();
        return Err(data::Error::Read { uri, bytes: head.len() as u64, source }.into());
    }
    if head != [0x1f, 0x8b] {
        let (what, help) = ("it is not gzip", "set input.compression = \"None\"");
        return Err(data::Error::whole(name, what, help).into());
    }
    Ok(Box::new(io::Cursor::new(head).chain(reader)))
}

/// An output on its way, plain or sealed.
struct Output {
    uri: Uri,
    to: To,
}

enum To {
    Plain(Box<Upload>),
    Sealed(Box<seal::Writer<Upload>>),
}

impl Output {
    fn create(store: &Store, sealing: &Sealing, uri: &Uri) -> Result<Output, Error> {
        let name = uri.to_string();
        let name = name.rsplit('/').next().unwrap_or_default();
        let to = match sealing.key() {
            None => To::Plain(Box::new(store.create(uri)?)),
            Some(_) => match sealing.writer(name, store.create(uri)?)? {
                Some(writer) => To::Sealed(Box::new(writer)),
                None => unreachable!("there is a key"),
            },
        };
        Ok(Output { uri: uri.clone(), to })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = match &mut self.to {
            To::Plain(upload) => upload.write_all(bytes),
            To::Sealed(writer) => writer.write_all(bytes),
        };
        written.map_err(|source| Error::Write { uri: self.uri.clone(), source })
    }

    /// Makes it visible; its size as stored.
    fn finish(self) -> Result<u64, Error> {
        let upload = match self.to {
            To::Plain(upload) => *upload,
            To::Sealed(writer) => writer.finish()?,
        };
        upload.finish().map_err(|error: store::Error| error.into())
    }
}
