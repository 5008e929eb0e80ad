//! Every container, whole and broken, with the places that errors name.

use std::io::Write;

use serde_json::{Value, json};

use super::*;

/// A directory with one file of that name.
fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn read(path: &Path) -> Result<Vec<(String, Value)>, String> {
    read_within(path, ROW_BYTES)
}

/// The rows' places, without the path, and values.
fn read_within(path: &Path, row_bytes: usize) -> Result<Vec<(String, Value)>, String> {
    let rows = Rows::within(&DataFiles::one(path), row_bytes);
    let prefix = path.display().to_string();
    let shown = |text: String| text.replacen(&prefix, "", 1);
    rows.map(|row| match row {
        Ok(row) => Ok((shown(row.place.to_string()), Value::Object(row.fields))),
        Err(error) => Err(shown(error.to_string())),
    })
    .collect()
}

fn rows_of(name: &str, bytes: impl AsRef<[u8]>) -> Result<Vec<(String, Value)>, String> {
    let (_dir, path) = written(name, bytes.as_ref());
    read(&path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

const LINES: &str = "{\"a\": 1, \"b\": \"é\"}\n\n{\"a\": 2, \"b\": \"]\"}\n";

fn values() -> [Value; 2] {
    [json!({"a": 1, "b": "é"}), json!({"a": 2, "b": "]"})]
}

#[test]
fn every_container_and_compression_has_the_same_rows() {
    let list = "\u{feff}\n [ {\"a\": 1, \"b\": \"é\"},\n{\"a\": 2,\n \"b\": \"]\"} ]\n";
    for (name, content, places) in [
        ("a.jsonl", LINES, [":1", ":3"]),
        ("a.txt", LINES, [":1", ":3"]),
        ("a.json", list, [":2 (row 1)", ":3 (row 2)"]),
    ] {
        let [first, second] = values();
        let expected = vec![
            (places[0].to_owned(), first),
            (places[1].to_owned(), second),
        ];
        assert_eq!(rows_of(name, content).as_ref(), Ok(&expected));
        let bytes = content.as_bytes();
        let packed = [
            (format!("{name}.gz"), gzip(bytes)),
            (format!("{name}.zst"), zstd(bytes)),
            // Compression is told by the bytes, and several members or frames are one text.
            (
                name.to_owned(),
                [gzip(&bytes[..9]), gzip(&bytes[9..])].concat(),
            ),
            (
                name.to_owned(),
                [zstd(&bytes[..9]), zstd(&bytes[9..])].concat(),
            ),
        ];
        for (name, bytes) in packed {
            assert_eq!(rows_of(&name, bytes).as_ref(), Ok(&expected), "{name}");
        }
    }
    assert_eq!(
        rows_of("a.json", "[]").unwrap_err(),
        ": no records in this file"
    );
}

#[test]
fn tables_have_texts_and_lines() {
    let table = "\u{feff}a,\"b \"\"x\"\"\",c\r\n1,\"two\r\nlines, \"\"quoted\"\"\",\r\n\n2,é,3";
    let expected = vec![
        (
            ":2 (row 1)".to_owned(),
            json!({"a": "1", "b \"x\"": "two\r\nlines, \"quoted\"", "c": ""}),
        ),
        (
            ":5 (row 2)".to_owned(),
            json!({"a": "2", "b \"x\"": "é", "c": "3"}),
        ),
    ];
    assert_eq!(rows_of("a.csv", table).as_ref(), Ok(&expected));
    assert_eq!(
        rows_of("a.csv.gz", gzip(table.as_bytes())).as_ref(),
        Ok(&expected)
    );
    let one = |value: Value| vec![(":2 (row 1)".to_owned(), value)];
    assert_eq!(
        rows_of("a.tsv", "a\tb,c\n1\t2\n"),
        Ok(one(json!({"a": "1", "b,c": "2"})))
    );
    assert_eq!(
        rows_of("a.csv", "a;b\n1;2,5\n"),
        Ok(one(json!({"a": "1", "b": "2,5"})))
    );
    // The unnamed column that pandas writes is nobody's.
    assert_eq!(rows_of("a.csv", ",a\n0,x\n"), Ok(one(json!({"a": "x"}))));
}

#[test]
fn broken_tables_are_told_by_line_and_column() {
    for (table, expected) in [
        (
            "a,b\n1,\"x\n2,y\n",
            ":2 (row 1): column 3: the quote that opens here is never closed",
        ),
        (
            "a,b\n1,2\n3,x\"y\"\n",
            ":3 (row 2): column 4: a quote within a value",
        ),
        (
            "a,b\n1,\"x\"y\n",
            ":2 (row 1): column 6: something follows the quote",
        ),
        (
            "a,b\n1,2,3\n",
            ":2 (row 1): has 3 values, and the header names 2 columns",
        ),
        ("a,a\n1,2\n", ":1: two columns are called \"a\""),
    ] {
        let error = rows_of("a.csv", table).unwrap_err();
        assert!(error.starts_with(expected), "{table}: {error}");
    }
    let error = rows_of("a.csv", b"a,b\n1,x\xff\n").unwrap_err();
    assert_eq!(error, ":2 (row 1): field `b`: invalid UTF-8 after 1 bytes");
}

#[test]
fn broken_json_is_told_by_line_and_column() {
    for (name, text, expected) in [
        (
            "a.jsonl",
            "{\"a\": 1}\n{\"a\": }\n",
            ":2: column 7: expected value",
        ),
        (
            "a.jsonl",
            "{\n\"a\": 1\n}\n",
            ":1: column 1: EOF while parsing an object; hint: a file of JSON lines",
        ),
        (
            "a.json",
            "[{\"a\": 1},\n {\"a\":\n 1,}]",
            ":3 (row 2): column 4: trailing comma",
        ),
        (
            "a.json",
            "[{\"a\": 1}, {\"a\": }]",
            ":1 (row 2): column 18: expected value",
        ),
        (
            "a.json",
            "[{\"a\": 1} {\"a\": 2}]",
            ":1 (row 1): column 11: trailing characters",
        ),
        (
            "a.json",
            "[{\"a\": 1},\n{\"a\": 2}",
            ":2: column 9: the file ends within",
        ),
        (
            "a.json",
            "[{\"a\": 1}\n",
            ":2: column 1: the file ends within",
        ),
        (
            "a.json",
            "[{\"a\": 1}] x",
            ":1: column 12: something follows the end",
        ),
        (
            "a.json",
            "[{\"a\": 1}, 7]",
            ":1 (row 2): expected an object, got a number",
        ),
        ("a.json", "[{\"a\": 1},]", ":1 (row 2): column "),
    ] {
        let error = rows_of(name, text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let error = rows_of("a.json", b"[{\"a\": 1},\n{\"a\": \"\xff\"}]").unwrap_err();
    assert_eq!(error, ":2 (row 2): invalid UTF-8 after 7 bytes of the row");
    // Brackets without end cost neither a stack nor the memory of the file.
    let deep = format!("{{\"a\": {}", "[".repeat(1 << 20));
    assert!(
        rows_of("a.jsonl", &deep)
            .unwrap_err()
            .contains("recursion limit")
    );
}

#[test]
fn what_is_compressed_and_cut_short_is_told() {
    let line = "{\"a\": \"some text that is not the same\", \"b\": 12345}\n".repeat(10_000);
    for (name, bytes) in [
        ("a.jsonl.gz", gzip(line.as_bytes())),
        ("a.jsonl.zst", zstd(line.as_bytes())),
    ] {
        let error = rows_of(name, &bytes[..bytes.len() - 9]).unwrap_err();
        assert!(
            error.contains("the compressed data end here; hint: the file was cut short")
                || error.contains("cannot be read on"),
            "{error}"
        );
    }
}

#[test]
fn a_row_has_a_limit_and_a_file_has_none() {
    let bomb = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
    let list = format!("[{{\"a\": 1}}, {bomb}]");
    let table = format!("a,b\n1,{}\n", "x".repeat(1 << 20));
    for (name, content, expected) in [
        (
            "a.jsonl.gz",
            format!("{{\"a\": 1}}\n{bomb}"),
            ":2: the line has more than 65536 bytes",
        ),
        (
            "a.json.gz",
            list,
            ":1 (row 2): the row has more than 65536 bytes",
        ),
        (
            "a.csv.gz",
            table,
            ":2 (row 1): the row has more than 65536 bytes",
        ),
    ] {
        let (_dir, path) = written(name, &gzip(content.as_bytes()));
        assert!(path.metadata().unwrap().len() < 4096);
        assert_eq!(read_within(&path, 1 << 16).unwrap_err(), expected);
        assert!(read(&path).is_ok());
    }
    let many = gzip("{\"a\": 1}\n".repeat(1 << 18).as_bytes());
    let (_dir, path) = written("a.jsonl.gz", &many);
    assert_eq!(read_within(&path, 64).unwrap().len(), 1 << 18);
}

#[test]
fn what_is_no_data_is_named() {
    for (name, bytes, expected) in [
        (
            "a.parquet",
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..],
            ": is a Git-LFS pointer and not the data; hint: run `git lfs pull`",
        ),
        (
            "a.jsonl",
            b"PK\x03\x04zip",
            ": is a zip archive; hint: unpack it",
        ),
        (
            "a.parquet",
            b"{\"a\": 1}",
            ": does not begin as a Parquet file does",
        ),
        (
            "a.jsonl",
            b"\x80\x04\x95pickle",
            ": is a pickle, which may run code",
        ),
        ("a.json", b"<!DOCTYPE html>", ": is a page of the web"),
        (
            "a.arrow",
            b"ARROW1\0\0",
            ": is an Arrow file; hint: write it as Parquet",
        ),
        (
            "a.parquet.gz",
            &gzip(b"PAR1xxxxPAR1"),
            ": is a Parquet file that is compressed as a whole",
        ),
    ] {
        let error = rows_of(name, bytes).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn shards_are_read_by_name_and_splits_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let row = |number: u32| format!("{{\"n\": {number}}}\n");
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write(
        "data/train-00001-of-00002.jsonl.gz",
        &gzip(row(2).as_bytes()),
    );
    write("data/train-00000-of-00002.jsonl", row(1).as_bytes());
    write("data/test-00000-of-00001.jsonl", row(3).as_bytes());
    write("README.md", b"about");
    write("dataset_infos.json", b"{}");
    write(".hidden/x.jsonl", b"nothing");
    let numbers = |part: &Part| -> Result<Vec<u64>, String> {
        let files = DataFiles::find(dir.path(), part).map_err(|error| error.to_string())?;
        Ok(Rows::of(&files)
            .map(|row| row.unwrap().fields["n"].as_u64().unwrap())
            .collect())
    };
    let split = |name: &str| Part::new(None, Some(name.to_owned()));
    assert_eq!(numbers(&Part::default()), Ok(vec![1, 2]));
    assert_eq!(numbers(&split("test")), Ok(vec![3]));
    let error = numbers(&split("dev")).unwrap_err();
    assert!(
        error.ends_with("has no split \"dev\"; there are: test, train"),
        "{error}"
    );
    let file = dir.path().join("data/test-00000-of-00001.jsonl");
    let error = DataFiles::find(&file, &split("test"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is one file, of which no subset or split"),
        "{error}"
    );
    write("data/train-extra.csv", b"n\n4\n");
    let error = numbers(&Part::default()).unwrap_err();
    assert!(error.contains("has files of several kinds: data/train-extra.csv, data/train-00000-of-00002.jsonl; hint"), "{error}");
}

#[test]
fn names_on_the_hub_say_subset_and_split() {
    let choose = |names: &[&str], subset: Option<&str>, split: Option<&str>| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let part = Part::new(subset.map(str::to_owned), split.map(str::to_owned));
        DataFiles::choose("owner/name", &names, &part).map_err(|error| error.to_string())
    };
    let gsm8k = [
        ".gitattributes",
        "README.md",
        "main/test-00000-of-00001.parquet",
        "main/train-00000-of-00001.parquet",
        "socratic/test-00000-of-00001.parquet",
        "socratic/train-00000-of-00001.parquet",
    ];
    assert_eq!(
        choose(&gsm8k, Some("main"), None).unwrap(),
        ["main/train-00000-of-00001.parquet"]
    );
    assert_eq!(
        choose(&gsm8k, Some("socratic"), Some("test")).unwrap(),
        ["socratic/test-00000-of-00001.parquet"]
    );
    let error = choose(&gsm8k, None, None).unwrap_err();
    assert!(
        error.contains(
            "owner/name: has several subsets: main, socratic; hint: name one with subset ="
        ),
        "{error}"
    );
    // A branch that the hub makes of every data set, and splits with names of their own.
    let converted = [
        "default/test/0000.parquet",
        "default/train/0000.parquet",
        "default/train/0001.parquet",
    ];
    assert_eq!(choose(&converted, None, None).unwrap(), converted[1..]);
    let chat = [
        "data/train_sft-00000-of-00001.parquet",
        "data/train_gen-00000-of-00001.parquet",
    ];
    assert_eq!(choose(&chat, None, Some("train_sft")).unwrap(), chat[..1]);
    assert!(
        choose(&chat, None, None)
            .unwrap_err()
            .contains("has several splits: train_gen, train_sft")
    );
    assert_eq!(
        choose(&["math_500.jsonl"], None, None).unwrap(),
        ["math_500.jsonl"]
    );
    assert_eq!(
        choose(&["train.csv", "valid.csv"], None, Some("validation")).unwrap(),
        ["valid.csv"]
    );
    let missing = [
        "data/train-00000-of-00003.parquet",
        "data/train-00002-of-00003.parquet",
    ];
    let error = choose(&missing, None, None).unwrap_err();
    assert!(
        error.contains("has 2 of 3 shards of the split train"),
        "{error}"
    );
    let error = choose(&["script.py"], None, None).unwrap_err();
    assert!(
        error.contains("has no file of data") && error.contains("refs/convert/parquet"),
        "{error}"
    );
    let error = choose(&["data-00000-of-00001.arrow", "state.json"], None, None).unwrap_err();
    assert!(error.contains("has Arrow files"), "{error}");
}

#[test]
fn dotted_names_lead_into_nested_values() {
    let row = json!({"r": {"truth": "4", "x.y": 1}, "l": [{"content": "hi"}], "t": "{\"a\": {\"b\": 7}}", "p.q": 5});
    let (_dir, path) = written("a.jsonl", row.to_string().as_bytes());
    let mut row = Rows::of(&DataFiles::one(&path)).next().unwrap().unwrap();
    for (name, value) in [
        ("r.truth", json!("4")),
        ("r.x.y", json!(1)),
        ("l.0.content", json!("hi")),
        ("t.a.b", json!(7)),
        ("p.q", json!(5)),
    ] {
        assert!(row.has(name), "{name}");
        assert_eq!(row.take(name).unwrap(), value, "{name}");
    }
    assert!(row.fields.contains_key("r") && !row.fields.contains_key("p.q"));
    for name in ["r.none", "l.1.content", "l.x", "t.a.c", "none.a"] {
        assert!(!row.has(name), "{name}");
        let error = row.take(name).unwrap_err().to_string();
        assert!(
            error.contains(&format!("field `{name}`: is missing")),
            "{error}"
        );
    }
}

#[cfg(feature = "parquet")]
mod parquet {
    use super::*;

    /// Made by tests/golden/make_parquet.py with pyarrow.
    fn golden(name: &str) -> PathBuf {
        Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/parquet"
        ))
        .join(name)
    }

    fn expected() -> Vec<Value> {
        let text = std::fs::read_to_string(golden("rows.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_compression_has_the_rows_that_pyarrow_wrote() {
        for name in [
            "none", "snappy", "gzip", "zstd", "lz4", "plain", "delta", "version1",
        ] {
            let rows = read(&golden(&format!("{name}.parquet"))).unwrap();
            let values: Vec<Value> = rows.iter().map(|(_, value)| value.clone()).collect();
            assert_eq!(values, expected(), "{name}");
            assert_eq!(rows[6].0, ": row 7");
        }
    }

    #[test]
    fn a_file_cut_short_anywhere_is_an_error_and_no_panic() {
        let bytes = std::fs::read(golden("zstd.parquet")).unwrap();
        for length in [4, 7, 8, 11, 12, bytes.len() / 2, bytes.len() - 1] {
            let error = rows_of("a.parquet", &bytes[..length]).unwrap_err();
            assert!(
                error.contains("it was cut short after") && error.contains("hint: fetch it again"),
                "{length}: {error}"
            );
        }
    }

    #[test]
    fn damage_within_a_file_is_an_error_or_other_values() {
        let bytes = std::fs::read(golden("snappy.parquet")).unwrap();
        let mut failed = 0;
        for at in (4..bytes.len() - 4).step_by(bytes.len() / 150) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            if let Err(error) = rows_of("a.parquet", &damaged) {
                assert!(error.starts_with(": "), "{error}");
                failed += 1;
            }
        }
        assert!(failed > 20, "{failed}");
    }

    #[test]
    fn a_row_of_a_parquet_file_has_the_limit_too() {
        let error = read_within(&golden("zstd.parquet"), 100).unwrap_err();
        assert_eq!(error, ": row 1: the row has more than 100 bytes");
    }

    #[test]
    fn bytes_that_are_no_text_are_told() {
        let error = read(&golden("bytes.parquet")).unwrap_err();
        assert_eq!(
            error,
            ": row 2: field `image.bytes`: is bytes that are no UTF-8"
        );
    }
}
