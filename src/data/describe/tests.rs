use std::io::Cursor;

use super::*;

fn table(text: &str, options: &Options, before: Option<&Profile>) -> Result<Profile, Error> {
    let object = Object {
        uri: "a.csv".into(),
        bytes: Some(text.len() as u64),
        reader: Box::new(Cursor::new(text.as_bytes().to_vec())),
    };
    profile(vec![object], "a.csv", options, before)
}

fn told(text: &str) -> Report {
    report(&table(text, &Options::default(), None).unwrap(), None)
}

fn kinds(report: &Report) -> Vec<(&'static str, Vec<String>)> {
    report.findings.iter().map(|finding| (finding.kind, finding.columns.clone())).collect()
}

fn has(report: &Report, kind: &str, columns: &[&str]) -> bool {
    kinds(report).iter().any(|(found, named)| *found == kind && named == columns)
}

/// A generator of rows that needs no crate.
fn spread(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    cells::mixed(*seed)
}

#[test]
fn a_small_table_is_told_exactly() {
    let report = told("y,a,w,e\n1,2,red,\n0,4.5,\"blue, dark\",\n1,,red,\n0,-1,NA,\n");
    let table = &report.table;
    assert_eq!((table.rows, table.header, table.label, table.objects), (4, true, Some(0), 1));
    let a = &table.columns[1];
    assert_eq!((a.kind, a.missing, a.distinct, a.numbers), (Kind::Number, 1, 3.0, 3));
    let q = a.quantiles.unwrap();
    assert_eq!((q.min, q.p50, q.max), (-1.0, 2.0, 4.5));
    assert!((a.mean.unwrap() - 5.5 / 3.0).abs() < 1e-12);
    assert!((a.sd.unwrap() - 2.753_785).abs() < 1e-6);
    let w = &table.columns[2];
    assert_eq!((w.kind, w.missing, w.distinct), (Kind::Words, 1, 2.0));
    assert_eq!((w.top[0].value.as_str(), w.top[0].count), ("red", 2));
    assert_eq!(table.columns[3].kind, Kind::Empty);
    assert_eq!(table.quantile_rank_error, 0.0);
    assert!(has(&report, "constant", &["e"]));
}

#[test]
fn a_header_is_found_where_words_stand_above_numbers() {
    for (text, header, rows) in [
        ("y,a\n1,2\n", true, 1),
        ("1,2\n3,4\n", false, 2),
        ("yes,red\nno,blue\n", false, 2),
        ("y,y\n1,2\n", false, 2),
    ] {
        let report = told(text);
        assert_eq!((report.table.header, report.table.rows), (header, rows), "{text}");
    }
    let options = Options { header: Some(true), ..Options::default() };
    assert_eq!(report(&table("yes,red\nno,blue\n", &options, None).unwrap(), None).table.rows, 1);
}

#[test]
fn what_a_careful_person_looks_for_is_found() {
    let mut seed = 7;
    let mut text = String::from("y,leak,nearly,id,constant,x,copy,near,word,date,text,mixed\n");
    for row in 0..1_000 {
        let random = spread(&mut seed);
        let y = random % 2;
        let x = (random >> 8) % 1_000;
        let nearly = if row % 100 == 0 { 1 - y } else { y };
        text.push_str(&format!(
            "{y},{},{nearly},u{row:05},5,{x},{x},{},{},2026-01-{:02},\"once upon a time there was number {row}\",{}\n",
            10 - 5 * y,
            2 * x + row % 2,
            ["red", "blue"][(random >> 40) as usize % 2],
            1 + row % 28,
            if row % 50 == 0 { "none".into() } else { (random >> 20).to_string() },
        ));
    }
    let report = told(&text);
    for (kind, column) in [
        ("leak", "leak"),
        ("leak", "nearly"),
        ("id", "id"),
        ("constant", "constant"),
        ("copy", "copy"),
        ("near_copy", "near"),
        ("date", "date"),
        ("mixed", "mixed"),
    ] {
        assert!(has(&report, kind, &[column]), "{kind} {column}: {:?}", kinds(&report));
    }
    let grave: Vec<_> = report.findings.iter().filter(|f| f.severity == Severity::Grave).collect();
    assert_eq!(grave.len(), 1, "{grave:?}");
    assert_eq!(grave[0].columns, ["leak"]);
    for column in ["x", "word"] {
        assert!(!kinds(&report).iter().any(|(_, named)| named.contains(&column.to_owned())));
    }
}

#[test]
fn rows_in_both_tables_are_counted_by_value() {
    let first = table("y,a,b\n1,2,x\n0,3,y\n0,3,y\n1,4.0,z\n0,4,z\n", &Options::default(), None);
    let first = first.unwrap();
    assert_eq!(report(&first, None).table.duplicate_rows, 1.0);
    assert_eq!(report(&first, None).table.contradicting_rows, 1.0);
    let text = "y,a,b\n1,2.0,x\n1,\"3\",y\n0,9,y\n1,+2e0, x \n";
    let second = table(text, &Options::default(), Some(&first)).unwrap();
    let report = report(&first, Some(&second));
    let both = report.second.as_ref().unwrap();
    assert_eq!((both.features_in_first, both.rows_in_first), (Some(3.0), Some(2.0)));
    assert!(has(&report, "rows_in_both", &[]));
}

#[test]
fn a_column_that_has_moved_is_told_and_one_that_has_not_is_not() {
    let make = |shift: u64, words: &str, mut seed: u64| {
        let mut text = String::from("y,moved,still,word\n");
        for _ in 0..2_000 {
            let random = spread(&mut seed);
            let word = if random.is_multiple_of(3) { words } else { "same" };
            text.push_str(&format!(
                "{},{},{},{word}\n",
                random % 2,
                (random >> 8) % 100 + shift,
                (random >> 20) % 100
            ));
        }
        text
    };
    let first = table(&make(0, "old", 1), &Options::default(), None).unwrap();
    let second = table(&make(40, "new", 2), &Options::default(), Some(&first)).unwrap();
    let report = report(&first, Some(&second));
    assert!(has(&report, "moved", &["moved", "word"]), "{:?}", kinds(&report));
    assert!(has(&report, "unseen_words", &["word"]));
    assert!(!kinds(&report).iter().any(|(_, named)| named.contains(&"still".to_owned())));
}

#[test]
fn the_answer_does_not_depend_on_blocks() {
    let mut text = String::from("y,a,w\n");
    let mut seed = 3;
    for _ in 0..3_000 {
        let random = spread(&mut seed);
        text.push_str(&format!("{},{},w{}\n", random % 3, random % 777, random % 13));
    }
    let json = |block_bytes| {
        let options = Options { block_bytes, ..Options::default() };
        let found = table(&text, &options, None).unwrap();
        serde_json::to_string(&report(&found, None)).unwrap()
    };
    assert_eq!(json(1_000), json(1 << 20));
}

#[test]
fn json_lines_are_described_as_csv_is() {
    let options = Options { media: Media::JsonLines, ..Options::default() };
    let lines = "{\"label\":1,\"a\":2,\"w\":\"red\"}\n\n{\"w\":\"blue\",\"label\":0,\"a\":null}\n";
    let found = table(lines, &options, None).unwrap();
    let report = report(&found, None);
    assert_eq!((report.table.rows, report.table.label), (2, Some(0)));
    assert_eq!(report.table.columns[1].missing, 1);
    assert_eq!(report.table.columns[2].kind, Kind::Words);
    let list = "{\"features\":[1,2],\"label\":0}\n{\"features\":[1],\"label\":0}\n";
    let error = table(list, &options, None).err().unwrap().to_string();
    assert!(error.contains("line 2: the list \"features\" has 1 entries"), "{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let of = |text: &str, options: &Options| table(text, options, None).err().unwrap().to_string();
    let plain = Options::default();
    assert!(of("a,b\n1,2\n3\n", &plain).contains("a.csv, line 3: the line has 1 columns"));
    assert!(of("a,b\n1,\"2\n", &plain).contains("quote"));
    assert!(of("", &plain).contains("holds no rows"));
    let named = Options { label: Label::Named("lable".into()), ..Options::default() };
    assert!(of("label,b\n1,2\n", &named).contains("no column is named \"lable\""));
    let first = table("y,a\n1,2\n", &plain, None).unwrap();
    let other = table("y,b\n1,2\n", &plain, Some(&first)).err().unwrap().to_string();
    assert!(other.contains("the column \"b\" where the first one has \"a\""), "{other}");
}

#[test]
fn memory_is_bounded_and_estimates_are_near() {
    use crate::spec::limit::{DESCRIBE_DISTINCT_MAX, DESCRIBE_SAMPLE_ROWS_MAX};
    let rows = 2 * DESCRIBE_DISTINCT_MAX as u64;
    let mut text = String::from("y,a,w\n");
    for row in 0..rows {
        text.push_str(&format!("{},{row},w{row}\n", row % 2));
    }
    let report = told(&text);
    let table = &report.table;
    assert_eq!(table.sample_rows, DESCRIBE_SAMPLE_ROWS_MAX);
    assert!(table.quantile_rank_error > 0.0 && table.quantile_rank_error < 0.007);
    for column in &table.columns[1..] {
        assert!(!column.distinct_exact);
        assert!((column.distinct / rows as f64 - 1.0).abs() < 0.03, "{}", column.distinct);
    }
    let median = table.columns[1].quantiles.unwrap().p50;
    assert!((median / rows as f64 - 0.5).abs() < 0.007, "{median}");
    assert!(has(&report, "id", &["w"]));
}

#[test]
fn values_within_objects_are_columns_of_their_own() {
    let options = Options { media: Media::JsonLines, ..Options::default() };
    let text = "{\"a\":{\"b\":1,\"l\":[1,2]},\"label\":0,\"none\":[]}\n{\"a\":{\"b\":3},\"label\":1,\"none\":5}\n";
    let report = report(&table(text, &options, None).unwrap(), None);
    let names: Vec<&str> = report.table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a.b", "a.l[0]", "a.l[1]", "label"]);
    assert_eq!((report.table.label, report.table.columns[1].missing), (Some(3), 1));
}
