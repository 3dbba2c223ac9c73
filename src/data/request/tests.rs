use proptest::prelude::*;

use super::*;
use crate::data::schema::Task;

fn signature(features: usize, columns: &[&str]) -> Signature {
    Signature {
        columns: columns.iter().map(ToString::to_string).collect(),
        ..Signature::of(features, Task::Regression)
    }
}

fn read(content: &str, body: &str, features: usize) -> Result<Vec<f32>, String> {
    read_for(content, body, &signature(features, &[]))
}

fn read_for(content: &str, body: &str, signature: &Signature) -> Result<Vec<f32>, String> {
    let content = ContentType::parse(content).unwrap();
    decode(&content, body.as_bytes(), signature, &Limits::default())
        .map(|rows| rows.into_raw_vec_and_offset().0)
        .map_err(|error| {
            let help = crate::fault::Fault::help(&error).unwrap_or_default();
            format!("{error} | {help}")
        })
}

#[test]
fn csv_rows_come_with_or_without_an_end_of_line() {
    for body in [
        "1,2.5\n3,-4e2\n",
        "1,2.5\r\n3,-4e2",
        "\u{feff}1 , +2.5\n\n\"3\",-400",
        "1,2.5\n3,-4e2\n\n",
    ] {
        assert_eq!(read("text/csv", body, 2).unwrap(), [1.0, 2.5, 3.0, -400.0], "{body:?}");
    }
    assert_eq!(read("text/csv; header=present", "a,b\n1,2\n", 2).unwrap(), [1.0, 2.0]);
    let missing = read("text/csv", "1,,NaN\n", 3).unwrap();
    assert!(missing[0] == 1.0 && missing[1].is_nan() && missing[2].is_nan());
}

#[test]
fn every_json_shape_of_sagemaker_is_read() {
    for body in [
        r#"{"instances":[{"features":[1,2.5]},{"features":[3,-4e2]}]}"#,
        r#"{"instances":[[1,2.5],[3,-400.0]]}"#,
        r#"{ "instances" : [ { "features" : [ 1 , 2.5 ] } , [ 3, -400 ] ] } "#,
        r#"{"instances":[{"data":{"features":{"values":[1,2.5]}}},{"features":[3,-400]}]}"#,
        r#"{"configuration":{"a":[1]},"instances":[{"features":[1,2.5],"id":7},[3,-400]]}"#,
        r#"{"instances":[{"data":{"features":{"keys":[1,0],"shape":[2],"values":[2.5,1]}}},[3,-400]]}"#,
    ] {
        assert_eq!(read("application/json", body, 2).unwrap(), [1.0, 2.5, 3.0, -400.0], "{body}");
    }
    let lines =
        "{\"features\":[1,2.5]}\n\n[3,-400]\r\n{\"data\":{\"features\":{\"values\":[5,null]}}}";
    let rows = read("application/jsonlines", lines, 2).unwrap();
    assert_eq!(rows[..5], [1.0, 2.5, 3.0, -400.0, 5.0]);
    assert!(rows[5].is_nan());
}

#[test]
fn columns_may_be_given_by_name() {
    let signature = signature(2, &["age", "income"]);
    let rows = read_for(
        "application/json",
        r#"{"instances":[{"income":2,"age":1},{"income":5}]}"#,
        &signature,
    );
    let rows = rows.unwrap();
    assert_eq!(rows[..2], [1.0, 2.0]);
    assert!(rows[2].is_nan() && rows[3] == 5.0);
    let error = read_for("application/json", r#"{"instances":[{"incom":2}]}"#, &signature);
    assert_eq!(
        error.unwrap_err(),
        "row 1: the model knows no column \"incom\" | did you mean \"income\"?"
    );
}

#[test]
fn mistakes_name_row_and_column_and_the_way_out() {
    let csv = |body| read("text/csv", body, 3).unwrap_err();
    assert_eq!(
        csv("1,2,3\n4,x,6\n"),
        "row 2, column 2: \"x\" is not a number | send a number, or an empty cell where the value is missing"
    );
    assert_eq!(
        csv("0,1,2,3\n"),
        "row 1: the line has 4 columns where the model takes 3 | leave the label out: send the features only"
    );
    assert_eq!(
        csv("1,2\n"),
        "row 1: the line has 2 columns where the model takes 3 | send 3 numbers on each line"
    );
    assert!(
        csv("age,plan,state\n1,2,3\n").ends_with("say that it is there: text/csv; header=present")
    );
    assert!(csv("1,inf,3").starts_with("row 1, column 2: \"inf\" is not a finite number"));
    assert!(csv("1,2,1e999").starts_with("row 1, column 3: \"1e999\" is too large"));
    assert!(csv("1,\"2,3").starts_with("row 1, column 2: a quote is opened and not closed"));
    let json = |body| read("application/json", body, 3).unwrap_err();
    assert_eq!(
        json(r#"{"instances":[[1,2,3],{"features":[1,"x",3]}]}"#),
        "row 2, column 2: invalid type: string \"x\", expected a number | send {\"instances\": [{\"features\": [1.5, 2]}]}; a missing value is null"
    );
    assert_eq!(
        json(r#"{"instances":[[1,2,3,4]]}"#),
        "row 1: the row has 4 numbers where the model takes 3 | leave the label out: send the features only"
    );
    assert!(json("{}").starts_with("there is no list under \"instances\""));
    assert!(json("[[1,2,3]]").contains("expected an object with a list under \"instances\""));
    assert!(json("{'instances':[]}").starts_with("this is not JSON at byte 2, near \"{'instance"));
    assert!(json(r#"{"instances":[[1,2,3]"#).starts_with("the JSON ends too early"));
    assert!(json(r#"{"instances":[[1,2,NaN]]}"#).starts_with("row 1, column 3"));
    assert!(json(r#"{"instances":[[1,2,1e999]]}"#).starts_with("row 1, column 3"));
    assert!(json(r#"{"instances":[[1,2,3]],"instances":[[1,2,3]]}"#).contains("twice"));
    assert!(json(r#"{"instances":[{}]}"#).contains("no \"features\""));
    assert!(
        json(r#"{"instances":[{"data":{"features":{"keys":[9],"shape":[3],"values":[1]}}}]}"#)
            .contains("key 9")
    );
    let lines = read("application/jsonlines", "[1,2,3]\n[1,2]\n", 3).unwrap_err();
    assert!(lines.starts_with("row 2: the row has 2 numbers where the model takes 3"), "{lines}");
}

#[test]
fn empty_bodies_and_too_many_rows_have_errors_of_their_own() {
    let signature = signature(1, &[]);
    let limits = Limits { rows_max: 2, values_max: 100 };
    for (content, empty, many) in [
        ("text/csv", " \n\n", "1\n2\n3\n"),
        ("application/json", r#"{"instances":[]}"#, r#"{"instances":[[1],[2],[3]]}"#),
        ("application/jsonlines", "\n", "[1]\n[2]\n[3]\n"),
    ] {
        let content = ContentType::parse(content).unwrap();
        let empty = decode(&content, empty.as_bytes(), &signature, &limits);
        assert!(matches!(empty, Err(Error::NoRows)), "{content:?}");
        let many = decode(&content, many.as_bytes(), &signature, &limits);
        assert!(matches!(many, Err(Error::TooManyRows { rows_max: 2 })), "{content:?}");
    }
}

#[test]
fn sparse_rows_cannot_ask_for_more_memory_than_the_limit() {
    let row = r#"{"data":{"features":{"keys":[0],"shape":[60000],"values":[1]}}},"#;
    let body = format!("{{\"instances\":[{}[]]}}", row.repeat(10_000));
    let error = read("application/json", &body, 60_000).unwrap_err();
    assert!(error.starts_with("the request has more than 279 rows"), "{error}");
}

#[test]
fn deep_json_is_refused() {
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    assert!(read("application/json", &deep, 1).is_err());
    let deep = format!("{{\"instances\":[{}", "{\"data\":{\"features\":".repeat(100_000));
    assert!(read("application/json", &deep, 1).is_err());
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f32>()
            .prop_filter("JSON has no others", |v| v.is_finite())
            .prop_map(|v| format!("{v:?}")),
        any::<f64>()
            .prop_filter("JSON has no others", |v| v.is_finite())
            .prop_map(|v| format!("{v:?}")),
        any::<i64>().prop_map(|v| v.to_string()),
        "-?[0-9]{1,3}(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?",
        Just("null".to_owned()),
        "[-+.0-9eE]{1,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_scanner_and_the_parser_agree(
        rows in proptest::collection::vec(proptest::collection::vec(number(), 2), 1..4),
        spaced in any::<bool>(), objects in any::<bool>(),
    ) {
        let comma = if spaced { " ,\n" } else { "," };
        let rows: Vec<String> = rows.iter().map(|row| {
            let list = format!("[{}]", row.join(comma));
            if objects { format!("{{\"features\":{list}}}") } else { list }
        }).collect();
        let body = format!("{{\"instances\":[{}]}}", rows.join(comma));
        let signature = signature(2, &[]);
        let parsed = json::instances(body.as_bytes(), &signature, 100);
        let mut scanned = vec![9.0];
        if let Some(count) = scan::instances(body.as_bytes(), 2, 100, &mut scanned) {
            prop_assert_eq!(count, rows.len());
            scanned.remove(0);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let parsed = parsed.unwrap();
            prop_assert_eq!(bits(&scanned), bits(&parsed), "{}", body);
        } else {
            prop_assert_eq!(scanned, [9.0]);
        }
    }

    #[test]
    fn strange_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), features in 1_usize..4) {
        for content in ["text/csv", "application/json", "application/jsonlines"] {
            let content = ContentType::parse(content).unwrap();
            let _ = decode(&content, &body, &signature(features, &["a"]), &Limits::default());
        }
    }

    #[test]
    fn bodies_that_look_like_json_never_panic(body in "[\\[\\]{}:,\" 0-9.eainstcfural-]{0,80}") {
        for content in ["application/json", "application/jsonlines"] {
            let content = ContentType::parse(content).unwrap();
            let _ = decode(&content, body.as_bytes(), &signature(1, &[]), &Limits::default());
        }
    }
}

/// `plan` and `state` hold words, `visits` a number.
fn with_words() -> Signature {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Signature {
        categories: [(0, words(&["basic", "pro, yearly", "7"])), (2, words(&["NY", "true"]))]
            .into(),
        ..signature(3, &["plan", "visits", "state"])
    }
}

#[test]
fn words_stand_where_the_model_learned_words_in_every_format() {
    for (content, body) in [
        ("text/csv", "basic,2.5,NY\n\"pro, yearly\",3,\n 7.0 ,1e1,LA\n7,0,true"),
        (
            "application/json",
            r#"{"instances":[{"features":["basic",2.5,"NY"]},["pro, yearly",3,null],
               {"plan":7,"visits":10,"state":"LA"},{"data":{"features":{"values":[7.0,0,true]}}}]}"#,
        ),
        (
            "application/jsonlines",
            "{\"state\":\"NY\",\"plan\":\"basic\",\"visits\":2.5}\n[\"pro, yearly\",3,\"\"]\n\
             {\"features\":[\"7\",10,\"LA\"]}\n\
             {\"data\":{\"features\":{\"keys\":[2,0],\"shape\":[3],\"values\":[\"true\",\"7\"]}}}",
        ),
    ] {
        let rows = read_for(content, body, &with_words()).unwrap();
        let shown: Vec<String> = rows.iter().map(f32::to_string).collect();
        let wanted = "0 2.5 0 1 3 NaN 2 10 NaN 2 0 1";
        assert_eq!(shown.join(" "), wanted, "{content}");
    }
}

#[test]
fn a_number_is_a_word_where_words_belong_on_the_quick_ways_too() {
    let signature = with_words();
    for (media, body) in [
        (Media::Csv, "7,1,2\n"),
        (Media::Json, r#"{"instances":[{"features":[7,1,2]}]}"#),
        (Media::JsonLines, "[7,1,2]"),
    ] {
        let mut values = Vec::new();
        let content = ContentType::from(media);
        let limits = Limits::default();
        decode_into(&content, body.as_bytes(), &signature, &limits, &mut values).unwrap();
        assert_eq!(values[..2], [2.0, 1.0], "{body}");
        assert!(values[2].is_nan(), "{body}");
    }
}

#[test]
fn a_word_where_a_number_belongs_names_the_column() {
    let signature = with_words();
    for (content, body) in [
        ("text/csv", "basic,2,NY\nbasic,often,NY\n"),
        ("application/json", r#"{"instances":[["basic",2,"NY"],["basic","often","NY"]]}"#),
        (
            "application/json",
            r#"{"instances":[["basic",2,"NY"],{"data":{"features":{"values":["basic","often","NY"]}}}]}"#,
        ),
        ("application/jsonlines", "[\"basic\",2,\"NY\"]\n{\"visits\":\"often\"}"),
    ] {
        let told = read_for(content, body, &signature).unwrap_err();
        assert!(told.starts_with("row 2, column 2 (visits): "), "{told}");
        assert!(told.contains("often"), "{told}");
    }
    let told = read_for("text/csv", "basic,2\n", &signature).unwrap_err();
    assert!(told.contains("2 columns where the model takes 3"), "{told}");
    let long = format!("{},2,NY\n", "x".repeat(2_000));
    assert!(read_for("text/csv", &long, &signature).unwrap_err().contains("2000 bytes"));
    assert!(read_for("text/csv", "\u{1b}[2J,2,NY\n", &signature).unwrap()[0].is_nan());
}

#[test]
fn a_row_may_name_its_columns_within_objects() {
    let signature = signature(3, &["customer.age", "data.minutes", "amount"]);
    for row in [
        r#"{"customer":{"age":31},"data":{"minutes":2},"amount":5}"#,
        r#"{"amount":5,"customer.age":31,"data":{"minutes":2}}"#,
        r#"{"features":[31,2,5]}"#,
    ] {
        let json = format!("{{\"instances\":[{row}]}}");
        for (content, body) in [("application/json", &*json), ("application/jsonlines", row)] {
            assert_eq!(read_for(content, body, &signature).unwrap(), [31.0, 2.0, 5.0], "{body}");
        }
    }
    let missing = read_for(
        "application/jsonlines",
        "{\"customer\":null,\"amount\":1}\n{\"data\":{},\"customer\":{\"age\":7}}",
        &signature,
    );
    let shown: Vec<String> = missing.unwrap().iter().map(f32::to_string).collect();
    assert_eq!(shown.join(" "), "NaN NaN 1 7 NaN NaN");
    for (row, expected) in [
        (
            r#"{"customer":{"agge":1}}"#,
            "row 1: the model knows no column \"customer.agge\" | did you mean \"customer.age\"?",
        ),
        (
            r#"{"customer":5}"#,
            "row 1: invalid type: integer `5`, expected an object with the columns of \"customer\"",
        ),
        (r#"{"customer":{"age":"x"}}"#, "row 1, column 1 (customer.age): "),
    ] {
        let told = read_for("application/jsonlines", row, &signature).unwrap_err();
        assert!(told.starts_with(expected), "{told}");
    }
}
