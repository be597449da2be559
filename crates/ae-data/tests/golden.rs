//! Files made by NumPy, PyArrow and a script (`golden/make.py`), read whole, truncated and damaged.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]
#![cfg(all(feature = "npy", feature = "parquet", feature = "idx", feature = "csv"))]

use std::path::{Path, PathBuf};

use ae_data::{Dataset, Labels, Missing, ReadOptions, Rng, read, read_table, write};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn load(name: &str, options: &ReadOptions) -> Result<Dataset, String> {
    let path = golden(name);
    let folder = format!("{}/", path.parent().unwrap().display());
    read(path.to_str().unwrap(), options).map_err(|error| ae_testing::chain(&error).replace(&folder, ""))
}

fn auto() -> ReadOptions {
    ReadOptions::default()
}

#[test]
fn arrays_of_every_width_order_and_shape() {
    let signed = [
        "big_f2",
        "big_f4",
        "big_f8",
        "big_i4",
        "little_f2",
        "little_f4",
        "little_f8",
        "little_i1",
        "little_i2",
        "little_i8",
    ];
    for name in signed {
        let rows = load(&format!("rows_{name}.npy"), &auto()).unwrap();
        assert_eq!((rows.features(), rows.values()), (2, &[-2.0, -1.0, 0.0, 1.0, 2.0, 3.0][..]), "{name}");
    }
    for name in ["u1", "u2", "u4", "u8"] {
        let rows = load(&format!("unsigned_{name}.npy"), &auto()).unwrap();
        assert_eq!(rows.values(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{name}");
    }
    assert_eq!(load("unsigned_b1.npy", &auto()).unwrap().values(), [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(load("fortran.npy", &auto()).unwrap().values(), [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
    let cube: Vec<f32> = (0..24u8).map(f32::from).collect();
    for name in ["cube.npy", "cube_fortran.npy"] {
        let rows = load(name, &auto()).unwrap();
        assert_eq!((rows.rows(), rows.values()), (2, &cube[..]), "{name}");
    }
    let line = load("line.npy", &auto()).unwrap();
    assert_eq!((line.features(), line.values()), (1, &[1.5, 2.5, f32::INFINITY][..]));
}

#[test]
fn archives_with_labels() {
    for name in ["plain.npz", "packed.npz"] {
        let rows = load(name, &auto()).unwrap();
        assert_eq!(rows.values(), [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], "{name}");
        assert_eq!(rows.labels().unwrap().codes(), [1, 0, 1], "{name}");
    }
    let rows = load("other.npz", &auto());
    assert_eq!(rows.unwrap().features(), 2, "the only array with two dimensions");
    let options = || ReadOptions::default();
    let mut chosen = options();
    chosen.array = Some("target".to_owned());
    assert_eq!(load("other.npz", &chosen).unwrap().values(), [5.0, 6.0, 7.0]);
    let mut labelled = options();
    labelled.label = Some("target".to_owned());
    assert_eq!(load("other.npz", &labelled).unwrap().labels().unwrap().names(), ["5", "6", "7"]);
    chosen.array = Some("Y".to_owned());
    let error = load("other.npz", &chosen).unwrap_err();
    assert!(error.starts_with("other.npz: no array 'Y'; there are '"), "{error}");
}

#[test]
fn columns_of_every_type() {
    let expected: [[f32; 7]; 4] = [
        [1.5, 1e-3, -1.0, 4_294_967_295.0, 1.0, 0.5, 1.0],
        [2.5, 2.0, 2.0, 2.0, 0.0, 1.0, 2.0],
        [-3.5, 3.0, 3.0, 3.0, 1.0, 2.0, 3.0],
        [4.0, 4.0, 4.0, 4.0, 0.0, 4.0, 4.0],
    ];
    for name in ["snappy", "zstd", "gzip", "none"] {
        let rows = load(&format!("{name}.parquet"), &auto()).unwrap();
        assert_eq!(rows.values(), expected.as_flattened(), "{name}");
        assert_eq!(rows.names().unwrap(), ["f", "d", "i", "u", "b", "h", "s"], "{name}");
    }
    let mut labelled = auto();
    labelled.label = Some("kind".to_owned());
    let rows = load("text.parquet", &labelled).unwrap();
    assert_eq!((rows.features(), rows.labels().unwrap().name_of(3)), (1, Some("c")));
    let mut keep = auto();
    keep.missing = Missing::Keep;
    let rows = load("nulls.parquet", &keep).unwrap();
    assert!(rows.values()[3].is_nan() && rows.values()[5] == 3.0);
    assert_eq!(load("decimal.parquet", &auto()).unwrap().values(), [125.0, -50.0]);
    let mut options = auto();
    options.id = Some("unsigned".to_owned());
    options.label = Some("1".to_owned());
    let rows = load("whole.parquet", &options).unwrap();
    assert_eq!((rows.values(), rows.row_id_name()), (&[1.0, 2.0, 3.0][..], Some("unsigned")));
    assert_eq!(rows.row_ids().unwrap(), ["18446744073709551615", "0", "1"]);
    let whole = read_table(golden("whole.parquet"), &auto()).unwrap();
    assert_eq!(whole.column(0).collect::<Vec<_>>(), ["9007199254740993", "-9223372036854775808", ""]);
    let times = read_table(golden("times.parquet"), &auto()).unwrap();
    assert_eq!(times.names().unwrap(), ["day", "ms", "us", "ns", "utc"]);
    let cells = |row| times.row(row).collect::<Vec<_>>();
    let whole = "2024-02-29 12:30:00";
    assert_eq!(cells(0), ["2024-02-29", whole, whole, whole, "2024-02-29T12:30:00Z"]);
    assert_eq!(
        cells(1),
        ["1969-12-31"; 1]
            .into_iter()
            .chain(["1969-12-31 23:59:59.5"; 3])
            .chain(["1969-12-31T23:59:59.5Z"])
            .collect::<Vec<_>>()
    );
    assert_eq!(cells(2), [""; 5]);
}

/// Two columns, stored as 32-bit and 64-bit whole numbers, and both as bytes.
#[test]
fn decimals_have_their_point_however_they_are_stored() {
    let mut keep = auto();
    keep.missing = Missing::Keep;
    for name in ["decimal_whole.parquet", "decimal_bytes.parquet"] {
        let rows = load(name, &keep).unwrap();
        assert_eq!(rows.values()[..4], [12.34, 1e8, -0.05, -1e8], "{name}");
        assert!(rows.values()[4].is_nan() && rows.values()[5] == 2.5, "{name}");
        let table = read_table(golden(name), &auto()).unwrap();
        assert_eq!(table.column(0).collect::<Vec<_>>(), ["12.34", "-0.05", ""], "{name}");
        assert_eq!(table.column(1).collect::<Vec<_>>(), ["99999999.99", "-99999999.99", "2.5"], "{name}");
    }
}

/// The length of the header takes two bytes in version 1 and four in later versions.
#[test]
fn arrays_of_later_versions() {
    for name in ["version_2.npy", "version_3.npy"] {
        let rows = load(name, &auto()).unwrap();
        assert_eq!((rows.features(), rows.values()), (2, &[-2.0, -1.0, 0.0, 1.0, 2.0, 3.0][..]), "{name}");
    }
}

#[test]
fn columns_that_nobody_wants_need_not_be_numbers() {
    let mut options = auto();
    options.ignored_columns = vec!["kind".to_owned()];
    assert_eq!(load("text.parquet", &options).unwrap().values(), [1.5, 2.5, -3.5, 4.0]);
    options = auto();
    options.columns = Some(vec!["f".to_owned()]);
    assert_eq!(load("text.parquet", &options).unwrap().values(), [1.5, 2.5, -3.5, 4.0]);
    // If one of the wanted columns is absent, all columns are read.
    options.columns = Some(vec!["f".to_owned(), "g".to_owned()]);
    assert!(load("text.parquet", &options).unwrap_err().contains("column 'kind' holds text"));
}

#[test]
fn idx_takes_the_labels_beside_it_along() {
    let images = load("bytes-images-idx3-ubyte.gz", &auto()).unwrap();
    assert_eq!((images.features(), images.values()), (2, &[0.0, 1.0, 2.0, 3.0, 254.0, 255.0][..]));
    assert_eq!(images.labels().unwrap().name_of(0), Some("7"));
}

#[test]
fn what_cannot_be_used_is_named() {
    let cases = [
        ("hole.npy", "hole.npy: row 1, column 2: the value is missing (2 in all)"),
        ("huge.npy", "huge.npy: row 1, column 2: 1e39 does not fit a 32-bit float"),
        ("text.npy", "text.npy: array 'array' holds elements of type '<U1'; numbers are needed"),
        ("complex.npy", "complex.npy: array 'array' holds elements of type '<c16'; numbers are needed"),
        ("zero_d.npy", "zero_d.npy: not a valid NumPy file: array 'array' is a single number"),
        ("none.npy", "none.npy: no rows"),
        ("nulls.parquet", "nulls.parquet: row 2, column 'n': the value is missing (2 in all)"),
        ("text.parquet", "text.parquet: column 'kind' holds text; numbers are needed"),
        ("nested.parquet", "nested.parquet: column 'l.list.element' holds nested values; numbers are needed"),
        ("time.parquet", "time.parquet: column 't' holds timestamp; numbers are needed"),
        ("missing.csv", "missing.csv: No such file or directory (os error 2)"),
        (
            "make.py",
            "make.py: unknown file format; supported endings are .csv, .tsv (also .gz), .npy, .npz, .idx and -ubyte (also .gz), .parquet",
        ),
    ];
    for (name, message) in cases {
        assert_eq!(load(name, &auto()).unwrap_err(), message, "{name}");
    }
    let error = load("", &auto()).unwrap_err();
    assert!(error.contains("no images (.png, .jpg, .jpeg) in this folder"), "{error}");
    for name in ["curves:0", "curves:x", "curves:5:1:2", "curves:5:-1"] {
        assert!(read(name, &auto()).unwrap_err().to_string().contains("is not a built-in dataset"), "{name}");
    }
}

/// Every file truncated at any length, or with random bytes changed: an error or other values, never a
/// panic.
#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(9);
    for entry in std::fs::read_dir(golden("")).unwrap() {
        let source = entry.unwrap().path();
        let name = source.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "make.py" || name.contains("labels-idx1") {
            continue;
        }
        let bytes = std::fs::read(&source).unwrap();
        let damaged = folder.path().join(&name);
        let attempt = |bytes: &[u8]| {
            std::fs::write(&damaged, bytes).unwrap();
            read(damaged.to_str().unwrap(), &auto()).is_ok()
        };
        for len in (0..bytes.len()).step_by(1 + bytes.len() / 150) {
            assert!(!attempt(&bytes[..len]), "{name} of {len} bytes");
        }
        for _ in 0..120 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + rng.below(3) {
                let place = rng.below(bytes.len());
                bytes[place] = rng.next_u64() as u8;
            }
            attempt(&bytes);
        }
    }
}

/// Values read back bit for bit.
#[test]
fn every_format_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(4);
    let mut values: Vec<f32> = (0..30).map(|_| f32::from_bits(rng.next_u64() as u32)).collect();
    values.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = -0.0);
    values[..4].copy_from_slice(&[f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), 0.1]);
    let plain = Dataset::new(values, 3).unwrap();
    let names = ["a", "b, \"c\"", "label"].map(str::to_owned).to_vec();
    let labels = Labels::from_texts((0..10).map(|i| ["no", "yes"][i % 2]));
    let full = plain.clone().with_names(names).unwrap().with_labels(labels).unwrap();
    for ending in ["csv", "tsv", "csv.gz", "npy", "npz", "parquet"] {
        let path = folder.path().join(format!("t.{ending}"));
        write(&plain, &path).unwrap();
        let back = read(path.to_str().unwrap(), &auto()).unwrap();
        let bits = |dataset: &Dataset| dataset.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&plain), "{ending}");

        write(&full, &path).unwrap();
        let mut options = auto();
        if matches!(ending, "csv" | "tsv" | "csv.gz" | "parquet") {
            options.label = Some("label_1".to_owned());
        }
        let back = read(path.to_str().unwrap(), &options).unwrap();
        assert_eq!(bits(&back), bits(&full), "{ending}");
        match ending {
            "npy" => assert!(back.labels().is_none()),
            "npz" => assert_eq!(back.labels().unwrap().codes(), full.labels().unwrap().codes()),
            _ => assert_eq!(back, full, "{ending}"),
        }
    }
    let error = write(&plain, folder.path().join("t.idx")).unwrap_err().to_string();
    assert!(error.ends_with("t.idx: IDX files cannot be written by this build"), "{error}");
    assert!(write(&plain, folder.path().join("t.xyz")).is_err());
    assert!(write(&plain, folder.path().join("no/t.csv")).is_err());
}

/// Reading goes by the bytes, so only the bytes show whether a file is compressed.
#[test]
fn files_are_packed_where_their_names_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Dataset::new(vec![1.0, 2.0], 2).unwrap();
    for (name, is_packed) in [("a.csv", false), ("a.tsv", false), ("a.csv.gz", true), ("A.TSV.GZ", true)] {
        let path = folder.path().join(name);
        write(&rows, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().starts_with(b"\x1f\x8b"), is_packed, "{name}");
    }
}

/// Datasets too large to ship with the crate: read if present, skipped otherwise.
#[test]
fn well_known_sets() {
    let folder = match std::env::var_os("AE_DATA_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let images = folder.join("mnist/train-images-idx3-ubyte.gz");
    if !images.is_file() {
        println!("skipped: {} is absent; AE_DATA_DIR may name its folder", images.display());
        return;
    }
    let mnist = read(images.to_str().unwrap(), &auto()).unwrap();
    assert_eq!((mnist.rows(), mnist.features()), (60_000, 784));
    assert_eq!(mnist.labels().unwrap().codes()[..5], [5, 0, 4, 1, 9]);
    for entry in std::fs::read_dir(folder.join("adbench")).unwrap() {
        let path = entry.unwrap().path();
        let rows = read(path.to_str().unwrap(), &auto()).unwrap_or_else(|error| panic!("{error}"));
        assert!(rows.labels().is_some_and(|labels| labels.names() == ["0", "1"]), "{}", path.display());
    }
    let error = read(folder.join("tables/penguins.csv").to_str().unwrap(), &auto()).unwrap_err().to_string();
    assert!(error.contains("row 1 (line 2), column 'species': 'Adelie' is not a number"), "{error}");
}

/// Every column has an entry in the file, even without rows.
#[test]
fn too_many_columns_for_a_file_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wide.parquet");
    for features in [(1 << 24) + 1, usize::MAX] {
        let wide = Dataset::new(Vec::new(), features).unwrap();
        let said = ae_testing::chain(&write(&wide, &path).unwrap_err());
        assert!(said.contains(&format!("{features} columns are too many for a Parquet file")), "{said}");
        assert!(!path.exists());
    }
}
