//! Files that are large, packed tightly, or not what their names say: refused within bounds, whoever made them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use runner::data::spec::DataSpec;
use runner::data::{Ledger, Need, read_rows};

use super::helper::{spec, told};

/// What a file comes to with rows of at most `max_row_bytes`: its rows and the reasons in its ledger, or the
/// error.
fn read(path: &Path, max_row_bytes: usize) -> Result<(Vec<String>, Vec<String>), String> {
    let data = DataSpec { max_row_bytes, max_bad_rows: 100, ..spec(&[path]) };
    let mut ledger = Ledger::new();
    match read_rows(&data, Need::Preference, &mut ledger) {
        Ok(rows) => {
            let reasons = ledger.entries().iter();
            let reasons = reasons.map(|entry| format!("{}: {}", entry.origin.line, entry.reason.kind()));
            Ok((rows.iter().map(told).collect(), reasons.collect()))
        }
        Err(error) => {
            Err(format!("{error:#}").replace(&format!("{}/", path.parent().unwrap().display()), ""))
        }
    }
}

fn written(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

const ROW: &str = r#"{"prompt": "q", "chosen": "y", "rejected": "n"}"#;

#[test]
fn a_long_row_is_malformed_and_the_others_are_read() {
    let long = ROW.replace("q", &"q".repeat(3000));
    for (name, text) in [
        ("rows.jsonl", format!("{ROW}\n{long}\n{ROW}\n")),
        ("rows.json", format!("[{ROW},\n{long},\n{ROW}\n]")),
        ("rows.csv", format!("prompt,chosen,rejected\nq,y,n\n{},y,n\nq,y,n\n", "q".repeat(3000))),
    ] {
        let line = if name.ends_with("csv") { 3 } else { 2 };
        let (_folder, path) = written(name, &text);
        let row = "u:q > a:y | a:n".to_owned();
        let expected = Ok((vec![row; 2], vec![format!("{line}: longer than max_row_bytes")]));
        assert_eq!(read(&path, 2000), expected, "{name}");
        assert_eq!(read(&path, 20_000).unwrap().0.len(), 3, "{name}");
        let (_folder, packed) =
            written(&format!("{name}.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap());
        assert_eq!(read(&packed, 2000), expected, "{name}.zst");
    }
}

/// A line of 300 MB in a few kilobytes.
#[test]
fn what_a_packed_file_unpacks_to_is_not_held() {
    let packed = zstd::encode_all(std::io::Read::take(std::io::repeat(b'x'), 300_000_000), 1).unwrap();
    assert!(packed.len() < 100_000);
    for kind in ["jsonl", "json", "csv"] {
        let (_folder, path) = written(&format!("rows.{kind}.zst"), &packed);
        let error = read(&path, 1_000_000).unwrap_err();
        assert!(error.contains("max_row_bytes"), "{kind}: {error}");
    }
}

#[test]
fn quotes_that_swallow_lines_name_the_line() {
    let (_folder, path) = written("rows.csv", "prompt,chosen,rejected\na,b,c\nd,e,\"f\ng,h,i\n");
    let error = read(&path, 1_000_000).unwrap_err();
    assert!(error.starts_with("`rows.csv` line 3: a quotation mark opens a cell here and is never closed"));
    let (_folder, path) = written("rows.csv", "prompt,chosen,rejected\na,b,c\nd,e,\"f\ng,h,\"i\nj,k,l\n");
    let (rows, reasons) = read(&path, 1_000_000).unwrap();
    assert_eq!((rows.len(), reasons), (2, vec!["3: not a CSV record".to_owned()]));
}

#[test]
fn names_that_stand_twice_are_refused() {
    let (_folder, path) = written("rows.csv", "prompt,chosen,rejected,chosen\na,b,c,d\n");
    let error = read(&path, 1_000_000).unwrap_err();
    assert!(error.contains("columns 2 and 4 of the header are both called `chosen`"), "{error}");
    let twice = r#"{"prompt": "q", "chosen": "y", "rejected": "n", "chosen": "z"}"#;
    for (name, text) in
        [("rows.jsonl", format!("{ROW}\n{twice}\n")), ("rows.json", format!("[{ROW},\n{twice}]"))]
    {
        let (_folder, path) = written(name, text);
        assert_eq!(read(&path, 1_000_000).unwrap().1, ["2: a key twice"], "{name}");
    }
}

#[test]
fn numbers_that_are_none_are_malformed() {
    let numbers = ["nan", "inf", "-Infinity", "1e999", "much", "0x1"];
    let rows: String = numbers.iter().map(|margin| format!("a,b,c,{margin}\n")).collect();
    let (_folder, path) = written("rows.csv", format!("prompt,chosen,rejected,margin\nd,e,f,1\n{rows}"));
    let (rows, reasons) = read(&path, 1_000_000).unwrap();
    assert_eq!((rows.len(), reasons.len()), (1, numbers.len()));
    assert!(reasons.iter().all(|reason| reason.ends_with("wrong type")), "{reasons:?}");
}

#[test]
fn a_file_without_rows_among_others_is_named() {
    let (folder, path) = written("rows.jsonl", ROW);
    let empty = folder.path().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let error = read_rows(&spec(&[&path, &empty]), Need::Preference, &mut Ledger::new()).unwrap_err();
    assert!(error.to_string().contains("empty.jsonl"), "{error}");
}

#[test]
fn pipes_and_devices_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("rows.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(read(&pipe, 1_000_000).unwrap_err().contains("is no regular file"));
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("rows.csv")).unwrap();
    assert!(read(&folder.path().join("rows.csv"), 1_000_000).unwrap_err().contains("is no regular file"));
}

/// A parquet file with one column of text.
fn parquet(values: &[&str], codec: parquet::basic::Compression) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType};
    let schema = parquet::schema::parser::parse_message_type(
        "message rows { required binary prompt (UTF8); required binary chosen (UTF8); required binary rejected (UTF8); }",
    );
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(codec)
        .set_dictionary_enabled(false)
        .build();
    let mut bytes = Vec::new();
    let mut writer = parquet::file::writer::SerializedFileWriter::new(
        &mut bytes,
        Arc::new(schema.unwrap()),
        Arc::new(properties),
    )
    .unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut end = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        let texts: Vec<ByteArray> =
            values.iter().map(|value| ByteArray::from(format!("{value}{end}").into_bytes())).collect();
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        end += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn pages_of_a_parquet_file_are_bounded() {
    use parquet::basic::{Compression, ZstdLevel};
    let long = "x".repeat(5_000_000);
    for codec in [Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default()), Compression::UNCOMPRESSED] {
        let (_folder, path) = written("rows.parquet", parquet(&["a", &long], codec));
        let error = read(&path, 1_000_000).unwrap_err();
        assert!(error.contains("max_row_bytes"), "{error}");
        assert_eq!(read(&path, 64_000_000).unwrap().0.len(), 2);
    }
}

/// Well-formed files of each kind.
fn sound(kind: &str) -> Vec<u8> {
    let rows: Vec<String> = (0..6).map(|i| ROW.replace("q", &format!("q{i}"))).collect();
    match kind {
        "jsonl" => rows.join("\n").into_bytes(),
        "json" => format!("[\n{}\n]", rows.join(",\n")).into_bytes(),
        "csv" => b"prompt,chosen,rejected\r\nq,\"y, \"\"z\"\"\",n\r\nq,y,\"n\nn\"\r\n".to_vec(),
        _ => parquet(&["a", "b", "c"], parquet::basic::Compression::SNAPPY),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Damaged files are read, or something is said of them; none ends the program, and none takes for ever.
    #[test]
    fn damaged_files_are_answered_for(
        kind in prop::sample::select(vec!["jsonl", "json", "csv", "parquet"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3usize), 1..6),
    ) {
        let mut bytes = sound(kind);
        for (place, byte, what) in changes {
            let at = place.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let (_folder, path) = written(&format!("rows.{kind}"), &bytes);
        match read(&path, 2000) {
            Ok((rows, reasons)) => prop_assert!(rows.len() + reasons.len() > 0),
            Err(error) => prop_assert!(!error.is_empty()),
        }
    }

    /// Cells are those that the csv crate reads, where nothing follows a closing quotation mark.
    #[test]
    fn cells_are_those_of_the_csv_crate(cells in prop::collection::vec("[a,\" \n\r]{0,5}", 3..12)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["prompt", "chosen", "rejected"]).unwrap();
        for row in cells.chunks_exact(3) {
            writer.write_record([format!("p{}", row[0]), format!("c{}", row[1]), format!("r{}", row[2])]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let (_folder, path) = written("rows.csv", &bytes);
        let (rows, reasons) = read(&path, 10_000).unwrap();
        prop_assert_eq!(reasons.len(), 0);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let expected: Vec<String> = reader
            .records()
            .map(|record| record.unwrap())
            .map(|record| format!("u:{} > a:{} | a:{}", &record[0], &record[1], &record[2]))
            .collect();
        prop_assert_eq!(rows, expected);
    }
}
