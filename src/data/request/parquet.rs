//! A request in parquet: columns in the order of training. A few bytes of parquet can say millions of
//! rows, so everything is bounded by what the request may hold: its rows before one is read, its
//! metadata, and the bytes its pages unpack to.

use bytes::Bytes;

use super::{placed, wrong_length};
use crate::data::error::{Broken, Error, shown};
use crate::data::parquet::{Bounds, File, Layout, check_begin};
use crate::data::roles::Before;
use crate::data::schema::Signature;
use crate::spec::limit::{REQUEST_PARQUET_INDEX_BYTES_MAX, REQUEST_UNPACKED_BYTES_MAX};
use crate::spec::train::{Format, LabelColumn, Media};

/// What a request's file may make a server hold.
const BOUNDS: Bounds = Bounds {
    threads: 1,
    index_bytes_max: REQUEST_PARQUET_INDEX_BYTES_MAX,
    page_bytes_max: REQUEST_UNPACKED_BYTES_MAX as usize,
    unpacked_bytes_max: REQUEST_UNPACKED_BYTES_MAX,
};

/// Appends the rows of `body` to `values`; how many there were.
pub(super) fn rows(
    body: &[u8],
    signature: &Signature,
    rows_max: usize,
    values: &mut Vec<f32>,
) -> Result<usize, Error> {
    let format = Format { label: LabelColumn::None, ..Format::new(Media::Parquet) };
    let known = Some(signature.vocabulary().clone());
    let before = Before { known, ..Before::default() };
    let whole = |broken: Broken| Error::request(broken.what, broken.help);
    check_begin(&body[..body.len().min(4)]).map_err(whole)?;
    let (file, layout) = File::open(body, &format, "request", &before, BOUNDS).map_err(whole)?;
    fits(&layout, signature)?;
    if file.rows() > rows_max as u64 {
        return Err(Error::TooManyRows { rows_max });
    }
    let mut count = 0;
    let mut failed = None;
    file.decode(&Bytes::copy_from_slice(body), &layout, |rows| match rows {
        Ok(rows) => {
            count += rows.count;
            values.extend_from_slice(&rows.features);
            true
        }
        Err(broken) => {
            let row = count + broken.line as usize;
            failed = Some(placed(broken, row, signature));
            false
        }
    });
    failed.map_or(Ok(count), Err)
}

/// Whether the columns are those of training.
fn fits(layout: &Layout, signature: &Signature) -> Result<(), Error> {
    let found = layout.names.len();
    if found != signature.features {
        let (what, help) = wrong_length(found, signature.features);
        return Err(Error::request(
            what.replacen("row", "file", 1).replacen("number", "column", 1),
            help,
        ));
    }
    let wanted = &signature.columns;
    match layout.names.iter().zip(wanted).position(|(found, wanted)| found != wanted) {
        None => Ok(()),
        Some(at) => Err(Error::request(
            format!(
                "column {} is named {} where the model has {}",
                at + 1,
                shown(layout.names[at].as_bytes()),
                shown(wanted[at].as_bytes())
            ),
            "send the columns of training, in their order",
        )),
    }
}
