//! Strangers' bytes against this room's parsers; see [`crate::fuzzed`].

use std::io::Cursor;

use super::answer::{Field, Values, encode};
use super::batch::{Dataset, Labels};
use super::channel::{self, Object, Options};
use super::describe;
use super::error::Error;
use super::media::{self, Accept, ContentType};
use super::oip;
use super::record::Record;
use super::request::{self, Limits};
use super::roles::Before;
use super::schema::{Cells, Signature, Task};
use super::split::{Split, Splitter};
use super::stored::Stored;
use super::{Answer, login, parquet};
use crate::spec::train::{Categorical, Format, LabelColumn, Media, WeightColumn};

/// What a channel or a request may hold here: little, so that who ignores it is found out.
const MEMORY_BYTES: u64 = 64 << 20;

/// The first bytes choose among the settings, the others are the object or the body.
fn choices<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk::<N>().map(|(choices, rest)| (*choices, rest))
}

fn object(bytes: &[u8]) -> Object {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    Object { uri: "s3://b/k".into(), bytes: Some(bytes.len() as u64), reader }
}

fn format(media: Media, choice: u8) -> Format {
    let named = |name: &str| name.to_owned();
    Format {
        media,
        header: choice & 1 != 0,
        delimiter: if choice & 2 != 0 { b';' } else { b',' },
        label: match (choice >> 2) & 3 {
            0 | 1 => LabelColumn::First,
            2 => LabelColumn::None,
            _ => LabelColumn::Named(named("y")),
        },
        weight: match (choice >> 4) & 3 {
            0 | 1 => None,
            2 => Some(WeightColumn::Second),
            _ => Some(WeightColumn::Named(named("w"))),
        },
        group: ((choice >> 6) & 1 != 0).then(|| named("q")),
        categorical: match choice >> 7 {
            0 => Categorical::None,
            _ => Categorical::Auto,
        },
        ignore: Vec::new(),
    }
}

/// Everything a dataset holds, to be compared bit by bit.
fn told(read: &Result<Dataset, Error>) -> Result<impl PartialEq + std::fmt::Debug, String> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let data = read.as_ref().map_err(|error| error.to_string())?;
    let label = data.label.as_ref().map(|label| match label {
        Labels::Number(numbers) => (bits(numbers), Vec::new()),
        Labels::Text { codes, names } => (codes.clone(), names.clone()),
    });
    let sparse = data.sparse.as_ref();
    let sparse = sparse.map(|s| (s.width, s.offsets.clone(), s.columns.clone(), bits(&s.values)));
    let rows = data.rows();
    assert!(data.weight.as_ref().is_none_or(|weights| weights.len() == rows), "weights");
    assert!(data.group.as_ref().is_none_or(|groups| groups.len() == rows), "groups");
    Ok((
        (rows, data.width(), bits(data.features.as_slice().unwrap_or(&[])), sparse),
        (label, data.weight.as_deref().map(bits), data.group.clone()),
        (data.categories.clone(), data.columns.to_vec()),
        data.sources.clone(),
    ))
}

/// Reads a channel twice, whole and in small pieces on two threads: the result is the same.
fn channel(media: Media, bytes: &[u8]) {
    let Some(([choice], bytes)) = choices(bytes) else { return };
    let format = format(media, choice);
    let mut options = Options::new("channels.train");
    options.memory_bytes_max = MEMORY_BYTES;
    options.threads = 1;
    let whole = channel::settle_words(&options, |options| {
        channel::read(vec![object(bytes)], &format, options)
    });
    options.threads = 2;
    options.block_bytes = 24;
    let pieces = channel::settle_words(&options, |options| {
        channel::read(vec![object(bytes)], &format, options)
    });
    assert_eq!(told(&whole), told(&pieces), "the blocks decide");
}

/// A channel of CSV.
pub(crate) fn csv(bytes: &[u8]) {
    channel(Media::Csv, bytes);
}

/// A channel of JSON Lines.
pub(crate) fn jsonl(bytes: &[u8]) {
    channel(Media::JsonLines, bytes);
}

/// A channel of libsvm.
pub(crate) fn libsvm(bytes: &[u8]) {
    channel(Media::Libsvm, bytes);
}

/// A channel of RecordIO.
pub(crate) fn recordio(bytes: &[u8]) {
    channel(Media::RecordIo, bytes);
}

/// A channel of logins, in CSV or JSON Lines.
pub(crate) fn logins(bytes: &[u8]) {
    let Some(([choice], bytes)) = choices(bytes) else { return };
    let media = if choice & 0x80 != 0 { Media::Csv } else { Media::JsonLines };
    let format = format(media, choice & 0x7f);
    let mut options = Options::new("channels.train");
    options.memory_bytes_max = MEMORY_BYTES;
    let read = login::read(vec![object(bytes)], &format, &options);
    if let Ok(data) = &read {
        assert_eq!(data.width(), login::WIDTH);
    }
}

/// One message of SageMaker's `Record`: what is read, read again into the same buffers, is the same.
pub(crate) fn record(bytes: &[u8]) {
    let (mut fresh, mut used) = (Record::default(), Record::default());
    let _ = used.read(b"\x0a\x02\x0a\x00");
    let first = fresh.read(bytes);
    assert_eq!(first, used.read(bytes), "what was there before matters");
    if first.is_ok() {
        assert_eq!(format!("{fresh:?}"), format!("{used:?}"));
        let _ = fresh.features.width();
    }
}

/// A file of parquet.
pub(crate) fn parquet(bytes: &[u8]) {
    let Some(([choice], bytes)) = choices(bytes) else { return };
    let format = format(Media::Parquet, choice);
    let before = Before::default();
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let bounds = parquet::Bounds::of_job(1, MEMORY_BYTES);
    if parquet::check_begin(&bytes[..bytes.len().min(4)]).is_err() {
        return;
    }
    let opened = parquet::File::open(&bytes, &format, "channels.train", &before, bounds);
    let Ok((file, layout)) = opened else { return };
    let _ = file.spans(&layout);
    let (mut rows, mut failed, mut left) = (0, false, 1 << 20);
    file.decode(&bytes, &layout, |slice| {
        match slice {
            Ok(slice) => {
                assert_eq!(slice.features.len(), slice.count * layout.roles.features);
                rows += slice.count as u64;
                left -= slice.count.min(left);
            }
            Err(_) => failed = true,
        }
        left > 0
    });
    assert!(failed || left == 0 || rows == file.rows(), "{rows} of {} rows", file.rows());
}

/// An object that may be compressed: its text does not depend on how it is asked for.
pub(crate) fn stored(bytes: &[u8]) {
    const TEXT_BYTES_MAX: usize = 1 << 20;
    let Ok(mut stored) = Stored::open(object(bytes)) else { return };
    let whole = stored.whole(TEXT_BYTES_MAX);
    let Ok(mut again) = Stored::open(object(bytes)) else { panic!("opened once only") };
    let (mut text, mut piece) = (Vec::new(), [0; 1021]);
    let pieces = loop {
        match again.fill(&mut piece) {
            Ok(count) => {
                text.extend_from_slice(&piece[..count]);
                match count < piece.len() {
                    _ if text.len() > TEXT_BYTES_MAX => break Ok(None),
                    true => break Ok(Some(text)),
                    false => {}
                }
            }
            Err(error) => break Err(error),
        }
    };
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert!(whole == pieces, "the pieces decide"),
        (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string()),
        // More text than is wanted may stand before the damage.
        (Ok(None), _) | (_, Ok(None)) => {}
        (whole, _) => panic!("the pieces decide: {}", whole.is_ok()),
    }
}

/// Records for a transform: the pieces are the text, and every record is counted.
pub(crate) fn split(bytes: &[u8]) {
    let Some(([choice, size], bytes)) = choices(bytes) else { return };
    let split = match choice % 4 {
        0 => Split::Lines { header: false },
        1 => Split::Lines { header: true },
        2 => Split::RecordIo,
        _ => Split::Whole,
    };
    let read = |piece_bytes: usize| {
        let mut splitter = Splitter::open(object(bytes), split, piece_bytes, 4096)?;
        let (mut records, mut last) = (Vec::new(), 0);
        while let Some(piece) = splitter.next_piece()? {
            assert!(piece.first > last, "records are counted twice");
            let each: Vec<Vec<u8>> = piece.each(split).map(<[u8]>::to_vec).collect();
            assert_eq!(each.len(), piece.records);
            assert_eq!(each.concat(), piece.text());
            last = piece.first + piece.records as u64 - 1;
            records.extend(each);
        }
        Ok::<_, Error>(records)
    };
    let (whole, pieces) = (read(1 << 20), read(usize::from(size) + 16));
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => assert!(whole == pieces, "the pieces decide"),
        (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string()),
        (whole, _) => panic!("the pieces decide: {}", whole.is_ok()),
    }
}

/// A table that is looked through.
pub(crate) fn described(bytes: &[u8]) {
    let Some(([choice], bytes)) = choices(bytes) else { return };
    let mut options = describe::Options {
        media: if choice & 1 == 0 { Media::Csv } else { Media::JsonLines },
        header: [None, Some(true), Some(false), None][usize::from(choice >> 1) % 4],
        ..describe::Options::default()
    };
    let whole = describe::profile(vec![object(bytes)], "s3://b/k", &options, None);
    options.block_bytes = 64;
    let pieces = describe::profile(vec![object(bytes)], "s3://b/k", &options, None);
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            let json = |profile| serde_json::to_string(&describe::report(profile, None)).ok();
            let report = json(&whole);
            assert!(report.is_some(), "a report has no JSON");
            assert_eq!(report, json(&pieces), "the blocks decide");
        }
        (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string()),
        (whole, _) => panic!("the blocks decide: {}", whole.is_ok()),
    }
}

/// Models of several shapes that a body may be for.
fn signature(choice: u8) -> Signature {
    let mut signature = Signature::of([1, 2, 3, 30][usize::from(choice) % 4], Task::Regression);
    if choice & 4 != 0 {
        signature.columns = (0..signature.features).map(|at| format!("c{at}")).collect();
    }
    if choice & 8 != 0 {
        let words = ["a", "b", "", "1"].map(str::to_owned).to_vec();
        signature.categories.insert(signature.features - 1, words);
    }
    if choice & 16 != 0 {
        signature.absent = super::Absent::Missing;
    }
    signature
}

const LIMITS: Limits = Limits { rows_max: 4096, values_max: 1 << 16 };

/// One body, by the quick way into a used buffer and by the general one: they agree.
fn request(content: &ContentType, signature: &Signature, body: &[u8]) -> Option<Vec<u32>> {
    let general = request::decode(content, body, signature, &LIMITS);
    let mut values = vec![7.0];
    let quick = request::decode_into(content, body, signature, &LIMITS, &mut values);
    match (general, quick) {
        (Ok(general), Ok(rows)) => {
            assert_eq!(rows, general.nrows(), "rows");
            assert!(rows > 0 && rows <= LIMITS.rows_max && general.len() <= LIMITS.values_max);
            let bits = |value: &f32| if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
            let found: Vec<u32> = values[1..].iter().map(bits).collect();
            assert_eq!(found, general.iter().map(bits).collect::<Vec<_>>(), "values");
            Some(found)
        }
        (Err(general), Err(quick)) => {
            assert_eq!(general.to_string(), quick.to_string());
            assert_eq!(values, [7.0], "a refused body left something behind");
            None
        }
        (general, quick) => panic!("one reads what the other refuses: {general:?} {quick:?}"),
    }
}

/// A request in CSV.
pub(crate) fn request_csv(bytes: &[u8]) {
    let Some(([choice], body)) = choices(bytes) else { return };
    let mut content = ContentType::from(Media::Csv);
    if choice & 0x80 != 0 {
        content.parameters.push(("header".into(), "present".into()));
    }
    request(&content, &signature(choice), body);
}

/// A request in JSON, by hand and by serde.
pub(crate) fn request_json(bytes: &[u8]) {
    let Some(([choice], body)) = choices(bytes) else { return };
    request(&Media::Json.into(), &signature(choice), body);
}

/// A request in JSON Lines; the same entries in one JSON document are the same rows.
pub(crate) fn request_jsonlines(bytes: &[u8]) {
    let Some(([choice], body)) = choices(bytes) else { return };
    let signature = signature(choice);
    let Some(rows) = request(&Media::JsonLines.into(), &signature, body) else { return };
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let entries: Vec<&[u8]> = lines.collect();
    let document = [&b"{\"instances\":["[..], &entries.join(&b','), b"]}"].concat();
    let again = request(&Media::Json.into(), &signature, &document);
    assert_eq!(again, Some(rows), "in one document");
}

/// A request in libsvm.
pub(crate) fn request_libsvm(bytes: &[u8]) {
    let Some(([choice], body)) = choices(bytes) else { return };
    request(&Media::Libsvm.into(), &signature(choice), body);
}

/// A request in RecordIO.
pub(crate) fn request_recordio(bytes: &[u8]) {
    let Some(([choice], body)) = choices(bytes) else { return };
    request(&Media::RecordIo.into(), &signature(choice), body);
}

/// A request of a model of logins.
pub(crate) fn request_logins(bytes: &[u8]) {
    let Some(([choice], body)) = choices(bytes) else { return };
    let media = [Media::Csv, Media::Json, Media::JsonLines, Media::Libsvm];
    let signature =
        Signature { cells: Cells::Login, ..Signature::of(login::WIDTH, Task::Regression) };
    request(&media[usize::from(choice) % 4].into(), &signature, body);
}

type Tensors = Result<(usize, oip::Wanted), Error>;

/// What an inference request gave is well-formed, and its rows written as another one read the same.
fn tensors(read: Tensors, values: &[f32], signature: &Signature) {
    let Ok((rows, wanted)) = read else {
        assert_eq!(values, [7.0], "a refused request left something behind");
        return;
    };
    let values = &values[1..];
    assert_eq!(values.len(), rows * signature.features);
    assert!(rows > 0 && rows <= LIMITS.rows_max && values.len() <= LIMITS.values_max);
    let binary: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = [rows, signature.features];
    if signature.categories.is_empty() {
        let json = serde_json::json!({ "inputs": [{
            "name": "input", "shape": shape, "datatype": "FP32",
            "parameters": { "binary_data_size": binary.len() },
        }]})
        .to_string();
        let body = [json.as_bytes(), &binary].concat();
        let mut again = Vec::new();
        let read = oip::decode(&body, Some(json.len()), signature, &LIMITS, &mut again);
        assert!(read.is_ok_and(|(found, _)| found == rows), "written in binary");
        let is_same = |(one, other): (&f32, &f32)| {
            one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
        };
        assert!(again.iter().zip(values).all(is_same), "the values are others in binary");
    }
    let answer = scores(rows);
    let known = oip::tensors(&answer);
    let (mut json, mut message) = (Vec::new(), Vec::new());
    let in_json = oip::encode(&answer, &known, &wanted, "m", &mut json);
    let in_message = oip::encode_message(&answer, &known, &wanted, "m", &mut message);
    assert_eq!(in_json.is_ok(), in_message.is_ok(), "an output is known to one of them");
    if let Ok(length) = in_json {
        let json = &json[..length.unwrap_or(json.len())];
        assert!(serde_json::from_slice::<serde_json::Value>(json).is_ok(), "no JSON");
    }
}

fn scores(rows: usize) -> Answer {
    let field = Field { name: "score", values: Values::Number(vec![0.5; rows]) };
    Answer { key: "predictions", rows, fields: vec![field] }
}

/// A request of the Open Inference Protocol, its tensors in JSON or in binary behind it.
pub(crate) fn v2(bytes: &[u8]) {
    let Some(([choice, high, low], body)) = choices(bytes) else { return };
    let signature = signature(choice);
    let length = usize::from(u16::from_be_bytes([high, low]));
    let length = (choice & 0x80 != 0).then_some(length);
    let mut values = vec![7.0];
    let read = oip::decode(body, length, &signature, &LIMITS, &mut values);
    tensors(read, &values, &signature);
}

/// The same as a message of protobuf.
pub(crate) fn v2_message(bytes: &[u8]) {
    let Some(([choice], body)) = choices(bytes) else { return };
    let signature = signature(choice);
    let _ = oip::model_of(body);
    let mut values = vec![7.0];
    let read = oip::decode_message(body, &signature, &LIMITS, &mut values);
    tensors(read, &values, &signature);
}

/// `Content-Type` and `Accept`: a format that is chosen can be written, and is read by its name.
pub(crate) fn media_types(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(content) = ContentType::parse(text) {
        let name = media::name(content.media);
        let again = ContentType::parse(name).map(|again| again.media);
        assert!(
            matches!(again, Ok(media) if media == content.media) || content.media == Media::Parquet
        );
    }
    for default in [Media::Csv, Media::Json, Media::JsonLines, Media::RecordIo] {
        let Ok(accept) = Accept::parse(Some(text), default) else { continue };
        let answer = scores(1);
        let mut out = Vec::new();
        encode(&answer, &accept, &mut out);
        assert!(!out.is_empty(), "{accept:?} writes nothing");
        let named = Accept::parse(Some(accept.content_type()), default);
        assert!(named.is_ok_and(|named| named.media == accept.media));
    }
}
