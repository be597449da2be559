//! Flags whose effect shows in a command's output.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

use super::*;

const MODEL: &str = "model.safetensors";

/// The numbers in some columns of a table.
fn numbers(rows: &[Vec<String>], columns: &[usize]) -> Vec<Vec<f64>> {
    let row = |row: &Vec<String>| columns.iter().map(|column| row[*column].parse().unwrap()).collect();
    rows[1..].iter().map(row).collect()
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0))
}

#[test]
fn the_way_goes_from_the_first_row_named_to_the_second() {
    let folder = trained();
    let folder = folder.path();
    let all = [0, 1, 2, 3];
    let reconstructed = numbers(&ae(folder, &["reconstruct", MODEL, "rows.csv"]).cells(), &all);
    let way = |between: &[&str]| {
        let args = [&["interpolate", MODEL, "rows.csv", "--steps", "3"], between].concat();
        numbers(&ae(folder, &args).cells(), &all)
    };
    for (flags, from, to) in
        [(&["--between", "28,5"][..], 28, 5), (&["--between", "5,28"], 5, 28), (&[], 1, 2)]
    {
        let way = way(flags);
        assert_eq!(way.len(), 3);
        assert!(
            near(&way[0], &reconstructed[from - 1]) && near(&way[2], &reconstructed[to - 1]),
            "{flags:?}: {way:?}"
        );
    }
    assert!(
        !near(&reconstructed[4], &reconstructed[27]) && !near(&reconstructed[0], &reconstructed[1]),
        "they can be told apart"
    );
}

/// A variational model of pixels, in a folder of its own.
fn variational() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let train =
        ["train", "digits", "--kind", "vae", "--hidden", "none", "--encoding-dim", "2", "--epochs", "2"];
    ae(folder.path(), &[&train[..], &["-o", MODEL, "-q"]].concat());
    folder
}

#[test]
fn rows_are_made_up_by_their_seed_and_drawn_at_their_size() {
    let folder = variational();
    let folder = folder.path();
    let made = |flags: &[&str]| ae(folder, &[&["generate", MODEL], flags].concat()).out;
    let first = made(&["--rows", "3", "--seed", "1"]);
    assert_eq!(first, made(&["--rows", "3", "--seed", "1"]));
    assert_ne!(first, made(&["--rows", "3", "--seed", "2"]));
    assert_eq!(made(&[]), made(&["--rows", "64", "--seed", "0"]));
    ae(folder, &["generate", MODEL, "--rows", "4", "--image", "2x32", "-o", "sheet.png"]);
    let png = std::fs::read(folder.join("sheet.png")).unwrap();
    // One line of four images of 32 by 2 pixels, enlarged 9 times; the PNG header has the size.
    let size = [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()));
    assert_eq!(size, [4 * (32 * 9 + 4) + 4, 2 * 9 + 4 + 4]);
}

#[test]
fn axes_are_followed_as_far_as_is_said() {
    let folder = variational();
    let axes = ae(folder.path(), &["traverse", MODEL, "--steps", "3", "--extent", "1.5"]).cells();
    let places: Vec<f64> = numbers(&axes, &[1]).concat();
    assert_eq!(places, [-1.5, 0.0, 1.5, -1.5, 0.0, 1.5]);
}

/// For each row, the other rows by distance.
fn neighbours(points: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    (0..points.len())
        .map(|row| {
            let mut others: Vec<usize> = (0..points.len()).filter(|other| *other != row).collect();
            let from = |other: &usize| distance(&points[row], &points[*other]);
            others.sort_by(|a, b| from(a).total_cmp(&from(b)));
            others
        })
        .collect()
}

/// Venna & Kaski 2001, eq. 3.
fn trustworthiness(truth: &[Vec<usize>], map: &[Vec<usize>], k: usize) -> f64 {
    let mut too_far = 0.0;
    for (truth, map) in truth.iter().zip(map) {
        for near in &map[..k] {
            let place = 1 + truth.iter().position(|other| other == near).unwrap();
            too_far += place.saturating_sub(k) as f64;
        }
    }
    let (m, k) = (truth.len() as f64, k as f64);
    1.0 - 2.0 / (m * k * (2.0 * m - 3.0 * k - 1.0)) * too_far
}

/// Random rows of four numbers, of two classes.
fn scattered() -> (Vec<Vec<f64>>, String) {
    let mut random = ae_data::Rng::new(9);
    let rows: Vec<Vec<f64>> =
        (0..26).map(|_| (0..4).map(|_| random.below(1000) as f64 / 1000.0).collect()).collect();
    let line = |row: &Vec<f64>| {
        let cells: Vec<String> = row.iter().map(f64::to_string).collect();
        format!("{},{}\n", cells.join(","), if row[0] + row[1] > 1.0 { "high" } else { "low" })
    };
    let text = "a,b,c,d,kind\n".to_owned() + &rows.iter().map(line).collect::<String>();
    (rows, text)
}

#[test]
fn maps_are_measured_by_so_many_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (rows, text) = scattered();
    write(folder, "rows.csv", text);
    let train =
        ["train", "rows.csv", "--label", "kind", "--scale", "none", "--encoding-dim", "2", "--epochs", "3"];
    ae(folder, &[&train[..], &["-o", MODEL, "-q"]].concat());
    let compare = ["compare", MODEL, "rows.csv", "--label", "kind"];
    ae(folder, &[&compare[..], &["-o", "maps.csv"]].concat());
    let maps = cells(&std::fs::read_to_string(folder.join("maps.csv")).unwrap());
    assert_eq!(maps[0][2..4], ["encoding_1", "encoding_2"]);
    let (truth, map) = (neighbours(&rows), neighbours(&numbers(&maps, &[2, 3])));
    let labels: Vec<&str> = maps[1..].iter().map(|row| row[1].as_str()).collect();
    for (flags, k) in [(&["--neighbours", "3"][..], 3), (&["--neighbours", "9"], 9), (&[], 5)] {
        let objects = ae(folder, &[&compare[..], flags, &["--json"]].concat()).objects();
        assert_eq!(objects[3]["neighbours"], k);
        let is_right = |row: &usize| {
            let same = map[*row][..k].iter().filter(|other| labels[**other] == labels[*row]).count();
            2 * same > k
        };
        let right = (0..26).filter(is_right).count() as f64 / 26.0;
        for (key, expected) in [
            ("trustworthiness", trustworthiness(&truth, &map, k)),
            ("continuity", trustworthiness(&map, &truth, k)),
            ("knn_accuracy", right),
        ] {
            let found = objects[0][key].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-9, "{key} of {k} neighbours: {found} {expected}");
        }
    }
}

/// Only the drawn rows and t-SNE depend on the seed.
#[test]
fn maps_are_drawn_by_their_seed_and_perplexity() {
    let folder = trained();
    let folder = folder.path();
    let maps =
        |flags: &[&str]| ae(folder, &[&["compare", MODEL, "rows.csv", "-o", "-"], flags].concat()).cells();
    let drawn = |seed: &str| -> BTreeSet<String> {
        let rows = maps(&["--rows", "20", "--seed", seed]);
        rows[1..].iter().map(|row| row[0].clone()).collect()
    };
    assert_eq!((drawn("1").len(), drawn("2").len()), (20, 20));
    assert_ne!(drawn("1"), drawn("2"));
    let (usual, other, narrow) = (maps(&[]), maps(&["--seed", "1"]), maps(&["--perplexity", "4"]));
    let columns = |maps: &[Vec<String>], columns: [usize; 4]| numbers(maps, &columns);
    assert_eq!(usual[0][2..], ["encoding_1", "encoding_2", "pca_1", "pca_2", "tsne_1", "tsne_2"]);
    for changed in [&other, &narrow] {
        assert_eq!(columns(&usual, [2, 3, 4, 5]), columns(changed, [2, 3, 4, 5]));
        assert_ne!(numbers(&usual, &[6, 7]), numbers(changed, &[6, 7]));
    }
    let summary = ae(folder, &["compare", MODEL, "rows.csv", "--perplexity", "4", "--json"]).summary();
    assert_eq!(summary["perplexity"], 4.0);
}

/// About the requested fraction of cells is hidden; which ones depends on the seed.
#[test]
fn cells_are_hidden_by_share_and_seed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "people.csv", tables::people());
    ae(folder, &["train", "people.csv", "--epochs", "1", "--encoding-dim", "4", "-o", MODEL, "-q"]);
    let imputation = |share: &str, seed: &str| {
        let args = ["evaluate", MODEL, "people.csv", "--hide", share, "--seed", seed, "--json"];
        ae(folder, &args).summary()["imputation"].clone()
    };
    let hidden = |found: &Value| {
        let of = |kind: &str| found[kind]["hidden"].as_f64().unwrap();
        of("numbers_rmse") + of("categories_right")
    };
    // 120 rows of 6 cells, of which 24 are missing.
    for (share, text) in [(0.1f64, "0.1"), (0.5, "0.5")] {
        let found = imputation(text, "0");
        assert_eq!(found["share"], share);
        // Five standard deviations.
        let (expected, deviation) = (696.0 * share, (696.0 * share * (1.0 - share)).sqrt());
        assert!((hidden(&found) - expected).abs() < 5.0 * deviation, "{share}: {found}");
    }
    assert_eq!(imputation("0.5", "3"), imputation("0.5", "3"));
    assert_ne!(imputation("0.5", "3"), imputation("0.5", "4"));
}

fn page(folder: &Path, args: &[&str]) -> String {
    let output: &[&str] = if args.contains(&"-o") { &[] } else { &["-o", "page.html"] };
    ae(folder, &[args, output, &["-q"]].concat());
    std::fs::read_to_string(folder.join("page.html")).unwrap()
}

/// The command in a report reproduces it.
#[test]
fn reports_can_be_made_again() {
    let folder = trained();
    let folder = folder.path();
    let line = |(i, line): (usize, &str)| match i {
        0 => format!("who,{line},kind\n"),
        _ => format!("r{i},{line},{}\n", if i % 9 == 4 { "odd" } else { "usual" }),
    };
    write(folder, "named.csv", table().lines().enumerate().map(line).collect::<String>());
    let more = "--label kind --normal usual --id who --reference named.csv --image 2x2 --range 50 --seed 3 \
        --delimiter , --decimal . --thousands _ --na-values -999,x --header --classifier-rows 20";
    let args: Vec<&str> = ["report", MODEL, "named.csv"].into_iter().chain(more.split_whitespace()).collect();
    let first = page(folder, &args);
    let command = first.split("<code>ae ").nth(1).unwrap().split("</code>").next().unwrap();
    assert!(page(folder, &command.split(' ').collect::<Vec<_>>()) == first, "{command}");
    for part in ["<pre", "r1", "3 anomalies among 30 rows", "range 50"] {
        assert!(first.contains(part), "'{part}' is not in the report");
    }
    // The interval depends on the seed, as in `ae evaluate`.
    let interval = |seed: &str| {
        let ended = ae(folder, &["evaluate", MODEL, "rows.csv", "--seed", seed]);
        ended.out.split("95 % interval ").nth(1).unwrap().lines().next().unwrap().to_owned()
    };
    assert_ne!(interval("0"), interval("3"));
    for (seed, other) in [("0", "3"), ("3", "0")] {
        let html = page(folder, &["report", MODEL, "rows.csv", "--seed", seed]);
        assert!(html.contains(&interval(seed)) && !html.contains(&interval(other)), "{seed}");
    }
}

/// Anomalies can be defined by their own label or by that of normal rows.
#[test]
fn reports_know_normal_rows() {
    let folder = trained();
    let folder = folder.path();
    let label = |i: usize| ["usual", "odd", "other"][usize::from(i % 9 == 4) + 2 * usize::from(i % 10 == 7)];
    let line = |(i, line): (usize, &str)| format!("{line},{}\n", if i == 0 { "kind" } else { label(i) });
    write(folder, "named.csv", table().lines().enumerate().map(line).collect::<String>());
    for (flag, value, count) in [("--normal", "usual", 6), ("--anomaly", "odd", 3), ("--anomaly", "other", 3)]
    {
        let html = page(folder, &["report", MODEL, "named.csv", "--label", "kind", flag, value]);
        assert!(html.contains(&format!("{count} anomalies among 30 rows")), "{flag} {value}");
    }
}

/// `--quiet` suppresses remarks and progress, but neither results nor warnings.
#[test]
fn quiet_commands_say_results_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let counted = (0..30).map(|i| format!("{},{}\n", 7 + 2 * i, i % 7)).collect::<String>();
    write(folder, "rows.csv", format!("id,n\n{counted}"));
    let both =
        |args: &[&str]| [&[][..], &["-q"], &["--quiet"]].map(|more| ae(folder, &[args, more].concat()));
    let [loud, quiet, long] =
        both(&["train", "rows.csv", "--epochs", "2", "--encoding-dim", "1", "-o", MODEL]);
    assert!(
        loud.err.contains("epoch    2/2") && loud.err.contains("seems to number the rows"),
        "{}",
        loud.err
    );
    for quiet in [&quiet, &long] {
        let mut said = quiet.err.lines();
        assert!(said.all(|line| line.starts_with("ae: warning: the model is no better")), "{}", quiet.err);
        assert!(quiet.out.contains("saved         model.safetensors"), "{}", quiet.out);
    }
    let [loud, quiet, long] = both(&["score", MODEL, "rows.csv"]);
    assert!(loud.err.contains("mean squared error over 30 rows"), "{}", loud.err);
    assert_eq!((&quiet.err[..], &long.err[..]), ("", ""));
    assert_eq!((&quiet.out, &long.out), (&loud.out, &loud.out));
    let [loud, quiet, _] = both(&["sweep", "rows.csv", "--sizes", "1", "--epochs", "2"]);
    assert!(loud.err.contains("size 1: validation MSE") && quiet.err.is_empty(), "{}", quiet.err);
    write(folder, "same.csv", "a,b\n1,2\n1,2\n1,2\n");
    let [_, quiet, _] = both(&["train", "same.csv", "--epochs", "2"]);
    assert_eq!(quiet.err, "ae: warning: the training rows are all the same: there is nothing to learn\n");
}

/// Sweeps use the seed and the validation rows of their flags.
#[test]
fn sweeps_train_with_the_settings_of_their_flags() {
    let folder = trained();
    let folder = folder.path();
    let settings = |flags: &[&str]| {
        let flags = [flags, &["--epochs", "3", "--hidden", "none", "--json"]].concat();
        let swept = ae(folder, &[&["sweep", "rows.csv", "--sizes", "2"], &flags[..]].concat()).objects();
        let train = ["train", "rows.csv", "--encoding-dim", "2", "-o", "m.safetensors"];
        let trained = ae(folder, &[&train[..], &flags].concat()).summary();
        let [swept, trained] = [&swept[0], &trained].map(|object| object["validation_mse"].as_f64().unwrap());
        assert!((swept - trained).abs() < 1e-9, "{flags:?}: {swept} {trained}");
        swept
    };
    let usual = settings(&[]);
    for flags in [["--seed", "1"], ["--validation", "0.4"], ["--validation", "rows.csv"]] {
        assert_ne!(settings(&flags), usual, "{flags:?}");
    }
    // Row names are not a setting of the model.
    let vary = ["sweep", "rows.csv", "--vary", "id=1,2"];
    let refused = ae_with(folder, &vary, b"", &[]);
    assert_eq!(refused.status, Some(2), "{}", refused.err);
    assert!(refused.err.contains("--vary id: all models of a sweep share this setting"), "{}", refused.err);
}

/// A long training run in another process, killed on drop.
struct UnderWay(Child);

impl UnderWay {
    /// Starts a run and waits for the end of its first epoch.
    fn start(folder: &Path, more: &[&str]) -> UnderWay {
        let train =
            ["train", "digits", "--epochs", "1000000", "--early-stopping", "0", "--hidden", "40", "--json"];
        let child = Command::new(env!("CARGO_BIN_EXE_ae"))
            .args([&train[..], more].concat())
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut training = UnderWay(child.unwrap());
        let mut out = BufReader::new(training.0.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.contains("\"epoch\":1"), "{line}");
        // It would stop if its output were closed.
        std::thread::spawn(move || out.lines().for_each(drop));
        training
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Results do not depend on the number of threads, so count them.
#[cfg(target_os = "linux")]
#[test]
fn as_many_threads_work_as_are_asked_for() {
    let folder = trained();
    let folder = folder.path();
    let threads = |count: &str| {
        let training = UnderWay::start(folder, &["--threads", count, "-o", "m.safetensors"]);
        std::fs::read_dir(format!("/proc/{}/task", training.0.id())).unwrap().count()
    };
    assert_eq!(threads("5"), threads("1") + 4);
    for count in ["1", "3"] {
        let html = page(folder, &["report", MODEL, "rows.csv", "--threads", count]);
        assert!(html.contains(&format!("threads</th><td>{count}</td>")), "{count}");
    }
}

/// The first checkpoint is written before training, and the next one well within the default minute.
#[test]
fn checkpoints_are_as_far_apart_as_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let kept = || std::fs::read(folder.path().join("run.checkpoint")).ok();
    let keep = ["--checkpoint", "run.checkpoint", "-o", "m.safetensors", "--checkpoint-every"];
    let _training = UnderWay::start(folder.path(), &[&keep[..], &["1"]].concat());
    let (start, first) = (Instant::now(), kept());
    assert!(first.is_some());
    while kept() == first && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(kept() != first, "none after {:?}", start.elapsed());
}
