//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use ndarray::{Array2, Axis, Slice};

use super::weights::Reader;
use super::xgboost::ensemble::Ensemble;
use super::xgboost::score::Scorer;
use super::{Ask, Definition, Files, Predictor, Table, expand, lightgbm};
use crate::data::{Answer, Signature};
use crate::spec::parameter::{Raw, RawParameters, RawValue};
use crate::spec::problem::Problems;

/// Features of a model beyond which rows for it are not made here: wide rows are slow, and nothing
/// that matters happens to them.
const FEATURES_MAX: usize = 512;

/// Rows that meet every kind of cell: nothing, numbers around thresholds, codes, huge ones.
fn rows(features: usize) -> Array2<f32> {
    const CELLS: [f32; 7] = [0.0, f32::NAN, 1.0, -1.5, 3e38, 2.0, -0.0];
    Array2::from_shape_fn((5, features), |(row, column)| CELLS[(row * 3 + column) % CELLS.len()])
}

/// An answer has as many entries as rows, from each way of asking, alone or together.
fn predicted(predictor: &dyn Predictor, features: usize) {
    if features > FEATURES_MAX {
        return;
    }
    let rows = rows(features * predictor.shingle());
    let rows = rows.view();
    let together = predictor.predict(rows);
    for row in 0..rows.nrows() {
        let alone = predictor.predict(rows.slice_axis(Axis(0), Slice::from(row..=row)));
        match (&together, &alone) {
            (Ok(together), Ok(alone)) => {
                assert_eq!((together.rows, alone.rows), (rows.nrows(), 1));
                assert_eq!(together.fields.len(), alone.fields.len());
            }
            (Ok(_), Err(why)) => panic!("a row alone is refused: {why}"),
            (Err(_), _) => {}
        }
    }
    let ask = Ask { explain: Some(usize::MAX), verbose: true, fields: Vec::new() };
    let asked: Option<Answer> = predictor.predict_with(rows, &ask).ok();
    assert!(asked.is_none_or(|answer| answer.rows == rows.nrows()));
}

/// Opens a model and asks it.
pub(crate) fn opened(definition: &dyn Definition, signature: &Signature, files: &Files) {
    if signature.features > FEATURES_MAX {
        return;
    }
    if let Ok(predictor) = expand::open(definition, signature, files) {
        predicted(predictor.as_ref(), signature.features);
    }
    let _ = definition.importances(signature, files);
}

/// A model of another library, adopted, opened and asked.
fn adopted(file: &str, bytes: &[u8]) {
    let files = Files::from([(file.to_owned(), bytes.to_vec())]);
    for definition in Table::builtin().iter() {
        if let Some(Ok(adopted)) = definition.adopt(&files) {
            opened(&**definition, &adopted.signature, &adopted.files);
        }
    }
}

/// What trees say of some rows, bit by bit.
fn margins(model: &Ensemble) -> Vec<u32> {
    let said = Scorer::new(model).margins(&rows(model.features).view());
    said.iter().map(|margin| if margin.is_nan() { 0 } else { margin.to_bits() }).collect()
}

/// A model of trees, written in both of XGBoost's forms and read again, says the same.
fn trees(model: &Ensemble) {
    if model.features > FEATURES_MAX {
        return;
    }
    let said = margins(model);
    for bytes in [model.to_ubjson(), model.to_json()] {
        match Ensemble::read(&bytes) {
            Ok(again) => {
                assert_eq!(margins(&again), said, "written and read, it says another thing")
            }
            Err(why) => panic!("what was written is refused: {why}"),
        }
    }
}

/// XGBoost's JSON or UBJSON, as the first byte after the brace says.
pub(crate) fn xgboost(bytes: &[u8]) {
    if let Ok(model) = Ensemble::read(bytes) {
        trees(&model);
    }
    adopted("xgboost-model", bytes);
}

/// LightGBM's text.
pub(crate) fn lightgbm(bytes: &[u8]) {
    if let Ok(model) = lightgbm::text::read(bytes) {
        trees(&model);
    }
    adopted("model.txt", bytes);
}

/// Tensors as every model but trees keeps them: those that are there have the bytes of their shape.
pub(crate) fn tensors(bytes: &[u8]) {
    const FORMAT: &str = "fuzzed 1";
    let Ok(reader) = Reader::open("model.safetensors", bytes, FORMAT) else { return };
    for name in ["a", "weight", "b.c"] {
        let Ok(shape) = reader.shape(name) else { continue };
        let size = shape.iter().product::<usize>();
        let values = reader.f32_as_written(name, &shape);
        assert!(values.is_err() || values.is_ok_and(|values| values.len() == size));
        let _ = (reader.f64(name, &shape).is_ok(), reader.f32(name, &[size]).is_ok());
        let _ = (reader.u32(name, &shape).is_ok(), reader.u64(name, &shape).is_ok());
    }
}

/// Hyperparameters, `name=value` on each line, of the algorithm that the first byte chooses. They
/// are refused with reasons, or make a trainer that says the same of itself when told it again.
pub(crate) fn hyperparameters(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let table = Table::builtin();
    let Some(definition) = table.iter().nth(usize::from(*choice) % table.iter().count()) else {
        return;
    };
    let raw = |(at, line): (usize, &str)| {
        let (name, value) = line.split_once('=')?;
        let value = match value.parse() {
            Ok(number) if at % 2 == 0 => RawValue::Integer(number),
            _ => RawValue::Text(value.to_owned()),
        };
        Some((name.to_owned(), Raw { value, line: Some(at + 1) }))
    };
    let given: RawParameters = text.lines().enumerate().filter_map(raw).collect();
    let mut problems = Problems::default();
    let trainer = definition.trainer(&given, &mut problems);
    assert_eq!(trainer.is_some(), problems.is_empty(), "{problems:?}");
    let Some(trainer) = trainer else { return };
    let _ = (trainer.effective(), trainer.streams(), trainer.goes_on());
}
