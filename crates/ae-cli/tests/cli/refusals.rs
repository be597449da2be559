//! All kinds of bad input are refused with a message in one line and the right exit status.
//!
//! `cargo test -p ae-cli --test cli refusals -- --nocapture` prints the table.

mod command_line;
mod images;
mod tables;

use std::path::PathBuf;

use super::*;

struct Case {
    what: &'static str,
    args: &'static str,
    input: &'static [u8],
    isa: Option<&'static str>,
    status: i32,
    says: &'static str,
}

const fn case(what: &'static str, args: &'static str, status: i32, says: &'static str) -> Case {
    Case { what, args, input: b"", isa: None, status, says }
}

/// In the arguments, `M` is the model, `T` one of a table with columns of all kinds, `P` one of images.
const CASES: &[Case] = &[
    // Data.
    case("no such file", "train nowhere.csv", 1, "nowhere.csv: No such file"),
    case(
        "a folder without images",
        "train folder",
        1,
        "folder: no images (.png, .jpg, .jpeg) in this folder",
    ),
    case("an unknown extension", "train rows.doc", 1, "rows.doc: unknown file format"),
    case("an empty file", "train empty.csv", 1, "empty.csv: no rows"),
    case("a header only", "train names.csv", 1, "names.csv: no rows"),
    case(
        "a text among numbers",
        "train text.csv",
        1,
        "text.csv: row 2 (line 3), column 'b': 'x' is not a number",
    ),
    case(
        "a missing value",
        "train missing.csv",
        1,
        "missing.csv: row 2, column 'a': the value is missing (2 in all)",
    ),
    case(
        "a value beyond f32",
        "train large.csv",
        1,
        "large.csv: row 1, column 'b': 1e39 does not fit a 32-bit float",
    ),
    case("an infinite value", "train infinite.csv", 1, "infinite.csv: row 2, column 'b': "),
    case("a short row", "train ragged.csv", 1, "ragged.csv: row 2 (line 3) has 1 cells, but 2 are expected"),
    case(
        "damaged pages",
        "train pages.parquet",
        1,
        "pages.parquet: not a valid Parquet file: its pages are damaged (",
    ),
    case("an open quote", "train quote.csv", 1, "quote.csv: "),
    case("bytes that are not text", "train bytes.csv", 1, "bytes.csv: "),
    case(
        "two columns of a name",
        "train twice.csv",
        1,
        "twice.csv: not a valid CSV file: two columns are named 'a'",
    ),
    case(
        "a label that is not there",
        "train rows.csv --label kind",
        1,
        "rows.csv: no column 'kind'; there are 'height'",
    ),
    case(
        "NumPy, cut short",
        "train short.npy",
        1,
        "short.npy: truncated: 16 bytes of values expected, 15 found",
    ),
    case("NumPy, no header", "train zeros.npy", 1, "zeros.npy: not a valid NumPy file"),
    case("NumPy of texts", "train texts.npy", 1, "texts.npy: array 'array' holds elements of type '<U3'"),
    case("an invalid archive", "train rows.npz", 1, "rows.npz: not a valid NumPy file"),
    case("invalid Parquet", "train rows.parquet", 1, "rows.parquet: not a valid Parquet file"),
    case("IDX that lies", "train lie-ubyte", 1, "lie-ubyte: truncated: 4000000000 bytes of values expected"),
    case("invalid gzip", "train rows.csv.gz", 1, "rows.csv.gz: "),
    Case {
        input: b"a,b\n1,2\n3\n",
        ..case("standard input, ragged", "train -", 1, "-: row 2 (line 3) has 1 cells")
    },
    case("nothing on standard input", "train -", 1, "-: no rows"),
    // Models.
    case("no such model", "encode nowhere.safetensors rows.csv", 1, "nowhere.safetensors: No such file"),
    case("a table as model", "encode rows.csv rows.csv", 1, "rows.csv: not a readable model"),
    case("a model as table", "encode M M", 1, "model.safetensors: unknown file format"),
    case("an empty model", "info empty.safetensors", 1, "empty.safetensors: not a readable model"),
    case("a model cut short", "info cut.safetensors", 1, "cut.safetensors: not a readable model"),
    case("a header that lies", "info lie.safetensors", 1, "lie.safetensors: not a readable model"),
    case("another program's file", "info other.safetensors", 1, "lacks 'ae.config'"),
    case("a model with NaN", "score nan.safetensors rows.csv", 1, "holds NaN at position 0"),
    // Data and model together.
    case(
        "columns that are missing",
        "score M ab.csv",
        1,
        "ab.csv: columns 'height', 'width', 'depth', 'weight' are missing",
    ),
    case(
        "rows of another width",
        "encode M two.csv",
        1,
        "two.csv: the model expects rows of 4 values, but got 2",
    ),
    case(
        "codes of another width",
        "decode M rows.csv",
        1,
        "rows.csv: the model expects encodings of 2 values, but got 4",
    ),
    case(
        "a rate far too large",
        "train digits --optimizer sgd --learning-rate 100 --epochs 5",
        1,
        "training diverged in epoch 1, batch ",
    ),
    case(
        "a model where nothing may be written",
        "train rows.csv -q --epochs 1 -o /proc/m.safetensors",
        1,
        "/proc/m.safetensors: ",
    ),
    // Reports.
    case(
        "a report as a table",
        "report M rows.csv -o report.csv",
        2,
        "-o report.csv: a report is written as .html",
    ),
    case("a report in no folder", "report M rows.csv -o no/report.html", 2, "there is no folder no"),
    case("a page among objects", "report M rows.csv -o - --json", 2, "cannot share standard output"),
    case(
        "anomalies without labels",
        "report M rows.csv --anomaly odd",
        2,
        "were not provided: --label <COLUMN>",
    ),
    case(
        "a label that is nowhere",
        "report M named.csv --label kind --anomaly odd",
        1,
        "named.csv: no row has the label 'odd' that --anomaly names; labels: usual",
    ),
    case("no history", "report M rows.csv --history none.jsonl", 1, "--history none.jsonl: No such file"),
    case("a history in words", "report M rows.csv --history labels.txt", 1, "labels.txt: line 1: not JSON"),
    case(
        "a history of nothing",
        "report M rows.csv --history empty.safetensors",
        1,
        "no epochs: ae train --json",
    ),
    case("no sweep", "report M rows.csv --sweep none.csv", 1, "--sweep none.csv: there is no such file"),
    case("a sweep of rows", "report M rows.csv --sweep rows.csv", 1, "line 1: not the results of a sweep"),
    case(
        "plots in a file",
        "report M rows.csv --plots rows.csv",
        2,
        "--plots rows.csv: this is not a folder",
    ),
    case("plots in no folder", "report M rows.csv --plots no/plots", 2, "there is no folder no"),
    // Pairs.
    case(
        "fewer targets",
        "train rows.csv --target three.csv",
        1,
        "rows.csv has 30 rows of 4 values, but --target three.csv has 3 rows of 4",
    ),
    case("narrow targets", "evaluate M rows.csv --target two.csv", 1, "but --target two.csv has 2 rows of 2"),
    case("no targets", "train rows.csv --target none.csv", 1, "none.csv: No such file"),
    case("infinite targets", "train two.csv --target infinite.csv", 1, "infinite.csv: row 2"),
    case(
        "rows as their targets",
        "train - --target -",
        2,
        "DATA and --target: standard input can be read only",
    ),
    case("a sweep of pairs", "sweep rows.csv --sizes 2 --target rows.csv", 2, "--target is for ae train and"),
    case("a report of pairs", "report M rows.csv --target rows.csv", 2, "--target is for ae train and"),
    case("maps of one row", "report M ab4.csv --compare", 1, "1 rows are too few to map"),
    case("half of the rows", "train rows.csv --robust 0.5", 2, "--robust: 0.5 is out of range"),
    case("a sweep of nothing", "sweep rows.csv", 2, "--sizes"),
    case("two sweeps", "sweep rows.csv --sizes 2 --vary epochs=1,2", 2, "--vary"),
    case("a flag without values", "sweep rows.csv --vary epochs", 2, "expected FLAG=VALUE,VALUE,..."),
    case("a value twice", "sweep rows.csv --vary epochs=1,2,1", 2, "'1' is given twice"),
    case("an unknown flag", "sweep rows.csv --vary epoch=1,2", 2, "--vary epoch=1: "),
    case("a bad value", "sweep rows.csv --vary epochs=1,x", 2, "--vary epochs=x: "),
    case("an impossible value", "sweep rows.csv --vary epochs=1,0", 2, "--vary epochs=0: "),
    case(
        "a common setting",
        "sweep rows.csv --vary seed=1,2",
        2,
        "--vary seed: all models of a sweep share this setting",
    ),
    case("a size in vain", "sweep rows.csv --vary encoding-dim=1,2", 2, "are set by --sizes"),
    case("a robust sweep", "sweep rows.csv --sizes 2 --robust 0.1", 2, "--robust is for ae train"),
    case(
        "a log in a file",
        "train rows.csv --log-dir rows.csv",
        2,
        "--log-dir rows.csv: this is not a folder",
    ),
    case("a log among files", "train rows.csv --log-dir .", 2, "--log-dir .: it is not empty"),
    case(
        "a log below a file",
        "train rows.csv --log-dir rows.csv/a -o folder/m.safetensors",
        1,
        "--log-dir rows.csv/a",
    ),
    case(
        "a log in the checkpoint",
        "train rows.csv --checkpoint c --log-dir c",
        2,
        "--log-dir c: it must differ from -o and --checkpoint",
    ),
    case(
        "a log in the model",
        "train rows.csv -o m --log-dir m",
        2,
        "--log-dir m: it must differ from -o and",
    ),
    case("a sweep's log", "sweep rows.csv --sizes 2 --log-dir logs", 2, "--log-dir is for ae train"),
    case("a range of a table", "report M rows.csv --range 2", 2, "--range is for images"),
];

fn folder() -> tempfile::TempDir {
    let dir = trained();
    let folder = dir.path();
    std::fs::create_dir(folder.join("folder")).unwrap();
    std::fs::create_dir(folder.join("folder.svg")).unwrap();
    let npy = |descr: &str, shape: &str, data: &[u8]| {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), data].concat()
    };
    let files: [(&str, &[u8]); 24] = [
        ("rows.doc", b"1,2\n"),
        ("empty.csv", b""),
        ("names.csv", b"a,b\n"),
        ("text.csv", b"a,b\n1,2\n3,x\n"),
        ("missing.csv", b"a,b\n1,2\n,3\n4,NA\n"),
        ("large.csv", b"a,b\n1,1e39\n"),
        ("infinite.csv", b"a,b\n1,2\n3,inf\n"),
        ("ragged.csv", b"a,b\n1,2\n3\n"),
        ("quote.csv", b"a,b\n1,2\n\"3,4\n"),
        ("bytes.csv", b"a,b\n1,2\n\xff\xfe,4\n"),
        ("twice.csv", b"a,a\n1,2\n"),
        ("ab.csv", b"a,b\n1,2\n"),
        ("two.csv", b"1,2\n3,4\n"),
        ("short.npy", &npy("<f4", "(2, 2)", &[0; 15])),
        ("zeros.npy", &[0; 64]),
        ("texts.npy", &npy("<U3", "(1, 1)", &[0; 12])),
        ("rows.npz", b"PK\x03\x04 and nothing else"),
        // Numbers in an encoding with another width: the parser panics.
        ("pages.parquet", include_bytes!("refusals/pages.parquet")),
        ("rows.parquet", b"PAR1 and nothing else PAR1"),
        ("lie-ubyte", &[0, 0, 8, 2, 0xee, 0x6b, 0x28, 0, 0, 0, 0, 1, 7]),
        ("rows.csv.gz", b"\x1f\x8bnothing"),
        ("empty.safetensors", b""),
        ("lie.safetensors", &[&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        ("other.safetensors", &[&2u64.to_le_bytes()[..], b"{}"].concat()),
    ];
    files.iter().for_each(|(name, bytes)| write(folder, name, bytes));
    write(folder, "ab4.csv", "height,width,depth,weight\n1,2,3,4\n");
    write(folder, "labels.txt", "a\nb\na\n");
    let named = |line: &str| line.to_owned() + if line.starts_with('h') { ",kind\n" } else { ",usual\n" };
    write(folder, "named.csv", table().lines().map(named).collect::<String>());
    write(folder, "gap.txt", "a\n\na\n");
    write(folder, "halves.npy", npy("<f4", "(2, 1)", &[0.0f32, 0.5].map(f32::to_le_bytes).concat()));
    write(folder, "pairs.npy", npy("<f4", "(1, 2)", &[0; 8]));
    write(folder, "three.csv", table().lines().take(4).collect::<Vec<_>>().join("\n"));
    write(folder, "holes.csv", table().replacen("\n0,", "\n,", 1));
    let masked =
        ["train", "holes.csv", "--missing", "mask", "--epochs", "1", "-q", "-o", "masked.safetensors"];
    ae(folder, &masked);
    tables::write_files(folder);
    images::write_files(folder);
    write(folder, "wrong.toml", "epoch = 3\n");
    write(folder, "zero.toml", "epochs = 0\n");
    write(folder, "text.toml", "epochs = 'five'\n");
    let model = std::fs::read(folder.join("model.safetensors")).unwrap();
    write(folder, "cut.safetensors", &model[..model.len() - 5]);
    let header = 8 + u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    let mut nan = model.clone();
    // NaN in either width.
    nan[header..].fill(0xff);
    write(folder, "nan.safetensors", nan);
    dir
}

/// Expands the abbreviations of models.
fn in_full(word: &'static str) -> &'static str {
    match word {
        "M" => "model.safetensors",
        "T" => "kinds.safetensors",
        "P" => "photos.safetensors",
        word => word,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let dir = folder();
    let before = files(dir.path());
    println!("| what | `ae …` | status | message |\n|---|---|---|---|");
    let mut wrong = Vec::new();
    for case in command_line::CASES.iter().chain(CASES).chain(tables::CASES).chain(images::CASES) {
        let args: Vec<&str> = case.args.split(' ').map(in_full).collect();
        let variables: Vec<(&str, &str)> = case.isa.iter().map(|isa| ("AE_ISA", *isa)).collect();
        let ended = ae_with(dir.path(), &args, case.input, &variables);
        // Progress may come first; the last line is the reason.
        let reason = ended.err.lines().last().unwrap_or_default();
        println!("| {} | `{}` | {} | {reason} |", case.what, case.args, ended.status.unwrap_or(-1));
        let good = ended.status == Some(case.status)
            && reason.starts_with("ae: ")
            && reason.contains(case.says)
            && !ended.err.contains("panicked");
        let lines = ended.err.lines().filter(|line| line.starts_with("ae: ")).count();
        if !good || lines != 1 {
            wrong.push(format!("{} ({}): {:?}, {}", case.what, case.args, ended.status, ended.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files(dir.path()), before, "nothing is left behind by what failed");
}

/// A failed training run leaves an existing model file unchanged.
#[test]
fn a_failed_training_leaves_the_old_model() {
    let dir = trained();
    let before = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let args = "train digits --optimizer sgd --learning-rate 100 -o model.safetensors";
    let args: Vec<&str> = args.split(' ').collect();
    assert_eq!(ae_with(dir.path(), &args, b"", &[]).status, Some(1));
    assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), before);
}
