//! `ae evaluate` and `ae sweep`.

use super::*;

const MODEL: &str = "model.safetensors";

fn of(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

#[test]
fn evaluation_agrees_with_scores_and_says_it_in_words() {
    let folder = trained();
    let folder = folder.path();
    let found = ae(folder, &["evaluate", MODEL, "rows.csv", "--json"]).summary();
    let mse = of(&found, "/scaled/mse");
    let expected = of(&ae(folder, &["score", MODEL, "rows.csv", "--json"]).summary(), "/mse");
    assert!((mse - expected).abs() < 1e-6 * mse);
    assert!((of(&found, "/scaled/rmse").powi(2) - mse).abs() < 1e-12);
    assert!((of(&found, "/scaled/r2") + of(&found, "/scaled/unexplained") - 1.0).abs() < 1e-12);
    // The mean of the rows themselves leaves all variance unexplained.
    let share = mse / of(&found, "/mean_mse");
    assert!((of(&found, "/scaled/unexplained") - share).abs() < 1e-9);
    let (low, high) = (of(&found, "/mse_interval/0"), of(&found, "/mse_interval/1"));
    assert!(low < mse && mse < high, "{low} {mse} {high}");
    let quantiles = ["p50", "p90", "p99", "max"].map(|name| of(&found, &format!("/row_error/{name}")));
    assert!(quantiles.is_sorted() && quantiles[0] < quantiles[3], "{quantiles:?}");
    assert_eq!(found["per_feature"].as_array().unwrap().len(), 4);
    assert_eq!(found["per_feature"][3]["feature"], "weight");
    // Weights range over 3 units.
    let ratio = of(&found, "/per_feature/3/original_mse") / of(&found, "/per_feature/3/mse");
    assert!((ratio / 9.0 - 1.0).abs() < 0.3, "{ratio}");
    assert_eq!(
        (&found["pca_components"], &found["probe"], &found["images"]),
        (&2.into(), &Value::Null, &Value::Null)
    );
    assert!(of(&found, "/pca_mse") < of(&found, "/mean_mse"));

    let words = ae(folder, &["evaluate", MODEL, "rows.csv"]).out;
    for part in [
        "rows          rows.csv (30 rows of 4)",
        "reference     none (--reference): mean and PCA are fitted to the rows they are measured on",
        "units of the data",
        "MSE           95 % interval ",
        "under 5 %",
        "row errors    p50 ",
        "PCA with 2",
        "the mean",
        "worst ",
    ] {
        assert!(
            words.contains(part) || part.starts_with("under") && words.contains("no better"),
            "'{part}' is not in:\n{words}"
        );
    }
}

/// The bootstrap depends on the seed, but not on the number of threads.
#[test]
fn evaluations_are_reproducible() {
    let folder = trained();
    let run = |more: &[&str]| {
        ae(folder.path(), &[&["evaluate", MODEL, "rows.csv", "--json"][..], more].concat()).out
    };
    let first = run(&[]);
    assert_eq!(first, run(&["--threads", "1"]));
    assert_ne!(first, run(&["--seed", "1"]));
}

#[test]
fn labels_and_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ae(folder, &["train", "digits", "--epochs", "5", "--encoding-dim", "10", "-o", MODEL, "-q"]);
    let words = ["evaluate", MODEL, "digits", "--reference", "digits", "--image", "8x8", "--json"];
    let found = ae(folder, &words).summary();
    for of_what in ["encodings", "rows", "pca"] {
        let right = of(&found, &format!("/probe/{of_what}"));
        assert!(right > 0.5 && right <= 1.0, "{of_what}: {right}");
    }
    // A linear classifier gets nine in ten of the digits right.
    assert!(of(&found, "/probe/rows") > 0.9);
    assert_eq!((of(&found, "/probe/classes"), of(&found, "/reference_rows")), (10.0, 1797.0));
    // Pixels range from 0 to 16; the mean PSNR is close to the PSNR of the mean error.
    assert_eq!((of(&found, "/images/range"), &found["images"]["ssim"]), (16.0, &Value::Null));
    let of_mean = 10.0 * (256.0 / of(&found, "/original/mse")).log10();
    assert!((of(&found, "/images/psnr") - of_mean).abs() < 2.0, "{of_mean} {found}");
    let out = ae(folder, &words[..7]).out;
    assert!(
        out.contains("no SSIM: its window needs 11x11 pixels")
            && out.contains("classifier    logistic regression accuracy: "),
        "{out}"
    );

    // A model of images remembers their size.
    ae(
        folder,
        &[
            "train",
            "curves:200",
            "--conv",
            "4 3 s2",
            "--image",
            "28x28",
            "--encoding-dim",
            "4",
            "--epochs",
            "2",
            "-o",
            MODEL,
            "-q",
        ],
    );
    let found =
        ae(folder, &["evaluate", MODEL, "curves:20:1", "--reference", "curves:200", "--json"]).summary();
    let similarity = of(&found, "/images/ssim");
    assert!(similarity > -1.0 && similarity < 1.0 && found["images"]["size"] == "28x28x1", "{found}");
    assert_eq!(of(&found, "/images/range"), 1.0);
    let twice = ae(folder, &["evaluate", MODEL, "curves:20:1", "--range", "2", "--json"]).summary();
    let louder = of(&twice, "/images/psnr") - of(&found, "/images/psnr");
    assert!((louder - 20.0 * 2f64.log10()).abs() < 1e-9, "{louder}");
}

#[test]
fn missing_values_are_left_out_of_evaluations() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "holes.csv", table().replacen("\n0,", "\n,", 1));
    ae(
        folder,
        &[
            "train",
            "holes.csv",
            "--missing",
            "mask",
            "--encoding-dim",
            "2",
            "--epochs",
            "3",
            "-o",
            MODEL,
            "-q",
        ],
    );
    let found = ae(folder, &["evaluate", MODEL, "holes.csv", "--json"]).summary();
    assert_eq!((&found["missing"], &found["pca_note"]), (&1.into(), &Value::Null));
    assert!(of(&found, "/scaled/mse").is_finite());
    let out = ae(folder, &["evaluate", MODEL, "holes.csv"]).out;
    assert!(out.contains("1 values missing"), "{out}");
}

/// A single missing cell, here at the mean of its column, changes neither PCA nor the comparison with
/// it: in the table of a training run, in its warnings, in an evaluation and in a sweep.
#[test]
fn pca_is_compared_with_where_values_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |i: usize, first: &str| format!("{first},{},{}\n", i % 5, (i * i) % 7);
    let rows = |first: &str| {
        "a,b,c\n0,1,2\n10,2,1\n".to_owned()
            + &row(1, first)
            + &(0..40).map(|i| row(i, &((i * 10) % 11).to_string())).collect::<String>()
    };
    let known = (0..40).map(|i| (i * 10) % 11).sum::<usize>() + 10;
    write(folder, "whole.csv", rows(&(known as f64 / 42.0).to_string()));
    write(folder, "holed.csv", rows(""));
    let found = ["whole.csv", "holed.csv"].map(|name| {
        let train = ["train", name, "--missing", "mask", "--encoding-dim", "2", "--validation", "0"];
        let more = ["--epochs", "10", "--early-stopping", "0", "-o", MODEL, "--json"];
        let trained = ae(folder, &[&train[..], &more].concat());
        assert!(trained.err.contains("PCA of the same size is better"), "{}", trained.err);
        let evaluated = ae(folder, &["evaluate", MODEL, name, "--json"]).summary();
        [of(&trained.summary(), "/train_pca_mse"), of(&evaluated, "/pca_mse")]
    });
    // One of 129 values is not counted.
    for (whole, holed) in found[0].iter().zip(found[1]) {
        assert!((whole / holed - 1.0).abs() < 0.02, "{found:?}");
    }
    let swept =
        ae(folder, &["sweep", "holed.csv", "--missing", "mask", "--sizes", "1", "--epochs", "2", "--json"]);
    assert!(of(&swept.objects()[0], "/pca_mse") > 0.0);
}

/// Classifiers are fitted to a sample of the reference, after the other results are printed.
#[test]
fn classifiers_are_fitted_to_as_many_rows_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ae(folder, &["train", "digits", "--epochs", "2", "--encoding-dim", "10", "-o", MODEL, "-q"]);
    let evaluate = |rows: &str, more: &[&str]| {
        let words = ["evaluate", MODEL, "digits", "--reference", "digits", "--classifier-rows", rows];
        ae(folder, &[&words[..], more].concat())
    };
    let words = evaluate("200", &[]);
    assert!(words.out.contains("\nbest  "), "{}", words.out);
    let last = words.out.lines().last().unwrap();
    assert!(last.ends_with("(10 classes, fitted to 200 of the 1797 reference rows)"), "{last}");
    for what in ["encodings", "rows", "PCA"] {
        let says = format!("fitting a logistic regression on {what} to 200 rows");
        assert!(words.err.contains(&says), "{}", words.err);
    }
    let says = "digits: 1797 of 1797 rows are in digits too: the mean, PCA and classifiers look better";
    assert!(words.err.contains(says), "{}", words.err);
    let probe = |rows: &str, seed: &str| {
        let found = evaluate(rows, &["--json", "--seed", seed]).summary();
        assert_eq!(of(&found, "/rows_in_reference"), 1797.0);
        found["probe"].clone()
    };
    assert_eq!(probe("200", "1"), probe("200", "1"));
    assert_ne!(probe("200", "1"), probe("200", "2"));
    assert_eq!(of(&probe("9999", "0"), "/fitted_rows"), 1797.0);
    assert_eq!(probe("0", "0"), Value::Null);
}

/// A feature that hardly varies has a low R2 however small its error is.
#[test]
fn features_are_ranked_by_their_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |i: usize| format!("{},{},{}\n", i % 7, (i * 3) % 5, 1.0 + 1e-3 * ((i * i) % 3) as f64);
    write(folder, "rows.csv", "a,b,still\n".to_owned() + &(0..40).map(row).collect::<String>());
    let train =
        ["train", "rows.csv", "--scale", "none", "--encoding-dim", "1", "--epochs", "60", "-o", MODEL];
    ae(folder, &train);
    let found = ae(folder, &["evaluate", MODEL, "rows.csv", "--json"]).summary();
    let errors = [0, 1, 2].map(|at| of(&found, &format!("/per_feature/{at}/mse")));
    assert!(errors[2] < errors[0].min(errors[1]) && of(&found, "/per_feature/2/r2") < 0.0, "{found}");
    let out = ae(folder, &["evaluate", MODEL, "rows.csv"]).out;
    let listed: Vec<&str> = out.lines().filter(|line| line.starts_with("worst ")).collect();
    assert!(listed.len() == 3 && listed[2].starts_with("worst still"), "{out}");
}

/// A variational model says how many of its latent dimensions it uses, and what may help if they are
/// few.
#[test]
fn latent_dimensions_that_are_not_used_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = ["train", "digits", "--kind", "vae", "--epochs", "3", "-o", MODEL];
    let few = ae(folder, &[&train[..], &["--encoding-dim", "20", "--beta", "9"]].concat());
    assert!(few.err.contains("posterior collapse"), "{}", few.err);
    let evaluated = ae(folder, &["evaluate", MODEL, "digits"]);
    let says = "warning: none of 20 latent dimensions are active: a --beta below 9, --kl-warm-up";
    assert!(evaluated.err.contains(says), "{}", evaluated.err);
    for text in [&few.out, &evaluated.out] {
        assert!(text.contains("latent        0 of 20 dimensions active, KL divergence 0.0"), "{text}");
    }

    let trained = ae(
        folder,
        &[&train[..], &["--encoding-dim", "2", "--hidden", "64", "--beta", "0.02", "--json"]].concat(),
    );
    let evaluated = ae(folder, &["evaluate", MODEL, "digits", "--json"]).summary();
    // The variance of the means over the rows, from the encodings.
    let codes = ae(folder, &["encode", MODEL, "digits", "--log-variances"]).cells();
    assert_eq!(codes[0][..4], ["code_0", "code_1", "code_0_log_variance", "code_1_log_variance"]);
    let column = |at: usize| -> Vec<f64> { codes[1..].iter().map(|row| row[at].parse().unwrap()).collect() };
    let mut divergence = 0.0;
    for (mean, log_variance) in
        column(0).into_iter().zip(column(2)).chain(column(1).into_iter().zip(column(3)))
    {
        divergence += 0.5 * (mean * mean + log_variance.exp() - 1.0 - log_variance) / 1797.0;
    }
    assert!((of(&evaluated, "/latent/divergence") - divergence).abs() < 1e-3 * divergence, "{evaluated}");
    assert!(of(&trained.summary(), "/latent/divergence") > 0.5 * divergence);
    assert_eq!(of(&evaluated, "/latent/active"), 2.0);
    assert!(!trained.err.contains("latent dimensions are active"), "{}", trained.err);
    // The means alone are read again.
    ae(folder, &["encode", MODEL, "digits", "--log-variances", "-o", "codes.csv"]);
    ae(folder, &["decode", MODEL, "codes.csv", "-o", "rows.csv"]);
}

const SWEEP: [&str; 12] = [
    "sweep",
    "rows.csv",
    "--sizes",
    "1,3,2",
    "--epochs",
    "4",
    "--hidden",
    "none",
    "--batch-size",
    "4",
    "-o",
    "sweep.csv",
];

fn rows() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rows.csv", table());
    folder
}

#[test]
fn sweeps_compare_sizes() {
    let folder = rows();
    let folder = folder.path();
    let ended = ae(folder, &SWEEP);
    for part in
        ["rows.csv (30 rows of 4)", "validation MSE", "compression", "4.0x", "1.3x", "better", "elbow   "]
    {
        assert!(ended.out.contains(part), "'{part}' is not in:\n{}", ended.out);
    }
    let kept = cells(&std::fs::read_to_string(folder.join("sweep.csv")).unwrap());
    assert_eq!((kept.len(), &kept[0][0][..]), (4, "size"));
    assert_eq!([1, 2, 3].map(|line| kept[line][0].clone()), ["1", "2", "3"], "by rising size");
    // Each result is that of training at that size.
    let train = [
        "train",
        "rows.csv",
        "--encoding-dim",
        "2",
        "--epochs",
        "4",
        "--hidden",
        "none",
        "--batch-size",
        "4",
        "-o",
        MODEL,
        "--json",
    ];
    let alone = ae(folder, &train).summary();
    for (column, key) in
        [(2, "validation_mse"), (3, "validation_variance"), (5, "validation_pca_mse"), (7, "train_mse")]
    {
        let (swept, alone): (f64, f64) = (kept[2][column].parse().unwrap(), of(&alone, &format!("/{key}")));
        assert!((swept - alone).abs() < 1e-9, "{key}: {swept} {alone}");
    }
}

#[test]
fn finished_sizes_are_read_again() {
    let folder = rows();
    let folder = folder.path();
    let first = ae(folder, &[&SWEEP[..], &["--json"]].concat());
    let before = std::fs::read(folder.join("sweep.csv")).unwrap();
    assert_eq!(first.objects().len(), 4);
    // The same objects, including the seconds that training took the first time.
    let again = ae(folder, &[&SWEEP[..], &["--json", "--threads", "1"]].concat());
    assert_eq!(again.out, first.out);
    assert!(again.err.contains("sweep.csv has the results of 1, 2, 3 already"), "{}", again.err);
    assert_eq!(std::fs::read(folder.join("sweep.csv")).unwrap(), before);
    // Only the first size, as after an interruption.
    let text = String::from_utf8(before.clone()).unwrap();
    let head: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    write(folder, "sweep.csv", &head);
    let resumed = ae(folder, &SWEEP);
    assert!(resumed.err.contains("size 2: ") && !resumed.err.contains("size 1: "), "{}", resumed.err);
    let resumed = std::fs::read_to_string(folder.join("sweep.csv")).unwrap();
    assert!(resumed.starts_with(&head));
    assert_eq!(resumed.lines().count(), 4);
    // Only the new size is trained, and results that are not asked for stay in the file.
    let mut more = SWEEP.to_vec();
    more[3] = "3,4";
    let more = ae(folder, &more);
    assert!(more.err.contains("size 4: ") && !more.err.contains("size 3: "), "{}", more.err);
    assert_eq!(std::fs::read_to_string(folder.join("sweep.csv")).unwrap().lines().count(), 5);

    // Results of other settings or data are not mixed in.
    for (place, value) in [(5, "5"), (9, "5")] {
        let mut other = SWEEP.to_vec();
        other[place] = value;
        let ended = ae_with(folder, &other, b"", &[]);
        assert_eq!(ended.status, Some(1));
        let says =
            "sweep.csv: size 1 has results of other settings, data or version; --restart replaces the file";
        assert!(ended.err.contains(says), "{}", ended.err);
    }
    write(folder, "rows.csv", table().replacen("100", "101", 1));
    assert_eq!(ae_with(folder, &SWEEP, b"", &[]).status, Some(1));
    let restarted = ae(folder, &[&SWEEP[..], &["--restart"]].concat());
    assert!(restarted.err.contains("size 1: "), "{}", restarted.err);
    assert_eq!(std::fs::read_to_string(folder.join("sweep.csv")).unwrap().lines().count(), 4);
}

/// Values of other flags of `ae train` are compared, and their results stored, as for sizes.
#[test]
fn sweeps_vary_other_settings() {
    let folder = rows();
    let folder = folder.path();
    write(folder, "settings.toml", "epochs = 4\nhidden = 'none'\nbatch_size = 4\nencoding_dim = 2\n");
    let base = ["sweep", "rows.csv", "--config", "settings.toml", "-o", "sweep.csv"];
    let vary = [&base[..], &["--vary", "hidden=none;3;4,3"]].concat();
    let ended = ae(folder, &vary);
    for part in ["hidden  compression", "4,3 ", "<- best", "best          hidden "] {
        assert!(ended.out.contains(part), "'{part}' is not in:\n{}", ended.out);
    }
    let objects = ae(folder, &[&vary[..], &["--json"]].concat()).objects();
    let values: Vec<&str> = objects[..3].iter().map(|object| object["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["none", "3", "4,3"]);
    assert_eq!((&objects[0]["event"], &objects[0]["size"]), (&"setting".into(), &2.into()));
    let least =
        objects[..3].iter().min_by(|a, b| of(a, "/validation_mse").total_cmp(&of(b, "/validation_mse")));
    assert_eq!(objects[3]["best"], least.unwrap()["value"]);
    // Each result is that of training with that value.
    let train = ["train", "rows.csv", "--config", "settings.toml", "--hidden", "4,3", "-o", MODEL, "--json"];
    let alone = ae(folder, &train).summary();
    assert!((of(&objects[2], "/validation_mse") - of(&alone, "/validation_mse")).abs() < 1e-9);
    // Existing results are not trained again; varying another flag is another sweep.
    let more = [&base[..], &["--vary", "hidden=3;5"]].concat();
    let more = ae(folder, &more);
    assert!(more.err.contains("sweep.csv has the results of 3 already"), "{}", more.err);
    assert!(more.err.contains("hidden=5: ") && !more.err.contains("hidden=3: "), "{}", more.err);
    let other = ae_with(folder, &[&base[..], &["--vary", "epochs=1,2"]].concat(), b"", &[]);
    assert_eq!(other.status, Some(1));
    assert!(other.err.contains("has results of other settings, data or version"), "{}", other.err);
    // If training diverges with one value, the others remain.
    let rates =
        ["sweep", "rows.csv", "--vary", "learning-rate=0.01,1e6", "--activation", "relu", "--epochs", "9"];
    let rates = ae(folder, &rates);
    assert!(rates.err.contains("learning-rate=1e6: training diverged"), "{}", rates.err);
    assert!(rates.out.contains("best          learning-rate 0.01"), "{}", rates.out);
    // A report shows the results as bars.
    ae(folder, &["report", MODEL, "rows.csv", "--sweep", "sweep.csv", "-q"]);
    let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(html.contains("Settings tried") && html.contains("hidden=4,3"), "the report lacks the settings");
}

/// Settings may come from a file; the command line takes precedence.
#[test]
fn sweeps_take_settings_from_a_file() {
    let folder = rows();
    let folder = folder.path();
    write(folder, "settings.toml", "epochs = 9\nhidden = 'none'\nsizes = [1, 2]\n");
    let words = ["sweep", "rows.csv", "--config", "settings.toml", "--sizes", "2", "--epochs", "3", "--json"];
    let ended = ae(folder, &words);
    assert_eq!(ended.objects().len(), 2);
    assert_eq!((of(&ended.objects()[0], "/size"), of(&ended.objects()[0], "/epochs")), (2.0, 3.0));
}
