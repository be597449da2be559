//! `ae train --checkpoint`.

use super::*;

const TRAIN: [&str; 12] = [
    "train",
    "digits",
    "--hidden",
    "12",
    "--encoding-dim",
    "4",
    "--optimizer",
    "adam",
    "--early-stopping",
    "0",
    "-o",
    "m.safetensors",
];

fn train(folder: &Path, more: &[&str]) -> Ended {
    ae_with(folder, &[&TRAIN[..], more].concat(), b"", &[])
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("m.safetensors")).unwrap()
}

/// The same command with more epochs resumes, and its log covers all of them.
#[test]
fn training_goes_on_to_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let keep = ["--checkpoint", "run.checkpoint", "--log-dir", "log", "--json"];
    let first = train(folder, &[&keep[..], &["--epochs", "3"]].concat());
    assert_eq!(first.status, Some(0), "{}", first.err);
    assert_eq!(first.summary()["checkpoint"], "run.checkpoint");
    assert!(!first.objects().iter().any(|object| object["event"] == "resumed"));
    let longer = train(folder, &[&keep[..], &["--epochs", "8", "--threads", "1"]].concat());
    let resumed: Vec<Value> =
        longer.objects().into_iter().filter(|object| object["event"] == "resumed").collect();
    assert_eq!(resumed.len(), 1);
    assert_eq!(resumed[0]["epochs"], 3);
    assert_eq!(longer.summary()["epochs"], 8);
    let in_parts = weights(folder);
    let epochs: Vec<Value> = std::fs::read_to_string(folder.join("log/epochs.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["epoch"].clone())
        .collect();
    assert_eq!(epochs, (1..=8).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(folder.join("log")).unwrap().count(), 2);

    let plain = train(folder, &["--epochs", "8"]);
    assert_eq!(plain.status, Some(0), "{}", plain.err);
    assert_eq!(weights(folder), in_parts);
    // The text output says so too.
    let again = train(folder, &["--checkpoint", "run.checkpoint", "--epochs", "9"]);
    assert!(again.err.contains("resuming after epoch 8"), "{}", again.err);
    // The checkpoint is also a model.
    let info = ae(folder, &["info", "run.checkpoint"]);
    assert!(info.out.contains("9 epochs"), "{}{}", info.out, info.err);
    ae(folder, &["score", "run.checkpoint", "digits"]);
}

#[test]
fn other_trainings_and_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    assert_eq!(train(folder, &["--checkpoint", "a", "--epochs", "2"]).status, Some(0));
    let (checkpoint, model) = (std::fs::read(folder.join("a")).unwrap(), weights(folder));
    std::fs::create_dir(folder.join("full")).unwrap();
    std::fs::write(folder.join("full/mine.txt"), "mine").unwrap();
    for (more, status, says) in [
        (
            &["--epochs", "2", "--seed", "1"][..],
            1,
            "a: the checkpoint belongs to another training run: its seed is 0, and here it is 1",
        ),
        (&["--epochs", "1"], 1, "it is in epoch 2 already, and epochs is 1"),
        (&["--checkpoint", "m.safetensors", "--epochs", "2"], 2, "it must be a different file from -o"),
        (&["--checkpoint", "./m.safetensors", "--epochs", "2"], 2, "it must be a different file from -o"),
        (&["--checkpoint", "a.csv"], 2, "--checkpoint a.csv"),
        (&["--checkpoint", "no/a"], 2, "there is no folder"),
        (&["--log-dir", "full"], 2, "it is not empty"),
    ] {
        let ended = train(folder, &[&["--checkpoint", "a"], more].concat());
        assert_eq!(ended.status, Some(status), "{more:?}: {}", ended.err);
        assert!(ended.err.contains(says), "{more:?}: {}", ended.err);
        assert_eq!(std::fs::read(folder.join("a")).unwrap(), checkpoint, "{more:?}");
        assert_eq!(weights(folder), model, "{more:?}");
    }
    // Training runs are distinguished by more than their values: `flag` is a boolean of a schema in one,
    // a number in the other.
    let flags = |yes: &str, no: &str| {
        let rows = (0..40).map(|i| format!("{},{},{}", i % 7, if i % 3 == 0 { yes } else { no }, i % 5));
        format!("x,flag,y\n{}\n", rows.collect::<Vec<_>>().join("\n"))
    };
    write(folder, "texts.csv", flags("true", "false"));
    write(folder, "numbers.csv", flags("1", "0"));
    let of = |data: &str, epochs: &str| {
        let words = "--scale standard --kind denoising --missing mask --encoding-dim 2 --checkpoint t -o t.safetensors";
        let args: Vec<&str> =
            ["train", data, "--epochs", epochs].into_iter().chain(words.split(' ')).collect();
        ae_with(folder, &args, b"", &[])
    };
    assert_eq!(of("texts.csv", "2").status, Some(0));
    let other = of("numbers.csv", "3");
    assert!(other.status == Some(1) && other.err.contains("another training"), "{}", other.err);
    let every = train(folder, &["--checkpoint-every", "5"]);
    assert_eq!(every.status, Some(2), "{}", every.err);
    let sweep = ae_with(folder, &["sweep", "digits", "--sizes", "2", "--checkpoint", "a"], b"", &[]);
    assert!(sweep.status == Some(2) && sweep.err.contains("--checkpoint is for ae train"), "{}", sweep.err);
}

/// A run may have a single folder for everything, but never that with the log of another run.
#[test]
fn logs_go_on_with_their_training_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    std::fs::create_dir(folder.join("run")).unwrap();
    let lines =
        |log: &str| std::fs::read_to_string(folder.join(log).join("epochs.jsonl")).unwrap().lines().count();
    for epochs in ["2", "4"] {
        let ended = train(folder, &["--checkpoint", "run/c", "--log-dir", "run", "--epochs", epochs]);
        assert_eq!(ended.status, Some(0), "{}", ended.err);
        assert_eq!(lines("run").to_string(), epochs);
    }
    assert_eq!(train(folder, &["--seed", "1", "--log-dir", "other", "--epochs", "9"]).status, Some(0));
    let mixed = train(folder, &["--checkpoint", "run/c", "--log-dir", "other", "--epochs", "5"]);
    assert!(mixed.status == Some(2) && mixed.err.contains("log of another training"), "{}", mixed.err);
    assert_eq!(lines("other"), 9);
}

#[cfg(unix)]
#[test]
fn one_file_is_not_both_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    std::fs::create_dir(folder.join("sub")).unwrap();
    std::os::unix::fs::symlink("sub", folder.join("link")).unwrap();
    for (checkpoint, model) in [("sub/../m.safetensors", "m.safetensors"), ("link/c", "sub/c")] {
        let ended = train(folder, &["--epochs", "1", "--checkpoint", checkpoint, "-o", model]);
        assert!(
            ended.status == Some(2) && ended.err.contains("a different file"),
            "{checkpoint}: {}",
            ended.err
        );
    }
    let pipe = train(folder, &["--epochs", "1", "--checkpoint", "/dev/zero"]);
    assert!(pipe.status == Some(1) && pipe.err.contains("not a regular file"), "{}", pipe.err);
}
