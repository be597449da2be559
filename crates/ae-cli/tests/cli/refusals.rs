//! Bad input, all of it: what is wrong is said in one line, with the exit status that the kind of mistake has.
//!
//! `cargo test -p ae-cli --test cli refusals -- --nocapture` prints the table.

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

/// Arguments; `M` stands for the model, `T` for one of a table with columns of all kinds.
const CASES: &[Case] = &[
    // The command line.
    case("unknown command", "tarin digits", 2, "unrecognized subcommand 'tarin'"),
    case("no data", "train", 2, "required arguments were not provided: <DATA>"),
    case("unknown flag", "train digits --epoch 3", 2, "unexpected argument '--epoch' found"),
    case("unknown activation", "train digits --activation swish", 2, "possible values: relu, sigmoid, tanh"),
    case("a word for a number", "train digits --epochs many", 2, "invalid value 'many' for '--epochs <N>'"),
    case("no epochs", "train digits --epochs 0", 2, "--epochs: 0 is out of range"),
    case("no batch", "train digits --batch-size 0", 2, "--batch-size: 0 is out of range"),
    case("a negative rate", "train digits --learning-rate -0.1", 2, "--learning-rate: -0.1 is out of range"),
    case("a rate of NaN", "train digits --learning-rate nan", 2, "--learning-rate: NaN is out of range"),
    case("momentum for sgd", "train digits --momentum 0.9", 2, "--momentum is for --optimizer momentum and"),
    case(
        "too much momentum",
        "train digits --optimizer momentum --momentum 1",
        2,
        "--momentum: 1 is out of range",
    ),
    case("one beta", "train digits --optimizer adam --betas 0.9", 2, "'0.9' is not two numbers divided by a"),
    case("betas of one", "train digits --optimizer adam --betas 0.9,1", 2, "--betas: 1 is out of range"),
    case(
        "a decay for adam",
        "train digits --optimizer adam --weight-decay 0.1",
        2,
        "--weight-decay is for --optimizer adamw",
    ),
    case(
        "a decay of two",
        "train digits --optimizer adamw --weight-decay 2",
        2,
        "--weight-decay: 2 is out of range",
    ),
    case("no such optimizer", "train digits --optimizer lion", 2, "invalid value 'lion'"),
    case("a beta without a vae", "train digits --beta 2", 2, "--beta is for --kind vae"),
    case("a negative beta", "train digits --kind vae --beta -1", 2, "--beta: -1 is out of range"),
    case("a rate in words", "train digits --learning-rate fast", 2, "'fast' is neither a number nor auto"),
    case("a sweep of rates", "sweep digits --sizes 2 --learning-rate auto", 2, "auto is for ae train"),
    case("revival of nothing", "train digits --revive 100", 2, "were not provided: --top-k"),
    case("a batch of nothing", "train digits --batch-top-k", 2, "were not provided: --top-k"),
    case(
        "revival in batches",
        "train digits --top-k 2 --batch-top-k --revive 9",
        2,
        "'--batch-top-k' cannot be used with '--revive",
    ),
    case("more kept than there is", "train digits --top-k 99", 2, "--top-k: 99 is out of range"),
    case("the largest of a vae", "train digits --kind vae --top-k 2", 2, "--top-k is not for --kind vae"),
    case("no samples", "train digits --kind vae --samples 0", 2, "--samples: 0 is out of range"),
    case(
        "a beta with samples",
        "train digits --kind vae --samples 5 --beta 2",
        2,
        "importance-weighted bound has none",
    ),
    case("noise without a name", "train digits --noise 0.3", 2, "gaussian[:SIGMA], masking[:SHARE]"),
    case("too much noise", "train digits --noise masking:1.5", 2, "above 0 and at most 1"),
    case("an unknown loss", "train digits --loss cosine", 2, "mse, mae, huber[:DELTA], bce or gaussian-nll"),
    case(
        "bce of unscaled rows",
        "train digits --loss bce --scale none",
        1,
        "is not between 0 and 1, as cross-entropy needs it",
    ),
    case(
        "bce of standardised rows",
        "train digits --loss bce --scale standard",
        2,
        "--loss: bce is out of range",
    ),
    case("a penalty of a vae", "train digits --kind vae --sparsity l1", 2, "left out with a Gaussian latent"),
    case(
        "a penalty that needs sigmoid",
        "train digits --sparsity kl --encoding-activation relu",
        2,
        "sigmoid with a KL",
    ),
    case("everything dropped", "train digits --dropout 1", 2, "--dropout: 1 is out of range"),
    case(
        "a norm of nothing",
        "train digits --top-k 4 --layer-norm",
        2,
        "--layer-norm: set is out of range: it must be left out without hidden layers",
    ),
    case(
        "a vae with tied weights",
        "train digits --kind vae --tied-weights",
        2,
        "--tied-weights: set is out of range: it must be left out with a Gaussian latent",
    ),
    case(
        "a contraction of two layers",
        "train digits --contractive 0.1 --hidden 20",
        2,
        "it is for an encoder of one dense layer",
    ),
    case(
        "a contraction that expands",
        "train digits --contractive -1",
        2,
        "--contractive: -1 is out of range: it must be above 0",
    ),
    case(
        "unit vectors of a deep network",
        "train digits --unit-norm --hidden 20",
        2,
        "--unit-norm: set is out of range: it must be left out with hidden layers",
    ),
    case(
        "a mean of unit vectors",
        "train digits --unit-norm --top-k 4 --ema 0.9",
        2,
        "left out with ema: a mean of vectors of norm 1 is shorter",
    ),
    case("a negative price", "train digits --l2 -1", 2, "--l2: -1 is out of range"),
    case("a schedule with a typo", "train digits --schedule cosin", 2, "constant, cosine[:END], one-cycle"),
    case("a norm of 0", "train digits --clip-norm 0", 2, "--clip-norm: 0 is out of range"),
    case("a mean that never moves", "train digits --ema 1", 2, "--ema: 1 is out of range"),
    case("settings that are not there", "train digits --config no.toml", 2, "no.toml: No such file"),
    case("settings that are no TOML", "train digits --config rows.csv", 2, "rows.csv: line 1: "),
    case(
        "a misspelt setting",
        "train digits --config wrong.toml",
        2,
        "unknown key 'epoch'; is 'epochs' meant?",
    ),
    case("a setting out of range", "train digits --config zero.toml", 2, "--epochs: 0 is out of range"),
    case("rows of a plain model", "generate M", 1, "needs a variational autoencoder"),
    case("axes of a plain model", "traverse M", 1, "a traversal needs a variational autoencoder"),
    case("one step of an axis", "traverse M --steps 1", 2, "1 is not in 2..=1000"),
    case("a traversal to nowhere", "traverse M --extent 0", 2, "--extent: it must be above 0 and finite"),
    case("no rows made up", "generate M --rows 0", 2, "0 is not in 1..=10000000"),
    case("a size without a picture", "generate M --image 2x2", 2, "--image is for -o FILE.png"),
    case("a size that is none", "interpolate M rows.csv --image 2by2 -o a.png", 2, "not a size like 28x28"),
    case("rows that are no images", "interpolate M rows.csv --image 3x3 -o a.png", 2, "no images of 3x3"),
    case("a row beyond the table", "interpolate M rows.csv --between 1,99", 2, "no row 99"),
    case("row 0", "interpolate M rows.csv --between 0,1", 2, "counted from 1"),
    case("a way of one step", "interpolate M rows.csv --steps 1", 2, "steps is 1"),
    case("no encoding", "train digits --encoding-dim 0", 2, "--encoding-dim: 0 is out of range"),
    case(
        "an immense encoding",
        "train digits --encoding-dim 99999999999",
        2,
        "--encoding-dim: 99999999999 is out of",
    ),
    case("a hidden width of 0", "train digits --hidden 30,0", 2, "'0' is not a width"),
    case("a hidden width left out", "train digits --hidden 30,,20", 2, "'' is not a width"),
    case("all rows for validation", "train digits --validation 1", 2, "--validation: 1 is out of range"),
    case("no threads", "train digits --threads 0", 2, "0 is not in 1..=1024"),
    case("a negative seed", "train digits --seed -1", 2, "invalid value '-1' for '--seed <N>'"),
    case("a long delimiter", "train rows.csv --delimiter ;;", 2, "a single character is needed"),
    case("header and none", "train rows.csv --header --no-header", 2, "cannot be used with"),
    case(
        "no threshold",
        "detect M rows.csv",
        2,
        "--threshold or --contamination is needed where there are no",
    ),
    case(
        "a percentile of nothing",
        "detect M rows.csv --percentile 99",
        2,
        "required arguments were not provided: --reference <DATA>",
    ),
    case(
        "two thresholds",
        "detect M rows.csv --threshold 1 --contamination 0.1",
        2,
        "'--threshold <VALUE>' cannot be used with",
    ),
    case(
        "a share of two",
        "detect M rows.csv --contamination 2",
        2,
        "--contamination: it must be above 0 and at",
    ),
    case(
        "a percentile of 101",
        "detect M rows.csv --reference rows.csv --percentile 101",
        2,
        "--percentile: it must be from 0 to 100",
    ),
    case("a threshold of NaN", "detect M rows.csv --threshold nan", 2, "--threshold: NaN is no threshold"),
    case(
        "a score without its reference",
        "detect M rows.csv --score mahalanobis --threshold 1",
        2,
        "--score: scores other than error need --reference rows",
    ),
    case(
        "a score that needs models of its own",
        "detect M rows.csv --reference rows.csv --score denoising",
        2,
        "invalid value 'denoising' for '--score <SCORE>'",
    ),
    case("a reference that is not there", "detect M rows.csv --reference no.csv", 1, "no.csv: "),
    case(
        "a label that no row has",
        "detect M rows.csv --threshold 1 --label weight --anomaly yes",
        1,
        "rows.csv: ",
    ),
    case("a range without images", "evaluate M rows.csv --range 1", 2, "--range is for images"),
    case("a range of 0", "evaluate M rows.csv --image 2x2 --range 0", 2, "--range: it must be above 0"),
    case("images of another size", "evaluate M rows.csv --image 3x3", 2, "rows.csv has no images of 3x3x1"),
    case("an image that is none", "evaluate M rows.csv --image 3", 2, "'3' is not the size of an image"),
    case("no reference there", "evaluate M rows.csv --reference no.csv", 1, "no.csv: No such file"),
    case(
        "a reference of other columns",
        "evaluate M rows.csv --reference ab.csv",
        1,
        "ab.csv: columns 'height', 'width', 'depth', 'weight' are missing",
    ),
    case("two inputs at once", "evaluate M - --reference -", 2, "standard input can be read only once"),
    case("no rows to evaluate", "evaluate M", 2, "required arguments were not provided: <DATA>"),
    case("a sweep of nothing", "sweep rows.csv", 2, "were not provided: --sizes"),
    case("a size of 0", "sweep rows.csv --sizes 2,0", 2, "'0' is not a size"),
    case("a size twice", "sweep rows.csv --sizes 2,3,2", 2, "size 2 is given twice"),
    case("an immense size", "sweep rows.csv --sizes 99999999999", 2, "--sizes: 99999999999 is out of range"),
    case(
        "one size too",
        "sweep rows.csv --sizes 2 --encoding-dim 3",
        2,
        "--encoding-dim: the sizes of a sweep",
    ),
    case(
        "a sweep without validation",
        "sweep rows.csv --sizes 2 --validation 0",
        2,
        "--validation: it must be",
    ),
    case("a sweep of one row", "sweep ab.csv --sizes 1", 1, "ab.csv: of 1 rows none can be held out"),
    case(
        "results in another format",
        "sweep rows.csv --sizes 2 -o a.npy",
        2,
        "-o a.npy: the results are CSV",
    ),
    case("a restart of nothing", "sweep rows.csv --sizes 2 --restart", 2, "were not provided: --output"),
    case(
        "results that are none",
        "sweep rows.csv --sizes 2 -o ab.csv",
        1,
        "ab.csv: line 1: these are no results of a sweep; --restart replaces the file",
    ),
    case(
        "a sweep that diverges",
        "sweep digits --sizes 2 --learning-rate 100",
        1,
        "size 2: training diverged",
    ),
    case("a map of two rows", "compare M rows.csv --rows 2", 2, "2 is not in 4..=10000"),
    case("no neighbours", "compare M rows.csv --neighbours 0", 2, "--neighbours: 0 is out of range"),
    case(
        "half of the rows as neighbours",
        "compare M rows.csv --neighbours 15",
        2,
        "fewer than half of the rows, of which rows.csv has 30",
    ),
    case("a perplexity of 0", "compare M rows.csv --perplexity 0", 2, "--perplexity: 0 is out of range"),
    case(
        "a perplexity of NaN",
        "compare M rows.csv --perplexity nan",
        2,
        "--perplexity: NaN is out of range",
    ),
    case("a perplexity beyond the rows", "compare M rows.csv --perplexity 30", 2, "one less than the rows"),
    case("a plot of no known kind", "compare M rows.csv --plot maps.gif", 2, "--plot maps.gif: pictures are"),
    case(
        "a plot in no folder",
        "compare M rows.csv --plot no/a.png",
        2,
        "--plot no/a.png: there is no folder",
    ),
    case(
        "a folder as plot",
        "compare M rows.csv --plot folder.svg",
        2,
        "--plot folder.svg: this is a folder",
    ),
    case(
        "maps as arrays",
        "compare M rows.csv -o maps.npy",
        2,
        "-o maps.npy: coordinates are written as .csv",
    ),
    case("a table among objects", "compare M rows.csv -o - --json", 2, "cannot share standard output"),
    case("labels that are not there", "compare M rows.csv --label no.csv", 1, "--label no.csv: No such file"),
    case(
        "labels for other rows",
        "compare M rows.csv --label labels.txt",
        1,
        "labels.txt: 3 labels for 30 rows",
    ),
    case("a label left out", "compare M rows.csv --label gap.txt", 1, "gap.txt: line 2 is empty"),
    case("labels that are halves", "compare M rows.csv --label halves.npy", 1, "row 2: 0.5 is no label"),
    case("labels in two columns", "compare M rows.csv --label pairs.npy", 1, "2 columns, but labels are one"),
    case(
        "a map without columns",
        "compare M ab.csv",
        1,
        "ab.csv: columns 'height', 'width', 'depth', 'weight'",
    ),
    case(
        "three rows to map",
        "compare M three.csv --neighbours 1",
        1,
        "three.csv: 3 rows are too few to map",
    ),
    case(
        "values to guess",
        "compare masked.safetensors holes.csv",
        1,
        "holes.csv: row 1, column 'height': the value is missing, and distances need every value",
    ),
    case("two kinds of errors", "score M rows.csv --per-feature --norm mean", 2, "cannot be used with"),
    case(
        "a folder that is not there",
        "train digits -o no/m.safetensors",
        2,
        "-o no/m.safetensors: there is no folder no",
    ),
    case("a folder as output", "train digits -o folder", 2, "-o folder: this is a folder"),
    case("an unknown ending", "encode M rows.csv -o codes.xlsx", 2, "-o codes.xlsx: unknown kind of file"),
    case("a format that is only read", "encode M rows.csv -o codes.idx", 2, "this format can only be read"),
    case("curves without number", "train curves:many", 2, "'curves:many' is no built-in set"),
    Case { isa: Some("sse9"), ..case("an unknown instruction set", "train digits", 2, "AE_ISA") },
    // The data.
    case("no such file", "train nowhere.csv", 1, "nowhere.csv: No such file"),
    case("a folder as data", "train folder", 1, "folder: a folder, but a file is needed"),
    case("an ending nobody knows", "train rows.doc", 1, "rows.doc: unknown kind of file"),
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
    case("an open quote", "train quote.csv", 1, "quote.csv: "),
    case("bytes that are no text", "train bytes.csv", 1, "bytes.csv: "),
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
        "short.npy: cut short: 16 bytes of values are announced, 15 are there",
    ),
    case("NumPy, no header", "train zeros.npy", 1, "zeros.npy: not a valid NumPy file"),
    case("NumPy of texts", "train texts.npy", 1, "texts.npy: array 'array' holds elements of type '<U3'"),
    case("an archive that is none", "train rows.npz", 1, "rows.npz: not a valid NumPy file"),
    case("Parquet that is none", "train rows.parquet", 1, "rows.parquet: not a valid Parquet file"),
    case(
        "IDX that lies",
        "train lie-ubyte",
        1,
        "lie-ubyte: cut short: 4000000000 bytes of values are announced",
    ),
    case("gzip that is none", "train rows.csv.gz", 1, "rows.csv.gz: "),
    Case {
        input: b"a,b\n1,2\n3\n",
        ..case("standard input, ragged", "train -", 1, "-: row 2 (line 3) has 1 cells")
    },
    case("nothing on standard input", "train -", 1, "-: no rows"),
    // The model.
    case("no such model", "encode nowhere.safetensors rows.csv", 1, "nowhere.safetensors: No such file"),
    case("a table as model", "encode rows.csv rows.csv", 1, "rows.csv: not a readable model"),
    case("a model as table", "encode M M", 1, "model.safetensors: unknown kind of file"),
    case("an empty model", "info empty.safetensors", 1, "empty.safetensors: not a readable model"),
    case("a model cut short", "info cut.safetensors", 1, "cut.safetensors: not a readable model"),
    case("a header that lies", "info lie.safetensors", 1, "lie.safetensors: not a readable model"),
    case("another program's file", "info other.safetensors", 1, "lacks 'ae.config'"),
    case("a model with NaN", "score nan.safetensors rows.csv", 1, "holds NaN at position 0"),
    // The two together.
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
        "two.csv: the model expects rows of 4 values, but these have 2",
    ),
    case(
        "codes of another width",
        "decode M rows.csv",
        1,
        "rows.csv: the model expects encodings of 2 values, but these have 4",
    ),
    case(
        "a rate far too large",
        "train digits --learning-rate 100 --epochs 5",
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
    case("a history in words", "report M rows.csv --history labels.txt", 1, "labels.txt: line 1: no JSON"),
    case(
        "a history of nothing",
        "report M rows.csv --history empty.safetensors",
        1,
        "no epochs: ae train --json",
    ),
    case("no sweep", "report M rows.csv --sweep none.csv", 1, "--sweep none.csv: there is no such file"),
    case(
        "a sweep of rows",
        "report M rows.csv --sweep rows.csv",
        1,
        "line 1: these are no results of a sweep",
    ),
    case("plots in a file", "report M rows.csv --plots rows.csv", 2, "--plots rows.csv: this is no folder"),
    case("plots in no folder", "report M rows.csv --plots no/plots", 2, "there is no folder no"),
    // Pairs.
    case(
        "fewer targets",
        "train rows.csv --target three.csv",
        1,
        "rows.csv has 30 rows of 4 values and --target three.csv has 3 of 4",
    ),
    case("narrow targets", "evaluate M rows.csv --target two.csv", 1, "and --target two.csv has 2 of 2"),
    case("no targets", "train rows.csv --target none.csv", 1, "none.csv: No such file"),
    case("infinite targets", "train two.csv --target infinite.csv", 1, "infinite.csv: row 2"),
    case("rows as their targets", "train - --target -", 2, "--target: standard input can be read only once"),
    case("a sweep of pairs", "sweep rows.csv --sizes 2 --target rows.csv", 2, "--target is for ae train and"),
    case("a report of pairs", "report M rows.csv --target rows.csv", 2, "--target is for ae train and"),
    case("maps of one row", "report M ab4.csv --compare", 1, "1 rows are too few to map"),
    case("half of the rows", "train rows.csv --robust 0.5", 2, "--robust: 0.5 is out of range"),
    case("a robust sweep", "sweep rows.csv --sizes 2 --robust 0.1", 2, "--robust is for ae train"),
    case("a log in a file", "train rows.csv --log-dir rows.csv", 2, "--log-dir rows.csv: this is no folder"),
    case("a log among files", "train rows.csv --log-dir .", 2, "--log-dir .: it is not empty"),
    case(
        "a log below a file",
        "train rows.csv --log-dir rows.csv/a -o folder/m.safetensors",
        1,
        "--log-dir rows.csv/a",
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
    let files: [(&str, &[u8]); 23] = [
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
    write(folder, "wrong.toml", "epoch = 3\n");
    write(folder, "zero.toml", "epochs = 0\n");
    let model = std::fs::read(folder.join("model.safetensors")).unwrap();
    write(folder, "cut.safetensors", &model[..model.len() - 5]);
    let header = 8 + u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    let mut nan = model.clone();
    nan[header..].chunks_exact_mut(4).for_each(|x| x.copy_from_slice(&f32::NAN.to_le_bytes()));
    write(folder, "nan.safetensors", nan);
    dir
}

/// A word of a case.
fn in_full(word: &'static str) -> &'static str {
    match word {
        "M" => "model.safetensors",
        "T" => "kinds.safetensors",
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
    for case in CASES.iter().chain(tables::CASES) {
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

/// A failure does not cost the model that was there before.
#[test]
fn a_failed_training_leaves_the_old_model() {
    let dir = trained();
    let before = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let args = ["train", "digits", "--learning-rate", "100", "-o", "model.safetensors"];
    assert_eq!(ae_with(dir.path(), &args, b"", &[]).status, Some(1));
    assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), before);
}
