//! `ae compare`.

use super::*;

const MODEL: &str = "model.safetensors";

/// Labels the thirty rows by the third of the curve that they are from.
fn labelled() -> String {
    let label = |i: usize| if i == 0 { "kind".to_owned() } else { format!("part, {}", (i - 1) / 10) };
    table().lines().enumerate().map(|(i, line)| format!("{line},\"{}\"\n", label(i))).collect()
}

fn folder() -> tempfile::TempDir {
    let folder = trained();
    write(folder.path(), "labelled.csv", labelled());
    folder
}

fn map<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    objects.iter().find(|object| object["map"] == name).unwrap()
}

#[test]
fn three_maps_in_words_as_objects_as_a_table_and_as_a_picture() {
    let folder = folder();
    let folder = folder.path();
    let words = ["compare", MODEL, "labelled.csv", "--label", "kind", "-o", "maps.csv", "--plot", "maps.png"];
    let ended = ae(folder, &words);
    for part in [
        "rows          all 30 in labelled.csv\n",
        "map        trustworthiness continuity   5-NN accuracy  seconds\nencoding ",
        "\nPCA ",
        "\nt-SNE ",
        "of 4 features (",
        "perplexity 9.67",
        "its 2 values",
    ] {
        assert!(ended.out.contains(part), "'{part}' is not in:\n{}", ended.out);
    }
    assert!(ended.err.contains("coordinates of 30 rows written to maps.csv"), "{}", ended.err);
    assert!(std::fs::read(folder.join("maps.png")).unwrap().starts_with(b"\x89PNG"));

    // The table can be read again and agrees with `ae encode`, as the encoding has two values.
    let file = folder.join("maps.csv");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("row,label,encoding_1,encoding_2,pca_1,pca_2,tsne_1,tsne_2\n1,\"part, 0\","));
    let mut options = ae_data::ReadOptions::default();
    options.label = Some("label".to_owned());
    let maps = ae_data::read(&file, &options).unwrap();
    assert_eq!((maps.rows(), maps.features()), (30, 7));
    let codes = ae(folder, &["encode", MODEL, "rows.csv"]).cells();
    for row in 0..30 {
        let code: Vec<f32> = codes[row + 1].iter().map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(maps.row(row).unwrap()[..3], [&[(row + 1) as f32][..], &code].concat());
    }

    let objects = ae(folder, &[&words[..5], &["--json"]].concat()).objects();
    assert_eq!(objects.len(), 4);
    for name in ["encoding", "pca", "tsne"] {
        let of = |key: &str| map(&objects, name)[key].as_f64().unwrap();
        for key in ["trustworthiness", "continuity", "knn_accuracy"] {
            assert!((0.0..=1.0).contains(&of(key)), "{name} {key}");
        }
        assert!(of("seconds") >= 0.0);
    }
    // The rows are on a nearly planar curve in four dimensions.
    assert!(map(&objects, "pca")["trustworthiness"].as_f64().unwrap() > 0.95);
    assert!(map(&objects, "tsne")["knn_accuracy"].as_f64().unwrap() > 0.8);
    assert_eq!((&objects[3]["event"], &objects[3]["rows"]), (&Value::from("summary"), &Value::from(30)));
}

#[test]
fn some_of_the_rows_and_labels_of_a_file() {
    let folder = folder();
    let folder = folder.path();
    let labels: String = (0..30).map(|i| format!("{}\n", if i < 15 { "low" } else { "high" })).collect();
    write(folder, "bare.txt", &labels);
    write(folder, "named.csv", format!("half\n{labels}"));
    let words = |labels, plot| {
        [
            "compare", MODEL, "rows.csv", "--label", labels, "--rows", "20", "--seed", "3", "-o", "-",
            "--plot", plot,
        ]
    };
    let bare = ae(folder, &words("bare.txt", "maps.svg"));
    assert!(bare.err.contains("20 of the 30 in rows.csv, drawn with seed 3"), "{}", bare.err);
    let rows = bare.cells();
    assert_eq!(rows.len(), 21);
    for row in &rows[1..] {
        let number: usize = row[0].parse().unwrap();
        assert_eq!(row[1], if number <= 15 { "low" } else { "high" });
    }
    // The number of threads makes no difference.
    let again = ae(folder, &[&words("named.csv", "maps.svg")[..], &["--threads", "1"]].concat());
    assert_eq!(again.out, bare.out);
    let svg = std::fs::read_to_string(folder.join("maps.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 3 * 20 + 2);
    for part in [">t-SNE</text>", ">low</text>", ">high</text>"] {
        assert!(svg.contains(part), "{part}");
    }
    // Without labels there is neither accuracy nor legend.
    let plain = ae(folder, &["compare", MODEL, "rows.csv", "--rows", "20", "--json", "--plot", "maps.svg"]);
    assert!(map(&plain.objects(), "encoding")["knn_accuracy"].is_null());
    assert_eq!(std::fs::read_to_string(folder.join("maps.svg")).unwrap().matches("<circle").count(), 60);
}

/// The default number of neighbours is below half of the rows.
#[test]
fn few_rows_have_few_neighbours() {
    let folder = folder();
    let folder = folder.path();
    let few: String = table().lines().take(6).map(|line| format!("{line}\n")).collect();
    write(folder, "few.csv", few);
    let ended = ae(folder, &["compare", MODEL, "few.csv"]);
    assert!(ended.out.contains("neighbours    2\n"), "{}", ended.out);
    assert_eq!(ae(folder, &["compare", MODEL, "few.csv", "--json"]).summary()["neighbours"], 2);
    let refused = ae_with(folder, &["compare", MODEL, "few.csv", "--neighbours", "3"], b"", &[]);
    assert!(refused.err.contains("--neighbours: 3 is out of range"), "{}", refused.err);
}

/// Encodings of one and of three values.
#[test]
fn encodings_of_other_widths() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "rows.csv", table());
    for (width, says) in [("1", ",0,"), ("3", "first 2 principal components of 3 values")] {
        ae(folder, &["train", "rows.csv", "--encoding-dim", width, "--epochs", "2", "-o", MODEL, "-q"]);
        let ended = ae(folder, &["compare", MODEL, "rows.csv", "-o", "-"]);
        assert!(format!("{}{}", ended.out, ended.err).contains(says), "{}{}", ended.out, ended.err);
    }
}
