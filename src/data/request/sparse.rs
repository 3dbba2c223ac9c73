//! Requests whose rows leave cells out: filled up as the model was trained, once their number is
//! known to be within bounds.

use super::placed;
use crate::data::error::Error;
use crate::data::libsvm;
use crate::data::rows::Rows;
use crate::data::schema::Signature;

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
