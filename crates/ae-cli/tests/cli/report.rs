//! `ae report`.

use super::*;

/// Checks that all tags are closed in the right order.
fn check_tags(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    // The style sheet is not markup.
    let (before, after) = html.split_once("<style>").unwrap();
    let (_, after) = after.split_once("</style>").unwrap();
    for part in before.split('<').skip(1).chain(after.split('<').skip(1)) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("a tag has no end: {part}"));
        assert!(!text.contains('>'), "a bare '>': {part}");
        assert_eq!(tag.matches('"').count() % 2, 0, "a quote has no end: {tag}");
        if tag.starts_with("!DOCTYPE") || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "closes what is not open"),
            None => open.push(tag.split([' ', '\n']).next().unwrap()),
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

/// Checks what must hold for every report.
fn check(html: &str, sections: &[&str]) {
    check_tags(html);
    for section in sections {
        assert!(html.contains(&format!("<section id=\"{section}\"")), "no section {section}");
        assert!(html.contains(&format!("<a href=\"#{section}\">")), "no link to {section}");
    }
    assert_eq!(html.matches("<section ").count(), sections.len());
    // Leave out images: base64 may contain any word by chance.
    let pictures =
        html.split("base64,").map(|part| part.split_once("\" width").map_or(part, |(_, rest)| rest));
    let html: String =
        std::iter::once(html.split("base64,").next().unwrap()).chain(pictures.skip(1)).collect();
    let elsewhere = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").replace("http-equiv", "");
    assert!(!elsewhere.contains("http") && !elsewhere.contains("url("), "nothing comes from elsewhere");
    assert!(!html.contains("<script") && !html.contains("NaN"), "no scripts, no numbers that are none");
    assert_eq!(html.matches("<svg ").count(), html.matches("role=\"img\" aria-label=\"").count());
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn a_report_on_images_has_every_section_twice_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let train = [
        "train",
        "digits",
        "--epochs",
        "4",
        "--hidden",
        "none",
        "--encoding-dim",
        "8",
        "-o",
        "m.safetensors",
    ];
    let history = ae(folder, &[&train[..], &["--json"]].concat()).out;
    write(folder, "history.jsonl", history);
    let sweep =
        ["sweep", "digits", "--sizes", "2,4,8", "--epochs", "2", "--hidden", "none", "-o", "sizes.csv"];
    ae(folder, &sweep);
    let of = [
        "report",
        "m.safetensors",
        "digits",
        "--image",
        "8x8",
        "--history",
        "history.jsonl",
        "--sweep",
        "sizes.csv",
    ];
    let outputs = ["-o", "a.html", "--plots", "plots"];
    let ended = ae(folder, &[&of[..], &outputs].concat());
    assert!(ended.out.contains("a.html"), "{}", ended.out);
    let html = read(folder, "a.html");
    ae(folder, &[&of[..], &outputs, &["-q"]].concat());
    assert_eq!(html, read(folder, "a.html"));
    check(&html, &["figures", "reconstructions", "errors", "latent", "training", "sizes", "setup"]);
    // The model stores the same history that training printed.
    ae(
        folder,
        &["report", "m.safetensors", "digits", "--image", "8x8", "-o", "c.html", "--plots", "own", "-q"],
    );
    let curves = |plots: &str| read(&folder.join(plots), "training.svg");
    assert_eq!(curves("own"), curves("plots"));
    assert_eq!(html.matches("<img src=\"data:image/png;base64,iVBORw0KGgo").count(), 3);
    for part in [
        "m.safetensors on digits",
        "64-[8]-64",
        "Unexplained variance",
        "PCA with 8, MSE",
        "8.0×",
        "PSNR",
        "<title>row 1, label 0, error ",
        "the 30 of 64 features with the largest errors",
        "4 epochs; the weights are those of epoch 4",
        "ae report m.safetensors digits --history history.jsonl --sweep sizes.csv --image 8x8x1 --seed 0 --plots plots \
         -o a.html</code>",
    ] {
        assert!(html.contains(part), "'{part}' is not in the report");
    }
    let mut plots: Vec<String> = std::fs::read_dir(folder.join("plots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    plots.sort();
    assert_eq!(plots, ["errors.svg", "features.svg", "latent.svg", "sizes.svg", "training.svg"]);
    for plot in plots {
        let svg = read(&folder.join("plots"), &plot);
        assert!(svg.starts_with("<svg style=") && svg.ends_with("</svg>\n"), "{plot}");
    }
}

#[test]
fn a_report_on_a_table_with_anomalies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The first column's name needs escaping, and the last rows are anomalies.
    let mut text = "<script>alert(1)</script>,\"a \"\"b\"\" & c\",depth,kind\n".to_owned();
    for i in 0..60 {
        let t = f64::from(i) / 59.0;
        text += &match i {
            0..56 => format!("{},{},{},usual\n", 10.0 * t, 5.0 - t, t * 2.0),
            _ => format!("{},{},{},</td><b>odd\n", 10.0 * t, 9.0 * t, -t),
        };
    }
    write(folder, "rows.csv", text);
    let train =
        ["train", "rows.csv", "--label", "kind", "--encoding-dim", "1", "--hidden", "none", "--epochs", "30"];
    ae(folder, &[&train[..], &["-o", "m.safetensors", "-q"]].concat());
    let of = ["report", "m.safetensors", "rows.csv", "--label", "kind", "--anomaly", "</td><b>odd"];
    let ended = ae(folder, &[&of[..], &["--reference", "rows.csv", "--json"]].concat());
    let html = read(folder, "report.html");
    check(&html, &["figures", "reconstructions", "errors", "latent", "training", "anomalies", "setup"]);
    let summary = ended.summary();
    assert_eq!(
        summary["plots"],
        serde_json::json!(["errors", "features", "latent", "training", "roc", "precision_recall"])
    );
    for part in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "a &quot;b&quot; &amp; c",
        "&lt;/td&gt;&lt;b&gt;odd",
        "ROC curve: the area is ",
        "4 anomalies among 60 rows",
        "Rows and their reconstructions",
        "worst: ",
    ] {
        assert!(html.contains(part), "'{part}' is not in the report");
    }
    // Standard output gets the same page, but for the command.
    let ended = ae(folder, &[&of[..], &["--reference", "rows.csv", "-o", "-", "-q"]].concat());
    assert_eq!(ended.out, html.replace("-o report.html</code>", "-o -</code>"));
}

/// A single row, rows that are all the same, missing values: there is always a report.
#[test]
fn reports_on_odd_tables() {
    let folder = trained();
    let folder = folder.path();
    let head = "height,width,depth,weight\n";
    write(folder, "one.csv", format!("{head}1,2,3,4\n"));
    write(folder, "same.csv", format!("{head}{}", "1,2,3,4\n".repeat(9)));
    for name in ["one.csv", "same.csv"] {
        ae(folder, &["report", "model.safetensors", name, "-q"]);
        check(
            &read(folder, "report.html"),
            &["figures", "reconstructions", "errors", "latent", "training", "setup"],
        );
    }
    write(folder, "holes.csv", table().replacen("\n0,", "\n,", 1) + ",,,\n");
    ae(
        folder,
        &[
            "train",
            "holes.csv",
            "--missing",
            "mask",
            "--encoding-dim",
            "3",
            "--epochs",
            "2",
            "-o",
            "h.safetensors",
            "-q",
        ],
    );
    ae(folder, &["report", "h.safetensors", "holes.csv", "-q"]);
    let html = read(folder, "report.html");
    assert!(html.contains("error unknown"));
    check(&html, &["figures", "reconstructions", "errors", "latent", "training", "setup"]);
}

/// The maps are those of `ae compare`, both figures and plots.
#[test]
fn a_report_compares_maps() {
    let folder = trained();
    let folder = folder.path();
    let of = ["report", "model.safetensors", "rows.csv", "--compare"];
    ae(folder, &[&of[..], &["--plots", "plots", "-q"]].concat());
    let html = read(folder, "report.html");
    check(&html, &["figures", "reconstructions", "errors", "latent", "training", "setup"]);
    let compared = ae(folder, &["compare", "model.safetensors", "rows.csv", "--json"]).objects();
    let maps: Vec<&Value> = compared.iter().filter(|object| object["event"] == "map").collect();
    assert_eq!(maps.len(), 3);
    for (map, name) in maps.iter().zip(["encoding", "PCA", "t-SNE"]) {
        let cells = ["trustworthiness", "continuity"].map(|key| map[key].as_f64().unwrap());
        let line =
            format!("<th scope=\"row\">{name}</th><td>{:.4}</td><td>{:.4}</td><td>", cells[0], cells[1]);
        assert!(html.contains(&line), "{line} is not in the report");
    }
    for plot in ["latent", "pca", "tsne"] {
        assert!(folder.join(format!("plots/{plot}.svg")).exists(), "{plot}");
    }
    assert!(
        html.contains("ae report model.safetensors rows.csv --seed 0 --plots plots -o report.html --compare"),
        "the command says so"
    );
}

/// Images of three channels are drawn in colour, others than of one or three as means, with a note.
#[test]
fn images_in_colour() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |i: usize| (0..12).map(|j| ((i * 7 + j * 5) % 13).to_string()).collect::<Vec<_>>().join(",");
    write(folder, "pixels.csv", (0..30).map(|i| row(i) + "\n").collect::<String>());
    ae(folder, &["train", "pixels.csv", "--encoding-dim", "2", "--epochs", "2", "-q", "-o", "m.safetensors"]);
    for (size, says) in [("2x2x3", false), ("3x4x1", false), ("3x2x2", true)] {
        ae(folder, &["report", "m.safetensors", "pixels.csv", "--image", size, "-q"]);
        let html = read(folder, "report.html");
        assert_eq!(html.contains("drawn as the mean of their channels"), says, "{size}");
    }
}
