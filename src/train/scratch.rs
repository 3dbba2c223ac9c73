//! The files on this machine's disk that a job puts rows aside in, sealed when its model is.

use std::io;
use std::path::PathBuf;

use crate::data::pages;
use crate::seal;
use crate::spec::train::{Resources, SealKey};

/// Makes scratch files as the job wants them.
#[derive(Debug)]
pub(super) struct Scratches {
    folder: PathBuf,
    sealed: bool,
}

impl Scratches {
    /// In `resources.scratch`, or where the system puts temporary files.
    pub(super) fn new(resources: &Resources, key: &SealKey) -> Scratches {
        let folder = resources.scratch.clone().unwrap_or_else(std::env::temp_dir);
        Scratches { folder, sealed: *key != SealKey::Plain }
    }
}

impl pages::Scratches for Scratches {
    fn make(&self) -> io::Result<Box<dyn pages::Scratch>> {
        let made = seal::Scratch::create(&self.folder, self.sealed).map_err(io::Error::other)?;
        Ok(Box::new(Scratch(made)))
    }
}

/// One of them.
#[derive(Debug)]
struct Scratch(seal::Scratch);

impl pages::Scratch for Scratch {
    fn keep(&mut self, piece: &[u8]) -> io::Result<()> {
        self.0.keep(piece).map(drop).map_err(io::Error::other)
    }

    fn fetch(&self, number: usize) -> io::Result<Vec<u8>> {
        self.0.fetch(number).map_err(io::Error::other)
    }
}
