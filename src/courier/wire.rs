//! Messages over a socket: two lengths, JSON, and bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Told;
use crate::spec::limit;
use crate::store::Object;

/// What the side that computes says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// A question, to be answered.
    Asks(Ask),
    /// Something of the work's own, to be heard.
    Tells(Value),
}

/// What can be asked for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// All objects at or below a place.
    List { uri: String },
    /// One object.
    Head { uri: String },
    /// A part of an object, to be read under the number that comes back.
    Open { object: Listed, start: u64, end: u64 },
    /// What comes next; nothing at its end.
    Read { number: u32 },
    /// No more of it.
    Close { number: u32 },
    /// An object to be made under the number that comes back.
    Create { uri: String },
    /// The bytes beside this message, to follow those before.
    Write { number: u32 },
    /// Shown to all.
    Finish { number: u32 },
    /// An object to be removed.
    Delete { uri: String },
}

/// What the side that holds the keys says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Back {
    Answers(Answer),
    Tells(Value),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Objects(Vec<Listed>),
    Object(Listed),
    /// With size and SHA-256 as stored, where it comes open.
    Opened {
        number: u32,
        stored: Option<(u64, String)>,
    },
    Created {
        number: u32,
    },
    /// The bytes beside this message.
    Bytes,
    /// Bytes as stored.
    Finished(u64),
    Done,
    Failed(Told),
}

/// An object as it crosses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listed {
    uri: String,
    bytes: u64,
    tag: Option<String>,
    modified: Option<SystemTime>,
}

impl Listed {
    pub(super) fn of(object: &Object) -> Listed {
        Listed {
            uri: object.uri.to_string(),
            bytes: object.bytes,
            tag: object.tag.clone(),
            modified: object.modified,
        }
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    pub(super) fn at(self, uri: crate::spec::uri::Uri) -> Object {
        Object { uri, bytes: self.bytes, tag: self.tag, modified: self.modified }
    }
}

/// One end of the socket. Whole messages from any thread; one thread hears.
#[derive(Debug)]
pub struct Wire {
    out: Mutex<File>,
    heard: Mutex<File>,
}

impl Wire {
    /// Over this socket.
    ///
    /// # Errors
    /// When the descriptor cannot be doubled.
    pub fn new(socket: File) -> io::Result<Wire> {
        Ok(Wire { out: Mutex::new(socket.try_clone()?), heard: Mutex::new(socket) })
    }

    /// Tells the other side something of the work's own.
    ///
    /// # Errors
    /// When it is gone.
    pub fn tell_down(&self, value: Value) -> io::Result<()> {
        self.send(&Back::Tells(value), &[])
    }

    /// What the side that computes says next.
    ///
    /// # Errors
    /// When it is gone, or says what nobody says.
    pub fn hear_up(&self) -> io::Result<(Said, Vec<u8>)> {
        self.receive()
    }

    pub(super) fn send<T: Serialize>(&self, message: &T, bytes: &[u8]) -> io::Result<()> {
        let json = serde_json::to_vec(message)?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        let mut head = [0; 8];
        head[..4].copy_from_slice(&length(&json)?.to_le_bytes());
        head[4..].copy_from_slice(&length(bytes)?.to_le_bytes());
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&[&head, &json[..]].concat())?;
        out.write_all(bytes)
    }

    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<u8>)> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lengths = [[0; 4]; 2];
        for length in &mut lengths {
            heard.read_exact(length)?;
        }
        let [json, bytes] = lengths.map(|length| u32::from_le_bytes(length) as usize);
        if json > limit::COURIER_MESSAGE_BYTES_MAX || bytes > limit::COURIER_PIECE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
        }
        let mut piece = |length: usize| {
            // As it comes and not as it is announced.
            let mut found = Vec::new();
            (&mut *heard).take(length as u64).read_to_end(&mut found)?;
            match found.len() == length {
                true => Ok(found),
                false => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        };
        let (json, bytes) = (piece(json)?, piece(bytes)?);
        Ok((serde_json::from_slice(&json)?, bytes))
    }
}
