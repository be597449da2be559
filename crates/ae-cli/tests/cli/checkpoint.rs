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

/// The same command after a shorter one, with a log that is that of the whole.
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
    // Lines for people say so too.
    let again = train(folder, &["--checkpoint", "run.checkpoint", "--epochs", "9"]);
    assert!(again.err.contains("going on after epoch 8"), "{}", again.err);
    // The checkpoint is a model of its own.
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
            "a: the checkpoint is of another training: its seed is 0, and here it is 1",
        ),
        (&["--epochs", "1"], 1, "it is 2 epochs long already, and epochs is 1"),
        (&["--checkpoint", "m.safetensors", "--epochs", "2"], 2, "-o is to be another file"),
        (&["--checkpoint", "./m.safetensors", "--epochs", "2"], 2, "-o is to be another file"),
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
    let every = train(folder, &["--checkpoint-every", "5"]);
    assert_eq!(every.status, Some(2), "{}", every.err);
    let sweep = ae_with(folder, &["sweep", "digits", "--sizes", "2", "--checkpoint", "a"], b"", &[]);
    assert!(sweep.status == Some(2) && sweep.err.contains("--checkpoint is for ae train"), "{}", sweep.err);
}
