//! Requests whose rows leave cells out: filled up as the model was trained, once their number is
//! known to be within bounds.

use super::placed;
use crate::data::error::{Broken, Error};
use crate::data::rows::Rows;
use crate::data::schema::Signature;
use crate::data::{libsvm, recordio};

/// Rows of libsvm's text.
pub(super) fn libsvm(
    body: &[u8],
    signature: &Signature,
    rows_max: usize,
) -> Result<Vec<f32>, Error> {
    let layout = libsvm::Layout::unlabelled(signature.features);
    let mut rows = Rows::default();
    libsvm::decode(body, 0, body.len(), &layout, &mut rows)
        .map_err(|broken| placed(broken, rows.count, signature))?;
    filled(&rows, signature, rows_max)
}

/// Rows of RecordIO.
pub(super) fn recordio(
    body: &[u8],
    signature: &Signature,
    rows_max: usize,
) -> Result<Vec<f32>, Error> {
    let mut values = Vec::new();
    let (features, absent) = (signature.features, signature.absent);
    match recordio::rows(body, features, absent, rows_max, &mut values) {
        Ok(count) if count > rows_max => Err(Error::TooManyRows { rows_max }),
        Ok(_) => Ok(values),
        Err((row, (column, (what, help)))) => {
            Err(placed(Broken { line: 0, column, what, help }, row, signature))
        }
    }
}

fn filled(rows: &Rows, signature: &Signature, rows_max: usize) -> Result<Vec<f32>, Error> {
    if rows.count > rows_max {
        return Err(Error::TooManyRows { rows_max });
    }
    let mut values = Vec::with_capacity(rows.count * signature.features);
    if let Some(entries) = &rows.entries {
        entries.fill(signature.features, signature.absent.value(), &mut values);
    }
    Ok(values)
}
