use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::data::request::Limits;
use crate::data::{Answer, Error, Field, LabelNames, Signature, Task, Values};

fn signature(features: usize, columns: &[&str]) -> Signature {
    Signature {
        columns: columns.iter().map(ToString::to_string).collect(),
        ..Signature::of(features, Task::Regression)
    }
}

fn read(
    body: &[u8],
    json_bytes: Option<usize>,
    signature: &Signature,
) -> Result<(usize, Wanted, Vec<f32>), Error> {
    let mut values = Vec::new();
    let (rows, wanted) = decode(body, json_bytes, signature, &Limits::default(), &mut values)?;
    Ok((rows, wanted, values))
}

fn refusal(body: &str, signature: &Signature) -> String {
    let error = read(body.as_bytes(), None, signature).unwrap_err();
    crate::fault::rendered(&error)
}

#[test]
fn one_tensor_holds_all_rows_flat_or_nested() {
    let signature = signature(2, &[]);
    for data in ["[1,2.5,3,null]", "[[1,2.5],[3,null]]"] {
        let body = format!(
            r#"{{"id":"a","inputs":[{{"name":"x","datatype":"FP32","data":{data},"shape":[2,2]}}]}}"#
        );
        let (rows, wanted, values) = read(body.as_bytes(), None, &signature).unwrap();
        assert_eq!((rows, wanted.id.as_deref()), (2, Some("a")));
        assert_eq!(values[..3], [1.0, 2.5, 3.0]);
        assert!(values[3].is_nan());
    }
}

#[test]
fn columns_by_name_are_put_in_the_models_order_and_words_become_codes() {
    let mut signature = signature(2, &["amount", "plan"]);
    signature.categories.insert(1, vec!["basic".into(), "gold".into()]);
    let body = br#"{"inputs":[
        {"name":"plan","shape":[3,1],"datatype":"BYTES","data":["gold","basic","new"]},
        {"name":"amount","shape":[3],"datatype":"INT64","data":[7,-8,9]}]}"#;
    let (rows, _, values) = read(body, None, &signature).unwrap();
    assert_eq!(rows, 3);
    assert_eq!(values[..5], [7.0, 1.0, -8.0, 0.0, 9.0]);
    assert!(values[5].is_nan());
}

#[test]
fn binary_tensors_follow_the_json_in_order() {
    let signature = signature(2, &["a", "b"]);
    let json = br#"{"inputs":[
        {"name":"b","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},
        {"name":"a","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}}],
        "outputs":[{"name":"score","parameters":{"binary_data":true}}]}"#;
    let mut body = json.to_vec();
    body.extend([-2_i16, 300].map(i16::to_le_bytes).concat());
    body.extend([0.5_f64, -1.5].map(f64::to_le_bytes).concat());
    let (rows, wanted, values) = read(&body, Some(json.len()), &signature).unwrap();
    assert_eq!((rows, values), (2, vec![0.5, -2.0, -1.5, 300.0]));
    assert_eq!(wanted.outputs, [("score".to_owned(), true)]);
    for cut in 0..body.len() {
        assert!(read(&body[..cut], Some(json.len()), &signature).is_err(), "cut at {cut}");
    }
    body.push(0);
    assert!(read(&body, Some(json.len()), &signature).is_err());
}

#[test]
fn every_integer_type_keeps_its_sign() {
    let signature = signature(1, &[]);
    let one = |kind: &str, bytes: &[u8]| {
        let json = format!(
            r#"{{"inputs":[{{"name":"x","shape":[1,1],"datatype":"{kind}","parameters":{{"binary_data_size":{}}}}}]}}"#,
            bytes.len()
        );
        let body = [json.as_bytes(), bytes].concat();
        read(&body, Some(json.len()), &signature).unwrap().2[0]
    };
    assert_eq!(one("INT8", &(-3_i8).to_le_bytes()), -3.0);
    assert_eq!(one("UINT8", &[253]), 253.0);
    assert_eq!(one("INT32", &(-70_000_i32).to_le_bytes()), -70_000.0);
    assert_eq!(one("UINT64", &(1_u64 << 40).to_le_bytes()), (1_u64 << 40) as f32);
    assert_eq!(one("INT64", &(-5_i64).to_le_bytes()), -5.0);
    assert_eq!(one("BOOL", &[1]), 1.0);
}

#[test]
fn what_is_wrong_is_said_of_the_tensor() {
    let signature = signature(2, &["amount", "hour"]);
    let input = |rest: &str| format!(r#"{{"inputs":[{{"name":"x",{rest}}}]}}"#);
    for (body, says) in [
        ("{}".to_owned(), "this is no inference request: missing field `inputs`"),
        (r#"{"inputs":[]}"#.to_owned(), "there are no inputs"),
        (input(r#""shape":[1,3],"datatype":"FP32","data":[1,2,3]"#), "[1, 3]"),
        (input(r#""shape":[1,2],"datatype":"FP32","data":[1]"#), "1 elements where its shape says 2"),
        (input(r#""shape":[1,2],"datatype":"FP8","data":[1,2]"#), "\"FP8\""),
        (input(r#""shape":[1,2],"datatype":"FP32""#), "no data"),
        (input(r#""shape":[99999999999,2],"datatype":"FP32","data":[]"#), "more than"),
        (input(r#""shape":[1,2],"datatype":"BYTES","data":["a","b"]"#), "holds text"),
        (
            r#"{"inputs":[{"name":"amont","shape":[1],"datatype":"FP32","data":[1]},{"name":"hour","shape":[1],"datatype":"FP32","data":[1]}]}"#.to_owned(),
            "did you mean \"amount\"?",
        ),
        (
            r#"{"inputs":[{"name":"hour","shape":[1],"datatype":"FP32","data":[1]}]}"#.to_owned(),
            "no input for the column amount",
        ),
        (input(r#""shape":[1,2],"datatype":"FP32","data":[[[[[1]]]]]"#), "nested too deeply"),
        (input(r#""shape":[0,2],"datatype":"FP32","data":[]"#), "no rows"),
    ] {
        let told = refusal(&body, &signature);
        assert!(told.contains(says), "{body}\n{told}");
    }
    // A refusal leaves the buffer as it was.
    let mut values = vec![7.0];
    let body = input(r#""shape":[1,2],"datatype":"FP32","data":[1]"#);
    decode(body.as_bytes(), None, &signature, &Limits::default(), &mut values).unwrap_err();
    assert_eq!(values, [7.0]);
}

fn answer() -> Answer {
    let names = LabelNames::Words(vec!["no".into(), "yes".into()]);
    let field = |name, values| Field { name, values };
    Answer {
        key: "predictions",
        rows: 2,
        fields: vec![
            field("score", Values::Number(vec![0.05, 0.75])),
            field("predicted_label", Values::Class { codes: vec![0, 1], names: Arc::new(names) }),
            field(
                "probabilities",
                Values::Vector { width: 2, values: vec![0.95, 0.05, 0.25, 0.75] },
            ),
        ],
    }
}

fn written(wanted: &Wanted) -> (Vec<u8>, Option<usize>) {
    let mut out = Vec::new();
    let json_bytes = encode(&answer(), &tensors(&answer()), wanted, "fraud", &mut out).unwrap();
    (out, json_bytes)
}

#[test]
fn an_answer_is_a_tensor_for_each_field() {
    let wanted = Wanted { id: Some("7".into()), ..Wanted::default() };
    let (out, json_bytes) = written(&wanted);
    assert_eq!(json_bytes, None);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"model_name":"fraud","model_version":"1","id":"7","outputs":["#,
            r#"{"name":"score","datatype":"FP32","shape":[2],"data":[0.05,0.75]},"#,
            r#"{"name":"predicted_label","datatype":"BYTES","shape":[2],"data":["no","yes"]},"#,
            r#"{"name":"probabilities","datatype":"FP32","shape":[2,2],"data":[0.95,0.05,0.25,0.75]}]}"#
        )
    );
}

#[test]
fn wanted_outputs_come_in_their_order_and_binary_ones_behind_the_json() {
    let outputs = vec![("predicted_label".to_owned(), true), ("score".to_owned(), true)];
    let (out, json_bytes) = written(&Wanted { outputs, ..Wanted::default() });
    let (json, binary) = out.split_at(json_bytes.unwrap());
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 13);
    assert_eq!(binary[..13], *b"\x02\0\0\0no\x03\0\0\0yes");
    assert_eq!(binary[13..], [0.05_f32, 0.75].map(f32::to_le_bytes).concat());
    let outputs = vec![("scores".to_owned(), false)];
    let wanted = Wanted { outputs, ..Wanted::default() };
    let error =
        encode(&answer(), &tensors(&answer()), &wanted, "fraud", &mut Vec::new()).unwrap_err();
    assert!(crate::fault::rendered(&error).contains("its outputs are score, predicted_label"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        json_bytes in proptest::option::of(0_usize..300),
    ) {
        let _ = read(&body, json_bytes, &signature(3, &["a", "b", "c"]));
    }

    #[test]
    fn numbers_come_through_as_they_are(rows in proptest::collection::vec(any::<[f32; 3]>(), 1..20)) {
        let flat: Vec<f32> = rows.concat();
        let bytes: Vec<u8> = flat.iter().flat_map(|value| value.to_le_bytes()).collect();
        let json = format!(
            r#"{{"inputs":[{{"name":"x","shape":[{},3],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
            rows.len(),
            bytes.len()
        );
        let body = [json.as_bytes(), &bytes].concat();
        let (count, _, values) = read(&body, Some(json.len()), &signature(3, &[])).unwrap();
        prop_assert_eq!(count, rows.len());
        prop_assert!(values.iter().zip(&flat).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

/// A request in protobuf for these columns of the signature, with typed contents or raw ones.
fn message(raw: bool) -> Vec<u8> {
    use crate::data::protobuf::Message;
    let rows: [f32; 4] = [1.5, 2.0, -3.0, 4.0];
    let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = Message::default().text(1, "input").text(2, "FP32").numbers(3, [2, 2]);
    let typed = Message::default().bytes(6, &bytes).into_bytes();
    let message = Message::default().text(1, "fraud").text(3, "7");
    match raw {
        true => message.each(5, [tensor]).bytes(7, &bytes),
        false => message.each(5, [tensor.bytes(5, &typed)]),
    }
    .into_bytes()
}

#[test]
fn a_message_is_read_typed_and_raw_and_refused_wherever_it_is_cut() {
    let signature = Signature::of(2, Task::Regression);
    for raw in [true, false] {
        let whole = message(raw);
        let mut values = vec![9.0];
        let (rows, wanted) =
            decode_message(&whole, &signature, &Limits::default(), &mut values).unwrap();
        assert_eq!(
            (rows, &values[..], wanted.id.as_deref()),
            (2, &[9.0, 1.5, 2.0, -3.0, 4.0][..], Some("7"))
        );
        assert_eq!(model_of(&whole).unwrap(), ("fraud", ""));
        for cut in 0..whole.len() {
            let mut values = vec![9.0];
            let result = decode_message(&whole[..cut], &signature, &Limits::default(), &mut values);
            assert!(result.is_err(), "{raw} at {cut}");
            assert_eq!(values, [9.0]);
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            let _ = decode_message(&changed, &signature, &Limits::default(), &mut Vec::new());
        }
    }
}

#[test]
fn a_message_of_many_small_parts_is_refused_before_it_takes_memory() {
    use crate::data::protobuf::Message;
    let signature = Signature::of(2, Task::Regression);
    for number in [5, 6, 7] {
        let parts = Message::default().each(number, vec![Message::default(); 100_000]);
        let result =
            decode_message(&parts.into_bytes(), &signature, &Limits::default(), &mut Vec::new());
        let text = result.unwrap_err().to_string();
        assert!(text.contains("more inputs") || text.contains("too many outputs"), "{text}");
    }
    let dimensions = Message::default().numbers(3, vec![1; 100_000]);
    let shaped = Message::default().each(5, [dimensions]).into_bytes();
    assert!(decode_message(&shaped, &signature, &Limits::default(), &mut Vec::new()).is_err());
}

#[test]
fn an_output_is_answered_once_however_often_it_is_named() {
    let twice = vec![("score".to_owned(), false); 2];
    let wanted = Wanted { outputs: twice, ..Wanted::default() };
    let known = tensors(&answer());
    let error = encode(&answer(), &known, &wanted, "fraud", &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

/// A request in one of the ways people write it, whole or with one byte changed.
fn requests() -> impl Strategy<Value = (String, Vec<u8>)> {
    let number = prop_oneof![
        4 => (-100_000_i64..100_000, 0_u32..6).prop_map(|(number, places)| {
            format!("{}", number as f64 / 10_f64.powi(places as i32))
        }),
        1 => any::<f32>().prop_map(|number| format!("{number:e}")),
        1 => any::<f64>().prop_map(|number| format!("{number}")),
        1 => "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        1 => Just("null".to_owned()),
    ];
    let rows = proptest::collection::vec(proptest::collection::vec(number, 2), 1..4);
    let kinds = proptest::sample::select(vec!["FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES"]);
    let change = proptest::option::of((any::<prop::sample::Index>(), any::<u8>()));
    (rows, kinds, any::<[bool; 8]>(), change).prop_map(|(rows, kind, way, change)| {
        let [nested, one_dimension, binary, packed, id, outputs, spaced, turned] = way;
        let count = rows.len();
        let data = match nested {
            true => {
                let rows: Vec<String> = rows.iter().map(|row| format!("[{}]", row.join(","))).collect();
                rows.join(",")
            }
            false => rows.concat().join(","),
        };
        let bytes = if packed { vec![0x3f; 4 * count * 2] } else { Vec::new() };
        let mut parts = [
            "\"name\":\"x\"".to_owned(),
            match one_dimension {
                true => "\"shape\":[2]".to_owned(),
                false => format!("\"shape\":[{count},2]"),
            },
            format!("\"datatype\":\"{kind}\""),
            match packed {
                true => format!("\"parameters\":{{\"binary_data_size\":{}}}", bytes.len()),
                false => format!("\"data\":[{data}]"),
            },
        ];
        if turned {
            parts.reverse();
        }
        let mut whole = vec![format!("\"inputs\":[{{{}}}]", parts.join(","))];
        if id {
            whole.push("\"id\":\"seven\"".into());
        }
        if binary {
            whole.push("\"parameters\":{\"binary_data_output\":true}".into());
        }
        if outputs {
            whole.push("\"outputs\":[{\"name\":\"a\"},{\"parameters\":{\"binary_data\":false},\"name\":\"b\"}]".into());
        }
        if turned {
            whole.reverse();
        }
        let mut json = format!("{{{}}}", whole.join(","));
        if spaced {
            json = json.replace(',', " ,\n").replace(':', "\t: ");
        }
        let mut json = json.into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(json.len());
            json[at] = byte;
        }
        (String::from_utf8_lossy(&json).into_owned(), bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    #[test]
    fn what_is_read_by_hand_is_what_the_general_parser_reads((json, binary) in requests()) {
        let signature = signature(2, &[]);
        let limits = Limits::default();
        let mut scanned = vec![7.0];
        let read = scan::request(json.as_bytes(), &binary, &signature, limits.rows_max, &mut scanned);
        let Some((rows, wanted)) = read else {
            prop_assert_eq!(scanned, [7.0]);
            return Ok(());
        };
        let mut values = vec![7.0];
        let general = request::general(json.as_bytes(), &binary, &signature, &limits, &mut values);
        let (count, general) = general.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((rows, wanted), (count, general));
        prop_assert_eq!(scanned.len(), values.len());
        prop_assert!(scanned.iter().zip(&values).all(|(one, other)| one.to_bits() == other.to_bits()));
    }
}

#[test]
fn the_usual_requests_are_read_by_hand() {
    let signature = signature(2, &[]);
    for (json, binary) in [
        (
            r#"{"inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","data":[1,2.5,-3e2,null]}]}"#,
            0,
        ),
        (
            r#"{ "id": "a", "inputs": [ { "name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]] } ] }"#,
            0,
        ),
        (
            r#"{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}],"outputs":[{"name":"score","parameters":{"binary_data":true}}]}"#,
            16,
        ),
        (
            r#"{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP64","parameters":{"binary_data_size":32}}],"parameters":{"binary_data_output":true}}"#,
            32,
        ),
    ] {
        let mut values = Vec::new();
        let read = scan::request(json.as_bytes(), &vec![0; binary], &signature, 10, &mut values);
        assert_eq!(read.map(|(rows, _)| rows), Some(2), "{json}");
        assert_eq!(values.len(), 4);
    }
}
