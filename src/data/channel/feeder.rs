//! The reading thread: opens object after object, cuts blocks, finds out what an object's records
//! look like and whether they are like those before.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::stream::{Piece, Work, decode};
use super::{Object, Options};
use crate::data::block::{BOM, Block, Cutter, Failure, Pool, Records, lines};
use crate::data::error::{Broken, shown};
use crate::data::roles::{Before, Role};
use crate::data::rows::{Layout, Rows};
use crate::data::stored::Stored;
use crate::data::{csv, jsonl, libsvm, recordio};
use crate::spec::train::{Format, Media};

/// One object after the other.
pub(super) struct Feeder {
    pub(super) format: Format,
    pub(super) options: Options,
    pub(super) ordered: SyncSender<Piece>,
    pub(super) work: SyncSender<Work>,
    pub(super) texts: Arc<Pool<u8>>,
    /// Of the current object.
    pub(super) layout: Option<Arc<Layout>>,
    /// Of the first object with rows, and where it lies.
    pub(super) first: Option<(Arc<Layout>, String)>,
    pub(super) read_bytes: u64,
    /// What is held of an object that is not decoded block by block.
    pub(super) held: Arc<AtomicU64>,
}

/// The consumer is gone, or was told why there is no more.
pub(super) struct Stop;

impl Feeder {
    pub(super) fn run(mut self, objects: Vec<Object>) {
        for (at, object) in objects.into_iter().enumerate() {
            if self.object(at, object).is_err() {
                return;
            }
        }
    }

    fn object(&mut self, at: usize, object: Object) -> Result<(), Stop> {
        self.layout = None;
        let uri = object.uri.clone();
        self.tell(Piece::Object(uri.clone()))?;
        let stored = match Stored::open(object) {
            Ok(stored) => stored,
            Err(error) => return self.fail(Piece::Failed(error)),
        };
        if self.format.media == Media::Parquet {
            return self.parquet(at, stored, &uri);
        }
        let records = match self.format.media {
            Media::Csv => Records::Csv { delimiter: self.format.delimiter },
            Media::RecordIo | Media::Parquet => Records::RecordIo,
            Media::JsonLines | Media::Json | Media::Libsvm => Records::Lines,
        };
        let mut cutter = Cutter::new(stored, records, self.options.block_bytes);
        let (mut first_block, mut begun) = (true, false);
        loop {
            let mut block = match cutter.next(self.texts.take()) {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(Failure::Read(error)) => return self.fail(Piece::Failed(error)),
                Err(Failure::Text(broken)) => return self.fail(Piece::Broken(broken)),
            };
            if std::mem::take(&mut first_block) && block.bytes[..block.end].starts_with(BOM) {
                block.start = BOM.len();
            }
            if !begun {
                begun = self.begin(&mut block, &uri)?;
            }
            self.block(block, begun, self.read_bytes + cutter.bytes_read())?;
        }
        self.read_bytes += cutter.bytes_read();
        self.ended(cutter.into_stored())
    }

    pub(super) fn ended(&self, stored: Stored) -> Result<(), Stop> {
        match stored.finish() {
            Ok(source) => self.tell(Piece::Source(source)),
            Err(error) => self.fail(Piece::Failed(error)),
        }
    }

    /// What is known of words before an object is read.
    pub(super) fn before(&self) -> Before {
        match &self.first {
            Some((first, _)) => {
                let met = first.roles().words.iter().copied().collect();
                Before { met, ..self.options.before() }
            }
            None => self.options.before(),
        }
    }

    /// Looks at an object's first record; `false` when the block holds none.
    fn begin(&mut self, block: &mut Block, uri: &str) -> Result<bool, Stop> {
        let (text, channel) = (&block.bytes[..block.end], &self.options.channel);
        let before = self.before();
        let found = match self.format.media {
            Media::Csv => csv::Layout::detect(text, block.start, &self.format, channel, &before)
                .map(|found| found.map(|(layout, start)| (Layout::Csv(layout), start))),
            Media::Parquet => unreachable!("parquet is read by itself"),
            Media::Libsvm | Media::RecordIo if self.format.has_roles() => {
                let media = self.format.media;
                let what =
                    format!("{media} holds label, weight and query in its own way, and no words");
                let help = "leave weight, group, categorical and ignore out";
                Err(Broken { line: 0, column: None, what, help: help.into() })
            }
            Media::JsonLines | Media::Json => {
                jsonl::Layout::detect(text, block.start, &self.format, channel, &before).map(
                    |found| {
                        let absent = self.options.absent;
                        let layout = found.map(|layout| layout.absent(absent));
                        layout.map(|layout| (Layout::JsonLines(layout), block.start))
                    },
                )
            }
            Media::RecordIo => recordio::Layout::detect(text, &self.format, channel)
                .map(|found| found.map(|layout| (Layout::RecordIo(layout), 0))),
            Media::Libsvm => {
                libsvm::Layout::detect(text, block.start, &self.format, self.options.features)
                    .map(|found| found.map(|layout| (Layout::Libsvm(layout), block.start)))
            }
        };
        let (layout, start) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(broken) => return self.fail(Piece::Broken(broken)).map(|()| false),
        };
        let line = lines(&block.bytes[..start]);
        if let Err((what, help)) = self.fits(&layout) {
            let broken = Broken { line: line.saturating_sub(1), column: None, what, help };
            return self.fail(Piece::Broken(broken)).map(|()| false);
        }
        block.lines_before = line;
        block.start = start;
        let layout = if self.first.is_some() { layout } else { self.with_words(block, layout) };
        let layout = match (&self.first, layout) {
            // Keys are found by name, so the first object's layout serves them all.
            (Some((first, _)), Layout::JsonLines(_)) => first.clone(),
            (_, layout) => Arc::new(layout),
        };
        self.first.get_or_insert_with(|| (layout.clone(), uri.to_owned()));
        self.layout = Some(layout.clone());
        self.tell(Piece::Layout(layout)).map(|()| true)
    }

    /// The layout with the columns of words that the channel's first block shows.
    fn with_words(&self, block: &Block, layout: Layout) -> Layout {
        if !layout.roles().survey {
            return layout;
        }
        let mut rows = Rows::of(layout.roles(), Vec::new());
        // What is wrong with the block is told when it is decoded in its turn.
        let _ = decode(block, &layout, &mut rows);
        let roles = layout.roles().with_words(&rows.surprises);
        layout.with_roles(roles)
    }

    /// Whether an object is like the ones before, and like what is expected.
    pub(super) fn fits(&self, layout: &Layout) -> Result<(), (String, String)> {
        if matches!(layout, Layout::Libsvm(_)) {
            return self.fits_sparsely(layout);
        }
        let found = layout.features();
        if matches!((&self.first, layout), (Some(_), Layout::JsonLines(_))) {
            return Ok(());
        }
        if let Some(expected) = self.options.features
            && found != expected
        {
            let help = if found == expected + 1 && !layout.has_label() {
                "leave the label column out: only the features are wanted here".to_owned()
            } else {
                format!("give {expected} features in each row, in the same order as for training")
            };
            return Err((
                format!("the line has {found} features where {expected} are expected"),
                help,
            ));
        }
        let Some((first, first_uri)) = &self.first else { return Ok(()) };
        if let (Layout::RecordIo(ours), Layout::RecordIo(theirs)) = (layout, &**first)
            && ours.sparse != theirs.sparse
        {
            let what = format!("the record is not sparse or dense as those of {first_uri}");
            return Err((what, "write all records of a channel alike".into()));
        }
        if first.features() != found {
            let expected = first.features();
            let what = format!("the line has {found} features where {first_uri} has {expected}");
            return Err((what, "give all objects of a channel the same columns".into()));
        }
        let (ours, theirs) = (layout.feature_names(), first.feature_names());
        if let Some((at, (ours, theirs))) =
            ours.iter().zip(&theirs).enumerate().find(|(_, (ours, theirs))| ours != theirs)
        {
            let (ours, theirs) = (shown(ours.as_bytes()), shown(theirs.as_bytes()));
            let what = format!("feature {} is named {ours} where {first_uri} has {theirs}", at + 1);
            let help = "give all objects of a channel the same columns in the same order";
            return Err((what, help.into()));
        }
        Ok(())
    }

    /// Rows of libsvm have no common width; what else a line holds is the same in all objects.
    fn fits_sparsely(&self, layout: &Layout) -> Result<(), (String, String)> {
        let Some((first, first_uri)) = &self.first else { return Ok(()) };
        for (role, thing) in [(Role::Weight, "weight"), (Role::Group, "query")] {
            let what = match (layout.roles().has(role), first.roles().has(role)) {
                (true, false) => format!("the line has a {thing} where {first_uri} has none"),
                (false, true) => format!("the line has no {thing} where {first_uri} has one"),
                _ => continue,
            };
            return Err((what, "give all objects of a channel the same columns".into()));
        }
        Ok(())
    }

    fn block(&mut self, block: Block, begun: bool, read_bytes: u64) -> Result<(), Stop> {
        let Some(layout) = self.layout.clone().filter(|_| begun) else {
            let blank = lines(&block.bytes[..block.end]);
            self.texts.put(block.bytes);
            return self.tell(Piece::Blank(blank));
        };
        let (answer, waiting) = sync_channel(1);
        self.tell(Piece::Rows { answer: waiting, read_bytes })?;
        self.work.send(Work { block, layout, answer }).map_err(|_| Stop)
    }

    pub(super) fn tell(&self, piece: Piece) -> Result<(), Stop> {
        self.ordered.send(piece).map_err(|_| Stop)
    }

    pub(super) fn fail(&self, piece: Piece) -> Result<(), Stop> {
        self.tell(piece)?;
        Err(Stop)
    }
}
