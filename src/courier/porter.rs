//! The side that holds keys and credentials: it does what was granted, and trusts nothing it hears.

use std::collections::HashMap;
use std::io::{self, Cursor, Read, Write};

use super::error::Told;
use super::grants::Grants;
use super::wire::{Answer, Ask, Back, Listed, Wire};
use crate::fault::Kind;
use crate::model::{self, Digesting};
use crate::seal::{self, Form, Sealing};
use crate::spec::limit;
use crate::spec::uri::Uri;
use crate::store::{self, Store, Upload};

/// An object that was made for the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its size as it is stored.
    pub bytes: u64,
    /// SHA-256 of that, lower-case hex.
    pub sha256: String,
}

/// Answers questions, from one store and with one way of sealing.
pub struct Porter<'a> {
    store: &'a Store,
    keys: &'a dyn seal::KeyService,
    /// `None` where nothing is made.
    sealing: Option<&'a Sealing>,
    grants: Grants,
    readers: HashMap<u32, Box<dyn Read + Send>>,
    drafts: HashMap<u32, Draft>,
    next: u32,
    made: HashMap<Uri, Stored>,
}

/// A reader of an object that came open, and size and SHA-256 of the object as it is stored.
type Opened = (Box<dyn Read + Send>, Option<(u64, String)>);

struct Draft {
    uri: Uri,
    to: To,
    written: u64,
}

enum To {
    Sealed(seal::Writer<Digesting<Upload>>),
    Plain(Digesting<Upload>),
}

impl<'a> Porter<'a> {
    /// Gives what `grants` say, opened with `keys`; what is made is sealed as `sealing` says.
    pub fn new(
        store: &'a Store,
        keys: &'a dyn seal::KeyService,
        sealing: Option<&'a Sealing>,
        grants: Grants,
    ) -> Porter<'a> {
        Porter {
            store,
            keys,
            sealing,
            grants,
            readers: HashMap::new(),
            drafts: HashMap::new(),
            next: 0,
            made: HashMap::new(),
        }
    }

    /// What was made at `uri`, once it was finished.
    pub fn made(&self, uri: &Uri) -> Option<&Stored> {
        self.made.get(uri)
    }

    /// Answers one question.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn answer(&mut self, wire: &Wire, ask: Ask, bytes: &[u8]) -> io::Result<()> {
        let mut piece = Vec::new();
        let answer = match self.done(ask, bytes, &mut piece) {
            Ok(answer) => answer,
            Err(told) => Answer::Failed(told),
        };
        wire.send(&Back::Answers(answer), &piece)
    }

    fn done(&mut self, ask: Ask, bytes: &[u8], piece: &mut Vec<u8>) -> Result<Answer, Told> {
        let of_store = |error: store::Error| Told::of_store(&error);
        Ok(match ask {
            Ask::List { uri } => {
                let uri = self.grants.seen(&uri).ok_or_else(|| not_granted(&uri))?;
                let found = self.store.list(&uri).map_err(of_store)?;
                Answer::Objects(found.iter().map(Listed::of).collect())
            }
            Ask::Head { uri } => {
                let uri = self.grants.seen(&uri).ok_or_else(|| not_granted(&uri))?;
                Answer::Object(Listed::of(&self.store.head(&uri).map_err(of_store)?))
            }
            Ask::Open { object, start, end } => {
                let (uri, opened) =
                    self.grants.read(object.uri()).ok_or_else(|| not_granted(object.uri()))?;
                let (reader, stored) = match opened {
                    true => self.opened(&uri)?,
                    false => {
                        let object = object.at(uri);
                        (self.store.open_range(&object, start..end).map_err(of_store)?, None)
                    }
                };
                let number = self.number()?;
                self.readers.insert(number, reader);
                Answer::Opened { number, stored }
            }
            Ask::Read { number } => {
                let reader = self.readers.get_mut(&number).ok_or_else(|| no_such(number))?;
                reader
                    .take(limit::COURIER_PIECE_BYTES as u64)
                    .read_to_end(piece)
                    .map_err(|error| of_io(&error))?;
                Answer::Bytes
            }
            Ask::Close { number } => {
                self.readers.remove(&number);
                self.drafts.remove(&number);
                Answer::Done
            }
            Ask::Create { uri } => {
                let (uri, artifact) = self.grants.write(&uri).ok_or_else(|| not_granted(&uri))?;
                let to = Digesting::new(self.store.create(&uri).map_err(of_store)?);
                let to = match self.sealing.filter(|sealing| sealing.key().is_some()) {
                    Some(sealing) => {
                        let writer = sealing.writer(artifact, to).map_err(|e| Told::of(&e))?;
                        To::Sealed(writer.expect("a key is there"))
                    }
                    None => To::Plain(to),
                };
                let number = self.number()?;
                self.drafts.insert(number, Draft { uri, to, written: 0 });
                Answer::Created { number }
            }
            Ask::Write { number } => {
                let draft = self.drafts.get_mut(&number).ok_or_else(|| no_such(number))?;
                draft.write(bytes)?;
                Answer::Done
            }
            Ask::Finish { number } => {
                let draft = self.drafts.remove(&number).ok_or_else(|| no_such(number))?;
                let (uri, stored) = draft.finish()?;
                let bytes = stored.bytes;
                self.made.insert(uri, stored);
                Answer::Finished(bytes)
            }
            Ask::Delete { uri } => {
                let (uri, _) = self.grants.write(&uri).ok_or_else(|| not_granted(&uri))?;
                self.store.delete(&uri).map_err(of_store)?;
                Answer::Done
            }
        })
    }

    /// A whole object, opened if it is sealed, with what it is as stored.
    fn opened(&self, uri: &Uri) -> Result<Opened, Told> {
        let bytes = self
            .store
            .read_to_vec(uri, limit::ARCHIVE_BYTES_MAX)
            .map_err(|error| Told::of_store(&error))?;
        let stored = Some((bytes.len() as u64, model::sha256(&bytes)));
        let plain = match Form::detect(&bytes) {
            Ok(Form::Sealed) => {
                let context = seal::Context::new();
                seal::open_to_vec(&bytes[..], self.keys, &context, limit::ARCHIVE_BYTES_MAX)
                    .map_err(|source| {
                        Told::of(&model::Error::Seal { place: uri.to_string(), source })
                    })?
            }
            // What it is, the other side finds out.
            _ => bytes,
        };
        Ok((Box::new(Cursor::new(plain)), stored))
    }

    fn number(&mut self) -> Result<u32, Told> {
        if self.readers.len() + self.drafts.len() >= limit::COURIER_OPEN_MAX {
            return Err(refused("too many objects are open at once".to_owned()));
        }
        self.next = self.next.wrapping_add(1);
        Ok(self.next)
    }
}

impl Draft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Told> {
        self.written += bytes.len() as u64;
        if self.written > limit::ARCHIVE_BYTES_MAX {
            return Err(refused(format!("{} would be larger than any artifact", self.uri)));
        }
        match &mut self.to {
            To::Sealed(writer) => writer.write_all(bytes),
            To::Plain(writer) => writer.write_all(bytes),
        }
        .map_err(|error| of_io(&error))
    }

    fn finish(self) -> Result<(Uri, Stored), Told> {
        let digesting = match self.to {
            To::Sealed(writer) => writer.finish().map_err(|error| Told::of(&error))?,
            To::Plain(writer) => writer,
        };
        let (upload, bytes, sha256) = digesting.finish();
        upload.finish().map_err(|error| Told::of_store(&error))?;
        Ok((self.uri, Stored { bytes, sha256 }))
    }
}

fn refused(what: String) -> Told {
    Told::of(&store::Error::Elsewhere { what, kind: Kind::Denied, help: None })
}

fn not_granted(uri: &str) -> Told {
    refused(format!("{uri:.200} is nothing that this work was given"))
}

fn no_such(number: u32) -> Told {
    refused(format!("nothing is open under the number {number}"))
}

fn of_io(error: &io::Error) -> Told {
    match store::Error::inside(error) {
        Some(error) => Told::of_store(error),
        None => Told::of(&store::Error::Elsewhere {
            what: error.to_string(),
            kind: Kind::Unreachable,
            help: None,
        }),
    }
}
