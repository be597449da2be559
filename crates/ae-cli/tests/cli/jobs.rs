//! What each command does with valid input.

use serde_json::json;

use super::*;

const MODEL: &str = "model.safetensors";

fn numbers(row: &[String]) -> Vec<f64> {
    row.iter().map(|cell| cell.parse().unwrap()).collect()
}

fn close(a: &[Vec<String>], b: &[Vec<String>], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    assert_eq!(a[0], b[0]);
    for (a, b) in a[1..].iter().zip(&b[1..]) {
        for (a, b) in numbers(a).iter().zip(numbers(b)) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
        }
    }
}

#[test]
fn training_on_the_digits_beats_the_mean_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let ended =
        ae(folder.path(), &["train", "digits", "--epochs", "10", "--hidden", "40", "--encoding-dim", "12"]);
    for part in [
        "digits (1797 rows of 64)",
        "64-40-[12]-40-64",
        "6,236",
        "5.3",
        "PCA with 12",
        "saved         digits.safetensors",
    ] {
        assert!(ended.out.contains(part), "'{part}' is not in:\n{}", ended.out);
    }
    assert!(
        ended.err.contains("epoch   10/10  train MSE "),
        "plain lines where there is no terminal: {}",
        ended.err
    );
    assert!(folder.path().join("digits.safetensors").exists());
    let again = ae(
        folder.path(),
        &["train", "digits", "--epochs", "10", "--hidden", "40", "--encoding-dim", "12", "--json"],
    );
    let objects = again.objects();
    assert_eq!(objects.len(), 11, "an object an epoch and a summary");
    assert_eq!(objects[0]["event"], "epoch");
    let summary = again.summary();
    let of = |key: &str| summary[key].as_f64().unwrap();
    assert_eq!((of("rows"), of("train_rows"), of("validation_rows")), (1797.0, 1617.0, 180.0));
    assert_eq!(of("parameters"), 6236.0);
    assert!(of("validation_mse") < 0.6 * of("validation_variance"), "{summary}");
    assert!(of("validation_pca_mse") < of("validation_variance"));
    assert_eq!(objects[9]["validation_mse"], summary["validation_mse"]);
}

#[test]
fn encodings_decode_to_what_reconstruct_gives() {
    let folder = trained();
    let folder = folder.path();
    ae(folder, &["encode", MODEL, "rows.csv", "-o", "codes.csv"]);
    let codes = cells(&std::fs::read_to_string(folder.join("codes.csv")).unwrap());
    assert_eq!((codes.len(), &codes[0][..]), (31, &["code_0".to_owned(), "code_1".to_owned()][..]));
    let decoded = ae(folder, &["decode", MODEL, "codes.csv"]).cells();
    let reconstructed = ae(folder, &["reconstruct", MODEL, "rows.csv"]).cells();
    assert_eq!(decoded[0], ["height", "width", "depth", "weight"]);
    close(&decoded, &reconstructed, 1e-5);
    // Reconstructions are in the units of the data: weights are about a hundred.
    assert!(numbers(&reconstructed[1]).last().unwrap() > &90.0);
}

/// The label next to an encoding is not part of it.
#[test]
fn encodings_of_labelled_rows_decode() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ae(folder, &["train", "digits", "--epochs", "1", "--encoding-dim", "3", "-o", MODEL, "-q"]);
    ae(folder, &["encode", MODEL, "digits", "-o", "codes.csv"]);
    let decoded = ae(folder, &["decode", MODEL, "codes.csv", "-o", "decoded.npy"]);
    assert!(decoded.err.contains("left out: label"), "{}", decoded.err);
    // Parquet stores the labels as text, so they cannot be left out like a column of numbers.
    ae(folder, &["encode", MODEL, "digits", "-o", "codes.parquet"]);
    for name in ["codes.csv", "codes.parquet"] {
        let kept = ae(folder, &["decode", MODEL, name, "--label", "label"]).cells();
        assert_eq!((kept.len(), kept[0].len(), &kept[0][64][..]), (1798, 65, "label"));
    }
}

/// A tenth of the rows is noise, which is found and left out of training.
#[test]
fn a_robust_training_leaves_out_what_is_odd() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let is_odd = |i: usize| i % 10 == 4;
    let row = |i: usize| {
        let value = |j: usize| match is_odd(i) {
            true => ((i * 37 + j * 101) % 97) as f64 / 48.0 - 1.0,
            false => (i as f64 * 0.05 + j as f64 * 0.7).sin(),
        };
        (0..6).map(|j| value(j).to_string()).collect::<Vec<_>>().join(",") + "\n"
    };
    write(folder, "rows.csv", (0..300).map(row).collect::<String>());
    let train = ["train", "rows.csv", "--encoding-dim", "2", "--hidden", "8", "--optimizer", "adam"];
    let train = [&train[..], &["--learning-rate", "0.01", "--robust", "0.1", "-o", MODEL]].concat();
    let summary = ae(folder, &[&train[..], &["--json"]].concat()).summary();
    let numbers = summary["outliers"].as_array().unwrap().iter();
    let found: Vec<usize> = numbers.map(|row| row.as_u64().unwrap() as usize - 1).collect();
    let right = found.iter().filter(|row| is_odd(**row)).count();
    // The number is rounded down for training and validation rows separately.
    assert!((28..=30).contains(&found.len()) && right >= 26, "{right} of {found:?}");
    assert_eq!(
        summary["train_rows"].as_u64().unwrap() + summary["validation_rows"].as_u64().unwrap(),
        300 - found.len() as u64
    );
    assert!(summary["train_pca_mse"].is_f64());
    let said = ae(folder, &train).out;
    assert!(
        said.contains(&format!("outliers      {} rows with the largest errors: ", found.len())),
        "{said}"
    );
}

/// Runs every command of the README, in order, in one folder.
#[test]
fn the_commands_of_the_readme_run() {
    let readme = include_str!("../../../../README.md");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "customers.csv", table());
    write(folder.path(), "latest.csv", table().replace("1.", "1.2"));
    write(folder.path(), "noisy.csv", table().replace('5', "6"));
    write(folder.path(), "settings.toml", "epochs = 50\nhidden = [64, 32]\n");
    // The first height and the last weight are missing.
    let holes = table().replacen("\n0,", "\n,", 1);
    write(folder.path(), "holes.csv", holes.trim_end().rsplit_once(',').unwrap().0.to_owned() + ",\n");
    write(folder.path(), "people.csv", tables::people());
    images::write_photos(&folder.path().join("photos"));
    let mut count = 0;
    for line in readme.lines().filter_map(|line| line.strip_prefix("ae ")) {
        // Pipes and comments are for the shell.
        let words = line.split(['|', '#']).next().unwrap();
        let words = as_shell_words(words);
        ae(folder.path(), &words);
        let outputs = words.windows(2).filter(|pair| pair[0] == "-o").map(|pair| pair[1]);
        for output in outputs {
            assert!(folder.path().join(output).exists(), "{line}");
        }
        count += 1;
    }
    assert!(count >= 50, "{count}");
}

#[test]
fn errors_of_rows_are_those_of_their_features() {
    let folder = trained();
    let rows = ae(folder.path(), &["score", MODEL, "rows.csv"]).cells();
    let features = ae(folder.path(), &["score", MODEL, "rows.csv", "--per-feature"]).cells();
    let means = ae(folder.path(), &["score", MODEL, "rows.csv", "--norm", "mean"]).cells();
    assert_eq!((&rows[0][..], features[0].len()), (&["error".to_owned()][..], 4));
    for ((row, features), mean) in rows[1..].iter().zip(&features[1..]).zip(&means[1..]) {
        let (row, sum): (f64, f64) = (numbers(row)[0], numbers(features).iter().sum());
        assert!((row - sum).abs() <= 1e-5 * sum.max(1e-6), "{row} {sum}");
        assert!((row / 4.0 - numbers(mean)[0]).abs() <= 1e-5 * sum.max(1e-6));
    }
    let json = ae(folder.path(), &["score", MODEL, "rows.csv", "--json"]);
    let objects = json.objects();
    assert_eq!((objects.len(), &objects[29]["row"]), (31, &Value::from(30)));
    let sum: f64 = objects[..30].iter().map(|object| object["error"].as_f64().unwrap()).sum();
    let mse = json.summary()["mse"].as_f64().unwrap();
    assert!((mse - sum / 120.0).abs() < 1e-6 * mse.max(1e-3));
}

/// Splits a line as a shell does: at spaces, except within single quotes.
fn as_shell_words(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

#[test]
fn the_ending_decides_the_format() {
    let folder = trained();
    let folder = folder.path();
    let expected = ae(folder, &["encode", MODEL, "rows.csv"]).cells();
    for ending in ["csv", "tsv", "npy", "npz", "parquet", "csv.gz"] {
        let name = format!("codes.{ending}");
        ae(folder, &["encode", MODEL, "rows.csv", "-o", &name]);
        // Decoding gives the reconstruction, whatever format the encodings were stored in.
        let decoded = ae(folder, &["decode", MODEL, &name]).cells();
        assert_eq!(decoded.len(), expected.len(), "{ending}");
        close(&decoded, &ae(folder, &["reconstruct", MODEL, "rows.csv"]).cells(), 1e-5);
    }
    let tabs = std::fs::read_to_string(folder.join("codes.tsv")).unwrap();
    assert!(tabs.starts_with("code_0\tcode_1\n"), "{tabs}");
    assert!(std::fs::read(folder.join("codes.npy")).unwrap().starts_with(b"\x93NUMPY"));
    assert!(std::fs::read(folder.join("codes.npz")).unwrap().starts_with(b"PK"));
    assert!(std::fs::read(folder.join("codes.parquet")).unwrap().starts_with(b"PAR1"));
    assert!(std::fs::read(folder.join("codes.csv.gz")).unwrap().starts_with(&[0x1f, 0x8b]));
}

#[test]
fn columns_are_found_by_name() {
    let folder = trained();
    let folder = folder.path();
    let expected = ae(folder, &["score", MODEL, "rows.csv"]).out;
    let rows = cells(&table());
    let pick = |order: &[usize], extra: bool| -> String {
        rows.iter()
            .enumerate()
            .map(|(i, row)| {
                let mut cells: Vec<&str> = order.iter().map(|column| row[*column].as_str()).collect();
                if extra {
                    cells.insert(1, if i == 0 { "colour" } else { "7" });
                }
                cells.join(",") + "\n"
            })
            .collect()
    };
    write(folder, "turned.csv", pick(&[3, 1, 0, 2], false));
    assert_eq!(ae(folder, &["score", MODEL, "turned.csv"]).out, expected);
    write(folder, "more.csv", pick(&[2, 3, 1, 0], true));
    let more = ae(folder, &["score", MODEL, "more.csv"]);
    assert_eq!(more.out, expected);
    assert!(
        more.err.contains("more.csv: columns that the model does not know are left out: colour"),
        "{}",
        more.err
    );
    // Without names, columns are matched by position, with a remark.
    let bare: String = table().lines().skip(1).map(|line| format!("{line}\n")).collect();
    write(folder, "bare.csv", bare);
    let bare = ae(folder, &["score", MODEL, "bare.csv"]);
    assert_eq!(bare.out, expected);
    assert!(bare.err.contains("bare.csv has no column names"), "{}", bare.err);
    write(folder, "fewer.csv", pick(&[0, 3], false));
    let fewer = ae_with(folder, &["score", MODEL, "fewer.csv"], b"", &[]);
    assert_eq!(fewer.status, Some(1));
    assert!(fewer.err.contains("columns 'width', 'depth' are missing"), "{}", fewer.err);
}

#[test]
fn rows_may_come_on_standard_input() {
    let folder = trained();
    let expected = ae(folder.path(), &["score", MODEL, "rows.csv"]).out;
    let ended = ae_with(folder.path(), &["score", MODEL, "-"], table().as_bytes(), &[]);
    assert_eq!((ended.status, ended.out), (Some(0), expected), "{}", ended.err);
    let ended = ae_with(folder.path(), &["train", "-", "--epochs", "2", "-q"], table().as_bytes(), &[]);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(folder.path().join("model.safetensors").exists());
}

#[test]
fn labels_stay_beside_their_rows() {
    let folder = trained();
    let folder = folder.path();
    let labelled: String = table()
        .lines()
        .enumerate()
        .map(|(i, line)| format!("{line},{}\n", if i == 0 { "kind" } else { "good" }))
        .collect();
    write(folder, "labelled.csv", labelled);
    ae(folder, &["train", "labelled.csv", "--label", "kind", "--epochs", "2", "-o", "labelled.safetensors"]);
    let codes = ae(folder, &["encode", "labelled.safetensors", "labelled.csv", "--label", "kind"]).cells();
    assert_eq!(codes[1].last().unwrap(), "good");
    assert_eq!(codes[0].len(), codes[1].len());
}

/// The same seed gives the same file for any number of threads; another seed gives another file.
#[test]
fn models_are_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "rows.csv", table());
    let train = |threads: &str, seed: &str| {
        ae(
            folder,
            &[
                "train",
                "rows.csv",
                "--epochs",
                "3",
                "--threads",
                threads,
                "--seed",
                seed,
                "-o",
                "m.safetensors",
            ],
        );
        std::fs::read(folder.join("m.safetensors")).unwrap()
    };
    let first = train("1", "5");
    assert_eq!(first, train("2", "5"));
    assert_eq!(first, train("3", "5"));
    assert_ne!(first, train("1", "6"));
}

#[test]
fn info_tells_what_a_model_holds() {
    let folder = trained();
    let ended = ae(folder.path(), &["info", MODEL]);
    for part in ["4-3-[2]-3-4", "minmax", "height, width, depth, weight", "adam at 0.003"] {
        assert!(ended.out.contains(part), "'{part}' is not in:\n{}", ended.out);
    }
    let info = ae(folder.path(), &["info", MODEL, "--json"]).summary();
    assert_eq!(info["layer_dims"], serde_json::json!([4, 3, 2, 3, 4]));
    assert_eq!(info["parameters"], 48);
    assert_eq!(info["fitted"], true);
    let kept = info["trained"]["kept_epoch"].as_u64().unwrap();
    assert!(kept >= 1 && kept <= info["trained"]["epochs"].as_u64().unwrap(), "{info}");
    assert!(ended.out.contains(" rows in batches of "), "{}", ended.out);
}

#[test]
fn every_flag_of_training_reaches_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "rows.csv", table());
    let flags = [
        ("--activation", "sigmoid", "activation", "sigmoid"),
        ("--init", "he-normal", "init", "he-normal"),
        ("--epochs", "3", "epochs", "3"),
        ("--batch-size", "7", "batch_size", "7"),
        ("--learning-rate", "0.003", "learning_rate", "0.003"),
        ("--optimizer", "sgd", "optimizer", "sgd"),
        ("--seed", "9", "seed", "9"),
        ("--precision", "f64", "precision", "f64"),
        ("--scale", "standard", "scaler", "standard"),
        ("--validation", "0.25", "validation", "0.25"),
        ("--encoding-dim", "2", "encoding_dim", "2"),
        ("--hidden", "3,5", "hidden_dims", "[3,5]"),
    ];
    let mut args = vec!["train", "rows.csv", "-o", "m.safetensors", "--early-stopping", "2"];
    flags.iter().for_each(|(flag, value, ..)| args.extend([flag, value]));
    ae(folder, &args);
    let info = ae(folder, &["info", "m.safetensors", "--json"]).summary();
    for (flag, _, key, expected) in flags {
        let value = &info["config"][key];
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(text, expected, "{flag}: {}", info["config"]);
    }
    assert_eq!(info["config"]["early_stopping"]["patience"], 2);
    ae(
        folder,
        &[
            "train",
            "rows.csv",
            "-o",
            "n.safetensors",
            "--epochs",
            "2",
            "--early-stopping",
            "0",
            "--hidden",
            "none",
        ],
    );
    let info = ae(folder, &["info", "n.safetensors", "--json"]).summary();
    assert_eq!(info["config"]["early_stopping"], Value::Null);
    assert_eq!(info["layer_dims"].as_array().unwrap().len(), 3);
}

/// There are warnings about models that have learnt too little.
#[test]
fn a_model_that_learnt_nothing_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["train", "digits", "--epochs", "1", "--learning-rate", "1e-9", "-o", "m.safetensors"];
    let ended = ae(folder.path(), &args);
    assert!(ended.err.contains("warning: the model is no better than predicting the mean"), "{}", ended.err);

    let short = ["--epochs", "2", "-o", "m.safetensors"];
    let said = |args: &[&str]| ae(folder.path(), &[&["train", "digits"], args, &short].concat()).err;
    let behind = said(&["--optimizer", "sgd"]);
    assert!(
        behind.contains("PCA of the same size is better") && behind.contains("--optimizer adam"),
        "{behind}"
    );
    let collapsed = said(&["--kind", "vae", "--beta", "50", "--encoding-dim", "4", "--optimizer", "adam"]);
    assert!(
        collapsed.contains("the encodings carry almost no information") && collapsed.contains("--beta"),
        "{collapsed}"
    );
    let dead = said(&["--top-k", "2", "--encoding-dim", "512", "--unit-norm"]);
    assert!(dead.contains("of the features are never active: --revive"), "{dead}");
}

#[test]
fn rows_that_do_not_vary_are_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["train", "-", "--epochs", "2", "-o", "m.safetensors"];
    for (rows, says) in [
        ("a,b\n1,2\n", "warning: there is one training row"),
        ("a,b\n1,2\n1,2\n1,2\n", "warning: the training rows are all the same"),
    ] {
        let ended = ae_with(folder.path(), &args, rows.as_bytes(), &[]);
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        assert!(ended.err.contains(says), "{}", ended.err);
    }
}

#[test]
fn help_is_a_success() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["train", "encode", "decode", "reconstruct", "score", "evaluate", "sweep", "info"] {
        assert!(ae(folder.path(), &[command, "--help"]).out.contains("Usage: ae"), "{command}");
        assert!(ae(folder.path(), &["--help"]).out.contains(command));
    }
    assert_eq!(ae(folder.path(), &["--version"]).out, format!("ae {}\n", env!("CARGO_PKG_VERSION")));
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_panic() {
    let folder = trained();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ae"))
        .args(["reconstruct", MODEL, "-"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // More than any buffer in between holds, so that writing also fails in the middle of a line.
    let table = table();
    let (names, rows) = table.split_once('\n').unwrap();
    let text = format!("{names}\n{}", rows.repeat(200_000 / rows.len() + 1));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), ""));
}

/// Every kind trains from the command line, is named in the summary, and is stored in the model file.
#[test]
fn every_kind_trains_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let check = |start: &[&str], flags: &[&str], words: &str, settings: &Value| {
        let train = ["train", "digits", "--epochs", "2", "--encoding-dim", "4", "-o", MODEL];
        let ended = ae(folder, &[&train[..], start, flags].concat());
        assert!(ended.out.contains(words), "'{words}' is not in:\n{}", ended.out);
        let info = ae(folder, &["info", MODEL, "--json"]).summary();
        for (pointer, value) in settings.as_object().unwrap() {
            assert_eq!(
                info["config"].pointer(pointer),
                Some(value),
                "{flags:?}: {pointer} of {}",
                info["config"]
            );
        }
        ended.out
    };
    let cases: [(&[&str], &str, Value); 10] = [
        (&["--kind", "sparse", "--top-k", "2"], "sparse top 2, loss mse", json!({ "/latent/top-k/k": 2 })),
        (
            &["--top-k", "2", "--batch-top-k"],
            "sparse batch top 2, loss mse",
            json!({ "/latent/top-k/of_batch": true, "/latent/top-k/k": 2 }),
        ),
        (
            &["--kind", "denoising"],
            "denoising masking:0.25, loss mse",
            json!({ "/noise/masking/share": 0.25 }),
        ),
        (
            &["--noise", "swap:0.2", "--loss", "huber:0.5"],
            "denoising swap:0.2, loss huber:0.5",
            json!({ "/noise/swap/share": 0.2, "/loss/huber/delta": 0.5 }),
        ),
        (
            &["--kind", "sparse", "--sparsity", "kl:0.1:0.05"],
            "sparse kl:0.1:0.05, loss mse",
            json!({ "/code_penalty/kl/weight": 0.1, "/code_penalty/kl/target": 0.05 }),
        ),
        (
            &["--kind", "vae", "--beta", "4"],
            "variational, beta 4, loss bce",
            json!({ "/latent/gaussian/beta": 4.0, "/loss": "bce" }),
        ),
        (
            &["--kind", "vae", "--samples", "3"],
            "importance-weighted with 3 samples",
            json!({ "/latent/gaussian/samples": 3 }),
        ),
        (
            &["--dropout", "0.1", "--schedule", "cosine", "--clip-norm", "1"],
            "dropout 0.1, loss mse",
            json!({ "/dropout/hidden": 0.1, "/schedule/cosine/end": 0.0, "/clip_norm": 1.0 }),
        ),
        (
            &["--layer-norm", "--dropout", "0.1"],
            "dropout 0.1, layer norm, loss mse",
            json!({ "/layer_norm": true }),
        ),
        (&["--tied-weights"], "tied weights, loss mse", json!({ "/tied_weights": true })),
    ];
    for (flags, words, settings) in cases {
        check(&["--hidden", "24"], flags, words, &settings);
        let reconstructed = ae(folder, &["reconstruct", MODEL, "digits"]).cells();
        assert_eq!(reconstructed.len(), 1798);
    }
    // Flags whose default is no hidden layers.
    let cases: [(&[&str], &str, Value); 2] = [
        (
            &["--contractive", "0.1", "--activation", "sigmoid"],
            "contractive 0.1, loss mse",
            json!({ "/contractive": 0.1 }),
        ),
        (
            &["--sparsity", "l1", "--unit-norm"],
            "sparse l1:0.01, decoder vectors of norm 1, loss mse",
            json!({ "/unit_norm": true, "/code_penalty/l1/weight": 0.01 }),
        ),
    ];
    for (flags, words, settings) in cases {
        assert!(check(&[], flags, words, &settings).contains("64-[4]-64"));
    }
}

#[test]
fn rows_are_made_up_and_interpolated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ae(
        folder,
        &["train", "digits", "--kind", "vae", "--epochs", "3", "--encoding-dim", "4", "-o", MODEL, "-q"],
    );
    let made = ae(folder, &["generate", MODEL, "--rows", "5", "--seed", "3"]).cells();
    assert_eq!(made.len(), 6, "a header and five rows");
    assert!(made[1..].iter().all(|row| numbers(row)[..64].iter().all(|x| (-0.01..=16.01).contains(x))));
    ae(folder, &["generate", MODEL, "--rows", "20", "-o", "sheet.png"]);
    assert!(std::fs::read(folder.join("sheet.png")).unwrap().starts_with(b"\x89PNG"));
    let way = ae(folder, &["interpolate", MODEL, "digits", "--between", "1,1797", "--steps", "4", "--json"]);
    assert_eq!(way.objects().len(), 4);
    ae(folder, &["interpolate", MODEL, "digits", "-o", "way.npy"]);
    assert!(folder.join("way.npy").exists());

    let axes = ae(folder, &["traverse", MODEL, "--steps", "3"]).cells();
    assert_eq!(
        (axes.len(), axes[0].len(), &axes[0][..3]),
        (13, 66, &["code", "code_value", "pixel_0_0"].map(str::to_owned)[..])
    );
    for (place, row) in axes[1..].iter().enumerate() {
        assert_eq!(numbers(row)[..2], [(place / 3) as f64, [-3.0, 0.0, 3.0][place % 3]]);
    }
    // All axes have the same row in the middle, but not at the ends.
    assert!(axes[2][2..] == axes[5][2..] && axes[2][2..] != axes[1][2..] && axes[1][2..] != axes[3][2..]);
    ae(folder, &["traverse", MODEL, "-o", "axes.png"]);
    let png = std::fs::read(folder.join("axes.png")).unwrap();
    // Four lines of eleven images of 8x8 pixels, enlarged 13 times; the PNG header has the size.
    let size = [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()));
    assert_eq!(size, [11 * (8 * 13 + 4) + 4, 4 * (8 * 13 + 4) + 4]);
}

/// There is a remark on each input flag that has no effect on the format.
#[test]
fn flags_that_change_nothing_are_named() {
    let folder = trained();
    let encode = |rows: &str, flags: &[&str]| {
        let args: Vec<&str> = [&["encode", "model.safetensors", rows], flags].concat();
        ae(folder.path(), &args).err
    };
    assert!(!encode("rows.csv", &["--header", "--delimiter", ","]).contains("has no effect"));
    let named = "ae: rows.csv: --array has no effect on this input";
    assert!(encode("rows.csv", &["--array", "X"]).lines().any(|line| line == named));
    ae(folder.path(), &["encode", "model.safetensors", "rows.csv", "-o", "rows.npy"]);
    let train =
        ["train", "rows.npy", "--no-header", "--encoding-dim", "1", "--epochs", "1", "-o", "m.safetensors"];
    assert!(ae(folder.path(), &train).err.contains("rows.npy: --no-header has no effect"));
}

/// Pixels share a scale, other features are scaled one by one; flags override the defaults.
#[test]
fn defaults_depend_on_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rows.csv", table());
    let settings = |data: &str, more: &[&str]| {
        let train = ["train", data, "--epochs", "1", "-o", "m.safetensors", "-q"];
        ae(folder.path(), &[&train[..], more].concat());
        let config = ae(folder.path(), &["info", "m.safetensors", "--json"]).summary()["config"].clone();
        (config["scaler"].clone(), config["learning_rate"].clone(), config["optimizer"]["adam"].is_object())
    };
    assert_eq!(settings("rows.csv", &[]), ("minmax".into(), 0.003.into(), true));
    assert_eq!(settings("digits", &[]), ("common".into(), 0.003.into(), true));
    assert_eq!(settings("curves:100", &[]), ("common".into(), 0.001.into(), true));
    assert_eq!(settings("rows.csv", &["--image", "2x2"]), ("common".into(), 0.003.into(), true));
    let said = ["--scale", "standard", "--optimizer", "sgd"];
    assert_eq!(settings("digits", &said), ("standard".into(), 0.01.into(), false));
    assert_eq!(settings("rows.csv", &["--learning-rate", "0.02"]), ("minmax".into(), 0.02.into(), true));
}
