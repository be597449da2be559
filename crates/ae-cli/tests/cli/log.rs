//! `ae train --log-dir`.

use super::*;

/// The fields of a protocol buffer message: field number, bits of a number, and bytes of a longer value.
fn fields(mut data: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn number(data: &mut &[u8]) -> u64 {
        let mut value = 0;
        for place in 0.. {
            let (byte, rest) = data.split_first().unwrap();
            *data = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = number(&mut data);
        let mut take = |count: usize| {
            let (bytes, rest) = data.split_at(count);
            data = rest;
            bytes
        };
        let (bits, bytes) = match key & 7 {
            0 => (number(&mut data), &[][..]),
            1 => (u64::from_le_bytes(take(8).try_into().unwrap()), &[][..]),
            5 => (u64::from(u32::from_le_bytes(take(4).try_into().unwrap())), &[][..]),
            2 => {
                let length = number(&mut data) as usize;
                let (bytes, rest) = data.split_at(length);
                data = rest;
                (0, bytes)
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, bits, bytes));
    }
    found
}

/// The data of the records of a TensorBoard event file.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        records.push(&file[12..12 + length]);
        file = &file[16 + length..];
    }
    records
}

#[test]
fn epochs_are_logged_twice() {
    let dir = trained();
    let folder = dir.path();
    let train = [
        "train",
        "rows.csv",
        "--epochs",
        "6",
        "--early-stopping",
        "0",
        "--hidden",
        "3",
        "--encoding-dim",
        "2",
    ];
    let ended = ae(folder, &[&train[..], &["--log-dir", "runs/a", "--json", "-o", "m.safetensors"]].concat());
    assert_eq!(ended.summary()["log"], "runs/a");
    let log = folder.join("runs/a");
    let lines: Vec<Value> = std::fs::read_to_string(log.join("epochs.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let printed: Vec<Value> =
        ended.objects().into_iter().filter(|object| object["event"] == "epoch").collect();
    assert_eq!((lines.len(), printed.len()), (6, 6));
    for (line, printed) in lines.iter().zip(&printed) {
        for key in ["epoch", "train_mse", "validation_mse", "seconds"] {
            assert_eq!(line[key], printed[key], "{key}");
        }
        let number = |key: &str| line[key].as_f64().unwrap();
        assert!((number("rows_per_second") * number("seconds") - 27.0).abs() < 1e-6, "{line}");
        assert!(
            number("train_loss") > 0.0 && number("validation_loss") > 0.0 && number("learning_rate") == 0.003
        );
    }

    let names = files(&log);
    let events = names.iter().find(|name| name.contains("tfevents")).unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    let file = std::fs::read(log.join(events)).unwrap();
    let records = records(&file);
    assert_eq!(records.len(), 7);
    assert_eq!(fields(records[0])[1], (3, 0, &b"brain.Event:2"[..]));
    for (record, line) in records[1..].iter().zip(&lines) {
        let event = fields(record);
        assert!(f64::from_bits(event[0].1) > 1.7e9, "seconds since 1970");
        assert_eq!((event[1].0, event[1].1), (2, line["epoch"].as_u64().unwrap()));
        let values: Vec<(String, f32)> = fields(event[2].2)
            .into_iter()
            .map(|(_, _, value)| {
                let value = fields(value);
                (String::from_utf8(value[0].2.to_vec()).unwrap(), f32::from_bits(value[1].1 as u32))
            })
            .collect();
        let expected = [
            ("loss/train", "train_loss"),
            ("loss/validation", "validation_loss"),
            ("mse/train", "train_mse"),
            ("mse/validation", "validation_mse"),
            ("learning_rate", "learning_rate"),
            ("speed/seconds", "seconds"),
            ("speed/rows_per_second", "rows_per_second"),
        ];
        let expected: Vec<(String, f32)> = expected
            .iter()
            .map(|(tag, key)| ((*tag).to_owned(), line[*key].as_f64().unwrap() as f32))
            .collect();
        assert_eq!(values, expected);
    }
    // Reports read the JSON lines. The folder is never written to by another run.
    ae(folder, &["report", "m.safetensors", "rows.csv", "--history", "runs/a/epochs.jsonl", "-q"]);
    let again = ae_with(folder, &[&train[..], &["--log-dir", "runs/a"]].concat(), b"", &[]);
    assert_eq!(again.status, Some(2));
    assert!(again.err.contains("--log-dir runs/a: it is not empty"), "{}", again.err);
    assert_eq!(std::fs::read(log.join(events)).unwrap(), file);
    // Without validation, its errors are null. An empty folder may already exist.
    std::fs::create_dir(folder.join("runs/b")).unwrap();
    ae(folder, &[&train[..], &["--log-dir", "runs/b", "--validation", "0", "-q"]].concat());
    let text = std::fs::read_to_string(folder.join("runs/b/epochs.jsonl")).unwrap();
    assert!(text.contains("\"validation_mse\":null") && text.lines().count() == 6, "{text}");
}

/// The file names in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
